"""Selections that mix: pure functions of scores, labels and uids, the same whatever the order of the rows.

The largest scores are selected, ties by a hash of the uid; chance depends on the set of uids and the seed
alone. All give ascending rows and raise DataError for a selection that would be empty or cannot be made.
"""

from collections.abc import Sequence

import numpy as np

from ..errors import DataError
from . import ranking
from .datamap import DataMap
from .selection import REGION_SCORES, random_places, selection_size


def mixed(spec: dict, seed: int, data_map: DataMap, labels: np.ndarray) -> np.ndarray:
    """Rows of the mixture that `spec` names: its `selector`, its `settings`, with the `selector` whose end of
    a score it takes, and `fraction`; the four functions below define them. labels: [n]."""
    name, sign = REGION_SCORES[spec["settings"]["selector"]]
    scores = sign * np.concatenate(list(data_map.blocks(name)))
    uids, fraction = data_map.uids, spec["fraction"]
    match spec["selector"]:
        case "class_balanced":
            return class_balanced(scores, labels, uids, fraction)
        case "with_easy":
            return with_easy(scores, data_map.confidence, uids, fraction, spec["settings"]["easy"])
        case "coverage_centric":
            return coverage_centric(
                scores, uids, fraction, spec["settings"]["pruned"], seed, spec["settings"]["strata"]
            )
        case "with_copies":
            return with_copies(
                scores, uids, fraction, spec["settings"]["copies"], seed, spec["settings"]["base"]
            )
    raise ValueError(spec["selector"])


def class_balanced(
    scores: np.ndarray, labels: np.ndarray, uids: Sequence[str], fraction: float
) -> np.ndarray:
    """Rows of the largest `scores` [n] of every class, as many of each as the classes' sizes allow.

    A class that is too small gives all it has, and the others share what it leaves.
    """
    classes = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    quotas = even_quotas([len(rows) for rows in classes], selection_size(fraction, len(scores)))
    chosen = [
        rows[largest(scores[rows], _those(uids, rows), quota)]
        for rows, quota in zip(classes, quotas, strict=True)
    ]
    return np.sort(np.concatenate(chosen))


def with_easy(
    ambiguity: np.ndarray, confidence: np.ndarray, uids: Sequence[str], fraction: float, easy: float
) -> np.ndarray:
    """Rows of the most ambiguous instances, the share `easy` of them exchanged for the easiest of the rest.

    Swayamdipta et al. (2020), section 4: a small ambiguous selection alone may not train, with a tenth of it
    easy it does. ambiguity (variability, say) and confidence: float64 [n].
    """
    _require_share("easy", easy)
    size = selection_size(fraction, len(ambiguity))
    easiest = int(np.floor(easy * size + 0.5))
    ambiguous = largest(ambiguity, uids, size - easiest)
    rest = np.delete(np.arange(len(ambiguity)), ambiguous)
    easy_rows = rest[largest(confidence[rest], _those(uids, rest), easiest)]
    return np.sort(np.concatenate([ambiguous, easy_rows]))


def coverage_centric(
    scores: np.ndarray, uids: Sequence[str], fraction: float, pruned: float, seed: int, strata: int = 50
) -> np.ndarray:
    """Rows drawn evenly from strata of equal width in `scores` [n], the hardest share `pruned` left out.

    Zheng et al. (2023), algorithm 1 (CCS), with their 50 strata; a large score is hard. A stratum that is too
    small gives all it has, and the others share what it leaves.
    """
    _require_share("pruned", pruned)
    size = selection_size(fraction, len(scores))
    hardest = largest(scores, uids, int(pruned * len(scores)))
    rows = np.delete(np.arange(len(scores)), hardest)
    if size > len(rows):
        raise DataError(
            "the selection is larger than what is left to select from",
            got=f"fraction {fraction:g} of {len(scores)} instances, of which {len(rows)} remain",
            expected="fraction + pruned of at most 1",
            fix="lower one of them",
        )
    edges = np.linspace(scores[rows].min(), scores[rows].max(), strata + 1)
    stratum = np.searchsorted(edges[1:-1], scores[rows], side="right")
    quotas = np.array(even_quotas(np.bincount(stratum, minlength=strata).tolist(), size))
    # Stratum after stratum, in random order within each.
    order = np.lexsort((random_places(uids, seed)[rows], stratum))
    first = np.searchsorted(stratum[order], np.arange(strata))
    place = np.arange(len(rows)) - first[stratum[order]]
    return np.sort(rows[order[place < quotas[stratum[order]]]])


def with_copies(
    scores: np.ndarray, uids: Sequence[str], fraction: float, copies: int, seed: int, base: float = 1.0
) -> np.ndarray:
    """Rows of a random share `base` of all instances and `copies` copies of the `fraction` of largest scores.

    Sar-Shalom & Schwartz (2023) add copies of the ambiguous instances to the whole training set. Rows occur
    as often as they are to be trained on in an epoch.
    """
    if copies < 1:
        raise DataError("there are no copies to add", got=f"copies: {copies}", expected="at least 1")
    chance = np.flatnonzero(random_places(uids, seed) < selection_size(base, len(scores)))
    repeated = largest(scores, uids, selection_size(fraction, len(scores)))
    return np.sort(np.concatenate([chance, *[repeated] * copies]))


def largest(scores: np.ndarray, uids: Sequence[str], count: int) -> np.ndarray:
    """Rows of the `count` largest scores, ascending; ties by a hash of the uid."""
    keys = [ranking.order_key(np.asarray(scores, np.float64))]
    (rows,) = ranking.largest(lambda: keys, count, lambda rows: _those(uids, rows))
    return rows


def even_quotas(sizes: Sequence[int], total: int) -> list[int]:
    """Split `total` over groups of these sizes as evenly as they allow, the smallest first.

    What does not divide goes to the largest; groups of one size are taken in order.
    """
    quotas = [0] * len(sizes)
    for served, group in enumerate(sorted(range(len(sizes)), key=sizes.__getitem__)):
        quotas[group] = min(sizes[group], total // (len(sizes) - served))
        total -= quotas[group]
    return quotas


def _those(uids: Sequence[str], rows: np.ndarray) -> list[str]:
    return [uids[row] for row in rows]


def _require_share(name: str, share: float) -> None:
    if not 0 <= share <= 1:
        raise DataError(f"'{name}' is not a share", got=share, expected="a number from 0 to 1")
