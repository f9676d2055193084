"""Notices numbers that are not finite, without waiting for the device at every step."""

import torch

from ..errors import TrainingError
from .step import TrainingStep

WINDOW = 50


class FiniteWatch:
    """Watches the loss and the logits of `step`; looks at them every `WINDOW` steps and whenever asked."""

    def __init__(self, step: TrainingStep, device: torch.device):
        self._step = step
        self._values = torch.zeros(WINDOW, device=device)
        self._held = 0
        self.last_state: int | None = None

    def see(self, loss: torch.Tensor, logits: torch.Tensor) -> None:
        """Take note of the step that was just made."""
        # Infinite logits may have a finite loss; times zero they are not a number.
        self._values[self._held] = loss + 0 * logits.sum()
        self._held += 1
        if self._held == WINDOW:
            self.check()

    def check(self) -> None:
        """Raise TrainingError where a step since the last look was not finite."""
        bad = (~torch.isfinite(self._values[: self._held])).nonzero()
        if len(bad):
            number = self._step.number - self._held + 1 + int(bad[0])
            state = "none was saved" if self.last_state is None else f"that of step {self.last_state}"
            raise TrainingError(
                "training diverged",
                got=f"loss {self._values[bad[0]].item()} at step {number}, "
                f"learning rate {self._step.learning_rate(number):g}; last good state: {state}",
                expected="finite loss and logits",
                fix="lower the learning rate, or set training.precision: float32",
            )
        self._held = 0
