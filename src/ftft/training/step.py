"""One step of fine-tuning: forward, backward, clipping, AdamW (paper, Appendix A.1)."""

import torch
from accelerate import Accelerator
from torch import nn
from torch.nn.functional import cross_entropy

from ..execution.processes import ALONE, ProcessGroup
from .schedule import learning_rate_factor


class TrainingStep:
    """Trains `model`, a classifier on any device, in place; `number` counts the steps done.

    `recipe` gives the optimiser's settings, `steps` the planned length that the schedule is made for. The
    processes of a `group` learn from the same batches, and keep the same weights.
    """

    def __init__(
        self,
        model: nn.Module,
        recipe: dict,
        steps: int,
        accelerator: Accelerator,
        group: ProcessGroup = ALONE,
    ):
        optimizer = torch.optim.AdamW(
            model.parameters(),
            lr=recipe["learning_rate"],
            eps=recipe["adam_epsilon"],
            weight_decay=recipe["weight_decay"],
            fused=True,
        )
        self.number = 0
        self._recipe, self._steps, self._accelerator, self._group = recipe, steps, accelerator, group
        self._model, self._optimizer = accelerator.prepare(model, optimizer)

    def learning_rate(self, number: int) -> float:
        """The learning rate of step `number`, counted from 1."""
        factor = learning_rate_factor(number - 1, self._steps, self._recipe["warmup_fraction"])
        return self._recipe["learning_rate"] * factor

    def __call__(
        self, inputs: dict[str, torch.Tensor], gold: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Learn from a batch with class indices `gold` [b], of which `inputs` hold this process's share;
        returns the loss and the logits [b, classes], float32, of the forward pass before the update."""
        self.number += 1
        for group in self._optimizer.param_groups:
            group["lr"] = self.learning_rate(self.number)
        with self._accelerator.autocast():
            logits = self._model(**inputs).logits.float()
        loss, logits = self._differentiate(logits, gold)
        self._accelerator.clip_grad_norm_(self._model.parameters(), self._recipe["max_grad_norm"])
        self._optimizer.step()
        self._optimizer.zero_grad()
        return loss.detach(), logits.detach()

    def _differentiate(self, logits: torch.Tensor, gold: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Give the parameters the gradient of the mean loss over the batch, whoever computed its logits;
        returns that loss, and the logits of the whole batch."""
        if self._group.size == 1:
            loss = cross_entropy(logits, gold)
            self._accelerator.backward(loss)
            return loss, logits
        own = gold[self._group.share(len(gold))]
        # The gradients are averaged over the processes: these sums, to the mean over the batch.
        scale = self._group.size / len(gold)
        self._accelerator.backward(scale * cross_entropy(logits[: len(own)], own, reduction="sum"))
        logits = self._group.gather(logits.detach(), len(gold))
        return cross_entropy(logits, gold), logits

    def state(self) -> dict:
        """All that the next step depends on, beside its batch and the random generators."""
        return {
            "number": self.number,
            "model": self._accelerator.unwrap_model(self._model).state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }

    def restore(self, state: dict) -> None:
        """Go on from a `state` of the same run."""
        self.number = state["number"]
        self._accelerator.unwrap_model(self._model).load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
