"""Dropout whose masks cost less on a CPU."""

from math import prod

import torch
from torch import nn


def use_cheap_dropout(model: nn.Module) -> nn.Module:
    """Switch the dropout layers of `model` in place; parameters, their names and saved files stay."""
    for module in model.modules():
        if type(module) is nn.Dropout:
            module.__class__ = CheapDropout
    return model


def dropout_mask(shape: tuple[int, ...], rate: float, dtype: torch.dtype) -> torch.Tensor:
    """Draw a mask of `shape`: 0 with probability `rate`, and otherwise what keeps the mean."""
    return kept_places(shape, rate).to(dtype).mul_(kept_scale(rate))


def kept_places(shape: tuple[int, ...], rate: float) -> torch.Tensor:
    """Draw which places of `shape` are kept, a bool of one byte each: each is dropped with probability
    `rate`.

    Slices of 16 bits of random words are compared with the rate, which is rounded to a multiple of 1/65536:
    torch's own Bernoulli draws cost more. They come from torch's CPU generator.
    """
    count = prod(shape)
    words = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(2**63), None)
    return words.view(torch.int16)[:count].view(shape) >= _of_65536(rate) - 2**15


def kept_scale(rate: float) -> float:
    """The factor of the places that `kept_places` keeps."""
    return 2**16 / (2**16 - _of_65536(rate))


def _of_65536(rate: float) -> int:
    return round(rate * 2**16)


class CheapDropout(nn.Dropout):
    """`nn.Dropout` with masks of `dropout_mask` on a CPU."""

    def forward(self, input):
        """Drop from `input`, of any shape, while training."""
        if not self.training or input.device.type != "cpu" or not 0 < _of_65536(self.p) < 2**16:
            return super().forward(input)
        return input * dropout_mask(input.shape, self.p, input.dtype)
