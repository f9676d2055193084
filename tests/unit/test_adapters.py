"""Adapters: what is trained, kept, counted and gone on from is adapter and head, and no more."""

import json

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from peft import PeftModel
from safetensors.torch import load_file
from small import ARCHITECTURE, RECIPE, RUNTIME
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForSequenceClassification

from ftft.errors import ModelError
from ftft.execution.identity import resolve_execution
from ftft.execution.progress import Progress
from ftft.execution.scratch import Scratch
from ftft.models.adapters import adapt, adapted_layers, load_trained_state, trained_state
from ftft.models.encoders import prepare_encoder
from ftft.models.flops import count_flops
from ftft.models.heads import load_classifier, parameter_counts
from ftft.statistics.costs import computed_share
from ftft.tasks.base import kind_of
from ftft.training.loop import train
from ftft.training.saved import load_model, save_model, write_merged
from ftft.training.step import TrainingStep

LORA = {"kind": "lora", "rank": 2, "alpha": 8.0, "dropout": 0.1}
MONITOR = {"patience": 2, "metric": "accuracy", "monitored": ["r1_dev", "r3_dev"]}
LABELS = ["entailment", "neutral", "contradiction"]
HIDDEN, FEED_FORWARD, CLASSES = 16, 32, 3
RUN = {"task": "demo", "model": "small", "supervision": "all", "budget": "full", "seed": 0}


class Killed(BaseException):
    pass


@pytest.fixture(scope="session")
def encoder(tmp_path_factory, train_set):
    """An encoder whose random weights are large enough to be of use; the tokenizer is that of the tokens."""
    folder = tmp_path_factory.mktemp("encoder")
    spec = {
        "source": "scratch",
        "max_length": RECIPE["max_length"],
        "architecture": {**ARCHITECTURE, "initializer_range": 0.2, "hidden_dropout_prob": 0.0},
        "tokenizer": {"kind": "wordpiece", "vocab_size": 300},
    }
    prepare_encoder(spec, train_set, folder)
    return folder


@pytest.fixture(scope="module")
def fine_tune(encoder, training_data):
    def run(adapter=LORA, early_stopping=None, scratch=None, runtime=RUNTIME, **recipe):
        AcceleratorState._reset_state(reset_partial_state=True)
        spec = {
            "recipe": {**RECIPE, "learning_rate": 1.0e-2, **recipe},
            "metrics": ["accuracy"],
            "early_stopping": early_stopping,
            "adapter": adapter,
        }
        return train(spec, str(encoder), training_data, 0, runtime, Progress("test", []), scratch)

    return run


@pytest.fixture(scope="module")
def trained(fine_tune):
    return fine_tune(epochs=10.0)


def logits(model, tokens):
    arrays = tokens.padded(np.arange(len(tokens)), 0)
    with torch.inference_mode():
        return model.eval()(**{name: torch.from_numpy(values) for name, values in arrays.items()}).logits


def classifier(encoder, **options):
    torch.manual_seed(0)
    return load_classifier(encoder, LABELS, **options)


def test_an_adapter_changes_nothing_at_first(encoder, training_data):
    model = classifier(encoder)
    expected = logits(model, training_data.tokens)
    assert torch.equal(logits(adapt(model, LORA), training_data.tokens), expected)


@pytest.mark.parametrize("fast", [True, False])
def test_the_encoder_stays_as_it_was_while_head_and_adapter_learn(fine_tune, encoder, training_data, fast):
    result = fine_tune(epochs=30.0, runtime={**RUNTIME, "fast_models": fast})
    weights, frozen = result.model.state_dict(), 0
    for name, tensor in load_file(encoder / "model.safetensors").items():
        name = f"bert.{name}"
        if "pooler" in name:
            assert not torch.equal(weights[name], tensor)
        else:
            name = name if name in weights else ".base_layer.".join(name.rsplit(".", 1))
            assert torch.equal(weights[name], tensor)
            frozen += 1
    assert frozen == 21
    assert all(tensor.any() for name, tensor in weights.items() if "lora_B" in name)
    labels = torch.from_numpy(training_data.dataset.labels)
    first, last = (cross_entropy(torch.from_numpy(result.epochs[place]), labels) for place in (0, -1))
    assert last < 0.85 * first


def test_own_kernels_compute_an_adapted_model_alike(trained, encoder, training_data):
    stock = adapt(classifier(encoder, own_kernels=False), LORA)
    load_trained_state(stock, trained_state(trained.model))
    expected = logits(stock, training_data.tokens)
    torch.testing.assert_close(logits(trained.model, training_data.tokens), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("rule", "step"), [(None, 4), (None, 9), (MONITOR, 5)])
def test_a_killed_run_goes_on_to_the_same_bits(fine_tune, tmp_path, monkeypatch, rule, step):
    def scratch():
        runtime = {"scratch": str(tmp_path), "state_minutes": 0.0, "keep_states": "all"}
        return Scratch({"run": 0}, resolve_execution("float32", RUNTIME), "full", runtime)

    untouched, original = fine_tune(early_stopping=rule), TrainingStep.__call__

    def call(self, *arguments):
        if self.number == step:
            raise Killed
        return original(self, *arguments)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(TrainingStep, "__call__", call)
        fine_tune(early_stopping=rule, scratch=scratch())
    (state,) = tmp_path.rglob("*.safetensors")
    names = {name.strip('[]"') for name in load_file(state) if name.startswith('["step", "model"')}
    assert names and not any("embeddings" in name or "base_layer" in name for name in names)
    resumed = fine_tune(early_stopping=rule, scratch=scratch())
    np.testing.assert_array_equal(resumed.epochs, untouched.epochs)
    assert resumed.trajectory == untouched.trajectory
    weights = resumed.model.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in untouched.model.state_dict().items())


def test_a_run_keeps_the_adapter_alone_and_it_predicts_as_it_did(trained, encoder, training_data, tmp_path):
    expected = logits(trained.model, training_data.tokens)
    save_model(trained.model, RUN, LORA, encoder, tmp_path)
    kept = load_file(tmp_path / "model.safetensors")
    assert {name.split(".")[0] for name in kept if "lora" not in name} == {"bert", "classifier"}
    assert not any("embeddings" in name or "base_layer" in name for name in kept)
    with pytest.raises(ValueError, match="model_type"):
        AutoConfig.from_pretrained(tmp_path)
    torch.manual_seed(1)
    model = load_model(kind_of("classification"), tmp_path, encoder, LABELS, own_kernels=True)
    assert torch.equal(logits(model, training_data.tokens), expected)


def test_merged_and_by_peft_it_is_the_same_model(trained, encoder, training_data, tmp_path):
    expected = logits(trained.model, training_data.tokens)
    kept, merged, alone = (tmp_path / name for name in ("kept", "merged", "alone"))
    for folder in (merged, alone):
        folder.mkdir()
    save_model(trained.model, RUN, LORA, encoder, kept)
    base = {"name": str(encoder)}
    write_merged(kind_of("classification"), kept, encoder, LABELS, base, merged, alone)
    model = AutoModelForSequenceClassification.from_pretrained(merged)
    assert model.config.id2label == dict(enumerate(LABELS))
    torch.testing.assert_close(logits(model, training_data.tokens), expected, rtol=1e-4, atol=1e-5)
    assert not any("lora" in name for name in load_file(merged / "model.safetensors"))
    settings = json.loads((alone / "adapter_config.json").read_text())
    assert settings["base_model_name_or_path"] == str(encoder) and settings["r"] == LORA["rank"]
    own = AutoModelForSequenceClassification.from_pretrained(
        settings["base_model_name_or_path"], config=AutoConfig.from_pretrained(merged)
    )
    by_peft = PeftModel.from_pretrained(own, alone)
    torch.testing.assert_close(logits(by_peft, training_data.tokens), expected, rtol=1e-4, atol=1e-5)


def test_parameters_and_flops_are_those_that_are_computed(encoder):
    model = adapt(classifier(encoder, own_kernels=False), LORA)
    # Query, key, value, output: hidden to hidden; then to the feed-forward width and back.
    adapter = LORA["rank"] * (4 * 2 * HIDDEN + 2 * (HIDDEN + FEED_FORWARD))
    head = HIDDEN * HIDDEN + HIDDEN + CLASSES * HIDDEN + CLASSES
    counts = parameter_counts(model)
    assert counts["trained"] == adapter + head
    plain = parameter_counts(classifier(encoder))
    assert counts["without_embeddings"] == plain["without_embeddings"] + adapter
    assert plain["trained"] == plain["without_embeddings"]
    # Forward and back through the weights, and the gradients of those that are trained: a third each.
    ledger = {"cost": {"parameters": {"without_embeddings": 300, "trained": 30}}}
    assert computed_share(ledger) == pytest.approx((2 + 0.1) / 3)
    assert computed_share({"cost": {"parameters": plain}}) == 1


def test_flops_are_those_of_a_training_step(encoder):
    model = adapt(classifier(encoder, own_kernels=False), LORA)
    model.set_attn_implementation("eager")
    ids = torch.full((3, 20), 7)
    with FlopCounterMode(display=False) as counter:
        model(input_ids=ids).logits.sum().backward()
    count = count_flops(model.config, 20, adapter=LORA).step
    assert count.of(1, 3, 60, 3 * 20**2) == counter.get_total_flops()
    assert count.per_token < 0.8 * count_flops(model.config, 20).step.per_token


def test_targets_name_layers_by_their_ends(encoder):
    base = classifier(encoder).base_model
    attention = "encoder.layer.0.attention"
    assert adapted_layers(base, ["query", "attention.output.dense"]) == [
        f"{attention}.self.query",
        f"{attention}.output.dense",
    ]
    assert len(adapted_layers(base, None)) == 6


def test_a_target_that_the_encoder_lacks_is_refused_when_it_is_prepared(encoder, tmp_path):
    spec = {"source": "folder", "path": str(encoder), "max_length": 32, "targets": ["q_proj"]}
    with pytest.raises(ModelError, match=r"'q_proj'(.|\n)*dense, key, query, value"):
        prepare_encoder(spec, None, tmp_path)
