"""Which labels are probably wrong, by the training dynamics of one run: suspicions, and how many to expect.

Suspicion is the mean rank of an instance by some registered scores. How many labels are wrong follows from a
comparison that needs no clean data: the model's own probabilities tell what the margins of wrong labels look
like, for any class but the given one can be put in its place.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import DataError
from ..tasks.base import Kind, mean_probabilities
from .datamap import score_of
from .dynamics import Dynamics
from .scores import SCORES, mean_ranks


@dataclass(frozen=True)
class Noise:
    """The expected share of wrong labels, and for each instance the probability [n] of a wrong label."""

    share: float
    probability: np.ndarray


def suspicion(dynamics: Dynamics, names: Sequence[str] = Kind.issue_scores, **settings: object) -> np.ndarray:
    """How much every label looks wrong, [n] from 0 to 1: the mean over the scores of the instance's rank.

    Equal values share their mean rank. Raises DataError for a score that is no sign of wrong labels, and for
    one that the dynamics do not give.
    """
    ranks = [_signed_ranks(dynamics, name, settings) for name in names]
    return np.mean(ranks, axis=0)


def _signed_ranks(dynamics: Dynamics, name: str, settings: dict) -> np.ndarray:
    if name not in SCORES or not SCORES[name].wrong:
        signs = ", ".join(entry.name for entry in SCORES.values() if entry.wrong)
        raise DataError(
            f"the score '{name}' is no sign of wrong labels", got=name, expected=f"one of {signs}"
        )
    return ranks(SCORES[name].wrong * score_of(dynamics, name, settings))


def ranks(values: np.ndarray) -> np.ndarray:
    """The place [n] of each of n values among them, from 0 to 1; equal values share their mean place."""
    return mean_ranks(values) / max(1, len(values) - 1)


# The lowest probabilities decide on the share; a minimum over fewer instances than this is chance.
FEWEST = 50
# How far a range reaches beyond its estimates: 95 % of a normal distribution.
ERRORS = 2.0


def estimate(logits: np.ndarray, labels: np.ndarray) -> Noise:
    """How many of the labels [n] are wrong, and each with which probability, by logits [epochs, n, classes].

    What a wrong label's probability looks like is known without one: it is that of the classes that were not
    given. Were the share of wrong labels w, then at every threshold the given labels below it would be at
    least w times as many, in proportion, as other classes below it. The smallest of these ratios is the
    estimate, an upper bound that is reached where the model is sure (mixture proportions: Blanchard, Lee and
    Scott 2010). Of the classes that were not given, one of a wrong label's is the right one; the ratio is
    corrected for it. The probability of an instance is the share times the ratio of the two densities at its
    own probability, fitted as a falling function by isotonic regression. All probabilities are means over the
    epochs.
    """
    share, _ = _share(logits, labels)
    return Noise(share, _posterior(*_given_and_others(mean_probabilities(logits), labels), share))


def share_range(logits: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Between what the share of wrong labels is expected to lie, by logits [epochs, n, classes].

    The estimate is too high for a model that has not learnt yet, and too low for one that has learnt wrong
    labels by heart, which comes later (Arpit et al. 2017): the lower end is that of the last epoch, the upper
    one that of the mean of the first two. Each is taken `ERRORS` standard errors further, of the count of
    labels that it rests on.
    """
    ends = []
    for part, sign in ((logits[-1:], -1), (logits[:2], 1)):
        share, count = _share(part, labels)
        ends.append(min(1.0, max(0.0, share * (1 + sign * ERRORS / count**0.5))))
    return min(ends), max(ends)


def _share(logits: np.ndarray, labels: np.ndarray) -> tuple[float, int]:
    """The estimate by the mean probabilities of these epochs, and the number of labels that it rests on."""
    given, other = _given_and_others(mean_probabilities(logits), labels)
    ratio, count = _least_ratio(np.sort(given), np.sort(other))
    return ratio / (1 + ratio / (logits.shape[-1] - 1)), count


def _given_and_others(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The probabilities of the given labels [n], and those of all other classes."""
    others = np.ones(probabilities.shape, bool)
    others[np.arange(len(labels)), labels] = False
    return probabilities[~others], probabilities[others]


def _least_ratio(given: np.ndarray, other: np.ndarray) -> tuple[float, int]:
    """The least ratio of two distribution functions, both samples ascending, at the given ones from the
    `FEWEST`th on; and how many of the given ones are below it.
    """
    below = np.searchsorted(other, given, side="right") / len(other)
    ratios = np.arange(1, len(given) + 1) / len(given) / np.maximum(below, 1 / len(other))
    first = min(FEWEST, len(given)) - 1
    place = first + int(ratios[first:].argmin())
    return float(min(1.0, ratios[place])), place + 1


def _posterior(given: np.ndarray, other: np.ndarray, share: float) -> np.ndarray:
    """The probability [n] that a label is wrong, by where its own probability lies."""
    values = np.concatenate([given, other])
    order = np.argsort(values, kind="stable")
    # Both samples weigh one; fitted is the part of the other classes among all at a probability.
    weights = np.concatenate([np.full(len(given), 1 / len(given)), np.full(len(other), 1 / len(other))])
    is_other = np.concatenate([np.zeros(len(given)), np.ones(len(other))])
    part = np.empty(len(values))
    part[order] = falling(is_other[order], weights[order])
    own = part[: len(given)]
    with np.errstate(divide="ignore"):
        density_ratio = np.where(own < 1, own / (1 - own), np.inf)
    return np.minimum(1.0, share * density_ratio) if share else np.zeros(len(given))


def falling(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The falling sequence that is nearest to `values` in weighted squares, by pooling adjacent violators."""
    means, sums, sizes = [], [], []
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        mean, total, size = value, weight, 1
        while means and means[-1] <= mean:
            last, lasting = means.pop(), sums.pop()
            mean = (last * lasting + mean * total) / (lasting + total)
            total, size = total + lasting, size + sizes.pop()
        means.append(mean), sums.append(total), sizes.append(size)
    return np.repeat(means, sizes)
