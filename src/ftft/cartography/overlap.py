"""How much selections of one data set share (paper, section 4.1)."""

from collections.abc import Iterable, Sequence

import numpy as np

from . import arguments


def overlap(rows_a: Sequence[int] | np.ndarray, rows_b: Sequence[int] | np.ndarray) -> float:
    """The shared fraction of two selections of distinct rows: |A ∩ B| / min(|A|, |B|).

    Two independent selections of the fraction q of the data are expected to share q. The function raises
    DataError for an empty selection, for repeated or negative rows, and for masks.
    """
    return float(_shared([arguments.rows("rows_a", rows_a), arguments.rows("rows_b", rows_b)])[0, 1])


def overlap_matrix(selections: Iterable[Sequence[int] | np.ndarray]) -> np.ndarray:
    """The overlap of every selection with every other: [selections, selections], symmetric, diagonal 1.

    The function raises DataError as `overlap` does, and where there is no selection.
    """
    if isinstance(selections, str | bytes) or not isinstance(selections, Iterable):
        raise arguments.refuse("selections", selections, "a sequence of selections, each of them rows")
    chosen = [
        arguments.rows(f"selections[{place}]", rows) for place, rows in enumerate(_selections(selections))
    ]
    if not chosen:
        raise arguments.refuse("selections", "none", "at least one selection")
    return _shared(chosen)


def _selections(selections: Iterable) -> list:
    # An array without dimensions claims to be iterable.
    if getattr(selections, "shape", None) == ():
        raise arguments.refuse("selections", selections, "a sequence of selections, each of them rows")
    return list(selections)


def _shared(selections: list[np.ndarray]) -> np.ndarray:
    # Places among the rows that occur bound the memory, however large a row may be.
    _, places = np.unique(np.concatenate(selections), return_inverse=True)
    sizes = np.array([len(rows) for rows in selections])
    parts = np.split(places, np.cumsum(sizes)[:-1])
    shared = np.empty((len(parts), len(parts)))
    chosen = np.zeros(places.max() + 1, bool)
    for row, part in enumerate(parts):
        chosen[part] = True
        shared[row] = [np.count_nonzero(chosen[other]) for other in parts]
        chosen[part] = False
    return shared / np.minimum.outer(sizes, sizes)
