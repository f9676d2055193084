"""Metrics: each is defined once, by numbers per instance that add up and a function of their sums.

The score of predictions is the value of the sums over all instances, a bootstrap replicate the value of the
weighted sums, and the floor the score of the best answer that needs no model. A run whose score is not above
the floor has failed.
"""

import re
import string
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from ..errors import FtftError


class Metric:
    """A score of predictions, 0 to 1 where more is better.

    Subclasses set `name` (in configurations and files), `label` (in tables), `hub` (the hub's name for it),
    `kinds` (the kinds of tasks that it fits) and `definition` (a sentence that stands beside its numbers).
    monitored: whether trainings can stop by it; in_tables: whether tables show it, where more must be better;
    by_words: whether it is the same where texts have a number in place of each word (`Kind.numbered`).
    """

    name: str
    label: str
    hub: str
    kinds: tuple[str, ...]
    definition: str
    monitored = True
    in_tables = True
    by_words = True

    def statistics(self, targets: np.ndarray, predictions: np.ndarray, labels: Sequence[str]) -> np.ndarray:
        """What each instance contributes: float64 [n, k]. `labels` names the classes, if any."""
        raise NotImplementedError

    def value(self, sums: np.ndarray) -> np.ndarray:
        """The score [...] of sums of statistics [..., k]; nan for sums over nothing."""
        raise NotImplementedError

    def replicates(self, weights: np.ndarray, statistics: np.ndarray) -> np.ndarray:
        """Scores [resamples, runs] of resampled examples: weights [resamples, n], statistics [n, runs, k]."""
        # One product of matrices for all runs: [resamples, n] with [n, runs x k].
        sums = weights @ statistics.reshape(len(statistics), -1)
        return self.value(sums.reshape(len(weights), *statistics.shape[1:]))

    def floor(self, targets: np.ndarray, labels: Sequence[str]) -> float:
        """The score of the trivial answer: for classes and labels, always the most frequent one alone."""
        counts = _truths(np.asarray(targets), max(len(labels), 1 + np.max(targets, initial=0))).sum(0)
        trivial = counts.argmax()
        if np.ndim(targets) > 1:
            trivial = np.arange(len(counts)) == trivial
        return self.score(targets, np.broadcast_to(trivial, np.shape(targets)), labels)

    def parts(self, targets: np.ndarray, predictions: np.ndarray, labels: Sequence[str]) -> dict[str, float]:
        """Scores of parts of what is scored, by name, such as those of each type of entity: none."""
        return {}

    def score(self, targets: np.ndarray, predictions: np.ndarray, labels: Sequence[str]) -> float:
        """The score of predictions, which are of the form of the targets: class indices [n], truth values [n,
        labels], numbers [n], or what the kind of task defines.
        """
        statistics = self.statistics(targets, predictions, labels)
        return float(self.replicates(np.ones((1, len(statistics))), statistics[:, None])[0, 0])


_REGISTRY: dict[str, Metric] = {}


def register(cls: type[Metric]) -> type[Metric]:
    """Class decorator: make a metric known by its name."""
    _REGISTRY[cls.name] = cls()
    return cls


@register
class Accuracy(Metric):
    """The share of instances whose prediction is right."""

    name, label, hub = "accuracy", "accuracy", "accuracy"
    kinds = ("classification", "multiple_choice")
    definition = "the share of instances that are predicted right"

    def statistics(self, targets: np.ndarray, predictions: np.ndarray, labels: Sequence[str]) -> np.ndarray:
        hits = np.asarray(targets) == np.asarray(predictions)
        return np.stack([hits, np.ones(len(hits))], axis=1).astype(np.float64)

    def value(self, sums: np.ndarray) -> np.ndarray:
        return ratio(sums[..., 0], sums[..., 1])


@register
class MacroF1(Metric):
    """The unweighted mean of the classes' F1 scores, over the classes that occur, as in scikit-learn."""

    name, label, hub = "macro_f1", "macro-F1", "f1"
    kinds = ("classification", "multilabel")
    definition = "the unweighted mean of F1 over the classes that occur among the labels or the predictions"

    def statistics(self, targets: np.ndarray, predictions: np.ndarray, labels: Sequence[str]) -> np.ndarray:
        # For each class its hits, then how often it is the label plus how often it is predicted.
        true, predicted = (_truths(np.asarray(values), len(labels)) for values in (targets, predictions))
        return np.concatenate([true & predicted, true.astype(np.float64) + predicted], axis=1)

    def value(self, sums: np.ndarray) -> np.ndarray:
        hits, named = np.split(np.asarray(sums), 2, axis=-1)
        occurs = named > 0
        f1 = np.divide(2 * hits, named, where=occurs, out=np.zeros(named.shape))
        return ratio(f1.sum(-1), occurs.sum(-1))


@register
class MicroF1(MacroF1):
    """F1 of all labels of all instances together."""

    name, label = "micro_f1", "micro-F1"
    kinds = ("multilabel",)
    definition = "F1 over all labels of all instances together"

    def value(self, sums: np.ndarray) -> np.ndarray:
        hits, named = (part.sum(-1) for part in np.split(np.asarray(sums), 2, axis=-1))
        return ratio(2 * hits, named)


@register
class SubsetAccuracy(Accuracy):
    """The share of instances whose labels are all right."""

    name, label = "subset_accuracy", "subset accuracy"
    kinds = ("multilabel",)
    definition = "the share of instances of which every label is right and none is lacking"

    def statistics(self, targets: np.ndarray, predictions: np.ndarray, labels: Sequence[str]) -> np.ndarray:
        right = (np.asarray(targets) == np.asarray(predictions)).all(1)
        return super().statistics(np.ones(len(right)), right, labels)

    def floor(self, targets: np.ndarray, labels: Sequence[str]) -> float:
        """The share of the most frequent set of labels."""
        return float(np.unique(targets, axis=0, return_counts=True)[1].max() / len(targets))


@register
class Spearman(Metric):
    """The correlation of ranks, equal numbers having their mean rank; 0 where a side does not vary."""

    name, label, hub = "spearman", "Spearman's correlation", "spearmanr"
    kinds = ("regression",)
    definition = "the correlation of the ranks of the predictions with those of the targets"

    def statistics(self, targets: np.ndarray, predictions: np.ndarray, labels: Sequence[str]) -> np.ndarray:
        return np.stack([targets, predictions], axis=1).astype(np.float64)

    def replicates(self, weights: np.ndarray, statistics: np.ndarray) -> np.ndarray:
        # Ranks are those within a resample: no sums of the whole give them.
        targets = _ranks(weights, statistics[:, 0, 0])
        runs = [_ranks(weights, run[:, 1]) for run in statistics.swapaxes(0, 1)]
        return np.stack([_correlation(weights, targets, ranks) for ranks in runs], axis=1)

    def floor(self, targets: np.ndarray, labels: Sequence[str]) -> float:
        """That of a constant answer."""
        return 0.0


@register
class Pearson(Spearman):
    """The correlation of the numbers themselves; 0 where a side does not vary."""

    name, label, hub = "pearson", "Pearson's correlation", "pearsonr"
    definition = "the linear correlation of the predictions with the targets"

    def replicates(self, weights: np.ndarray, statistics: np.ndarray) -> np.ndarray:
        targets, *runs = (
            np.broadcast_to(values - values.mean(), weights.shape)
            for values in (statistics[:, 0, 0], *statistics[:, :, 1].T)
        )
        return np.stack([_correlation(weights, targets, run) for run in runs], axis=1)


def _ranks(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The rank of every value [n] in resamples with these weights [resamples, n]; equal ones share theirs."""
    _, group = np.unique(values, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(group.max() + 1))
    sizes = np.add.reduceat(weights[:, order], starts, axis=1)
    return (sizes.cumsum(1) - (sizes - 1) / 2)[:, group]


def _correlation(weights: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Weighted correlations [resamples] of two arrays [resamples, n]; nan over nothing."""
    total = weights.sum(1, keepdims=True)
    varies = _varies(weights, one) & _varies(weights, other)
    one, other = (values - ratio((weights * values).sum(1, keepdims=True), total) for values in (one, other))
    spread = np.sqrt((weights * one**2).sum(1) * (weights * other**2).sum(1))
    found = np.divide((weights * one * other).sum(1), spread, where=varies, out=np.zeros(len(spread)))
    return np.where(total[:, 0] > 0, found, np.nan)


def _varies(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Whether drawn values [resamples, n] differ, which their spread about a rounded mean cannot tell."""
    drawn = weights > 0
    return np.where(drawn, values, -np.inf).max(1) > np.where(drawn, values, np.inf).min(1)


@register
class EntityF1(Metric):
    """F1 of entities over all of them, as the CoNLL tasks count and seqeval does in its strict mode."""

    name, label, hub = "entity_f1", "entity F1", "seqeval"
    kinds = ("token_classification",)
    definition = "F1 over all entities, of which one is right if its first word, last word and type are"

    def statistics(self, targets: np.ndarray, predictions: np.ndarray, labels: Sequence[str]) -> np.ndarray:
        # For each type its hits, then how often it is predicted, then how often it is there.
        types = {tag[2:]: place for place, tag in enumerate(labels[1::2])}
        counts = np.zeros((len(targets), 3, len(types)))
        for row, pair in enumerate(zip(targets, predictions, strict=True)):
            true, predicted = (entities([labels[tag] for tag in tags]) for tags in pair)
            for place, found in enumerate((true & predicted, predicted, true)):
                for name, _, _ in found:
                    counts[row, place, types[name]] += 1
        return counts.reshape(len(targets), -1)

    def value(self, sums: np.ndarray) -> np.ndarray:
        hits, predicted, true = (part.sum(-1) for part in np.split(np.asarray(sums), 3, axis=-1))
        # 0 where there is no entity on either side, as seqeval has it.
        return np.nan_to_num(ratio(2 * hits, predicted + true))

    def parts(self, targets: np.ndarray, predictions: np.ndarray, labels: Sequence[str]) -> dict[str, float]:
        """The F1 of every type of entity, nan for one that neither occurs nor is predicted."""
        hits, predicted, true = np.split(self.statistics(targets, predictions, labels).sum(0), 3)
        values = ratio(2 * hits, predicted + true).tolist()
        return dict(zip((tag[2:] for tag in labels[1::2]), values, strict=True))

    def floor(self, targets: np.ndarray, labels: Sequence[str]) -> float:
        return 0.0


def entities(tags: Sequence[str]) -> set[tuple[str, int, int]]:
    """Type, first word and last word of every entity in a sentence's tags; what no B- begins is none."""
    found, start = set(), None
    for place, tag in enumerate([*tags, "O"]):
        if start is not None and tag != f"I-{tags[start][2:]}":
            found.add((tags[start][2:], start, place - 1))
            start = None
        if tag.startswith("B-"):
            start = place
    return found


@register
class SpanF1(Metric):
    """F1 of the words of an answer, with the best of the gold answers, as SQuAD's evaluation has it."""

    name, label, hub = "span_f1", "answer F1", "squad"
    kinds = ("question_answering",)
    definition = "F1 of the words that a predicted and the best gold answer share, the mean over questions"

    def statistics(self, targets: np.ndarray, predictions: np.ndarray, labels: Sequence[str]) -> np.ndarray:
        scores = []
        for answers, predicted in zip(targets, predictions, strict=True):
            # As SQuAD 2.0 has it, an answer of articles and punctuation alone is none.
            gold = [words for text in answers["texts"] if (words := normalised(text))] or [[]]
            scores.append(max(self.compare(words, normalised(predicted)) for words in gold))
        return np.stack([scores, np.ones(len(scores))], axis=1).astype(np.float64)

    def compare(self, gold: list[str], predicted: list[str]) -> float:
        """The score of words beside others; without words on a side, 1 where both have none."""
        if not gold or not predicted:
            return float(gold == predicted)
        return 2 * (Counter(gold) & Counter(predicted)).total() / (len(gold) + len(predicted))

    def value(self, sums: np.ndarray) -> np.ndarray:
        return ratio(sums[..., 0], sums[..., 1])

    def floor(self, targets: np.ndarray, labels: Sequence[str]) -> float:
        """That of never giving an answer."""
        return self.score(targets, np.full(len(targets), "", object), labels)


@register
class ExactMatch(SpanF1):
    """The share of questions whose predicted answer has the words of a gold one, in their order."""

    name, label, hub = "exact_match", "exact match", "exact_match"
    definition = "the share of questions with exactly the words of a gold answer"

    def compare(self, gold: list[str], predicted: list[str]) -> float:
        return float(gold == predicted)


ARTICLES = re.compile(r"\b(a|an|the)\b")
PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalised(answer: str) -> list[str]:
    """The words of an answer without case, punctuation and articles, as SQuAD compares them."""
    return ARTICLES.sub(" ", answer.lower().translate(PUNCTUATION)).split()


def _truths(values: np.ndarray, count: int) -> np.ndarray:
    """Truth values [n, count] as they are, or those of class indices [n]."""
    return values if values.ndim > 1 else values[:, None] == np.arange(count)


def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Quotients, nan where nothing is divided by."""
    above, below = np.asarray(above, np.float64), np.asarray(below, np.float64)
    return np.divide(above, below, where=below > 0, out=np.full(above.shape, np.nan))


def metric(name: str) -> Metric:
    """The metric of a name; raises FtftError where there is none."""
    if name not in _REGISTRY:
        known = ", ".join(metric_names())
        raise FtftError(f"there is no metric '{name}'", got=name, expected=f"one of {known}")
    return _REGISTRY[name]


def metric_names(kind: str | None = None) -> list[str]:
    """The names of all metrics, or of those that fit a kind of task, in the order of their definition."""
    return [name for name, found in _REGISTRY.items() if kind is None or kind in found.kinds]


def scores(
    names: Iterable[str], targets: np.ndarray, predictions: np.ndarray, labels: Sequence[str]
) -> dict[str, float]:
    """Each metric's score of predictions, by name."""
    return {name: metric(name).score(targets, predictions, labels) for name in names}


def floors(names: Iterable[str], targets: np.ndarray, labels: Sequence[str]) -> dict[str, float]:
    """Each metric's score of the trivial answer, by name."""
    return {name: metric(name).floor(targets, labels) for name in names}


def has_failed(outcome: dict, name: str) -> bool:
    """Whether a run ended no better in distribution than the trivial answer (paper, Appendix A.1).

    `outcome` is that of its ledger: `validation` and `floor` hold scores by metric. A score that is not a
    number counts as failed.
    """
    return not outcome["validation"][name] > outcome["floor"][name]
