"""The faster DeBERTa attention against transformers' own."""

import copy
import functools

import pytest
import torch
import yaml
from torch.nn.functional import cross_entropy, pad
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    DebertaConfig,
    DebertaV2Config,
    DebertaV2ForSequenceClassification,
    DebertaV2Model,
)
from transformers.models.deberta_v2 import modeling_deberta_v2 as stock_code

from ftft.models import fast
from ftft.models.fast import cpu, deberta
from ftft.models.fast.deberta import FirstTokenLayer, SkewedSelfAttention, skew
from ftft.models.heads import load_classifier

# Weights so large that attention is far from even.
SMALL = {
    "vocab_size": 50,
    "hidden_size": 24,
    "intermediate_size": 32,
    "num_attention_heads": 3,
    "num_hidden_layers": 2,
    "type_vocab_size": 0,
    "position_biased_input": False,
    "initializer_range": 0.3,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "num_labels": 3,
    "relative_attention": True,
    "max_position_embeddings": 64,
    "position_buckets": 16,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": ["p2c", "c2p"],
}


def stock_and_fast(model=DebertaV2ForSequenceClassification, dtype=torch.float64, **changes):
    torch.manual_seed(0)
    stock = model(DebertaV2Config(**{**SMALL, **changes})).to(dtype).train()
    with torch.no_grad():
        for name, parameter in stock.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(std=0.3)
    return stock, deberta.speed_up(copy.deepcopy(stock), first_token=True)


def padded(*lengths):
    mask = torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]
    ids = torch.randint(1, 50, mask.shape, generator=torch.Generator().manual_seed(len(lengths)))
    return {"input_ids": ids * mask, "attention_mask": mask.long()}


def assert_same(stock, fast, inputs, logits=1e-6, gradients=1e-6):
    # Models in float64; stock code rounds the scale of the scores to float32.
    outputs = []
    for model in (stock, fast):
        model.zero_grad()
        outputs.append(model(**inputs).logits)
        cross_entropy(outputs[-1], torch.arange(len(outputs[-1])) % 3, reduction="sum").backward()
    torch.testing.assert_close(outputs[1], outputs[0], rtol=0, atol=logits)
    expected = {name: p.grad for name, p in stock.named_parameters() if p.grad is not None}
    got = {name: p.grad for name, p in fast.named_parameters() if p.grad is not None}
    assert got.keys() == expected.keys()
    largest = max(gradient.abs().max() for gradient in expected.values()).item()
    for name, gradient in expected.items():
        torch.testing.assert_close(
            got[name],
            gradient,
            rtol=gradients,
            atol=gradients * largest,
            msg=lambda text, name=name: f"{name}: {text}",
        )


def test_skewed_view_by_hand():
    # Columns are distances 1, 0, -1: row 0 needs 0 and -1, row 1 needs 1 and 0.
    scores = torch.tensor([[[1, 2, 3], [4, 5, 6]], [[7, 8, 9], [10, 11, 12]]])
    assert skew(scores).tolist() == [[[2, 3], [4, 5]], [[8, 9], [10, 11]]]
    assert skew(scores[1:]).tolist() == [[[8, 9], [10, 11]]]
    # One query, two keys; two keys, one query.
    assert skew(torch.tensor([[[1, 2]]])).tolist() == [[[1, 2]]]
    assert skew(torch.tensor([[[1, 2], [3, 4]]])).tolist() == [[[2], [3]]]


# 8 is the last distance with a bucket of its own, 16 the span, 64 the longest distance told apart.
@pytest.mark.parametrize("length", [1, 2, 3, 7, 8, 9, 10, 16, 17, 18, 33, 64, 65, 100])
def test_every_length_agrees_with_stock(length):
    assert_same(*stock_and_fast(), padded(length, max(1, length // 2), 1, length))


@pytest.mark.parametrize("length", [5, 12, 40])
@pytest.mark.parametrize("types", [["c2p"], ["p2c"], ["c2p", "p2c"]], ids="+".join)
@pytest.mark.parametrize("shared", [True, False])
def test_every_kind_of_relative_attention_agrees_with_stock(shared, types, length):
    assert_same(*stock_and_fast(share_att_key=shared, pos_att_type=types), padded(length, 2))


@pytest.mark.parametrize(
    ("changes", "lengths"),
    [
        # No buckets: distances are clamped at the span.
        ({"position_buckets": -1, "max_position_embeddings": 20}, [19, 20, 21, 30]),
        # Buckets that grow faster than the distance.
        ({"position_buckets": 32, "max_position_embeddings": 33}, [16, 17, 18, 20, 40]),
        ({"max_relative_positions": 32}, [20, 40]),
        ({"norm_rel_ebd": "none"}, [20]),
        ({"num_attention_heads": 1}, [6, 20]),
        ({"num_attention_heads": 24}, [20]),
        ({"num_hidden_layers": 1}, [6, 20]),
        ({"conv_kernel_size": 3}, [6, 20]),
        ({"conv_kernel_size": 3, "num_hidden_layers": 1}, [20]),
        ({"position_biased_input": True, "type_vocab_size": 2}, [20]),
    ],
    ids=str,
)
def test_every_shape_agrees_with_stock(changes, lengths):
    models = stock_and_fast(**changes)
    for length in lengths:
        assert_same(*models, padded(length, 3))


def test_every_mask_agrees_with_stock():
    models = stock_and_fast()
    inputs = padded(20, 20, 20, 20)
    mask = torch.rand(4, 20, generator=torch.Generator().manual_seed(0)) < 0.6
    mask[1] = False  # no token at all
    mask[2, 0] = False  # the first token masked: the one whose state is read
    inputs["attention_mask"] = mask.long()
    assert_same(*models, inputs)
    assert_same(*models, {**inputs, "attention_mask": mask[:, None, None].long()})
    assert_same(*models, {"input_ids": inputs["input_ids"]})


def test_padding_beyond_the_longest_instance_changes_nothing():
    _, fast = stock_and_fast()
    narrow = padded(7, 3)
    wide = {name: pad(values, (0, 23)) for name, values in narrow.items()}
    torch.testing.assert_close(fast(**wide).logits, fast(**narrow).logits, rtol=0, atol=1e-6)


def test_all_states_of_an_encoder_agree_with_stock_where_padded_too():
    inputs = padded(20, 5, 1)
    stock, fast = (model(**inputs).last_hidden_state for model in stock_and_fast(DebertaV2Model))
    torch.testing.assert_close(fast, stock, rtol=0, atol=1e-6)


@pytest.mark.parametrize("length", [20, 40, 128, 129, 160])
def test_deberta_v3_agrees_in_float32(length):
    v3 = {"position_buckets": 256, "max_position_embeddings": 512, "hidden_size": 128}
    models = stock_and_fast(dtype=torch.float32, num_attention_heads=2, initializer_range=0.1, **v3)
    assert_same(*models, padded(length, length - 6), logits=1e-5, gradients=1e-4)


def stand_ins(root):
    models = yaml.safe_load((root / "config" / "config.yaml").read_text())["models"]
    return [m["architecture"] for m in models.values() if m["architecture"]["model_type"] == "deberta-v2"]


def test_stand_ins_agree_in_float32(root):
    architectures = stand_ins(root)
    assert architectures
    for architecture in architectures:
        models = stock_and_fast(dtype=torch.float32, **architecture)
        assert_same(*models, padded(30, 17, 9, 8), logits=1e-5, gradients=1e-4)


def test_cheap_dropout_agrees_in_float32():
    stock, quick = stock_and_fast(dtype=torch.float32, initializer_range=0.1)
    fast.speed_up(quick)
    assert cpu.CheapDropout in kinds(quick)
    assert_same(stock, quick, padded(30, 17, 1), logits=1e-5, gradients=1e-4)


def test_bfloat16_is_as_close_as_stock():
    stock, fast = stock_and_fast(dtype=torch.float32, initializer_range=0.1)
    inputs = padded(30, 12, 30, 8)
    exact = stock(**inputs).logits
    with torch.autocast("cpu", torch.bfloat16):
        rounded = [model(**inputs).logits for model in (stock, fast)]
    assert rounded[1].dtype == rounded[0].dtype == torch.bfloat16
    errors = [(logits.float() - exact).abs().max() for logits in rounded]
    assert errors[1] < max(2 * errors[0], 0.02)


class Masked(torch.nn.Module):
    """Dropout with a given mask, made for shapes and places that two implementations do not share."""

    def __init__(self, keep):
        super().__init__()
        self.keep = keep

    def forward(self, states):
        return states * self.keep(states)


@pytest.mark.parametrize("length", [6, 20])
def test_dropout_falls_on_the_same_places(length):
    attentions = [model.encoder.layer[0].attention.self for model in stock_and_fast(DebertaV2Model)]
    generator = torch.Generator().manual_seed(1)
    rows = torch.rand(32, 24, generator=generator).round().double()
    weights = torch.rand(2, 3, length, length, generator=generator).round().double()
    for attention, by_head in zip(attentions, (weights, weights.transpose(0, 1)), strict=True):
        attention.pos_dropout = Masked(lambda states: rows[16 - len(states) // 2 : 16 + len(states) // 2])
        attention.dropout = Masked(lambda states, mask=by_head: mask)
    states = torch.randn(2, length, 24, generator=generator, dtype=torch.float64)
    table = torch.randn(32, 24, generator=generator, dtype=torch.float64)
    positions = stock_code.build_relative_position(states, states, 16, 64)
    stock, fast = (
        attention(states, torch.ones(2, 1, 1, length), relative_pos=positions, rel_embeddings=table)[0]
        for attention in attentions
    )
    torch.testing.assert_close(fast, stock, rtol=0, atol=1e-6)


@pytest.mark.parametrize("rate", ["hidden_dropout_prob", "attention_probs_dropout_prob"])
def test_dropout_has_the_same_distribution(rate):
    draws = []
    for model in stock_and_fast(dtype=torch.float32, num_hidden_layers=1, **{rate: 0.3}):
        torch.manual_seed(0)
        with torch.no_grad():
            draws.append(torch.stack([model(**padded(6, 4)).logits for _ in range(500)]))
    stock, fast = draws
    error = ((stock.var(0) + fast.var(0)) / 500).sqrt()
    assert ((stock.mean(0) - fast.mean(0)).abs() < 4 * error).all()
    torch.testing.assert_close(fast.std(0), stock.std(0), rtol=0.15, atol=0)


def test_dropout_is_drawn_from_the_seed():
    _, fast = stock_and_fast(hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1)
    logits = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        logits.append(fast(**padded(20, 7)).logits)
    assert torch.equal(logits[0], logits[1]) and not torch.equal(logits[0], logits[2])


def test_gradients_are_the_same_every_time():
    _, fast = stock_and_fast(dtype=torch.float32)
    gradients = []
    for _ in range(2):
        fast.zero_grad()
        fast(**padded(20, 7)).logits.sum().backward()
        gradients.append([p.grad.clone() for p in fast.parameters() if p.grad is not None])
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))


def test_no_gather_and_no_scatter():
    _, fast = stock_and_fast()
    with torch.profiler.profile() as profile:
        fast(**padded(40, 7)).logits.sum().backward()
    operators = {event.key for event in profile.key_averages()}
    assert "aten::bmm" in operators
    assert not {"aten::gather", "aten::scatter_add_", "aten::scatter_add"} & operators


def test_attention_probabilities_come_from_stock_code():
    inputs = padded(20, 5)
    stock, fast = (model(**inputs, output_attentions=True) for model in stock_and_fast())
    torch.testing.assert_close(fast.logits, stock.logits, rtol=0, atol=0)
    assert [tuple(a.shape) for a in fast.attentions] == [(2, 3, 20, 20)] * 2
    for got, expected in zip(fast.attentions, stock.attentions, strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=0)


def test_saved_model_is_a_stock_model(tmp_path):
    stock, fast = stock_and_fast(dtype=torch.float32)
    stock.save_pretrained(tmp_path / "stock")
    fast.save_pretrained(tmp_path / "fast")
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / "fast" / name).read_bytes() == (tmp_path / "stock" / name).read_bytes()
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path / "fast")
    assert type(loaded.deberta.encoder.layer[0].attention.self) is stock_code.DisentangledSelfAttention
    assert loaded.state_dict().keys() == fast.state_dict().keys()
    inputs = padded(20, 5)
    torch.testing.assert_close(fast.eval()(**inputs).logits, loaded(**inputs).logits, rtol=0, atol=1e-5)


def kinds(model):
    return [type(module) for module in model.modules()]


def test_classifiers_get_it_when_loaded(tmp_path):
    stock, faster = stock_and_fast(dtype=torch.float32)
    stock.save_pretrained(tmp_path)
    loaded = load_classifier(tmp_path, ["x", "y", "z"])
    assert kinds(loaded) == kinds(fast.speed_up(faster)) == kinds(fast.speed_up(loaded))
    assert kinds(loaded).count(SkewedSelfAttention) == 2 and kinds(loaded).count(FirstTokenLayer) == 1
    assert kinds(load_classifier(tmp_path, ["x", "y", "z"], own_kernels=False)) == kinds(stock)


@pytest.mark.parametrize(
    "changes", [{"relative_attention": False}, {"pos_att_type": []}, {"pos_att_type": None}], ids=str
)
def test_encoders_without_relative_terms_stay_as_they_are(changes):
    stock, fast = stock_and_fast(**changes)
    assert kinds(fast) == kinds(stock)


@pytest.mark.parametrize(
    "config",
    [BertConfig, functools.partial(DebertaConfig, relative_attention=True, pos_att_type=["c2p", "p2c"])],
    ids=["bert", "deberta"],
)
def test_other_architectures_stay_as_they_are(config):
    small = {"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1}
    model = AutoModelForSequenceClassification.from_config(config(vocab_size=9, **small))
    before = kinds(model)
    assert deberta.speed_up(model, True) is model and kinds(model) == before


def test_whoever_reads_all_tokens_gets_all_states():
    stock, _ = stock_and_fast()
    quick = fast.speed_up(copy.deepcopy(stock), first_token=False)
    assert FirstTokenLayer not in kinds(quick) and SkewedSelfAttention in kinds(quick)
    states = [model.base_model(**padded(7, 3)).last_hidden_state for model in (stock, quick)]
    torch.testing.assert_close(states[1], states[0], rtol=0, atol=1e-6)
