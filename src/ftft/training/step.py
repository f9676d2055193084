"""One step of fine-tuning: forward, backward, clipping, AdamW (paper, Appendix A.1)."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn

from ..execution.processes import ALONE, ProcessGroup
from ..execution.sharding import gradients_kept_apart, is_sharded, shard
from ..models.adapters import load_trained_state, trained_state
from .feed import Feed
from .masters import Masters
from .objectives import OBJECTIVES
from .schedule import learning_rate_factor


@dataclass(frozen=True)
class AtOnce:
    """How much a process computes at once: `instances`, or `tokens` with their padding; None: no bound."""

    instances: int | None = None
    tokens: int | None = None


class TrainingStep:
    """Trains `model` in place on what `feed` gives it; `number` counts the steps done.

    `recipe` gives the optimiser's settings, `steps` the planned length that the schedule is made for. The
    processes of a `group` learn from the same batches and keep the same weights. A process computes no more
    than `at_once` and adds the gradients up. `sharded`: it keeps a part of the weights. `masters` are the
    float32 ones of weights that the model keeps in less (`models.precision`).
    """

    def __init__(
        self,
        model: nn.Module,
        feed: Feed,
        recipe: dict,
        steps: int,
        accelerator: Accelerator,
        group: ProcessGroup = ALONE,
        at_once: AtOnce = AtOnce(),
        sharded: bool = False,
        masters: dict[str, nn.Parameter] | None = None,
    ):
        if sharded:
            shard(model, accelerator.device)
        self._masters = Masters(model, masters or {})
        optimizer = torch.optim.AdamW(
            self._masters.trained,
            lr=recipe["learning_rate"],
            eps=recipe["adam_epsilon"],
            weight_decay=recipe["weight_decay"],
            fused=True,
        )
        self.number = 0
        self._feed, self._recipe, self._steps = feed, recipe, steps
        self._accelerator, self._group, self._at_once = accelerator, group, at_once
        self._objective = OBJECTIVES[feed.objective]
        self._optimizer = accelerator.prepare(optimizer)
        self._model = model if sharded else accelerator.prepare(model)

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
        parts = self._parts(positions)
        results = []
        for number, part in enumerate(parts):
            # A process whose share is done computes one instance that counts for nothing: the others wait for
            # its gradients, or its weights.
            computed = own[part] if len(part) else positions[:1]
            with nullcontext() if number == len(parts) - 1 else self._gradients_kept_apart():
                found = self._differentiate(computed, total, counts=len(part) > 0)
            results.append([values[: len(part)] for values in found])
        order = torch.from_numpy(np.concatenate(parts).argsort()).to(total.device)
        recorded, losses = (torch.cat(values)[order] for values in zip(*results, strict=True))
        self._accelerator.clip_grad_norm_(self._masters.trained, self._recipe["max_grad_norm"])
        self._optimizer.step()
        self._masters.publish()
        self._optimizer.zero_grad()
        both = self._group.gather(torch.cat([recorded, losses[:, None]], 1), len(positions))
        recorded, losses = both[:, :-1], both[:, -1]
        return (self._feed.weights_of(positions) * losses).sum() / total, recorded

    def _parts(self, positions: np.ndarray) -> list[np.ndarray]:
        """The places in this process's share of what is computed at once; in all processes as many, the last
        of them empty where the share is done.
        """
        by_process = []
        for share in self._group.shares(len(positions)):
            held = positions[share]
            if self._at_once.tokens and len(held):
                by_process.append(self._feed.parts(held, self._at_once.tokens))
            else:
                size = self._at_once.instances or max(1, len(held))
                by_process.append(
                    [np.arange(len(held))[start : start + size] for start in range(0, len(held), size)]
                )
        parts = by_process[self._group.rank]
        return parts + [np.arange(0)] * (max(map(len, by_process)) - len(parts))

    def _gradients_kept_apart(self) -> AbstractContextManager:
        if is_sharded(self._model):
            return gradients_kept_apart(self._model)
        return self._accelerator.no_sync(self._model)

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
            **self._masters.state(),
        }

    def restore(self, state: dict) -> None:
        """Go on from a `state` of the same run."""
        self.number = state["number"]
        load_trained_state(self._accelerator.unwrap_model(self._model), state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._masters.restore(state)
