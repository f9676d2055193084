"""Selections: the training instances a main model sees (paper, sections 2 and 3)."""

from collections.abc import Iterator, Sequence

import numpy as np

from ..errors import DataError
from . import ranking
from .datamap import DataMap, MapFile

# Score by region and its sign; the instances that score highest are selected.
REGION_SCORES = {
    "ambiguous": ("variability", 1.0),
    "hard-to-learn": ("confidence", -1.0),
    "easy": ("confidence", 1.0),
    "forgetting": ("forgetting", 1.0),
    "aum": ("aum", -1.0),
    "el2n": ("el2n", 1.0),
    "entropy": ("entropy", 1.0),
    "threshold": ("threshold", 1.0),
}


def select_region(data_map: DataMap, region: str, fraction: float, rule: str = "exact") -> np.ndarray:
    """Rows of the `fraction` of instances that lie deepest in a region, ascending.

    ambiguous: largest variability; hard-to-learn: smallest confidence; easy: largest confidence
    (as a selection, after Swayamdipta et al.; the easy *share* of the paper is `easy_share`).
    forgetting, el2n, entropy and threshold: the largest of these scores; aum: the smallest (`scores`).
    rule `exact` takes round(fraction x n) instances; ties at the last place go by a hash of the uid.
    rule `quantile` takes those strictly above the (1 - fraction) quantile, as the authors' code does:
    ties there shrink the selection. Raises DataError for an empty selection.
    """
    return np.concatenate(list(region_rows(data_map, region, fraction, rule)))


def region_rows(data_map: DataMap | MapFile, region: str, fraction: float, rule: str) -> Iterator[np.ndarray]:
    """Yield the rows of `select_region`, an array per block of the map."""
    score, sign = REGION_SCORES[region]
    instances = len(data_map)

    def keys() -> Iterator[np.ndarray]:
        return (ranking.order_key(sign * block) for block in data_map.blocks(score))

    def names(rows: np.ndarray) -> list[str]:
        return data_map.uids_of(rows).to_pylist()

    if rule == "quantile":
        threshold = ranking.quantile(keys, instances, 1 - fraction)
        blocks = ranking.above(keys, ranking.order_key(np.float64(threshold)))
    else:
        blocks = ranking.largest(keys, selection_size(fraction, instances), names)
    found = 0
    for rows in blocks:
        found += len(rows)
        yield rows
    if not found:
        raise _empty(fraction, instances)


def select_random(uids: list[str], fraction: float, seed: int) -> np.ndarray:
    """Rows of a seeded random `fraction` of the instances, ascending; the baseline of Table 1.

    The choice depends on the set of uids and the seed, not on the order of the rows.
    """
    return np.flatnonzero(random_places(uids, seed) < selection_size(fraction, len(uids)))


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


def _empty(fraction: float, instances: int) -> DataError:
    return DataError(
        "the selection is empty",
        got=f"fraction {fraction:g} of {instances} instances",
        expected="at least one instance",
        fix="raise selection.fraction, or use selection.rule: exact if all scores are tied",
    )
