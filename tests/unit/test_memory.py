"""What a training holds: layers that are computed again, and freed memory that goes back to the system."""

import ctypes

import numpy as np
import pytest
import torch
from small import RUNTIME
from transformers import AutoConfig, AutoModelForSequenceClassification

from ftft.errors import ModelError
from ftft.execution import memory
from ftft.execution.memory import FreedMemory
from ftft.models.adapters import adapt
from ftft.models.fast import speed_up
from ftft.models.heads import keep_layer_inputs_alone

LORA = {"kind": "lora", "rank": 2, "alpha": 8.0, "dropout": 0.1}
SMALL = {
    "vocab_size": 50,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_attention_heads": 2,
    "num_hidden_layers": 3,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}
RELATIVE = {"relative_attention": True, "position_buckets": 8, "pos_att_type": ["p2c", "c2p"]}
KINDS = {
    "bert": {},
    "deberta-v2": {**RELATIVE, "position_biased_input": False, "type_vocab_size": 0},
    "gpt2": {"n_inner": 32},
    "llama": {},
}


def classifier(kind):
    config = AutoConfig.for_model(kind, **SMALL, **KINDS[kind], num_labels=3)
    torch.manual_seed(0)
    return speed_up(AutoModelForSequenceClassification.from_config(config)).train()


def step(model):
    """Loss, gradients and kept bytes of one step on rows of unequal lengths."""
    ids = torch.arange(1, 41).view(4, 10)
    mask = torch.ones_like(ids)
    mask[1:, 7:] = 0
    kept = [0]

    def count(tensor):
        kept[0] += tensor.untyped_storage().nbytes()
        return tensor

    torch.manual_seed(1)
    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        loss = model(input_ids=ids * mask, attention_mask=mask).logits.logsumexp(-1).sum()
    loss.backward()
    gradients = {name: value.grad for name, value in model.named_parameters() if value.grad is not None}
    return loss.detach(), gradients, kept[0]


@pytest.mark.parametrize("adapted", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_layers_that_are_computed_again_give_the_same_step_and_keep_less(kind, adapted):
    plain, again = (adapt(classifier(kind), LORA) if adapted else classifier(kind) for _ in range(2))
    again.load_state_dict(plain.state_dict())
    keep_layer_inputs_alone(again)
    loss, gradients, kept = step(plain)
    same, repeated, less = step(again)
    assert torch.equal(loss, same) and gradients.keys() == repeated.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(repeated[name], gradient, rtol=1e-5, atol=1e-7)
    assert less < 0.5 * kept


def test_a_training_is_the_same_with_layers_computed_again(fine_tune):
    plain = fine_tune()
    again = fine_tune(runtime={**RUNTIME, "gradient_checkpointing": True})
    np.testing.assert_allclose(again.epochs, plain.epochs, rtol=1e-4, atol=1e-5)


def test_an_architecture_that_cannot_is_refused():
    model = classifier("bert")
    model.supports_gradient_checkpointing = False
    with pytest.raises(ModelError, match=r"bert(.|\n)*micro_batch_size"):
        keep_layer_inputs_alone(model)


@pytest.fixture
def fragmented():
    """Memory that was freed between pieces that are in use: of every two 64 kB the first."""
    if not hasattr(ctypes.CDLL(None), "malloc_trim"):
        pytest.skip("not glibc")
    return [torch.zeros(16_000) for _ in range(2048)]


def test_freed_memory_goes_back(fragmented):
    freed = FreedMemory(kept_mb=32)
    freed._needed -= 100  # what was in use before the pieces
    before = memory._resident_mb()
    fragmented[::2] = [None] * len(fragmented[::2])
    held = memory._resident_mb()
    freed.give_back()
    after = memory._resident_mb()
    assert held > before - 20, "the C library keeps what lies between pieces in use"
    assert after < held - 40


def test_little_is_left_where_it_is(monkeypatch):
    freed, calls = FreedMemory(kept_mb=100), []
    monkeypatch.setattr(freed, "_trim", calls.append)
    monkeypatch.setattr(memory, "_resident_mb", lambda: freed._needed + 99)
    freed.give_back()
    assert calls == []
    monkeypatch.setattr(memory, "_resident_mb", lambda: freed._needed + 101)
    freed.give_back()
    assert calls == [0]
