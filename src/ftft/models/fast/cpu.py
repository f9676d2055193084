"""The same functions at a lower price on a CPU: dropout masks, float32 matrix products, memory."""

import ctypes
import re
from functools import cache
from math import prod
from pathlib import Path

import torch
from torch import nn
from torch.autograd.function import once_differentiable


def use_cheap_modules(model: nn.Module) -> nn.Module:
    """Switch the dropout layers of `model`, and its linear layers where that pays, in place.

    Parameters, their names and saved files stay as they are.
    """
    kinds = {nn.Dropout: CheapDropout}
    if onednn_is_faster():
        kinds[nn.Linear] = OneDnnLinear
    for module in model.modules():
        module.__class__ = kinds.get(type(module), type(module))
    return model


@cache
def onednn_is_faster(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether oneDNN's float32 products beat MKL's, which keeps to 256-bit instructions on AMD processors.

    From family 26 on (Zen 5) the processor computes 512 bits at a time, and oneDNN was measured 2.3 times
    as fast; on family 25 they are even.
    """
    if not (torch.backends.mkl.is_available() and torch.backends.mkldnn.is_available() and cpuinfo.is_file()):
        return False
    text = cpuinfo.read_text()
    family = re.search(r"^cpu family\s*: (\d+)$", text, re.MULTILINE)
    return "AuthenticAMD" in text and family is not None and int(family[1]) >= 26


def keep_freed_memory() -> None:
    """Have glibc keep the memory of freed tensors for the next ones: new pages each step cost more.

    For the process, and worth 8 % of a training step. Elsewhere it does nothing.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 2**30)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


# <malloc.h>
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def dropout_mask(shape: tuple[int, ...], rate: float, dtype: torch.dtype) -> torch.Tensor:
    """Draw a mask of `shape`: 0 with probability `rate`, and otherwise what keeps the mean.

    Slices of 16 bits of random words are compared with the rate, which is rounded to a multiple of 1/65536:
    torch's own Bernoulli draws cost six times as much. They come from torch's CPU generator.
    """
    dropped = _of_65536(rate)
    count = prod(shape)
    words = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(2**63), None)
    bits = words.view(torch.int16)[:count].view(shape)
    return bits.ge_(dropped - 2**15).to(dtype).mul_(2**16 / (2**16 - dropped))


def _of_65536(rate: float) -> int:
    return round(rate * 2**16)


class CheapDropout(nn.Dropout):
    """`nn.Dropout` with masks of `dropout_mask` on a CPU."""

    def forward(self, input):
        """Drop from `input`, of any shape, while training."""
        if not self.training or input.device.type != "cpu" or not 0 < _of_65536(self.p) < 2**16:
            return super().forward(input)
        return input * dropout_mask(input.shape, self.p, input.dtype)


class OneDnnLinear(nn.Linear):
    """`nn.Linear` whose float32 products on a CPU are oneDNN's, forward and backward."""

    def forward(self, input):
        """Map `input` [..., in_features] to [..., out_features]."""
        plain = input.dtype == self.weight.dtype == torch.float32 and input.device.type == "cpu"
        if plain and not torch.is_autocast_enabled("cpu"):
            return _OneDnnProduct.apply(input, self.weight, self.bias)
        return super().forward(input)


class _OneDnnProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx, input, weight, bias):
        ctx.save_for_backward(input, weight)
        return _product(input, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        input, weight = ctx.saved_tensors
        flat = gradient.reshape(-1, gradient.shape[-1])
        of_input = of_weight = of_bias = None
        if ctx.needs_input_grad[0]:
            of_input = _product(flat, weight.t()).view(input.shape)
        if ctx.needs_input_grad[1]:
            of_weight = _product(flat.t(), input.reshape(-1, input.shape[-1]).t())
        if ctx.needs_input_grad[2]:
            of_bias = flat.sum(0)
        return of_input, of_weight, of_bias


def _product(left, right, bias=None):
    # left @ right.T + bias
    return torch.ops.mkldnn._linear_pointwise(left, right, bias, "none", [], "")
