"""Objectives: what a main model minimises, from a supervision's bias or targets beside its labels.

Each takes the kind of task, the model's outputs [b, width], the targets, what the supervision carries for
these instances and the share of the training that is done, and gives one loss per instance, [b]. Weights and
the mean are the step's. A function is called as its objective: so the pipeline finds the code behind it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional


@dataclass(frozen=True)
class Guidance:
    """What a supervision carries for the instances of a batch: log-probabilities `bias` and probabilities
    `target`, [b, width] each or None, and its settings.
    """

    bias: torch.Tensor | None = None
    target: torch.Tensor | None = None
    settings: dict | None = None


OBJECTIVES: dict[str, Callable] = {}


def objective(name: str) -> Callable:
    """Register an objective under `name`."""

    def register(function: Callable) -> Callable:
        OBJECTIVES[name] = function
        return function

    return register


@objective("cross_entropy")
def cross_entropy(kind, outputs, targets, guidance: Guidance, done: float) -> torch.Tensor:
    """The kind's own loss."""
    return kind.losses(outputs, targets)


@objective("product_of_experts")
def product_of_experts(kind, outputs, targets, guidance: Guidance, done: float) -> torch.Tensor:
    """Cross-entropy of the model's log-probabilities plus theta times those of the bias.

    Clark et al. (2019), Karimi Mahabadi et al. (2020); theta goes from its first to its last value over the
    training, as Utama et al. (2020) anneal it. With a uniform bias it is cross-entropy.
    """
    first, last = (guidance.settings or {}).get("theta", (1.0, 1.0))
    theta = first + (last - first) * done
    return functional.cross_entropy(
        outputs.log_softmax(-1) + theta * guidance.bias, targets, reduction="none"
    )


@objective("relative_difficulty")
def relative_difficulty(kind, outputs, targets, guidance: Guidance, done: float) -> torch.Tensor:
    """The kind's own loss, weighing by the share of the reference's loss in both (Nam et al. 2020, equation
    5): much where the reference found harder what the model finds easy.

    The bias is the reference's log-probability of the label, [b, 1].
    """
    losses = kind.losses(outputs, targets)
    theirs = -guidance.bias[:, 0]
    return losses * (theirs / (theirs + losses.detach()).clamp(min=1e-12))


@objective("soft_targets")
def soft_targets(kind, outputs, targets, guidance: Guidance, done: float) -> torch.Tensor:
    """Cross-entropy with a distribution over classes in place of the label (confidence regularisation, Utama
    et al. 2020).
    """
    return functional.cross_entropy(outputs, guidance.target, reduction="none")
