"""Selections: the training instances a main model sees (paper, sections 2 and 3)."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..artifacts import write_parquet
from ..data.dataset import Dataset, uid_hash
from ..errors import ArtifactError, DataError
from .datamap import DataMap

# Score by region; the instances that score highest are selected.
REGION_SCORES: dict[str, Callable[[DataMap], np.ndarray]] = {
    "ambiguous": lambda data_map: data_map.variability,
    "hard-to-learn": lambda data_map: -data_map.confidence,
    "easy": lambda data_map: data_map.confidence,
}


def select(spec: dict, seed: int, dataset: Dataset, map_file: str | Path | None, output: str | Path) -> None:
    """Make the selection that `spec` describes (region, fraction, rule) and write its rows and uids.

    Without a data map the selection is random. Raises ArtifactError for a map of other data.
    """
    if map_file is None:
        rows = select_random(dataset.uids, spec["fraction"], seed)
    else:
        data_map, metadata = DataMap.load(map_file)
        if metadata["data_hash"] != dataset.content_hash:
            raise ArtifactError(
                f"the data map {map_file} was built on other data than it is to select from",
                fix=f"delete the file and let snakemake make it again: snakemake {map_file}",
            )
        rows = select_region(data_map, spec["region"], spec["fraction"], spec["rule"])
    table = pa.table(
        {"row": pa.array(rows, pa.int32()), "uid": pa.array([dataset.uids[row] for row in rows])}
    )
    write_parquet(output, table, {**spec, "seed": seed, "data_hash": dataset.content_hash})


def select_region(data_map: DataMap, region: str, fraction: float, rule: str = "exact") -> np.ndarray:
    """Rows of the `fraction` of instances that lie deepest in a region, ascending.

    ambiguous: largest variability; hard-to-learn: smallest confidence; easy: largest confidence
    (as a selection, after Swayamdipta et al.; the easy *share* of the paper is `easy_share`).
    rule `exact` takes round(fraction x n) instances; ties at the last place go by a hash of the uid.
    rule `quantile` takes those strictly above the (1 - fraction) quantile, as the authors' code does:
    ties there shrink the selection. Raises DataError for an empty selection.
    """
    scores = REGION_SCORES[region](data_map)
    if rule == "quantile":
        rows = np.flatnonzero(scores > np.quantile(scores, 1 - fraction))
    else:
        rows = _largest(scores, data_map.uids, _size(fraction, len(scores)))
    return _non_empty(rows, fraction, len(scores))


def select_random(uids: list[str], fraction: float, seed: int) -> np.ndarray:
    """Rows of a seeded random `fraction` of the instances, ascending; the baseline of Table 1.

    The choice depends on the set of uids and the seed, not on the order of the rows.
    """
    order = np.array(sorted(range(len(uids)), key=uids.__getitem__))
    chosen = np.random.Generator(np.random.PCG64([seed, len(uids)])).permutation(len(uids))
    rows = np.sort(order[chosen[: _size(fraction, len(uids))]])
    return _non_empty(rows, fraction, len(uids))


def regions(data_map: DataMap, fraction: float) -> dict[str, np.ndarray]:
    """Membership masks [n] of ambiguous, hard-to-learn and easy at rate `fraction` (paper, section 2).

    The first two may overlap; easy is neither of them.
    """
    masks = {}
    for region in ("ambiguous", "hard-to-learn"):
        mask = np.zeros(len(data_map.uids), bool)
        mask[select_region(data_map, region, fraction)] = True
        masks[region] = mask
    masks["easy"] = ~(masks["ambiguous"] | masks["hard-to-learn"])
    return masks


def easy_share(data_map: DataMap, fraction: float) -> float:
    """Share of easy instances at rate `fraction` (paper, Table 4): 1 - 2q to 1 - q, 0 at least."""
    return float(regions(data_map, fraction)["easy"].mean())


def _size(fraction: float, instances: int) -> int:
    return int(np.floor(fraction * instances + 0.5))


def _largest(scores: np.ndarray, uids: list[str], count: int) -> np.ndarray:
    if count == 0:
        return np.array([], np.int64)
    threshold = np.partition(scores, -count)[-count]
    above = np.flatnonzero(scores > threshold)
    tied = np.flatnonzero(scores == threshold)
    by_hash = sorted(tied, key=lambda row: (uid_hash(uids[row]), uids[row]))
    return np.sort(np.concatenate([above, np.array(by_hash[: count - len(above)], np.int64)]))


def _non_empty(rows: np.ndarray, fraction: float, instances: int) -> np.ndarray:
    if len(rows) == 0:
        raise DataError(
            "the selection is empty",
            got=f"fraction {fraction:g} of {instances} instances",
            expected="at least one instance",
            fix="raise selection.fraction, or use selection.rule: exact if all scores are tied",
        )
    return rows
