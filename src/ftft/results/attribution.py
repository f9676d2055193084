"""What a reference's ambiguous rows owe to labels and lengths, and how soon and how surely they are known."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from ..artifacts import read_json
from ..cartography.controls import longest
from ..cartography.datamap import DataMap
from ..cartography.dynamics import Dynamics, load_dynamics
from ..cartography.overlap import overlap
from ..cartography.selection import LENGTH_PARTS, Pool, easy_share, length_parts, select_region
from ..data.dataset import Dataset
from ..tasks.base import kind_of
from ..tasks.metrics import has_failed
from .preflight import RATE, mean, ranks
from .standings import easy_by_epoch, maps_of_first_epochs

# A class of fewer rows has no share worth showing.
FEWEST_ROWS = 20
CLASS_COLUMNS = ("reference", "class", "easy_50", "excess", "runs")


@dataclass(frozen=True)
class Attribution:
    """What the runs of one reference model showed; arrays hold a value per run that did not fail.

    classes: by class, percent of easy instances at `preflight.RATE`, the map being taken within the class.
    prefixes: by number of epochs, the shared fraction of the ambiguous instances by so many first epochs and
    by all. longest, labels, labels_and_lengths: the shared fraction of the ambiguous instances and of the
    longest ones, and what random rows of the same label make-up, or also of the same lengths, share with
    them on average. easy: by number of first epochs, percent of easy instances on the map of these.
    """

    classes: dict[str, np.ndarray] = field(default_factory=dict)
    prefixes: dict[int, np.ndarray] = field(default_factory=dict)
    longest: np.ndarray = field(default_factory=lambda: np.empty(0))
    labels: np.ndarray = field(default_factory=lambda: np.empty(0))
    labels_and_lengths: np.ndarray = field(default_factory=lambda: np.empty(0))
    easy: dict[int, np.ndarray] = field(default_factory=dict)

    @property
    def half(self) -> tuple[int, float] | None:
        """Half of the epochs, rounded up, and their prefix's mean; None where that is too few for a map."""
        known = [epochs for epochs in self.prefixes if epochs >= (max(self.prefixes) + 2) // 2]
        return (known[0], mean(self.prefixes[known[0]])) if known else None


def attribute(
    spec: dict, dynamics_files: Iterable[Path], ledger_files: Iterable[Path], train_file: Path
) -> dict[str, Attribution]:
    """By reference model, what its runs showed on the training set; failed runs are left out.

    `spec` as for `preflight.measure`, with one file of training dynamics and one ledger per run.
    """
    dataset = Dataset.load(train_file)
    kind = kind_of(dataset.kind)
    pool = Pool.of(dataset, kind, None, spec["fraction"], 0, spec["rule"])
    groups, names = kind.groups(dataset)
    by_model: dict[str, list[dict]] = {model: [] for model, _ in spec["runs"]}
    for (model, _), file, ledger in zip(spec["runs"], dynamics_files, ledger_files, strict=True):
        if not has_failed(read_json(ledger)["outcome"], spec["metric"]):
            dynamics = load_dynamics(file, dataset, logits=False)
            by_model[model].append(_of_run(dynamics, pool, np.asarray(groups), names, spec))
    return {model: _together(runs) for model, runs in by_model.items()}


def _of_run(dynamics: Dynamics, pool: Pool, groups: np.ndarray, names: list[str], spec: dict) -> dict:
    data_map = DataMap.of(dynamics)
    rows = select_region(data_map, "ambiguous", spec["fraction"], spec["rule"])
    cells = pool.make_up.astype(np.int64)
    return {
        "classes": easy_by_class(data_map, groups, names),
        "prefixes": prefix_overlaps(dynamics, rows, spec["fraction"], spec["rule"]),
        "easy": easy_by_epoch(dynamics),
        "longest": overlap(rows, longest(replace(pool, fraction=len(rows) / len(pool)))),
        "labels": matched_overlap(rows, cells),
        "labels_and_lengths": matched_overlap(rows, cells * LENGTH_PARTS + length_parts(pool.lengths)),
    }


def _together(runs: list[dict]) -> Attribution:
    if not runs:
        return Attribution()
    nested = {
        name: {key: np.array([run[name][key] for run in runs]) for key in runs[0][name]}
        for name in ("classes", "prefixes", "easy")
    }
    flat = ("longest", "labels", "labels_and_lengths")
    return Attribution(**nested, **{name: np.array([run[name] for run in runs]) for name in flat})


def easy_by_class(data_map: DataMap, groups: np.ndarray, names: list[str]) -> dict[str, float]:
    """Percent of easy instances at `preflight.RATE` in each class, the halves being taken within the class.

    Over all rows a frequent class makes most rows easy, whatever the reference knows of a rare one. `groups`
    [n] are indices into `names`; small classes are left out.
    """
    shares = {}
    for index, name in enumerate(names):
        rows = np.flatnonzero(groups == index)
        if len(rows) >= FEWEST_ROWS:
            own = [
                scores[rows] for scores in (data_map.confidence, data_map.variability, data_map.correctness)
            ]
            shares[name] = 100 * easy_share(DataMap([data_map.uids[row] for row in rows], *own), RATE)
    return shares


def prefix_overlaps(dynamics: Dynamics, rows: np.ndarray, fraction: float, rule: str) -> dict[int, float]:
    """By number of first epochs, the shared fraction of the ambiguous instances by these and of `rows`."""
    return {
        epochs: overlap(rows, select_region(part, "ambiguous", fraction, rule))
        for epochs, part in maps_of_first_epochs(dynamics)
        if epochs < len(dynamics.p_true)
    }


def matched_overlap(rows: np.ndarray, cells: np.ndarray) -> float:
    """The shared fraction that random rows with as many of each cell [n] as `rows` have with them on average.

    Of a cell's n rows m are chosen twice independently: m^2 / n are expected in both.
    """
    sizes, own = np.bincount(cells), np.bincount(cells[rows], minlength=cells.max() + 1)
    return float((own**2 / np.maximum(1, sizes)).sum() / len(rows))


def with_attribution(table: pd.DataFrame, found: dict[str, Attribution]) -> pd.DataFrame:
    """The table of `preflight.build_preflight` with what is known of each reference's ambiguous instances.

    Further columns, shared fractions being means over runs: half_epochs and overlap_half (by so many first
    epochs and by all), rank_half, overlap_longest, overlap_labels, overlap_labels_and_lengths.
    """
    halves = {name: attribution.half or (None, np.nan) for name, attribution in found.items()}
    places = ranks({name: overlap for name, (_, overlap) in halves.items()}, most_first=True)
    further = pd.DataFrame(
        {
            "reference": name,
            "half_epochs": halves[name][0],
            "overlap_half": halves[name][1],
            "rank_half": places[name],
            "overlap_longest": mean(attribution.longest),
            "overlap_labels": mean(attribution.labels),
            "overlap_labels_and_lengths": mean(attribution.labels_and_lengths),
        }
        for name, attribution in found.items()
    ).astype({"half_epochs": "Int64", "rank_half": "Int64"})
    return table.merge(further, "left", "reference")


def traits(attribution: Attribution, row: dict, references: int) -> list[str]:
    """What is known of a reference's ambiguous instances, in plain words; `row` is its own of the table."""
    if not len(attribution.longest):
        return []
    told = []
    if attribution.half:
        epochs, shared = attribution.half
        place = "" if references == 1 else f" (place {row['rank_half']} of {references})"
        told.append(f"its first {epochs} epochs give {100 * shared:.0f} % of its ambiguous instances{place}")
    longest, labels, both = (
        f"{100 * mean(values):.0f} %"
        for values in (attribution.longest, attribution.labels, attribution.labels_and_lengths)
    )
    told.append(
        f"{longest} of its ambiguous instances are among the longest rows; random rows with the same labels "
        f"share {labels} with them, random rows with the same labels and lengths {both}, and any random rows "
        f"{100 * row['overlap_chance']:.0f} %"
    )
    return told


def class_table(found: dict[str, Attribution]) -> pd.DataFrame:
    """A row per reference and class: easy share and its excess over (1 - q)^2 in percent, runs."""
    independent = 100 * (1 - RATE) ** 2
    rows = [
        (reference, name, mean(shares), mean(shares) - independent, len(shares))
        for reference, attribution in found.items()
        for name, shares in attribution.classes.items()
    ]
    return pd.DataFrame(rows, columns=CLASS_COLUMNS)
