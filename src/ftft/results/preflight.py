"""What reference runs say before any main run: numbers, and the order of the references by each of them.

Effective references find more easy instances than ineffective ones (paper, section 4.3), which the paper
calls a rough indicator. A verdict in words is given only where it beats a constant one on past runs
(`recorded`).
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors import SafetensorError, safe_open

from ..artifacts import read_json
from ..cartography.datamap import DataMap
from ..cartography.overlap import overlap_matrix
from ..cartography.selection import easy_share, select_region
from ..errors import ArtifactError
from ..statistics.costs import method_cost
from ..tasks.metrics import has_failed
from .easy_share import RATES

# At this rate the paper's prose tells effective references from others.
RATE = 0.50
COLUMNS = (
    *("main", "reference"),
    *(f"easy_{100 * rate:.0f}" for rate in RATES),
    *(f"easy_{100 * RATE:.0f}_std", "excess", "id_score", "id_score_std", "floor", "runs", "failed"),
    *("overlap_seeds", "overlap_others", "overlap_chance", "parameter_ratio", "cost_low", "cost_high"),
    "break_even",
    *("rank_easy", "rank_overlap", "rank_id", "rank_cost", "cost_note"),
)


@dataclass(frozen=True)
class Reference:
    """What the runs of one reference model showed; arrays hold a value per run that did not fail.

    easy: percent of easy instances by rate; scores: of the task's metric in distribution; floor: what the
    trivial answer would score; between_seeds, with_others: mean shared fraction of the model's ambiguous
    instances, by pairs of its own runs and by pairs with runs of other references (nan: no pair).
    """

    easy: dict[float, np.ndarray]
    scores: np.ndarray
    floor: float
    failed: int
    between_seeds: float
    with_others: float

    @property
    def easy_share(self) -> float:
        """Percent of easy instances at `RATE`, as the paper prints it; nan: all runs failed."""
        return round(mean(self.easy[RATE]), 2)

    @property
    def excess(self) -> float:
        """Points of `easy_share` above what independent halves would leave, (1 - q)^2."""
        return self.easy_share - 100 * (1 - RATE) ** 2


# What references are ranked by: its column, whether more is better, and its value.
MEASURES: dict[str, tuple[bool, Callable[[Reference], float]]] = {
    "rank_easy": (True, lambda reference: reference.easy_share),
    "rank_overlap": (True, lambda reference: reference.between_seeds),
    "rank_id": (True, lambda reference: mean(reference.scores)),
}


def measure(spec: dict, map_files: Iterable[Path], ledger_files: Iterable[Path]) -> dict[str, Reference]:
    """What the runs of every reference model showed, failed ones counted and left out.

    `spec` holds `runs` (model, seed; one map and one ledger each), the task's `metric`, and `fraction` and
    `rule` of the selection whose overlap is measured.
    """
    models, easy, chosen = [], [], []
    outcomes = [read_json(file)["outcome"] for file in ledger_files]
    good = [not has_failed(outcome, spec["metric"]) for outcome in outcomes]
    for (model, _), map_file, succeeded in zip(spec["runs"], map_files, good, strict=True):
        if succeeded:
            data_map, _ = DataMap.load(map_file)
            models.append(model)
            easy.append([100 * easy_share(data_map, rate) for rate in RATES])
            chosen.append(select_region(data_map, "ambiguous", spec["fraction"], spec["rule"]))
    shared = overlap_matrix(chosen) if chosen else np.empty((0, 0))
    np.fill_diagonal(shared, np.nan)
    easy, of_run = np.array(easy).reshape(-1, len(RATES)), np.array(models, str)
    found = {}
    for model in dict.fromkeys(model for model, _ in spec["runs"]):
        runs = zip(spec["runs"], outcomes, good, strict=True)
        own_outcomes = [(outcome, succeeded) for (name, _), outcome, succeeded in runs if name == model]
        own = of_run == model
        found[model] = Reference(
            dict(zip(RATES, easy[own].T, strict=True)),
            np.array(
                [outcome["validation"][spec["metric"]] for outcome, succeeded in own_outcomes if succeeded]
            ),
            own_outcomes[0][0]["floor"][spec["metric"]],
            sum(not succeeded for _, succeeded in own_outcomes),
            mean(shared[np.ix_(own, own)]),
            mean(shared[np.ix_(own, ~own)]),
        )
    return found


def parameter_count(folder: Path) -> int:
    """Parameters of a prepared encoder without input embeddings and pooler, by the header of its weights.

    What `cost.parameters.without_embeddings` of a ledger counts, less the head. Raises ArtifactError.
    """
    weights = Path(folder) / "model.safetensors"
    vocabulary = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8")).get("vocab_size")
    try:
        with safe_open(weights, "np") as file:
            shapes = {name: file.get_slice(name).get_shape() for name in sorted(file.keys())}
    except (OSError, SafetensorError) as error:
        raise ArtifactError(
            f"{weights} cannot be read",
            got=str(error),
            expected="a whole safetensors file",
            fix=f"delete it and let snakemake make it again: snakemake {weights}",
        ) from error
    return sum(
        int(np.prod(shape, dtype=np.int64))
        for name, shape in shapes.items()
        if not name.startswith("pooler.") and not ("embed" in name and shape[:1] == [vocabulary])
    )


def ranks(values: dict[str, float], most_first: bool) -> dict[str, int | None]:
    """Each reference's place from 1, equal ones alike; None where nothing is known."""
    known = [value for value in values.values() if not np.isnan(value)]

    def better(other: float, value: float) -> bool:
        return other > value if most_first else other < value

    return {
        name: None if np.isnan(value) else 1 + sum(better(other, value) for other in known)
        for name, value in values.items()
    }


def build_preflight(
    spec: dict, references: dict[str, Reference], parameters: dict[str, float]
) -> pd.DataFrame:
    """One row per main and reference model, those with the most easy instances first.

    `spec` as for `measure`, with `pairs` (main, reference) and the paper's `consumed_shares`; `parameters`
    holds counts by model.

    Columns: main, reference, easy_10 ... easy_50 (means over runs, percent) and easy_50_std, excess (points
    of easy_50 above what independent halves would leave), id_score (mean) and its _std, floor, runs, failed,
    overlap_seeds, overlap_others, overlap_chance, parameter_ratio (reference to main), cost_low and cost_high
    of FTFT (ERM of the main model is 100; the main model stops as early as any of the paper's, or never,
    which is what DM costs), break_even (the share of its length before which FTFT has to stop to cost less),
    rank_easy (by easy_50, which ranks by the excess too), rank_overlap (by overlap_seeds), rank_id,
    rank_cost (by size, the smallest first), cost_note.
    """
    by_measure = {
        name: ranks({model: value(reference) for model, reference in references.items()}, most_first)
        for name, (most_first, value) in MEASURES.items()
    }
    by_measure["rank_cost"] = ranks({model: float(parameters[model]) for model in references}, False)
    rows = []
    for main, name in spec["pairs"]:
        reference = references[name]
        ratio = parameters[name] / parameters[main]
        low, high = (
            method_cost(1.0, 1.0, share, reference=ratio) for share in (min(spec["consumed_shares"]), 1.0)
        )
        rows.append(
            {
                "main": main,
                "reference": name,
                **{f"easy_{100 * rate:.0f}": mean(reference.easy[rate]) for rate in RATES},
                f"easy_{100 * RATE:.0f}_std": _deviation(reference.easy[RATE]),
                "excess": reference.excess,
                "id_score": mean(reference.scores),
                "id_score_std": _deviation(reference.scores),
                "floor": reference.floor,
                "runs": len(reference.scores),
                "failed": reference.failed,
                "overlap_seeds": reference.between_seeds,
                "overlap_others": reference.with_others,
                "overlap_chance": spec["fraction"],
                "parameter_ratio": ratio,
                "cost_low": low,
                "cost_high": high,
                "break_even": max(0.0, 1 - ratio),
                **{measured: places[name] for measured, places in by_measure.items()},
                "cost_note": cost_note(ratio, low, high),
            }
        )
    table = pd.DataFrame(rows, columns=COLUMNS)
    ranked = [column for column in COLUMNS if column.startswith("rank_")]
    table[ranked] = table[ranked].astype("Int64")
    return table.sort_values("rank_easy", kind="stable", na_position="last", ignore_index=True)


def findings(name: str, references: dict[str, Reference], row: dict, chance: float, label: str) -> list[str]:
    """What is known of a reference, in plain words: each number and its place among the references."""
    reference = references[name]
    runs, of = len(reference.scores), len(references)
    if not runs:
        return [
            f"none of its {reference.failed} runs did better than the trivial answer: do not use its data map"
        ]

    def place(column: str) -> str:
        return "" if of == 1 or pd.isna(row[column]) else f" (place {row[column]} of {of})"

    found = [
        f"{reference.easy_share:.2f} % of the instances are easy, {abs(reference.excess):.2f} points "
        f"{'more' if reference.excess >= 0 else 'fewer'} than if the most ambiguous and the hardest half "
        f"were independent{place('rank_easy')}"
    ]
    if runs > 1:
        found.append(
            f"two of its runs share {100 * reference.between_seeds:.0f} % of their ambiguous instances, "
            f"where {100 * chance:.0f} % is chance{place('rank_overlap')}"
        )
    else:
        found.append("how far seeds agree is not known from one run")
    found.append(
        f"{label} {100 * mean(reference.scores):.2f} in distribution, where the trivial answer has "
        f"{100 * reference.floor:.2f}{place('rank_id')}"
    )
    if reference.failed:
        found.append(
            f"{reference.failed} of {runs + reference.failed} runs did no better than the trivial answer"
        )
    return found


def cost_note(ratio: float, low: float, high: float) -> str:
    """What FTFT is expected to cost; `ratio` is the reference's size to the main model's."""
    span = f"{low:.0f} to {high:.0f} % of ERM"
    if low >= 100:
        return f"FTFT does not pay: it costs {span}"
    stop = 100 * (1 - ratio)
    paid = f"FTFT pays if the main run stops before {stop:.0f} % of its length"
    return f"FTFT costs {span}, DM {high:.0f} %; {paid}"


def mean(values: np.ndarray) -> float:
    """The mean of what is known; nan where nothing is."""
    kept = values[~np.isnan(values)]
    return float(kept.mean()) if kept.size else float("nan")


def _deviation(values: np.ndarray) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
