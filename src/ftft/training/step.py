"""One step of fine-tuning: forward, backward, clipping, AdamW (paper, Appendix A.1)."""

from contextlib import nullcontext

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn

from ..execution.processes import ALONE, ProcessGroup
from ..models.adapters import load_trained_state, trained_state
from .feed import Feed
from .objectives import OBJECTIVES
from .schedule import learning_rate_factor


class TrainingStep:
    """Trains `model` in place on what `feed` gives it; `number` counts the steps done.

    `recipe` gives the optimiser's settings, `steps` the planned length that the schedule is made for. The
    processes of a `group` learn from the same batches and keep the same weights. A process computes at most
    `micro_batch_size` instances at once (None: its whole share) and adds their gradients up.
    """

    def __init__(
        self,
        model: nn.Module,
        feed: Feed,
        recipe: dict,
        steps: int,
        accelerator: Accelerator,
        group: ProcessGroup = ALONE,
        micro_batch_size: int | None = None,
    ):
        optimizer = torch.optim.AdamW(
            [parameter for parameter in model.parameters() if parameter.requires_grad],
            lr=recipe["learning_rate"],
            eps=recipe["adam_epsilon"],
            weight_decay=recipe["weight_decay"],
            fused=True,
        )
        self.number = 0
        self._feed, self._recipe, self._steps = feed, recipe, steps
        self._accelerator, self._group, self._micro = accelerator, group, micro_batch_size
        self._objective = OBJECTIVES[feed.objective]
        self._model, self._optimizer = accelerator.prepare(model, optimizer)

    def learning_rate(self, number: int) -> float:
        """The learning rate of step `number`, counted from 1."""
        factor = learning_rate_factor(number - 1, self._steps, self._recipe["warmup_fraction"])
        return self._recipe["learning_rate"] * factor

    def __call__(self, positions: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Learn from the instances at `positions` [b]; returns the weighted mean loss, and what is recorded
        [b, width], float32, of the forward pass before the update.
        """
        self.number += 1
        for group in self._optimizer.param_groups:
            group["lr"] = self.learning_rate(self.number)
        own = positions[self._group.share(len(positions))]
        total = self._feed.weights_of(positions).sum()
        # A process without a share computes one instance that counts for nothing: the others wait for its
        # gradients.
        computed = own if len(own) else positions[:1]
        size = self._micro or len(computed)
        parts = [computed[start : start + size] for start in range(0, len(computed), size)]
        results = []
        for place, part in enumerate(parts):
            last = place == len(parts) - 1
            with nullcontext() if last else self._accelerator.no_sync(self._model):
                results.append(self._differentiate(part, total, counts=len(own) > 0))
        recorded, losses = (torch.cat(values)[: len(own)] for values in zip(*results, strict=True))
        self._accelerator.clip_grad_norm_(self._model.parameters(), self._recipe["max_grad_norm"])
        self._optimizer.step()
        self._optimizer.zero_grad()
        both = self._group.gather(torch.cat([recorded, losses[:, None]], 1), len(positions))
        recorded, losses = both[:, :-1], both[:, -1]
        return (self._feed.weights_of(positions) * losses).sum() / total, recorded

    def _differentiate(
        self, part: np.ndarray, total: torch.Tensor, counts: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Add the gradient of this part's share of the batch's mean loss; returns what is recorded of it, and
        its losses.
        """
        feed = self._feed
        batch = feed.batch(part)
        targets = feed.compared(part, batch)
        with self._accelerator.autocast():
            outputs = feed.kind.outputs(self._model, batch)
        done = (self.number - 1) / self._steps
        losses = self._objective(feed.kind, outputs, targets, feed.guidance_of(part), done)
        # Gradients are averaged over processes: times their number, the sums come to the mean over the batch.
        loss = (feed.weights_of(part) * losses).sum() / total * (self._group.size * counts)
        self._accelerator.backward(loss)
        return feed.kind.recorded(outputs.detach(), targets, feed.width), losses.detach()

    def state(self) -> dict:
        """All that the next step depends on, beside its batch and the random generators."""
        return {
            "number": self.number,
            "model": trained_state(self._accelerator.unwrap_model(self._model)),
            "optimizer": self._optimizer.state_dict(),
        }

    def restore(self, state: dict) -> None:
        """Go on from a `state` of the same run."""
        self.number = state["number"]
        load_trained_state(self._accelerator.unwrap_model(self._model), state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
