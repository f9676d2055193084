"""What the configuration may name: kinds of tasks, metrics, sources of data and models, selectors, mixtures.

Everything that the configuration, the plan and the rules know of these things they ask of this module.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..data import demo
from ..paper import cad
from ..tasks.metrics import metric_names

# A data map's variability needs two epochs at least.
FEWEST_EPOCHS = 2
# The scores that a data map always has; others are beside it, in a file of their own.
MAP_SCORES = ("confidence", "variability", "correctness")


@dataclass(frozen=True)
class Kind:
    """A kind of task: its metrics, what its dynamics hold beside p_true and correct, the keys it takes."""

    metrics: tuple[str, ...]
    signals: frozenset[str] = frozenset()
    keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class Score:
    """A score of instances: the signals that it needs, its least number of complete epochs, its settings."""

    needs: frozenset[str] = frozenset()
    epochs: int = 1
    settings: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Selector:
    """A way to select: the scores that it reads, whether it starts from another selector, its settings."""

    scores: tuple[str, ...] = ()
    of_another: bool = False
    settings: Mapping[str, float] = field(default_factory=dict)
    description: str = ""

    @property
    def needs_map(self) -> bool:
        """Whether it goes by a reference model's training dynamics."""
        return bool(self.scores) or self.of_another


@dataclass(frozen=True)
class Source:
    """Where data or a model come from: the keys that it must have and those that it may have."""

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()


LOGITS = frozenset({"logits"})
KINDS: dict[str, Kind] = {
    "classification": Kind(("accuracy", "macro_f1"), LOGITS),
    "multiple_choice": Kind(("accuracy",), LOGITS, ("choices",)),
}
METRICS = tuple(metric_names())
SCORES: dict[str, Score] = {
    "confidence": Score(),
    "variability": Score(epochs=2),
    "correctness": Score(),
    "forgetting": Score(epochs=2),
    "aum": Score(LOGITS),
    "el2n": Score(LOGITS, settings={"el2n_epochs": (1,)}),
    "entropy": Score(LOGITS),
    "threshold": Score(),
}
SELECTORS: dict[str, Selector] = {
    "ambiguous": Selector(("variability",)),
    "hard-to-learn": Selector(("confidence",)),
    "easy": Selector(("confidence",)),
    "forgetting": Selector(("forgetting",)),
    "aum": Selector(("aum",)),
    "el2n": Selector(("el2n",)),
    "entropy": Selector(("entropy",)),
    "threshold": Selector(("threshold",)),
    "class_balanced": Selector(of_another=True, description="as many of each class as their sizes allow"),
    "with_easy": Selector(("confidence",), True, {"easy": 0.1}, "a share of easy instances mixed in"),
    "coverage_centric": Selector(
        (), True, {"pruned": 0.1, "strata": 50}, "drawn evenly from strata of the score, the hardest left out"
    ),
    "with_copies": Selector(
        (), True, {"copies": 1, "base": 1.0}, "all data, the selected instances repeated"
    ),
}
# What is known of settings beside their defaults: meaning and limits, by name.
SETTINGS: dict[str, tuple[str, dict[str, float]]] = {
    "easy": ("share of the selection that is easy", {"ge": 0, "le": 1}),
    "pruned": ("share of the hardest left out", {"ge": 0, "lt": 1}),
    "strata": ("number of strata", {"ge": 1}),
    "copies": ("copies added", {"ge": 1, "le": 100}),
    "base": ("random share of all data that they are added to", {"gt": 0, "le": 1}),
}
DATA_SOURCES: dict[str, Source] = {
    "file": Source(("path",), ("format", "delimiter", "encoding", "quoting", "columns"), splits=()),
    "cad": Source(("path", "split"), ("preparation",), tuple(cad.SPLITS)),
    "hub": Source(("id", "split", "revision"), ("name",)),
    "demo": Source(("split", "rows"), ("seed",), demo.SPLITS),
}
MODEL_SOURCES: dict[str, Source] = {
    "hub": Source(("id", "revision"), ("keep_layers",)),
    "folder": Source(("path",), ("keep_layers",)),
    "package": Source(("package",), ("keep_layers",)),
    "scratch": Source(("architecture", "tokenizer")),
}
FORMATS = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".parquet": "parquet", ".arrow": "arrow"}
BATCH_PLANS = ("random", "length_grouped")


def selectors(reference: bool) -> list[str]:
    """The selectors that go by a reference model's dynamics, or those that go by the data alone.

    Chance is none of them: it has no name in a row, nor in the name of a supervision.
    """
    return [name for name, entry in SELECTORS.items() if entry.needs_map is reference and name != "random"]


def mixtures() -> list[str]:
    """The selectors that start from another one, or have settings."""
    return [name for name, selector in SELECTORS.items() if selector.of_another or selector.settings]


def scores_read(selector: str, other: str = "ambiguous") -> tuple[str, ...]:
    """The scores of a reference that a selector reads, those of the one it starts from included."""
    entry = SELECTORS[selector]
    return tuple(dict.fromkeys([*entry.scores, *(SELECTORS[other].scores if entry.of_another else ())]))
