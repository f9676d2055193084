"""Float32 masters of weights that a model keeps in bfloat16: steps too small for these add up in them."""

from collections.abc import Callable, Mapping

import torch
from torch import nn


class Masters:
    """What an optimiser changes of `model`: its trained parameters, in their place the `masters` by name.

    A gradient goes to its master as soon as it is there, in float32, so that those of several parts of a
    batch are added up in it.
    """

    def __init__(self, model: nn.Module, masters: Mapping[str, nn.Parameter]):
        self._masters = dict(masters)
        self._weights = {name: model.get_parameter(name) for name in masters}
        for name, weight in self._weights.items():
            weight.register_post_accumulate_grad_hook(self._hand_over(name))
        self.trained = [
            self._masters.get(name, parameter)
            for name, parameter in model.named_parameters()
            if parameter.requires_grad
        ]

    def _hand_over(self, name: str) -> Callable:
        def hook(weight: torch.Tensor) -> None:
            master, gradient = self._masters[name], weight.grad.float()
            master.grad = gradient if master.grad is None else master.grad.add_(gradient)
            weight.grad = None

        return hook

    @torch.no_grad()
    def publish(self) -> None:
        """Give the model what the optimiser made of the masters."""
        for name, weight in self._weights.items():
            weight.copy_(self._masters[name])

    def state(self) -> dict:
        """The masters, where there are any."""
        found = {name: master.detach() for name, master in self._masters.items()}
        return {"masters": found} if found else {}

    @torch.no_grad()
    def restore(self, state: dict) -> None:
        """Go on from a `state`."""
        for name, master in self._masters.items():
            master.copy_(state["masters"][name])
