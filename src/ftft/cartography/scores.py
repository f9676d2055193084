"""Further scores of instances from the same training dynamics, beside those of the data map.

All take p_true [epochs, n] or logits [epochs, n, classes] and labels [n], and give float64 [n]. Sums go epoch
after epoch and class after class, so that an instance's scores do not depend on who is beside it.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import reduce

import numpy as np

# In the first epoch, instances are scored by models of all ages, the earliest of them untrained.
EL2N_EPOCHS = (1,)


def forgetting_events(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How often an instance that was classified correctly in one epoch is not in the next.

    Toneva et al. (2019), section 3. An instance that is never correct, which they count as forgotten
    infinitely often, gets epochs + 1: above every count, and finite, so that quantiles exist.
    """
    correct = true_class_wins(np.moveaxis(logits, -1, 0), labels)
    events = np.count_nonzero(correct[:-1] & ~correct[1:], axis=0)
    return np.where(correct.any(axis=0), events, len(correct) + 1).astype(np.float64)


def area_under_margin(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Mean over epochs of the true class's logit less the largest other (AUM).

    Pleiss et al. (2020), equation 2: mislabelled and hard instances have small ones. On log-probabilities
    it is the same, on probabilities it is not.
    """
    true = other = np.full(logits.shape[:2], -np.inf, logits.dtype)
    for index, values in enumerate(np.moveaxis(logits, -1, 0)):
        gold = labels == index
        true = np.where(gold, values, true)
        other = np.maximum(other, np.where(gold, -np.inf, values))
    return _mean(true.astype(np.float64) - other)


def el2n(logits: np.ndarray, labels: np.ndarray, epochs: Sequence[int] = EL2N_EPOCHS) -> np.ndarray:
    """Mean over some epochs (from 0) of the Euclidean norm of softmax(logits) less the one-hot label.

    Paul et al. (2021), definition 2.3, who take it early in training and average over runs; between 0 and
    the square root of 2.
    """
    chosen = logits[list(epochs)]
    squares = (
        np.square(probability - (labels == index)) for index, probability in enumerate(_softmax(chosen))
    )
    return _mean(np.sqrt(reduce(np.add, squares)))


def predictive_entropy(logits: np.ndarray) -> np.ndarray:
    """Entropy, in nats, of the class probabilities averaged over epochs; the labels play no part.

    Epochs as an ensemble: Lakshminarayanan et al. (2017), section 2.4; as a selection: Coleman et al. (2020).
    """
    means = [_mean(probability) for probability in _softmax(logits)]
    # 0 log 0 is 0.
    terms = (mean * np.log(np.maximum(mean, np.finfo(np.float64).tiny)) for mean in means)
    return np.maximum(-reduce(np.add, terms), 0)


def threshold_closeness(p_true: np.ndarray) -> np.ndarray:
    """Confidence x (1 - confidence): largest where the mean probability of the true class is one half.

    Chang et al. (2017), section 3.3, as a score of dataset cartography in Swayamdipta et al. (2020).
    """
    confidence = _mean(p_true)
    return confidence * (1 - confidence)


# The columns of a data map, by name: functions of p_true, logits, labels and the epochs of EL2N.
FURTHER: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray, Sequence[int]], np.ndarray]] = {
    "forgetting": lambda p_true, logits, labels, epochs: forgetting_events(logits, labels),
    "aum": lambda p_true, logits, labels, epochs: area_under_margin(logits, labels),
    "el2n": lambda p_true, logits, labels, epochs: el2n(logits, labels, epochs),
    "entropy": lambda p_true, logits, labels, epochs: predictive_entropy(logits),
    "threshold": lambda p_true, logits, labels, epochs: threshold_closeness(p_true),
}


def true_class_wins(by_class: Sequence[np.ndarray], labels: np.ndarray) -> np.ndarray:
    """In which epochs the true class has the largest logit: bool [epochs, n].

    by_class: logits [epochs, n] of every class; the first of equal ones is the largest.
    """
    largest, winner = by_class[0], np.zeros(by_class[0].shape, labels.dtype)
    for index, values in enumerate(by_class[1:], 1):
        np.copyto(winner, index, where=values > largest)
        largest = np.maximum(largest, values)
    return winner == labels


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over the first axis, epoch after epoch, in float64."""
    return reduce(np.add, values.astype(np.float64, copy=False)) / len(values)


def _softmax(logits: np.ndarray) -> Iterator[np.ndarray]:
    """The probability of one class after the other, float64 [epochs, n]."""
    by_class = np.moveaxis(logits, -1, 0)
    largest = reduce(np.maximum, by_class)
    exponentials = [np.exp(values.astype(np.float64, order="C") - largest) for values in by_class]
    total = reduce(np.add, exponentials)
    return (exponential / total for exponential in exponentials)
