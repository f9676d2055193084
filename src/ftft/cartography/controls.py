"""Selectors that need no model, and what tells how much a map's selection owes to labels and lengths."""

import numpy as np

from . import selection
from .dual_model import everything
from .selection import Pool, even_quotas, largest, length_parts, random_places, select_random, selector
from .supervision import Supervision

# What a selection's gain over random rows is split into; the last only a reference model can give.
PARTS = ("label make-up", "length", "training dynamics")
# Controls of another selection, the closest last.
MATCHED = ("matched_labels", "matched_random")


@selector("random")
def uniform(pool: Pool) -> np.ndarray:
    """A random share of all rows: the baseline of Table 1."""
    return select_random(pool.uids, pool.fraction, pool.seed)


@selector("balanced", looks=True)
def balanced_random(pool: Pool) -> np.ndarray:
    """Random rows, as many of each label make-up as their sizes allow."""
    places = random_places(pool.uids, pool.seed)
    groups = [np.flatnonzero(pool.make_up == code) for code in np.unique(pool.make_up)]
    quotas = even_quotas([len(rows) for rows in groups], pool.size)
    chosen = [rows[np.argsort(places[rows])[:quota]] for rows, quota in zip(groups, quotas, strict=True)]
    return np.sort(np.concatenate(chosen))


@selector("balanced_weights", looks=True, all_rows=True)
def balanced_weights(pool: Pool) -> Supervision:
    """Every row, each label make-up weighing as much in all as any other: the usual class weights.

    A row of a make-up with m of n rows weighs n / (k m), with k make-ups; weights count within a batch.
    """
    _, codes, counts = np.unique(pool.make_up, return_inverse=True, return_counts=True)
    return everything(pool, len(pool) / (len(counts) * counts[codes]))


@selector("longest", looks=True)
def longest(pool: Pool) -> np.ndarray:
    """The rows with the longest texts."""
    return largest(pool.lengths.astype(np.float64), pool.uids, pool.size)


@selector("matched_labels", of_another=True, looks=True)
def matched_labels(pool: Pool, selector: str) -> np.ndarray:
    """Random rows with the same counts of label make-up as the rows of another selector."""
    return _matched(pool, selection.choose(selector, pool, {}).rows, pool.make_up.astype(np.int64))


@selector("matched_random", of_another=True, looks=True)
def matched_random(pool: Pool, selector: str) -> np.ndarray:
    """Random rows with the same joint counts of label make-up and length decile as the rows of another
    selector.

    What a selection gains over these is not owed to the labels and lengths that it happens to prefer.
    """
    cells = pool.make_up.astype(np.int64) * selection.LENGTH_PARTS + length_parts(pool.lengths)
    return _matched(pool, selection.choose(selector, pool, {}).rows, cells)


def _matched(pool: Pool, rows: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Random rows, as many of each cell [n] as `rows` has."""
    places = random_places(pool.uids, pool.seed)
    chosen = []
    for cell, count in zip(*np.unique(cells[rows], return_counts=True), strict=True):
        alike = np.flatnonzero(cells == cell)
        chosen.append(alike[np.argsort(places[alike])[:count]])
    return np.sort(np.concatenate(chosen))
