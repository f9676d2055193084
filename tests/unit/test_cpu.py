"""Dropout masks of the CPU against torch's own."""

import numpy as np
import pytest
import torch
from torch import nn

from ftft.models.fast import cpu
from ftft.models.fast.cpu import CheapDropout, dropout_mask, use_cheap_dropout


def cheap_dropout(rate):
    return use_cheap_dropout(nn.Sequential(nn.Dropout(rate))).train()


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.5, 0.9])
def test_mask_keeps_what_the_rate_says(rate):
    torch.manual_seed(0)
    count = 200_003
    mask = dropout_mask((count,), rate, torch.float64)
    dropped = round(rate * 65536) / 65536
    assert set(mask.unique().tolist()) == {0.0, 1 / (1 - dropped)}
    error = (rate * (1 - rate) / count) ** 0.5
    assert abs((mask == 0).double().mean().item() - rate) < 4 * error
    assert abs(mask.mean().item() - 1) < 4 * error / (1 - rate)


def test_elements_are_dropped_independently():
    torch.manual_seed(0)
    dropped = dropout_mask((400_000,), 0.1, torch.float64) == 0
    # The four slices of a word, neighbouring words, and rows of a mask's usual width.
    for lag in (1, 2, 3, 4, 5, 384, 1000):
        both = (dropped[lag:] & dropped[:-lag]).double().mean().item()
        assert abs(both - 0.01) < 5 * (0.01 / 400_000) ** 0.5
    for phase in range(4):
        assert abs(dropped[phase::4].double().mean().item() - 0.1) < 5 * (0.09 / 100_000) ** 0.5


def test_the_rate_is_that_of_16_bits(monkeypatch):
    # Every 16-bit value once: exactly round(rate * 65536) of them are dropped, also of the extreme rates.
    every = torch.from_numpy(np.arange(-(2**15), 2**15, dtype=np.int16)).view(torch.int64)
    monkeypatch.setattr(torch.Tensor, "random_", lambda self, *_: self.copy_(every))
    for rate, dropped in [(0.1, 6554), (0.5, 32768), (1 / 65536, 1), (65535 / 65536, 65535)]:
        assert (dropout_mask((2**16,), rate, torch.float32) == 0).sum() == dropped


@pytest.mark.parametrize("shape", [(), (1,), (3,), (5, 7), (2, 0, 3), (2, 3, 5)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_every_shape_and_type(shape, dtype):
    mask = dropout_mask(shape, 0.5, dtype)
    assert mask.shape == torch.Size(shape) and mask.dtype == dtype


def test_dropout_scales_forward_and_backward_alike():
    inputs = torch.randn(1000, requires_grad=True)
    outputs = cheap_dropout(0.1)(inputs)
    outputs.sum().backward()
    scale = 65536 / (65536 - 6554)
    kept = outputs != 0
    torch.testing.assert_close(outputs, torch.where(kept, inputs * scale, 0.0))
    torch.testing.assert_close(inputs.grad, kept * scale)
    assert 0 < kept.sum() < 1000


def test_masks_are_a_function_of_the_generators_state():
    dropout, ones = cheap_dropout(0.3), torch.ones(64, 33)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first, second = dropout(ones), dropout(ones)
    torch.set_rng_state(state)
    assert torch.equal(dropout(ones), first) and torch.equal(dropout(ones), second)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("rate", [0.0, 1e-6])
def test_a_rate_of_nothing_is_the_identity(rate):
    inputs = torch.randn(64)
    assert torch.equal(cheap_dropout(rate)(inputs), nn.Dropout(rate)(inputs))


def test_a_rate_of_one_drops_everything():
    assert torch.equal(cheap_dropout(1.0)(torch.ones(5)), torch.zeros(5))


def test_evaluation_and_other_devices_take_the_stock_code(monkeypatch):
    monkeypatch.setattr(cpu, "dropout_mask", None)
    inputs = torch.randn(64)
    assert cheap_dropout(0.5).eval()(inputs) is inputs
    assert cheap_dropout(0.5)(inputs.to("meta")).device.type == "meta"


def test_only_stock_layers_are_switched():
    class OwnDropout(nn.Dropout):
        pass

    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.1), OwnDropout(0.1), nn.Dropout1d(0.1))
    names = list(model.state_dict())
    for _ in range(2):
        assert use_cheap_dropout(model) is model
        assert [type(module) for module in model] == [nn.Linear, CheapDropout, OwnDropout, nn.Dropout1d]
    assert list(model.state_dict()) == names
