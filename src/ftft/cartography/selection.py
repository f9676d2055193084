"""Selectors: which training instances a main model learns from (paper, sections 2 and 3), each defined once.

A selector takes a Pool and gives a Supervision, or rows; the decorator registers it with its settings and
whether it needs a data map. All are the same whatever the order of the rows: ties go by a hash of the uid,
chance depends on the set of uids and the seed alone. DataError is raised for a selection that would be empty
or cannot be made.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ..data.dataset import Dataset, uid_hash
from ..errors import DataError
from ..tasks.base import Kind, kind_of
from .arguments import checked
from .datamap import DataMap, load_scores
from .dynamics import Dynamics, load_dynamics
from .overlap import overlap
from .scores import SCORES
from .supervision import CROSS_ENTROPY, Supervision

LENGTH_PARTS = 10
# Settings that name an epoch of the training dynamics.
EPOCH_SETTINGS = ("epoch", "wrong_at")


@dataclass(frozen=True)
class Pool:
    """What a selector may look at: n training instances and, where it needs one, their data map.

    data_map: or the scores [n] by name alone, where none is of a training.
    make_up: codes [n] of the instances' label make-up; lengths: as their kind counts them, [n]; both None of
    a data set that was read without its texts. dynamics: the reference's, for selectors that read them.
    """

    uids: Sequence[str]
    fraction: float
    seed: int
    data_map: DataMap | Mapping[str, np.ndarray] | None = None
    make_up: np.ndarray | None = None
    lengths: np.ndarray | None = None
    rule: str = "exact"
    dynamics: Dynamics | None = None

    def __len__(self) -> int:
        return len(self.uids)

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        kind: Kind,
        data_map: DataMap | Mapping[str, np.ndarray] | None,
        fraction: float,
        seed: int,
        rule: str,
    ) -> "Pool":
        """The pool of a training set."""
        if not dataset.texts:
            return cls(dataset.uids, fraction, seed, data_map, rule=rule)
        described = kind.make_up(dataset), kind.lengths(dataset)
        return cls(dataset.uids, fraction, seed, data_map, *described, rule)

    @property
    def size(self) -> int:
        """How many instances the fraction is of them."""
        return selection_size(self.fraction, len(self.uids))


@dataclass(frozen=True)
class Selector:
    """A registered selector.

    scores: those of the data map that it reads, of which none means that it needs no reference. of_another:
    whether it starts from what another selector of the same map selects, its setting `selector`. looks:
    whether it looks at the make-up or the lengths of the pool. signals: what it reads of the training
    dynamics themselves. all_rows: whether it takes every row, whatever the fraction. objective: that
    of the training. settings: names and defaults.
    """

    name: str
    choose: Callable[..., np.ndarray | Supervision]
    scores: tuple[str, ...] = ()
    of_another: bool = False
    looks: bool = False
    signals: tuple[str, ...] = ()
    all_rows: bool = False
    objective: str = CROSS_ENTROPY
    settings: dict = field(default_factory=dict)

    @property
    def needs_map(self) -> bool:
        """Whether a reference's data map is needed."""
        return bool(self.scores or self.signals) or self.of_another

    @property
    def description(self) -> str:
        """The first paragraph of its docstring."""
        return " ".join((self.choose.__doc__ or "").strip().partition("\n\n")[0].split())

    @property
    def definition(self) -> str:
        """Where it is defined, as module:name."""
        name = self.name.upper().replace("-", "_") if self.name in ENDS else self.choose.__name__
        return f"{self.choose.__module__}:{name}"


SELECTORS: dict[str, Selector] = {}
# By selectors that go by the end of a score: its name, and the sign with which the largest are selected.
ENDS: dict[str, tuple[str, float]] = {}
# What selectors go by that are no end of one score, by their name.
RANKINGS: dict[str, Callable[[Pool], np.ndarray]] = {}


def selector(
    name: str,
    scores: Sequence[str] = (),
    of_another: bool = False,
    looks: bool = False,
    signals: Sequence[str] = (),
    all_rows: bool = False,
    objective: str = CROSS_ENTROPY,
    **settings: object,
) -> Callable:
    """Register a selector under `name`."""

    def register(choose: Callable) -> Callable:
        SELECTORS[name] = Selector(
            name, choose, tuple(scores), of_another, looks, tuple(signals), all_rows, objective, settings
        )
        return choose

    return register


def end(name: str, score: str, sign: float, description: str) -> Selector:
    """Register the selector of one end of a score: the largest values with `sign` 1, the smallest with -1."""

    def choose(pool: Pool) -> np.ndarray:
        return end_of_score(sign * pool.data_map[score], pool.uids, pool.fraction, pool.rule)

    choose.__doc__ = description
    ENDS[name] = (score, sign)
    SELECTORS[name] = Selector(name, choose, (score,))
    return SELECTORS[name]


def ranking(name: str, scores: Sequence[str]) -> Callable:
    """Register a selector that takes the largest values of a function of the pool, float64 [n]."""

    def register(rank: Callable[[Pool], np.ndarray]) -> Callable[[Pool], np.ndarray]:
        def choose(pool: Pool) -> np.ndarray:
            return largest(rank(pool), pool.uids, pool.size)

        choose.__doc__, choose.__module__, choose.__name__ = rank.__doc__, rank.__module__, rank.__name__
        RANKINGS[name] = rank
        SELECTORS[name] = Selector(name, choose, tuple(scores))
        return rank

    return register


# Each under its own name in capitals, by which the pipeline tells the code that defines it.
AMBIGUOUS = end("ambiguous", "variability", 1.0, "The largest variability: the paper's selection.")
HARD_TO_LEARN = end("hard-to-learn", "confidence", -1.0, "The smallest confidence.")
EASY = end("easy", "confidence", 1.0, "The largest confidence (Swayamdipta et al. 2020).")
FORGETTING = end("forgetting", "forgetting", 1.0, "The most forgetting events (Toneva et al. 2019).")
AUM = end("aum", "aum", -1.0, "The smallest area under the margin (Pleiss et al. 2020).")
EL2N = end("el2n", "el2n", 1.0, "The largest error norm in `selection.el2n_epochs` (Paul et al. 2021).")
ENTROPY = end("entropy", "entropy", 1.0, "The largest entropy of the mean prediction (Coleman et al. 2020).")
THRESHOLD = end("threshold", "threshold", 1.0, "Confidence closest to one half (Chang et al. 2017).")


HIGH_LOSS_BEFORE = end(
    "high_loss_before",
    "loss_before_training",
    1.0,
    "The largest loss of a response before any training, which needs no trained reference.",
)
HIGH_LOSS = end("high_loss", "mean_loss", 1.0, "The largest mean of -log p_true.")
SLOW_TO_LEARN = end(
    "slow_to_learn", "learning_percentage", -1.0, "The smallest learning percentage (Mekala et al. 2024)."
)


def choose(name: str, pool: Pool, settings: dict) -> Supervision:
    """The supervision that the selector `name` makes of a pool."""
    entry = SELECTORS[name]
    own = {**entry.settings, **{key: value for key, value in settings.items() if key in entry.settings}}
    if entry.of_another:
        own["selector"] = settings.get("selector", "ambiguous")
    chosen = entry.choose(pool, **own)
    made = chosen if isinstance(chosen, Supervision) else Supervision.of(chosen)
    return replace(made, objective=entry.objective)


def scores_read(name: str, settings: dict) -> tuple[str, ...]:
    """The scores of a data map that a selector reads, those of the selector it starts from included."""
    entry = SELECTORS[name]
    other = scores_read(settings.get("selector", "ambiguous"), {}) if entry.of_another else ()
    return tuple(dict.fromkeys([*entry.scores, *other]))


def needs_training(name: str, settings: dict) -> bool:
    """Whether a selector goes by more of a reference than what it gives before its training."""
    return bool(SELECTORS[name].signals) or any(
        SCORES[score].trained for score in scores_read(name, settings)
    )


def read_training_set(spec: dict, file: str | Path) -> Dataset:
    """The data set that `select` by this `spec` takes: with its texts where the selector or its kind looks at
    them.
    """
    dataset = Dataset.load(file, texts=SELECTORS[spec.get("selector", "random")].looks)
    return Dataset.load(file) if not dataset.texts and kind_of(dataset.kind).baselines else dataset


def select(
    spec: dict,
    seed: int,
    dataset: Dataset,
    map_file: str | Path | None,
    output: str | Path,
    score_files: Iterable[str | Path] = (),
    dynamics_file: str | Path | None = None,
) -> dict[str, float] | None:
    """Make the supervision that `spec` describes and write it.

    `spec` holds `selector` (random without a map, ambiguous with one, where absent), `fraction`, `rule` and
    the selector's `settings`; `score_files` hold further scores of the instances, which need no map where the
    selector reads none of its own; `dynamics_file` holds the training dynamics, where the selector reads
    them. Raises ArtifactError for a map, scores or dynamics of other data, DataError for an epoch that the
    dynamics lack. Returns what the selection shares with random rows, drawn by another seed, and with the
    longest, for kinds whose tables show these as baselines; else None.
    """
    data_map: DataMap | Mapping[str, np.ndarray] | None
    if map_file:
        data_map = DataMap.load_for(map_file, dataset, score_files)
    else:
        data_map = load_scores(dataset, score_files) or None
    name = spec.get("selector", "ambiguous" if map_file else "random")
    kind, rule = kind_of(dataset.kind), spec.get("rule", "exact")
    settings = spec.get("settings", {})
    pool = Pool.of(dataset, kind, data_map, spec["fraction"], seed, rule)
    if dynamics_file:
        pool = replace(pool, dynamics=_dynamics(dynamics_file, dataset, SELECTORS[name], settings))
    chosen = choose(name, pool, settings)
    chosen.save(output, dataset, {**spec, "selector": name, "seed": seed})
    if not kind.baselines:
        return None
    by_chance = select_random(dataset.uids, spec["fraction"], seed + 1)
    by_length = largest(pool.lengths.astype(np.float64), dataset.uids, pool.size)
    return {"random": overlap(chosen.rows, by_chance), "longest": overlap(chosen.rows, by_length)}


def _dynamics(file: str | Path, dataset: Dataset, entry: Selector, settings: dict) -> Dynamics:
    dynamics = load_dynamics(file, dataset, logits="logits" in entry.signals)
    last = max({**entry.settings, **settings}.get(name, -1) for name in EPOCH_SETTINGS)
    if last >= len(dynamics.p_true):
        raise DataError(
            f"the training dynamics lack the epoch that '{entry.name}' is to be made from",
            got=f"epoch {last} of {len(dynamics.p_true)}, counted from 0",
            fix="set its epoch lower under selections, or train the reference for longer",
        )
    return dynamics


def end_of_score(scores: np.ndarray, uids: Sequence[str], fraction: float, rule: str = "exact") -> np.ndarray:
    """Rows of the `fraction` of instances with the largest `scores` [n], ascending.

    rule `exact` takes round(fraction x n) instances; ties at the last place go by a hash of the uid. rule
    `quantile` takes those strictly above the (1 - fraction) quantile, as the authors' code does: ties there
    shrink the selection.
    """
    if rule == "exact":
        return largest(scores, uids, selection_size(fraction, len(scores)))
    rows = np.flatnonzero(scores > np.quantile(scores, 1 - fraction))
    if not len(rows):
        raise _empty(fraction, len(scores))
    return rows


@checked
def select_region(data_map: DataMap, region: str, fraction: float, rule: str = "exact") -> np.ndarray:
    """Rows of the `fraction` of instances that lie at the end of a score that the selector `region` names,
    ascending.

    ambiguous: largest variability; hard-to-learn: smallest confidence; easy: largest confidence (as a
    selection, after Swayamdipta et al.; the easy *share* of the paper is `easy_share`); and the ends of
    further scores. The rules are those of `end_of_score`. Raises DataError for an empty selection.
    """
    score, sign = ENDS[region]
    return end_of_score(sign * data_map[score], data_map.uids, fraction, rule)


@checked
def select_random(uids: Sequence[str], fraction: float, seed: int) -> np.ndarray:
    """Rows of a seeded random `fraction` of the instances, ascending; the baseline of Table 1.

    The choice depends on the set of uids and the seed, not on the order of the rows.
    """
    return np.flatnonzero(random_places(uids, seed) < selection_size(fraction, len(uids)))


@checked
def regions(data_map: DataMap, fraction: float) -> dict[str, np.ndarray]:
    """Membership masks [n] of ambiguous, hard-to-learn and easy at rate `fraction` (paper, section 2).

    The first two may overlap; easy is neither of them.
    """
    masks = {}
    for region in ("ambiguous", "hard-to-learn"):
        mask = np.zeros(len(data_map), bool)
        mask[select_region(data_map, region, fraction)] = True
        masks[region] = mask
    masks["easy"] = ~(masks["ambiguous"] | masks["hard-to-learn"])
    return masks


@checked
def easy_share(data_map: DataMap, fraction: float) -> float:
    """Share of easy instances at rate `fraction` (paper, Table 4): 1 - 2q to 1 - q, 0 at least."""
    return float(regions(data_map, fraction)["easy"].mean())


def largest(scores: np.ndarray, uids: Sequence[str], count: int) -> np.ndarray:
    """Rows of the `count` largest scores [n], ascending; ties by a hash of the uid, equal ones by the uid."""
    if count == 0:
        return np.empty(0, np.int64)
    last = np.partition(scores, len(scores) - count)[len(scores) - count]
    above = np.flatnonzero(scores > last)
    tied = np.flatnonzero(scores == last)
    if len(above) + len(tied) > count:
        by_hash = sorted(tied.tolist(), key=lambda row: (uid_hash(uids[row]), uids[row]))
        tied = np.array(by_hash[: count - len(above)], np.int64)
    return np.sort(np.concatenate([above, tied]))


def random_places(uids: Sequence[str], seed: int) -> np.ndarray:
    """Every instance's place [n] in a seeded random order of the set of uids."""
    order = np.array(sorted(range(len(uids)), key=uids.__getitem__), np.int64)
    places = np.empty(len(uids), np.int64)
    shuffled = np.random.Generator(np.random.PCG64([seed, len(uids)])).permutation(len(uids))
    places[order[shuffled]] = np.arange(len(uids))
    return places


def selection_size(fraction: float, instances: int) -> int:
    """round(fraction x instances), halves up; raises DataError where that is none."""
    size = int(np.floor(fraction * instances + 0.5))
    if size == 0:
        raise _empty(fraction, instances)
    return size


def even_quotas(sizes: Sequence[int], total: int) -> list[int]:
    """Split `total` over groups of these sizes as evenly as they allow, the smallest first.

    What does not divide goes to the largest; groups of one size are taken in order.
    """
    quotas = [0] * len(sizes)
    for served, group in enumerate(sorted(range(len(sizes)), key=sizes.__getitem__)):
        quotas[group] = min(sizes[group], total // (len(sizes) - served))
        total -= quotas[group]
    return quotas


def proportional_quotas(sizes: Sequence[int], total: int) -> list[int]:
    """Split `total` over groups in proportion to their sizes; what is left goes to the largest remainders."""
    exact = np.array(sizes) * (total / sum(sizes))
    quotas = np.floor(exact).astype(int)
    order = np.argsort(-(exact - quotas), kind="stable")
    quotas[order[: total - quotas.sum()]] += 1
    return quotas.tolist()


def length_parts(lengths: np.ndarray, parts: int = LENGTH_PARTS) -> np.ndarray:
    """The tenth [n] of the instances, by length, in which each lies, 0 being the shortest."""
    edges = np.quantile(lengths, np.arange(1, parts) / parts)
    return np.searchsorted(edges, lengths, side="left")


def _empty(fraction: float, instances: int) -> DataError:
    return DataError(
        "the selection is empty",
        got=f"fraction {fraction:g} of {instances} instances",
        expected="at least one instance",
        fix="raise selection.fraction, or use selection.rule: exact if all scores are tied",
    )
