"""Checkpoints of every kind that the paper's encoders come as, from a folder and from the hub: stand-ins."""

import hashlib
import http.server
import io
import json
import os
import shutil
import sys
import threading
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest
import sentencepiece
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, BertWordPieceTokenizer, ByteLevelBPETokenizer, Tokenizer
from transformers.models.bert.tokenization_bert_legacy import BertTokenizerLegacy

from ftft.artifacts import MODEL_FILES, read_json, read_stamp
from ftft.data.dataset import Dataset
from ftft.errors import ModelError
from ftft.models.encoders import prepare_encoder
from ftft.models.heads import load_classifier
from ftft.models.tokens import tokenize
from ftft.models.vocabulary import train_tokenizer

SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "num_hidden_layers": 2}
COMMIT = "0123456789abcdef0123456789abcdef01234567"
NAME = "someone/some-encoder"
ODD = [
    "the nurse is tall",
    "THE NURSE Is Tall",
    " two  spaces,   and three ",
    "tabs\tand\nlines",
    "Café naïve Zürich",
    "Cafe\u0301 nai\u0308ve",
    "emoji 😀😀 ❤️ 👩‍👩‍👧",
    "日本語 and 한국어",
    "Ｆｕｌｌ ﬁne ½ … ™",
    "don't “quote” — dash",
    "\u00a0no-break\u200bzero width\ufeff",
    "",
    "   ",
]


def write_json(path, value):
    path.write_text(json.dumps(value), encoding="utf-8")


def random_weights(model_class, **config):
    torch.manual_seed(0)
    model = model_class(model_class.config_class(**SIZES, **config))
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def legacy(name):
    """A parameter's name as the first BERT checkpoints have it."""
    return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")


def write_wordpieces(folder, train_set, whole=True):
    tokenizer = train_tokenizer(train_set, "wordpiece", 400)
    pieces = sorted(tokenizer.get_vocab(), key=tokenizer.token_to_id)
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in [*pieces, "é", "日"]))
    if whole:
        BertWordPieceTokenizer(str(folder / "vocab.txt")).save(str(folder / "tokenizer.json"))
        write_json(folder / "tokenizer_config.json", {"do_lower_case": True, "model_max_length": 512})
    return len(pieces) + 2


def deberta_v3(folder, train_set):
    """SentencePiece only; a pickle in half precision with both pretraining heads."""
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([*train_set.texts[0], *train_set.texts[1], "café"]),
        model_writer=(model := io.BytesIO()),
        model_type="unigram",
        vocab_size=450,
        hard_vocab_limit=False,
        byte_fallback=True,
        **{"pad_id": 0, "bos_id": 1, "eos_id": 2, "unk_id": 3},
        **{"pad_piece": "[PAD]", "bos_piece": "[CLS]", "eos_piece": "[SEP]", "unk_piece": "[UNK]"},
        normalization_rule_name="nmt_nfkc",
        num_threads=1,
        minloglevel=2,
    )
    (folder / "spm.model").write_bytes(model.getvalue())
    write_json(folder / "tokenizer_config.json", {"do_lower_case": False, "vocab_type": "spm"})
    config = {
        "vocab_size": 500,
        "relative_attention": True,
        "position_buckets": 16,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "pos_att_type": "p2c|c2p",
        "max_relative_positions": -1,
        "position_biased_input": False,
        "type_vocab_size": 0,
    }
    write_json(folder / "config.json", {"model_type": "deberta-v2", **SIZES, **config})
    weights = random_weights(transformers.DebertaV2ForMaskedLM, **config)
    weights = {name: tensor for name, tensor in weights.items() if name.startswith("deberta.")}
    heads = {"lm_predictions.lm_head.dense.weight": 16, "mask_predictions.classifier.weight": 16}
    weights |= {name: torch.rand(size, size) for name, size in heads.items()}
    weights = {name: tensor.half() for name, tensor in weights.items()}
    torch.save(weights, folder / "pytorch_model.bin")
    return weights


def electra(folder, train_set):
    """A pickle with the discriminator's head; embeddings of another size than the layers."""
    config = {"vocab_size": write_wordpieces(folder, train_set), "embedding_size": 8}
    described = {"architectures": ["ElectraForPreTraining"], "model_type": "electra"}
    write_json(folder / "config.json", {**described, **SIZES, **config})
    weights = random_weights(transformers.ElectraForPreTraining, **config)
    torch.save(weights, folder / "pytorch_model.bin")
    return weights


def bert_large(folder, train_set):
    """Safetensors under legacy names with the pretraining heads, beside a pickle that must not be read."""
    config = {"vocab_size": write_wordpieces(folder, train_set)}
    described = {"architectures": ["BertForMaskedLM"], "model_type": "bert"}
    write_json(folder / "config.json", {**described, **SIZES, **config})
    weights = random_weights(transformers.BertForPreTraining, **config)
    weights = {legacy(name): tensor for name, tensor in weights.items()}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    (folder / "pytorch_model.bin").write_bytes(b"not even a pickle")
    return weights


def bert_tiny(folder, train_set):
    """No more than vocab.txt, a configuration that names no kind, and a pickle of the oldest format."""
    config = {"vocab_size": write_wordpieces(folder, train_set, whole=False)}
    write_json(folder / "config.json", {**SIZES, **config})
    weights = random_weights(transformers.BertForPreTraining, **config)
    weights = {legacy(name): tensor for name, tensor in weights.items()}
    weights["bert.embeddings.position_ids"] = torch.arange(512)[None]
    torch.save(weights, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    return weights


def roberta_large(folder, train_set):
    """Byte pairs; safetensors of a masked language model, which has no pooler."""
    tokenizer = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    texts = [*train_set.texts[0], *train_set.texts[1]]
    tokenizer.train_from_iterator(texts, vocab_size=400, special_tokens=special, show_progress=False)
    tokenizer.save_model(str(folder))
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    write_json(folder / "vocab.json", tokenizer.get_vocab())
    tokenizer.save(str(folder / "tokenizer.json"))
    whole = json.loads((folder / "tokenizer.json").read_text())
    ends = {"sep": ["</s>", 2], "cls": ["<s>", 0], "trim_offsets": True, "add_prefix_space": False}
    write_json(folder / "tokenizer.json", {**whole, "post_processor": {"type": "RobertaProcessing", **ends}})
    write_json(folder / "tokenizer_config.json", {"model_max_length": 512})
    config = {"vocab_size": tokenizer.get_vocab_size(), "max_position_embeddings": 514, "type_vocab_size": 1}
    described = {"architectures": ["RobertaForMaskedLM"], "model_type": "roberta"}
    write_json(folder / "config.json", {**described, **SIZES, **config})
    weights = random_weights(transformers.RobertaForMaskedLM, **config)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return weights


KINDS = {kind.__name__: kind for kind in (deberta_v3, electra, bert_large, bert_tiny, roberta_large)}


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory, train_set):
    made = {}

    def make(kind):
        if kind not in made:
            folder = tmp_path_factory.mktemp(kind)
            made[kind] = folder, KINDS[kind](folder, train_set)
        return made[kind]

    return make


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def prepared(kind, stand_in, tmp_path_factory):
    return prepare(stand_in(kind)[0], tmp_path_factory.mktemp("prepared"))


def prepare(source, target, **spec):
    prepare_encoder({"source": "folder", "path": str(source), "max_length": 32, **spec}, None, target)
    return target


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_tokenizer(folder):
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def encode(folder, texts, **options):
    return [encoding.ids for encoding in read_tokenizer(folder).encode_batch(texts, **options)]


def test_weights_are_the_checkpoints_own_without_heads(kind, stand_in, prepared):
    written, weights = load_file(prepared / "model.safetensors"), stand_in(kind)[1]
    root = {"deberta_v3": "deberta.", "electra": "electra.", "roberta_large": "roberta."}.get(kind, "bert.")
    encoder = {name.removeprefix(root): tensor for name, tensor in weights.items() if name.startswith(root)}
    encoder.pop("embeddings.position_ids", None)
    name_of = legacy if kind in ("bert_large", "bert_tiny") else str
    assert {name_of(name) for name in written} == set(encoder)
    assert not any("gamma" in name for name in written)
    for name, tensor in written.items():
        assert tensor.dtype == torch.float32 and torch.equal(tensor, encoder[name_of(name)].float()), name


def reference_ids(kind, source, text):
    if kind == "deberta_v3":
        return sentencepiece.SentencePieceProcessor(model_file=str(source / "spm.model")).encode(text)
    if kind == "roberta_large":
        files = str(source / "vocab.json"), str(source / "merges.txt")
        return ByteLevelBPETokenizer(*files).encode(text).ids
    slow = BertTokenizerLegacy(str(source / "vocab.txt"))
    return slow.convert_tokens_to_ids(slow.tokenize(text))


def test_tokens_are_those_of_the_original_tokenizer(kind, stand_in, prepared):
    expected = [reference_ids(kind, stand_in(kind)[0], text) for text in ODD]
    assert encode(prepared, ODD, add_special_tokens=False) == expected
    assert len({token for ids in expected for token in ids}) > 20


@pytest.fixture(scope="module")
def both_ways(stand_in, tmp_path_factory):
    """DeBERTa's tokens of a text, by the prepared tokenizer and by SentencePiece."""
    source = stand_in("deberta_v3")[0]
    prepared = prepare(source, tmp_path_factory.mktemp("prepared"))
    return lambda text: (
        encode(prepared, [text], add_special_tokens=False)[0],
        reference_ids("deberta_v3", source, text),
    )


# Without brackets, which spell special tokens and byte pieces, and without marks and conjoining letters,
# whose normalisation the tokenizers library approximates.
CONJOINING = map(chr, range(0x1100, 0x1200))
PLAIN = st.characters(exclude_categories=["M", "C"], exclude_characters=["[", "<", *CONJOINING])


@given(st.text(PLAIN | st.sampled_from(" \t😀éa"), max_size=30))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_tokens_of_any_text_are_those_of_sentencepiece(both_ways, text):
    ours, original = both_ways(text)
    assert ours == original


def test_tokenizer_loads_with_transformers_as_it_was_written(prepared):
    loaded = transformers.AutoTokenizer.from_pretrained(prepared)
    assert loaded(ODD)["input_ids"] == encode(prepared, ODD)
    assert loaded.backend_tokenizer.to_str() == read_tokenizer(prepared).to_str()


@pytest.mark.parametrize("kind", ["electra", "bert_large", "roberta_large"], scope="module")
def test_whole_tokenizer_is_kept(kind, stand_in, prepared):
    assert read_tokenizer(prepared).to_str() == read_tokenizer(stand_in(kind)[0]).to_str()


def test_pairs_have_the_encoders_own_template(kind, prepared):
    pair = Dataset(["a"], (["the nurse"], ["is tall"]), np.array([0]), ["no", "yes"])
    tokens = tokenize(pair.texts, prepared / "tokenizer.json", 32)
    cls, sep = ("<s>", "</s>") if kind == "roberta_large" else ("[CLS]", "[SEP]")
    tokenizer = read_tokenizer(prepared)
    a, b = (tokenizer.encode(texts[0], add_special_tokens=False).ids for texts in pair.texts)
    cls, sep = [tokenizer.token_to_id(cls)], [tokenizer.token_to_id(sep)]
    first = [*cls, *a, *sep, *sep] if kind == "roberta_large" else [*cls, *a, *sep]
    assert tokens.ids.tolist() == [*first, *b, *sep]
    second = 0 if kind == "roberta_large" else 1
    assert tokens.types.tolist() == [0] * len(first) + [second] * (len(b) + 1)


def test_classifier_takes_the_encoder_whole(kind, prepared):
    model = load_classifier(prepared, ["no", "yes"])
    encoder, written = model.base_model.state_dict(), load_file(prepared / "model.safetensors")
    assert set(encoder) == set(written)
    assert all(torch.equal(encoder[name], tensor) for name, tensor in written.items())
    logits = model(torch.tensor(encode(prepared, ["the nurse is tall"]))).logits
    assert logits.shape == (1, 2) and logits.isfinite().all()


def test_preparing_twice_gives_the_same_bytes(kind, stand_in, prepared, tmp_path):
    prepare(stand_in(kind)[0], tmp_path)
    first, second = ({path.name: path.read_bytes() for path in f.iterdir()} for f in (prepared, tmp_path))
    assert first == second


def test_provenance_names_what_was_read_and_written(kind, stand_in, prepared):
    provenance, source = read_json(prepared / "provenance.json"), stand_in(kind)[0]
    unread = {"pytorch_model.bin"} if kind == "bert_large" else set()
    assert provenance["read"] == {
        path.name: sha256(path) for path in source.iterdir() if path.name not in unread
    }
    written = read_stamp(prepared / "provenance.json")["files"]
    assert written == {name: sha256(prepared / name) for name in MODEL_FILES}
    pooler = ["pooler.dense.bias", "pooler.dense.weight"] if kind == "roberta_large" else []
    assert provenance["left_to_the_head"] == pooler
    assert {path.suffix for path in prepared.iterdir()} == {".json", ".safetensors"}


# The hub


def lay_out_cache(cache, source):
    """The files of `source` as the hub's client keeps them, under COMMIT and the branch main."""
    repository = cache / f"models--{NAME.replace('/', '--')}"
    snapshot = repository / "snapshots" / COMMIT
    for folder in (repository / "blobs", repository / "refs", snapshot):
        folder.mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    for path in source.iterdir():
        blob = repository / "blobs" / sha256(path)
        shutil.copy(path, blob)
        (snapshot / path.name).symlink_to(os.path.relpath(blob, snapshot))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def prepare_from_hub(target, revision=COMMIT):
    prepare_encoder({"source": "hub", "id": NAME, "revision": revision, "max_length": 32}, None, target)
    return target


@pytest.mark.parametrize("revision", [COMMIT, "main"])
def test_cached_encoder_is_prepared_offline(revision, kind, stand_in, prepared, cache, tmp_path):
    lay_out_cache(cache, stand_in(kind)[0])
    target = prepare_from_hub(tmp_path / "target", revision)
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        assert (target / name).read_bytes() == (prepared / name).read_bytes(), name
    provenance = read_json(target / "provenance.json")
    assert (provenance["id"], provenance["revision"], provenance["commit"]) == (NAME, revision, COMMIT)
    assert provenance["read"] == read_json(prepared / "provenance.json")["read"]


def test_encoder_that_is_nowhere_is_refused_in_one_message(cache, tmp_path):
    with pytest.raises(ModelError) as caught:
        prepare_from_hub(tmp_path / "target")
    message = str(caught.value)
    assert f"'{NAME}' cannot be had from the hub" in message
    assert f"revision {COMMIT}" in message and f"hf download {NAME} --revision {COMMIT}" in message


class Hub(http.server.BaseHTTPRequestHandler):
    """What the hub's client asks of the hub, for one repository at one commit."""

    folder: Path
    served: set

    def do_HEAD(self):
        self.answer(self.path.rpartition("/")[2], body=False)

    def do_GET(self):
        path = self.path.partition("?")[0]
        if path == f"/api/models/{NAME}/revision/main":
            self.reply(json.dumps({"id": NAME, "sha": COMMIT, "siblings": []}).encode())
        elif path == f"/api/models/{NAME}/tree/{COMMIT}":
            self.reply(json.dumps([self.entry(file) for file in self.folder.rglob("*.*")]).encode())
        elif path.startswith(f"/{NAME}/resolve/{COMMIT}/"):
            self.answer(path.rpartition("/")[2], body=True)
        else:
            self.send_error(404)

    def entry(self, file):
        name = file.relative_to(self.folder).as_posix()
        return {"type": "file", "path": name, "size": file.stat().st_size, "oid": sha256(file)[:40]}

    def answer(self, name, body):
        if body:
            self.served.add(name)
        content = (self.folder / name).read_bytes()
        etag = hashlib.sha256(content).hexdigest()[:40]
        self.reply(content, body, {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT})

    def reply(self, content, body=True, headers=None):
        self.send_response(200)
        for name, value in {"Content-Length": len(content), **(headers or {})}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(content if body else b"")

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(cache, monkeypatch):
    """Serves a folder as the hub; returns the set of file names that were fetched."""
    handler = type("Served", (Hub,), {"served": set()})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    endpoint = f"http://127.0.0.1:{server.server_port}"
    constants = {
        "HF_HUB_OFFLINE": False,
        "HF_HUB_DISABLE_XET": True,
        "ENDPOINT": endpoint,
        "HUGGINGFACE_CO_URL_TEMPLATE": endpoint + "/{repo_id}/resolve/{revision}/{filename}",
    }
    for name, value in constants.items():
        monkeypatch.setattr(huggingface_hub.constants, name, value)

    def serve(folder):
        handler.folder = folder
        return handler.served

    yield serve
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("kind", ["bert_large", "deberta_v3"], scope="module")
def test_one_form_of_the_weights_is_fetched(kind, stand_in, prepared, hub, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(stand_in(kind)[0], source)
    (source / "onnx").mkdir()
    unwanted = ["flax_model.msgpack", "tf_model.h5", "rust_model.ot", "onnx/model.safetensors", "modeling.py"]
    for name in [*unwanted, "pytorch_model.generator.bin", "generation_config.json", "README.md"]:
        (source / name).write_text("not for us")
    served = hub(source)
    target = prepare_from_hub(tmp_path / "target", "main")
    assert served == set(read_json(prepared / "provenance.json")["read"])
    assert (target / "model.safetensors").read_bytes() == (prepared / "model.safetensors").read_bytes()
    assert read_json(target / "provenance.json")["commit"] == COMMIT


def test_cached_pickle_serves_offline_where_the_hub_has_safetensors(stand_in, hub, tmp_path, monkeypatch):
    source, weights = stand_in("electra")
    both = tmp_path / "both"
    shutil.copytree(source, both)
    save_file(weights, both / "model.safetensors")
    hub(both)
    huggingface_hub.snapshot_download(NAME, revision=COMMIT, ignore_patterns="*.safetensors")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    target = prepare_from_hub(tmp_path / "target")
    assert "pytorch_model.bin" in read_json(target / "provenance.json")["read"]


def test_revision_that_the_hub_does_not_have_is_refused(stand_in, hub, tmp_path):
    hub(stand_in("electra")[0])
    with pytest.raises(ModelError, match="cannot be had from the hub"):
        prepare_from_hub(tmp_path / "target", "no-such-branch")


def test_sentencepiece_that_is_not_installed_is_asked_for(stand_in, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sentencepiece.sentencepiece_model_pb2", None)
    with pytest.raises(ModelError, match="pip install sentencepiece protobuf"):
        prepare(stand_in("deberta_v3")[0], tmp_path)


def test_relative_positions_have_no_end(stand_in, tmp_path):
    prepare(stand_in("deberta_v3")[0], tmp_path, max_length=4096)


def test_roberta_keeps_its_first_positions(stand_in, tmp_path):
    source = shutil.copytree(stand_in("roberta_large")[0], tmp_path / "source")
    (source / "tokenizer_config.json").unlink()  # which says 512; the hub had none before 2024
    prepare(source, tmp_path / "target", max_length=512)
    with pytest.raises(ModelError, match="at most 512"):
        prepare(source, tmp_path / "target", max_length=513)
