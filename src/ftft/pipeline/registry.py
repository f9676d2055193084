"""What the configuration may name: kinds of tasks, metrics, sources of data and models, scores, selectors.

Everything that the configuration, the plan and the rules know of these things they ask of this module, which
reads it where each is defined.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from ..cartography.controls import MATCHED, PARTS
from ..cartography.datamap import COORDINATES, MINIMUM_EPOCHS
from ..cartography.scores import SCORES
from ..cartography.selection import EPOCH_SETTINGS, SELECTORS, needs_training, scores_read
from ..data import sources
from ..data.formats import FORMATS
from ..data.registry import SOURCES
from ..paper import cad
from ..tasks import base
from ..tasks.metrics import metric_names
from ..training.batching import PLANS

__all__ = [
    "DATA_SOURCES",
    "EPOCH_SETTINGS",
    "FORMATS",
    "SCORES",
    "SELECTORS",
    "cad",
    "needs_training",
    "scores_read",
    "sources",
]

GAIN_PARTS = PARTS
MATCHED_SELECTORS = MATCHED
# A data map's variability needs two epochs at least.
FEWEST_EPOCHS = MINIMUM_EPOCHS
# The scores that a data map always has; others are beside it, in files of their own.
MAP_SCORES = COORDINATES
# By which a label looks wrong.
ISSUE_SCORES = tuple(name for name, score in SCORES.items() if score.wrong)
KINDS = {name: base.kind_of(name) for name in base.KINDS}
# Keys of a task that not every kind takes.
KIND_KEYS = tuple(dict.fromkeys(key for kind in KINDS.values() for key in (*kind.required, *kind.optional)))
# Those that evaluations alone read.
EVALUATION_KEYS = tuple(dict.fromkeys(key for kind in KINDS.values() for key in kind.evaluated))
METRICS = tuple(metric_names())
# In an order of its own: that of their registration depends on who imports what first.
DATA_SOURCES = dict(sorted(SOURCES.items()))
BATCH_PLANS = tuple(PLANS)


@dataclass(frozen=True)
class ModelSource:
    """Where a model comes from: the keys that it must have and those that it may have."""

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()


MODEL_SOURCES: dict[str, ModelSource] = {
    "hub": ModelSource(("id", "revision"), ("keep_layers",)),
    "folder": ModelSource(("path",), ("keep_layers",)),
    "package": ModelSource(("package",), ("keep_layers",)),
    "scratch": ModelSource(("architecture", "tokenizer")),
}
# What is known of settings beside their defaults: meaning and limits, by name.
SETTINGS: dict[str, tuple[str, dict[str, float]]] = {
    "easy": ("share of the selection that is easy", {"ge": 0, "le": 1}),
    "pruned": ("share of the hardest left out", {"ge": 0, "lt": 1}),
    "strata": ("number of strata", {"ge": 1}),
    "clusters": ("number of clusters", {"ge": 1}),
    "copies": ("copies added", {"ge": 1, "le": 100}),
    "wrong_at": ("epoch of the reference, from 0, whose errors count", {"ge": 0}),
    "epoch": ("epoch of the reference, from 0; -1: its mean over all", {"ge": -1}),
    "theta_first": ("how much the reference's log-probabilities count at the start", {"ge": 0, "le": 2}),
    "theta_last": ("how much they count at the end", {"ge": 0, "le": 2}),
    "base": ("random share of all data that they are added to", {"gt": 0, "le": 1}),
}


def needs_of(score: str) -> set[str]:
    """The signals that a score needs of a kind of task, beside what every kind has."""
    return beyond_every_kind(SCORES[score].needs)


def beyond_every_kind(signals: Iterable[str]) -> set[str]:
    """Those of the signals that not every kind of task has."""
    return set(signals) - {"p_true", "correct", "labels"}


def goes_by_the_untrained(scores: Iterable[str]) -> bool:
    """Whether any of the scores is taken from the pass before training."""
    return any(SCORES[name].untrained for name in scores)


def needs_dynamics(score: str) -> bool:
    """Whether a score is taken from the training of its model."""
    return SCORES[score].trained


def selectors(reference: bool) -> list[str]:
    """The selectors that go by a reference model's dynamics, or those that go by the data alone.

    Chance is none of them: it has no name in a row, nor in the name of a supervision.
    """
    return [name for name, entry in SELECTORS.items() if entry.needs_map is reference and name != "random"]


def mixtures() -> list[str]:
    """The selectors that start from another one, or have settings."""
    return [name for name, selector in SELECTORS.items() if selector.of_another or selector.settings]
