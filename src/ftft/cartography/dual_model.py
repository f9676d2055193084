"""Dual-model methods from one recorded reference run: what else than rows it can hand to a main model.

All train on every row. An epoch is counted from 0: the training-mode outputs of epoch 0 are predictions of
rows that the reference had not yet trained on, which is what a bias should be; later it has learnt them.
"""

import numpy as np

from .dynamics import Dynamics
from .scores import softmax
from .selection import Pool, selector
from .supervision import Supervision

# A row that the reference is sure of still counts, so that no batch weighs nothing.
LEAST = 1e-6
# Of the moving average of losses in the code of Nam et al. (2020).
DECAY = 0.7


def log_probabilities(dynamics: Dynamics, epoch: int) -> np.ndarray:
    """Log-probabilities [n, classes] of one epoch, or with -1 of the mean probability over all."""
    by_class = np.stack(list(softmax(dynamics.logits)), -1)
    chosen = by_class.mean(0) if epoch == -1 else by_class[epoch]
    return np.log(np.maximum(chosen, np.finfo(np.float32).tiny)).astype(np.float32)


def everything(pool: Pool, weights: np.ndarray | None = None, **carried) -> Supervision:
    """Every row, with these weights [n], 1 where there are none."""
    weights = np.ones(len(pool)) if weights is None else np.maximum(weights, LEAST)
    return Supervision(np.arange(len(pool)), weights.astype(np.float32), **carried)


@selector("jtt", signals=["correct"], all_rows=True, wrong_at=1, copies=4)
def just_train_twice(pool: Pool, wrong_at: int, copies: int) -> Supervision:
    """Every row, those that the reference had wrong in an epoch `copies` times more (JTT, Liu et al. 2021).

    Liu et al. add the copies to the training set, which comes to the weight 1 + copies; for MultiNLI they
    train both models alike, take the second epoch and 4 copies, and choose these by labelled groups.
    """
    wrong = ~pool.dynamics.correct[wrong_at]
    return everything(pool, 1.0 + copies * wrong)


@selector("reweighting", signals=["p_true"], all_rows=True, epoch=0)
def reweighting(pool: Pool, epoch: int) -> Supervision:
    """Every row, weighing 1 less the reference's probability of its label (Clark et al. 2019).

    Utama et al. (2020b) take the probabilities of a shallow model; weights count within a batch.
    """
    return everything(pool, 1.0 - _p_true(pool.dynamics, epoch))


@selector(
    "product_of_experts",
    signals=["logits"],
    all_rows=True,
    objective="product_of_experts",
    epoch=0,
    theta_first=1.0,
    theta_last=1.0,
)
def product_of_experts(pool: Pool, epoch: int, theta_first: float, theta_last: float) -> Supervision:
    """Every row, the main model learning what the reference leaves to explain (He et al. 2019).

    Clark et al. (2019), Karimi Mahabadi et al. (2020): theta times the reference's log-probabilities are
    added in training alone. Utama et al. (2020b) anneal theta from 1 to 0.8.
    """
    bias = log_probabilities(pool.dynamics, epoch)
    return everything(pool, bias=bias, settings={"theta": [theta_first, theta_last]})


@selector(
    "confidence_regularisation",
    signals=["logits", "p_true"],
    all_rows=True,
    objective="soft_targets",
    epoch=0,
)
def confidence_regularisation(pool: Pool, epoch: int) -> Supervision:
    """Every row, towards the reference's last probabilities, flatter the surer it was (Utama et al. 2020a).

    Their teacher is a plain model of the main model's size; here it is the reference, in its last epoch.
    """
    teacher = log_probabilities(pool.dynamics, len(pool.dynamics.p_true) - 1).astype(np.float64)
    scaled = teacher * (1.0 - _p_true(pool.dynamics, epoch))[:, None]
    target = np.exp(scaled - np.logaddexp.reduce(scaled, axis=1, keepdims=True))
    return everything(pool, target=target.astype(np.float32))


@selector("relative_difficulty", signals=["p_true"], all_rows=True, objective="relative_difficulty")
def relative_difficulty(pool: Pool) -> Supervision:
    """Every row, by its loss under the reference beside its loss now (LfF, Nam et al. 2020, equation 5).

    Static: they train the biased model beside the main one, with a loss that amplifies the bias; here its
    loss is the moving average over the epochs of a plain reference, and none is divided by its class's
    largest.
    """
    losses = -np.log(np.maximum(pool.dynamics.p_true.astype(np.float64), np.finfo(np.float32).tiny))
    average = losses[0]
    for latest in losses[1:]:
        average = DECAY * average + (1 - DECAY) * latest
    bias = -average[:, None].astype(np.float32)
    return everything(pool, bias=bias)


def _p_true(dynamics: Dynamics, epoch: int) -> np.ndarray:
    chosen = dynamics.p_true.mean(0) if epoch == -1 else dynamics.p_true[epoch]
    return chosen.astype(np.float64)
