"""Selectors that mix: ends of scores within classes, with easy instances, in strata, or as added weight."""

from collections.abc import Sequence

import numpy as np

from ..errors import DataError
from .arguments import checked
from .selection import (
    ENDS,
    RANKINGS,
    Pool,
    even_quotas,
    largest,
    proportional_quotas,
    random_places,
    selection_size,
    selector,
)
from .supervision import Supervision


def signed(pool: Pool, name: str) -> np.ndarray:
    """The score whose end a selector takes, [n], the largest values first in line."""
    if name in RANKINGS:
        return RANKINGS[name](pool)
    if name not in ENDS:
        raise DataError(
            f"'{name}' puts the instances in no order, and cannot be mixed",
            got=name,
            expected=f"one of {', '.join([*ENDS, *RANKINGS])}",
            fix="name another selector under selections",
        )
    score, sign = ENDS[name]
    return sign * pool.data_map[score]


@selector("class_balanced", of_another=True, looks=True)
def _class_balanced(pool: Pool, selector: str) -> np.ndarray:
    """The end of a score in every class, as many rows of each as the classes' sizes allow."""
    return class_balanced(signed(pool, selector), pool.make_up, pool.uids, pool.fraction)


@selector("within_labels", of_another=True, looks=True)
def _within_labels(pool: Pool, selector: str) -> np.ndarray:
    """The end of a score in every class, with the class counts of all rows."""
    classes = [np.flatnonzero(pool.make_up == label) for label in np.unique(pool.make_up)]
    quotas = proportional_quotas([len(rows) for rows in classes], pool.size)
    return of_each(signed(pool, selector), classes, quotas, pool.uids)


@selector("with_easy", scores=["confidence"], of_another=True, easy=0.1)
def _with_easy(pool: Pool, selector: str, easy: float) -> np.ndarray:
    """The end of a score, the share `easy` of it exchanged for the easiest of the rest (Swayamdipta et al.
    2020).
    """
    return with_easy(signed(pool, selector), pool.data_map["confidence"], pool.uids, pool.fraction, easy)


@selector("coverage_centric", of_another=True, pruned=0.1, strata=50)
def _coverage_centric(pool: Pool, selector: str, pruned: float, strata: int) -> np.ndarray:
    """Drawn evenly from `strata` of equal width in a score, the hardest share `pruned` left out (Zheng et
    al. 2023).
    """
    return coverage_centric(signed(pool, selector), pool.uids, pool.fraction, pruned, pool.seed, strata)


@selector("with_copies", of_another=True, copies=1, base=1.0)
def _with_copies(pool: Pool, selector: str, copies: int, base: float) -> Supervision:
    """A random share `base` of all rows, those at the end of a score weighing as much as `copies` more of
    them.

    Sar-Shalom & Schwartz (2023) add copies of the ambiguous instances to the training set.
    """
    scores = signed(pool, selector)
    return Supervision.counted(with_copies(scores, pool.uids, pool.fraction, copies, pool.seed, base))


@checked
def class_balanced(
    scores: np.ndarray, labels: np.ndarray, uids: Sequence[str], fraction: float
) -> np.ndarray:
    """Rows of the largest `scores` [n] of every class, as many of each as the classes' sizes allow.

    A class that is too small gives all it has, and the others share what it leaves.
    """
    classes = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    quotas = even_quotas([len(rows) for rows in classes], selection_size(fraction, len(scores)))
    return of_each(scores, classes, quotas, uids)


def of_each(
    scores: np.ndarray, groups: list[np.ndarray], quotas: list[int], uids: Sequence[str]
) -> np.ndarray:
    """Rows of the largest `scores` [n] of each of the `groups`, as many as its quota."""
    chosen = [
        rows[largest(scores[rows], _those(uids, rows), quota)]
        for rows, quota in zip(groups, quotas, strict=True)
    ]
    return np.sort(np.concatenate(chosen))


@checked
def with_easy(
    ambiguity: np.ndarray, confidence: np.ndarray, uids: Sequence[str], fraction: float, easy: float
) -> np.ndarray:
    """Rows of the most ambiguous instances, the share `easy` of them exchanged for the easiest of the rest.

    Swayamdipta et al. (2020), section 4: a small ambiguous selection alone may not train, with a tenth of it
    easy it does. ambiguity (variability, say) and confidence: float64 [n].
    """
    size = selection_size(fraction, len(ambiguity))
    easiest = int(np.floor(easy * size + 0.5))
    ambiguous = largest(ambiguity, uids, size - easiest)
    rest = np.delete(np.arange(len(ambiguity)), ambiguous)
    easy_rows = rest[largest(confidence[rest], _those(uids, rest), easiest)]
    return np.sort(np.concatenate([ambiguous, easy_rows]))


@checked
def coverage_centric(
    scores: np.ndarray, uids: Sequence[str], fraction: float, pruned: float, seed: int, strata: int = 50
) -> np.ndarray:
    """Rows drawn evenly from strata of equal width in `scores` [n], the hardest share `pruned` left out.

    Zheng et al. (2023), algorithm 1 (CCS), with their 50 strata; a large score is hard. A stratum that is too
    small gives all it has, and the others share what it leaves.
    """
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


@checked
def with_copies(
    scores: np.ndarray, uids: Sequence[str], fraction: float, copies: int, seed: int, base: float = 1.0
) -> np.ndarray:
    """Rows of a random share `base` of all instances and `copies` copies of the `fraction` of largest
    scores.

    Sar-Shalom & Schwartz (2023) add copies of the ambiguous instances to the whole training set. A row
    occurs as often as it is to count.
    """
    chance = np.flatnonzero(random_places(uids, seed) < selection_size(base, len(scores)))
    repeated = largest(scores, uids, selection_size(fraction, len(scores)))
    return np.sort(np.concatenate([chance, *[repeated] * copies]))


def _those(uids: Sequence[str], rows: np.ndarray) -> list[str]:
    return [uids[row] for row in rows]
