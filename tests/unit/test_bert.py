"""Classifiers without padding against transformers' own."""

import copy

import pytest
import torch
from torch.nn.functional import cross_entropy
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    BertForTokenClassification,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    ElectraForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
)
from transformers.models.bert.modeling_bert import BertEncoder

from ftft.models import fast
from ftft.models.fast import bert
from ftft.models.fast.bert import FirstTokenEncoder, PaddedBatch
from ftft.models.fast.packed import Grid, PackedBatch
from ftft.models.heads import load_classifier

CLASSIFIERS = {
    "bert": (BertForSequenceClassification, BertConfig, {}),
    "roberta": (RobertaForSequenceClassification, RobertaConfig, {}),
    "electra": (ElectraForSequenceClassification, ElectraConfig, {"embedding_size": 16}),
}
# Weights so large that attention is far from even.
SMALL = {
    "vocab_size": 50,
    "hidden_size": 24,
    "intermediate_size": 32,
    "num_attention_heads": 3,
    "num_hidden_layers": 3,
    "max_position_embeddings": 80,
    "type_vocab_size": 2,
    "num_labels": 3,
    "initializer_range": 0.3,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
# Padded, full, of one row, of the least widths, of many grids, and two on both sides of a cut.
BATCHES = [
    (30, 3, 17, 29, 25, 8),
    (9, 9, 9),
    (13,),
    (1,),
    (1, 1, 1),
    (2, 1),
    (1, 2, 2),
    (60, 40, 20, 10, 5, 2, 1),
    (30, 22),
    (30, 23),
    (3, 70, 3),
]


def stock_and_fast(kind="bert", dtype=torch.float64, **changes):
    torch.manual_seed(0)
    model, config, own = CLASSIFIERS[kind]
    stock = model(config(**{**SMALL, **own, **changes})).to(dtype).train()
    with torch.no_grad():
        for name, parameter in stock.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(std=0.3)
    return stock, fast.speed_up(copy.deepcopy(stock))


def padded(*lengths, pad=1):
    mask = torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]
    ids = torch.randint(3, 50, mask.shape, generator=torch.Generator().manual_seed(len(lengths)))
    types = torch.arange(max(lengths))[None] > torch.tensor(lengths)[:, None] // 2
    return {
        "input_ids": torch.where(mask, ids, pad),
        "attention_mask": mask.long(),
        "token_type_ids": (types & mask).long(),
    }


def assert_same(stock, fast, inputs, logits=1e-9, gradients=1e-9):
    outputs = []
    for model in (stock, fast):
        model.zero_grad()
        outputs.append(model(**inputs).logits)
        cross_entropy(outputs[-1].float(), torch.arange(len(outputs[-1])) % 3, reduction="sum").backward()
    torch.testing.assert_close(outputs[1], outputs[0], rtol=0, atol=logits)
    expected = {name: p.grad for name, p in stock.named_parameters() if p.grad is not None}
    got = {name: p.grad for name, p in fast.named_parameters() if p.grad is not None}
    assert got.keys() == expected.keys()
    largest = max(gradient.abs().max() for gradient in expected.values()).item()
    for name, gradient in expected.items():
        error = (got[name] - gradient).abs().max().item()
        assert error <= gradients * max(1, largest), f"{name}: {error}"


@pytest.mark.parametrize("lengths", BATCHES, ids=str)
@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_every_batch_agrees_with_stock(kind, lengths):
    assert_same(*stock_and_fast(kind), padded(*lengths))


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_float32_agrees_with_stock(kind, training):
    models = [model.train(training) for model in stock_and_fast(kind, torch.float32, initializer_range=0.1)]
    for lengths in BATCHES:
        assert_same(*models, padded(*lengths), logits=1e-5, gradients=1e-4)


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_bfloat16_is_as_close_as_stock(kind):
    stock, fast = stock_and_fast(kind, torch.float32, initializer_range=0.1)
    inputs = padded(30, 12, 30, 8)
    exact = stock(**inputs).logits
    exact.sum().backward()
    gradient = stock.base_model.embeddings.word_embeddings.weight.grad.clone()
    errors = []
    for model in (stock, fast):
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(**inputs).logits
        assert logits.dtype == torch.bfloat16
        logits.float().sum().backward()
        of_words = model.base_model.embeddings.word_embeddings.weight.grad
        errors.append(((logits.float() - exact).abs().max(), (of_words - gradient).norm() / gradient.norm()))
    assert errors[1][0] < max(2 * errors[0][0], 0.02)
    assert errors[1][1] < max(1.5 * errors[0][1], 0.02)


@pytest.mark.parametrize("kind", CLASSIFIERS)
@pytest.mark.parametrize(
    "changes",
    [
        {"num_hidden_layers": 1},
        {"num_attention_heads": 1},
        {"num_attention_heads": 24},
        {"hidden_act": "relu"},
    ],
    ids=str,
)
def test_every_shape_agrees_with_stock(kind, changes):
    models = stock_and_fast(kind, **changes)
    for lengths in [(20, 3, 9), (4, 4)]:
        assert_same(*models, padded(*lengths))


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_every_mask_agrees_with_stock(kind):
    models = stock_and_fast(kind)
    inputs = padded(20, 20, 20, 20)
    mask = torch.rand(4, 20, generator=torch.Generator().manual_seed(0)) < 0.6
    mask[:, 0] = True
    assert_same(*models, {**inputs, "attention_mask": mask.long()})
    mask[2, 0] = False  # the token whose state is read
    assert_same(*models, {**inputs, "attention_mask": mask.long()})
    assert_same(*models, {name: inputs[name] for name in ("input_ids", "token_type_ids")})
    # A mask of each query's own.
    own = torch.rand(4, 1, 20, 20, generator=torch.Generator().manual_seed(1)) < 0.6
    assert_same(*models, {**inputs, "attention_mask": own})


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_other_devices_keep_the_padded_grid(kind, monkeypatch):
    monkeypatch.setattr(bert, "_batch", PaddedBatch)
    for lengths in BATCHES:
        assert_same(*stock_and_fast(kind), padded(*lengths))


def test_only_the_cpu_packs():
    states = torch.empty(2, 5, 24, device="meta")
    assert type(bert._batch(states, None)) is PaddedBatch
    assert type(bert._batch(torch.empty(2, 5, 24), None)) is PackedBatch


@pytest.mark.parametrize("lengths", [(7, 3, 5), (4, 4)], ids=str)
@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_last_state_is_the_first_tokens(kind, lengths):
    inputs = padded(*lengths)
    stock, quick = (model.base_model(**inputs).last_hidden_state for model in stock_and_fast(kind))
    assert quick.shape == (len(lengths), 1, 24)
    torch.testing.assert_close(quick, stock[:, :1])


def test_layers_see_real_tokens_alone():
    _, quick = stock_and_fast()
    seen = []
    for layer in quick.bert.encoder.layer:
        layer.intermediate.register_forward_hook(lambda _, inputs, output: seen.append(len(inputs[0])))
    quick(**padded(30, 3, 8))
    assert seen == [41, 41, 3]


def test_packing_by_hand():
    real = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1], [1, 0, 1, 1]]).bool()
    batch = PackedBatch(real)
    assert batch.source.tolist() == [4, 5, 6, 7, 8, 10, 11, 0, 1]
    assert batch.starts.tolist() == [0, 4, 7]
    assert [(grid.rows, grid.width, grid.tokens) for grid in batch.grids] == [(2, 4, 7), (1, 2, 2)]
    assert batch.in_order(torch.tensor([1, 2, 0])).tolist() == [0, 1, 2]
    first, second = batch.grids
    assert first.token.tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert first.place.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert first.bias.squeeze().tolist() == [[0, 0, 0, 0], [0, 0, 0, -torch.inf]]
    assert second.token is None and second.place is None


def test_grid_and_back():
    grid = Grid.of([3, 2])
    states = torch.arange(1.0, 21.0).view(5, 4)
    by_head = grid.by_head(states, heads=2)
    # Row 1, head 1: the second halves of the tokens 3 and 4, and padding.
    assert by_head[3].tolist() == [[15, 16], [19, 20], [0, 0]]
    assert torch.equal(grid.flat(by_head, heads=2), states)
    first = states[[0, 3]]
    assert grid.by_head(first, heads=2).shape == (4, 1, 2)
    assert torch.equal(grid.flat(grid.by_head(first, heads=2), heads=2), first)


@pytest.mark.parametrize("rate", ["hidden_dropout_prob", "attention_probs_dropout_prob"])
@pytest.mark.parametrize("layers", [1, 2])
def test_dropout_has_the_same_distribution(rate, layers):
    inputs, draws = {name: rows.repeat(500, 1) for name, rows in padded(6, 4).items()}, []
    for model in stock_and_fast(dtype=torch.float32, num_hidden_layers=layers, **{rate: 0.3}):
        torch.manual_seed(0)
        with torch.no_grad():
            draws.append(model(**inputs).logits.view(500, 2, -1))
    stock, quick = draws
    assert stock.std(0).min() > 0
    error = ((stock.var(0) + quick.var(0)) / 500).sqrt()
    assert ((stock.mean(0) - quick.mean(0)).abs() < 4 * error).all()
    torch.testing.assert_close(quick.std(0), stock.std(0), rtol=0.2, atol=0)


def test_gradients_pass_the_same_masks_as_the_outputs():
    _, quick = stock_and_fast(hidden_dropout_prob=0.2, attention_probs_dropout_prob=0.2)
    inputs = padded(6, 4, 1)

    def loss():
        torch.manual_seed(3)
        return quick(**inputs).logits.square().sum()

    loss().backward()
    for name in ("query", "key", "value"):
        for layer in (0, 2):
            weight = getattr(quick.bert.encoder.layer[layer].attention.self, name).weight
            direction = torch.randn(weight.shape, dtype=weight.dtype)
            step = 1e-6
            with torch.no_grad():
                above = loss() if weight.add_(direction, alpha=step) is weight else None
                below = loss() if weight.sub_(direction, alpha=2 * step) is weight else None
                weight.add_(direction, alpha=step)
            slope = (weight.grad * direction).sum()
            torch.testing.assert_close((above - below) / (2 * step), slope, rtol=1e-4, atol=1e-6)


def test_dropout_is_drawn_from_the_generator():
    _, quick = stock_and_fast(hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1)
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first, second = quick(**padded(20, 7)).logits, quick(**padded(20, 7)).logits
    torch.set_rng_state(state)
    assert torch.equal(quick(**padded(20, 7)).logits, first) and not torch.equal(first, second)
    quick.eval()
    assert torch.equal(quick(**padded(20, 7)).logits, quick(**padded(20, 7)).logits)


def test_gradients_are_the_same_every_time():
    _, quick = stock_and_fast(dtype=torch.float32)
    gradients = []
    for _ in range(2):
        quick.zero_grad()
        quick(**padded(20, 7)).logits.sum().backward()
        gradients.append([p.grad.clone() for p in quick.parameters() if p.grad is not None])
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))


@pytest.mark.parametrize("option", ["output_attentions", "output_hidden_states"])
@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_all_states_come_from_stock_code(kind, option):
    inputs = padded(20, 5)
    stock, quick = stock_and_fast(kind)
    for configured in (False, True):
        if configured:
            for model in (stock, quick):
                model.config._attn_implementation = "eager"
                setattr(model.config, option, True)
        expected, got = (
            model(**inputs, **({} if configured else {option: True})) for model in (stock, quick)
        )
        torch.testing.assert_close(got.logits, expected.logits, rtol=0, atol=1e-12)
        name = option.removeprefix("output_")
        assert [s.shape for s in got[name]] == [s.shape for s in expected[name]]
        for one, other in zip(got[name], expected[name], strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_what_is_not_covered_runs_stock_code(kind, monkeypatch):
    stock, quick = stock_and_fast(kind)
    monkeypatch.setattr(bert, "_layer", None)
    inputs = padded(20, 5)
    with pytest.raises(TypeError):
        quick(**inputs)
    for model in (stock, quick):
        model.set_attn_implementation("eager")
    assert_same(stock, quick, inputs)


def kinds(model):
    return [type(module) for module in model.modules()]


def test_speeding_up_twice_changes_nothing():
    _, quick = stock_and_fast()
    before = kinds(quick)
    assert fast.speed_up(quick) is quick and kinds(quick) == before
    assert sum(issubclass(kind, FirstTokenEncoder) for kind in before) == 1


@pytest.mark.parametrize(
    "model",
    [
        lambda: BertForTokenClassification(BertConfig(**SMALL)),
        lambda: BertForSequenceClassification(BertConfig(**SMALL, is_decoder=True)),
        lambda: AutoModelForSequenceClassification.from_config(
            DistilBertConfig(dim=8, hidden_dim=8, n_heads=2)
        ),
        lambda: AutoModelForSequenceClassification.from_config(DebertaV2Config(**SMALL)),
    ],
    ids=["tokens", "decoder", "distilbert", "deberta"],
)
def test_other_models_stay_as_they_are(model):
    model = model()
    before = kinds(model)
    assert bert.read_first_token(model) is model and kinds(model) == before


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_saved_model_is_a_stock_model(kind, tmp_path):
    stock, quick = stock_and_fast(kind, torch.float32)
    stock.save_pretrained(tmp_path / "stock")
    quick.save_pretrained(tmp_path / "fast")
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / "fast" / name).read_bytes() == (tmp_path / "stock" / name).read_bytes()
    assert list(quick.state_dict()) == list(stock.state_dict())
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path / "fast")
    assert not any(issubclass(kind, FirstTokenEncoder) for kind in kinds(loaded))
    inputs = padded(20, 5)
    torch.testing.assert_close(quick.eval()(**inputs).logits, loaded(**inputs).logits, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_head_stays_in_float32(kind, tmp_path):
    stock, _ = stock_and_fast(kind, torch.float32, initializer_range=0.1)
    stock.save_pretrained(tmp_path)
    model = fast.speed_up(load_classifier(tmp_path, ["x", "y", "z"])).eval()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        logits = model(**padded(20, 5)).logits
    assert logits.dtype == torch.float32 and not torch.equal(logits, logits.bfloat16().float())


def test_encoder_of_a_classifier_alone_is_switched():
    stock, quick = stock_and_fast()
    assert type(stock.bert.encoder) is BertEncoder
    assert isinstance(quick.bert.encoder, BertEncoder) and type(quick.bert.encoder) is not BertEncoder


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_whoever_reads_all_tokens_gets_all_states(kind):
    stock, _ = stock_and_fast(kind)
    quick = fast.speed_up(copy.deepcopy(stock), first_token=False)
    states = [model.base_model(**padded(7, 3)).last_hidden_state for model in (stock, quick)]
    torch.testing.assert_close(states[1], states[0])
