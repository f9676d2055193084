"""Dropout masks and linear layers of the CPU against torch's own."""

import copy
import os
import resource
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from ftft.models.fast import cpu
from ftft.models.fast.cpu import CheapDropout, OneDnnLinear, dropout_mask, onednn_is_faster, use_cheap_modules


def cheap_dropout(rate):
    return use_cheap_modules(nn.Sequential(nn.Dropout(rate))).train()


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


def linears(inputs=20, outputs=12, bias=True, dtype=torch.float32):
    torch.manual_seed(0)
    stock = nn.Linear(inputs, outputs, bias=bias, dtype=dtype)
    fast = copy.deepcopy(stock)
    fast.__class__ = OneDnnLinear
    return stock, fast


def outputs_and_gradients(layer, inputs):
    inputs = inputs.clone().requires_grad_()
    outputs = layer(inputs)
    outputs.square().sum().backward()
    return [outputs, inputs.grad, *(parameter.grad for parameter in layer.parameters())]


@pytest.mark.parametrize("shape", [(1, 20), (7, 20), (2, 3, 20), (130, 20)])
@pytest.mark.parametrize("bias", [True, False])
def test_onednn_products_agree_with_torch(shape, bias):
    inputs = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    stock, fast = (outputs_and_gradients(layer, inputs) for layer in linears(bias=bias))
    torch.testing.assert_close(fast, stock, rtol=1e-5, atol=1e-5)


def test_onednn_takes_strided_inputs_and_gradients():
    inputs = torch.randn(20, 9).t()
    stock, fast = (outputs_and_gradients(layer, inputs) for layer in linears())
    torch.testing.assert_close(fast, stock, rtol=1e-5, atol=1e-5)
    weights = torch.randn(12, 9).t()
    for layer in (layers := linears()):
        (layer(inputs) * weights).sum(0).sum().backward()
    torch.testing.assert_close(layers[1].weight.grad, layers[0].weight.grad)


def test_only_the_gradients_asked_for():
    _, fast = linears()
    fast.weight.requires_grad_(False)
    inputs = torch.randn(3, 20)
    fast(inputs).sum().backward()
    assert fast.weight.grad is None and torch.equal(fast.bias.grad, torch.full((12,), 3.0))


def test_other_types_take_the_stock_code(monkeypatch):
    monkeypatch.setattr(cpu, "_product", None)
    for dtype in (torch.float64, torch.bfloat16):
        stock, fast = linears(dtype=dtype)
        inputs = torch.randn(3, 20, dtype=dtype)
        assert torch.equal(fast(inputs), stock(inputs))
    stock, fast = linears()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(fast(torch.ones(3, 20)), stock(torch.ones(3, 20)))


def test_onednn_is_used_under_inference_too(monkeypatch):
    stock, fast = linears()
    calls = []
    product = cpu._product
    monkeypatch.setattr(cpu, "_product", lambda *arguments: calls.append(1) or product(*arguments))
    with torch.inference_mode():
        torch.testing.assert_close(fast(torch.ones(3, 20)), stock(torch.ones(3, 20)))
    assert calls


@pytest.mark.parametrize(
    ("text", "faster"),
    [
        ("vendor_id\t: AuthenticAMD\ncpu family\t: 26\nmodel\t\t: 2\n", True),
        ("vendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 17\n", False),
        ("vendor_id\t: GenuineIntel\ncpu family\t: 26\n", False),
        ("CPU implementer\t: 0x41\n", False),
        ("vendor_id\t: AuthenticAMD\n", False),
    ],
)
def test_processors_that_gain_from_onednn(tmp_path, monkeypatch, text, faster):
    for library in (torch.backends.mkl, torch.backends.mkldnn):
        monkeypatch.setattr(library, "is_available", lambda: True)
    file = tmp_path / "cpuinfo"
    file.write_text(text)
    assert onednn_is_faster(file) is faster
    assert onednn_is_faster(tmp_path / "absent") is False


@pytest.mark.parametrize("faster", [True, False])
def test_only_stock_layers_are_switched(monkeypatch, faster):
    monkeypatch.setattr(cpu, "onednn_is_faster", lambda: faster)

    class OwnLinear(nn.Linear):
        pass

    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.1), OwnLinear(2, 2), nn.Dropout1d(0.1))
    names = list(model.state_dict())
    linear = OneDnnLinear if faster else nn.Linear
    for _ in range(2):
        assert use_cheap_modules(model) is model
        assert [type(module) for module in model] == [linear, CheapDropout, OwnLinear, nn.Dropout1d]
    assert list(model.state_dict()) == names


FAULTS = """
import resource
import torch
from ftft.models.fast.cpu import keep_freed_memory

keep_freed_memory()
for _ in range(32):
    torch.ones({elements})
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(8):
    torch.ones({elements})
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_freed_memory_is_used_again(root):
    # Above 32 MB, the greatest threshold that glibc sets itself, every tensor would be mapped anew.
    # In a process of its own, and once its heap has settled, which takes up to a dozen of them.
    elements = 12 * 2**20
    environment = {**os.environ, "PYTHONPATH": str(root / "src")}
    script = FAULTS.format(elements=elements)
    found = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=True)
    assert int(found.stdout) < 4 * elements / resource.getpagesize()
