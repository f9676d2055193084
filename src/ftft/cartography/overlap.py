"""How much selections of one data set share (paper, section 4.1)."""

from collections.abc import Iterable, Sequence

import numpy as np

from ..errors import DataError


def overlap(rows_a: Sequence[int], rows_b: Sequence[int]) -> float:
    """Shared fraction of two selections of distinct rows: |A ∩ B| / min(|A|, |B|).

    For selections of one size, the fraction q of the data, independent ones are expected to share q.
    Raises DataError where a selection is empty.
    """
    return float(overlap_matrix([rows_a, rows_b])[0, 1])


def overlap_matrix(selections: Iterable[Sequence[int]]) -> np.ndarray:
    """Overlap of every selection with every other: [selections, selections], symmetric, diagonal 1.

    Raises DataError where a selection is empty.
    """
    selections = [np.asarray(rows, np.int64) for rows in selections]
    if any(len(rows) == 0 for rows in selections):
        raise DataError("an empty selection has no overlap with others", expected="at least one instance")
    shared = np.empty((len(selections), len(selections)))
    chosen = np.zeros(1 + max(rows.max() for rows in selections), bool)
    for place, rows in enumerate(selections):
        chosen[rows] = True
        shared[place] = [chosen[others].sum() for others in selections]
        chosen[rows] = False
    sizes = np.array([len(rows) for rows in selections])
    return shared / np.minimum.outer(sizes, sizes)
