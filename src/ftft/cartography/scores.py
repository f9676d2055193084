"""Scores of instances from training dynamics: those of the data map, and further ones, each defined once.

A score is a function of arrays, named as Dynamics names them: p_true [epochs, n], correct [epochs, n],
logits [epochs, n, classes], labels [n], worst [epochs, n], before [n], alone [n]; it gives float64 [n]. The
decorator registers it.
Sums go epoch after epoch and class after class, so that an instance's score does not depend on who is beside
it.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from .arguments import checked
from .dynamics import Dynamics

# In the first epoch, instances are scored by models of all ages, the earliest of them untrained.
EL2N_EPOCHS = (1,)
# Instances whose float64 intermediates, 128 KB an array, stay in a core's cache.
CACHED = 1 << 14
SIGNALS = ("p_true", "correct", "logits", "labels", "worst", "before", "alone")
# Those of a pass before training, which ask for no trained model.
UNTRAINED = ("before", "alone")


@dataclass(frozen=True)
class Score:
    """A registered score: its function, and how many complete epochs it takes at least.

    wrong: -1 where wrong labels have small values, 1 where they have large ones, 0 where the score is no sign
    of them.
    """

    name: str
    function: Callable[..., np.ndarray]
    epochs: int
    wrong: int = 0

    @property
    def needs(self) -> list[str]:
        """The signals of the training dynamics that it is a function of."""
        return [name for name in inspect.signature(self.function).parameters if name in SIGNALS]

    @property
    def untrained(self) -> bool:
        """Whether it is taken from the pass before training."""
        return not {*UNTRAINED}.isdisjoint(self.needs)

    @property
    def trained(self) -> bool:
        """Whether it is taken from the training."""
        return bool({*self.needs} - {*UNTRAINED})

    @property
    def settings(self) -> dict[str, object]:
        """Its settings by name, with their defaults."""
        parameters = inspect.signature(self.function).parameters.values()
        return {one.name: one.default for one in parameters if one.name not in SIGNALS}

    def of(self, dynamics: Dynamics, **settings: object) -> np.ndarray:
        """The score [n] of every instance."""
        return self.function(**{name: getattr(dynamics, name) for name in self.needs}, **settings)


SCORES: dict[str, Score] = {}


def given_by(dynamics: Dynamics) -> list[str]:
    """The names of the scores whose signals these dynamics have."""
    return [
        name
        for name, own in SCORES.items()
        if not any(getattr(dynamics, signal) is None for signal in own.needs)
    ]


def score(name: str, epochs: int = 1, wrong: int = 0) -> Callable:
    """Register a score under `name`."""

    def register(function: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
        SCORES[name] = Score(name, function, epochs, wrong)
        return function

    return register


@score("confidence", wrong=-1)
def confidence(p_true: np.ndarray) -> np.ndarray:
    """Mean over epochs of the probability of the true label (Swayamdipta et al. 2020, section 2)."""
    return _mean(p_true)


@score("variability", epochs=2)
def variability(p_true: np.ndarray) -> np.ndarray:
    """Standard deviation over epochs of the probability of the true label, divisor E.

    The population form, as Swayamdipta et al. (2020); with E epochs for all instances the divisor E - 1 of
    the authors' code gives the same order. Two passes, so that nothing cancels.
    """
    found = np.empty(p_true.shape[1])
    for part in _parts(p_true.shape[1]):
        deviations = p_true[:, part].astype(np.float64)
        deviations -= reduce(np.add, deviations) / len(deviations)
        found[part] = np.sqrt(reduce(np.add, np.square(deviations, out=deviations)) / len(deviations))
    return found


@score("correctness", wrong=-1)
def correctness(correct: np.ndarray) -> np.ndarray:
    """Share of epochs in which the prediction was right.

    For classes the largest logit counts, not p_true > 0.5: with three classes or more the true one may win
    with less.
    """
    return np.count_nonzero(correct, axis=0) / len(correct)


@score("forgetting", epochs=2, wrong=1)
def forgettings(correct: np.ndarray) -> np.ndarray:
    """How often an instance that was right in one epoch is not in the next.

    Toneva et al. (2019), section 3. An instance that is never right, which they count as forgotten
    infinitely often, gets epochs + 1: above every count, and finite, so that quantiles exist.
    """
    events = np.count_nonzero(correct[:-1] & ~correct[1:], axis=0)
    return np.where(correct.any(axis=0), events, len(correct) + 1).astype(np.float64)


@checked
def forgetting_events(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """`forgettings` of the predictions that logits make; of equal logits the first is the largest."""
    return forgettings(logits.argmax(-1) == labels)


@checked
@score("aum", wrong=-1)
def area_under_margin(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Mean over epochs of the true class's logit less the largest other (AUM).

    Pleiss et al. (2020), equation 2: mislabelled and hard instances have small ones. On log-probabilities
    it is the same, on probabilities it is not.
    """
    true = other = np.full(logits.shape[:2], -np.inf, logits.dtype)
    for index, values in enumerate(np.moveaxis(logits, -1, 0)):
        gold = labels == index
        # A choice that an instance does not have is no other class of it.
        values = np.where(np.isnan(values), -np.inf, values)
        true = np.where(gold, values, true)
        other = np.maximum(other, np.where(gold, -np.inf, values))
    return _mean(true.astype(np.float64) - other)


@checked
@score("el2n", epochs=2, wrong=1)
def el2n(logits: np.ndarray, labels: np.ndarray, epochs: Sequence[int] = EL2N_EPOCHS) -> np.ndarray:
    """Mean over some epochs (from 0) of the Euclidean norm of softmax(logits) less the one-hot label.

    Paul et al. (2021), definition 2.3, who take it early in training and average over runs; between 0 and
    the square root of 2.
    """
    chosen = logits[list(epochs)]
    squares = (
        np.square(probability - (labels == index)) for index, probability in enumerate(softmax(chosen))
    )
    return _mean(np.sqrt(reduce(np.add, squares)))


@score("last_confidence", wrong=-1)
def last_confidence(p_true: np.ndarray) -> np.ndarray:
    """The probability of the true label in the last epoch.

    Self-confidence of Northcutt, Jiang and Chuang (2021), of predictions in sample: the recorded pass is that
    of training, in which a model has seen the instance once in each epoch before.
    """
    return p_true[-1].astype(np.float64)


@checked
@score("last_margin", wrong=-1)
def last_margin(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The probability of the true class less the largest other one in the last epoch, from -1 to 1.

    Normalised margin of Northcutt, Jiang and Chuang (2021), of predictions in sample.
    """
    true = other = np.zeros(logits.shape[1])
    for index, (probability,) in enumerate(softmax(logits[-1:])):
        gold = labels == index
        true = np.where(gold, probability, true)
        other = np.maximum(other, np.where(gold, 0, probability))
    return true - other


@score("worst_word", wrong=-1)
def worst_word(worst: np.ndarray) -> np.ndarray:
    """The least probability that a word's true tag has in the last epoch: one wrong tag spoils a sentence.

    Wang and Mueller (2022), of the scores of sentences the best, of predictions in sample.
    """
    return worst[-1].astype(np.float64)


@checked
@score("entropy")
def predictive_entropy(logits: np.ndarray) -> np.ndarray:
    """Entropy, in nats, of the class probabilities averaged over epochs; the labels play no part.

    Epochs as an ensemble: Lakshminarayanan et al. (2017), section 2.4; as a selection: Coleman et al. (2020).
    """
    means = [_mean(probability) for probability in softmax(logits)]
    # 0 log 0 is 0.
    terms = (mean * np.log(np.maximum(mean, np.finfo(np.float64).tiny)) for mean in means)
    return np.maximum(-reduce(np.add, terms), 0)


@checked
@score("threshold")
def threshold_closeness(p_true: np.ndarray) -> np.ndarray:
    """Confidence x (1 - confidence): largest where the mean probability of the true label is one half.

    Chang et al. (2017), section 3.3, as a score of dataset cartography in Swayamdipta et al. (2020).
    """
    mean = _mean(p_true)
    return mean * (1 - mean)


def losses(p_true: np.ndarray) -> np.ndarray:
    """-log p_true, float64: of a response its mean loss per token."""
    return -np.log(np.maximum(p_true.astype(np.float64), np.finfo(np.float32).tiny))


@score("mean_loss")
def mean_loss(p_true: np.ndarray) -> np.ndarray:
    """Mean over epochs of -log p_true: the difficulty of an instance."""
    return _mean(losses(p_true))


@score("learning_percentage", epochs=2)
def learning_percentage(p_true: np.ndarray) -> np.ndarray:
    """The share of the whole fall in perplexity that comes by the second pass (Mekala et al. 2024, LP(1)).

    (P0 - P1) / (P0 - PE), P being 1 / p_true. Their P0 is that of a pass before the training; here it is that
    of the first recorded pass, in which a model predicts every instance before it trains on it. It is 0 where
    the perplexity does not fall, and of two epochs 1 elsewhere.
    """
    first, second, last = (1 / np.maximum(p.astype(np.float64), 1e-12) for p in p_true[[0, 1, -1]])
    return np.divide(first - second, first - last, where=first > last, out=np.zeros(len(first)))


@score("loss_before_training")
def loss_before_training(before: np.ndarray) -> np.ndarray:
    """The mean loss per token of a response before any training."""
    return before.astype(np.float64)


@score("ifd")
def instruction_following_difficulty(before: np.ndarray, alone: np.ndarray) -> np.ndarray:
    """The perplexity of a response after its prompt over that without it, before any training (IFD).

    Li et al. (2023, arXiv 2308.12032), section 2.2; as a ratio of perplexities, of a small model, Li et al.
    (2024, arXiv 2402.00530). Above 1 the prompt makes its response less likely. Li et al. first train the
    model on a few rows; here it is as it came.
    """
    return np.exp(before.astype(np.float64) - alone)


def _parts(instances: int) -> Iterator[slice]:
    return (slice(start, start + CACHED) for start in range(0, instances, CACHED))


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over the first axis, epoch after epoch, in float64."""
    return reduce(np.add, values.astype(np.float64, copy=False)) / len(values)


def softmax(logits: np.ndarray) -> Iterator[np.ndarray]:
    """The probability of one class after the other, float64 [epochs, n]; 0 for a choice that an instance
    lacks.
    """
    by_class = np.where(np.isnan(by_class := np.moveaxis(logits, -1, 0)), -np.inf, by_class)
    largest = reduce(np.maximum, by_class)
    exponentials = [np.exp(values.astype(np.float64, order="C") - largest) for values in by_class]
    total = reduce(np.add, exponentials)
    return (exponential / total for exponential in exponentials)


def mean_ranks(values: np.ndarray) -> np.ndarray:
    """The rank [n] of each value from 0 on, equal ones having their mean rank."""
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (counts.cumsum() - (counts + 1) / 2)[group]
