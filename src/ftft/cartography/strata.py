"""Selectors that rank or draw within strata: of difficulty, of length, of like loss trajectories.

They fit every kind of task. For generated texts, whose scores go with length, they are what is left to choose
by.
"""

import numpy as np

from .mixtures import coverage_centric, of_each, signed
from .scores import losses, mean_ranks
from .selection import (
    Pool,
    even_quotas,
    length_parts,
    proportional_quotas,
    random_places,
    ranking,
    selector,
)

# Of equal size, in which instances are alike in difficulty.
DIFFICULTY_BINS = 50
# As the authors of S2L have it.
CLUSTERS = 100


@ranking("ambiguous_within_difficulty", scores=["mean_loss", "variability"])
def ambiguous_within_difficulty(pool: Pool) -> np.ndarray:
    """The largest variability among the instances of like mean loss, in 50 bins of as many instances each."""
    return rank_within(pool.data_map["variability"], pool.data_map["mean_loss"], DIFFICULTY_BINS)


@ranking("high_mean_low_variance", scores=["confidence", "variability"])
def high_mean_low_variance(pool: Pool) -> np.ndarray:
    """The largest rank of confidence less rank of variability, the opposite of ambiguous.

    The third that is best of preference data in arXiv 2505.23114.
    """
    return mean_ranks(pool.data_map["confidence"]) - mean_ranks(pool.data_map["variability"])


@ranking("ifd", scores=["ifd"])
def instruction_following_difficulty(pool: Pool) -> np.ndarray:
    """The largest Instruction-Following Difficulty (IFD) below 1, before any training (Li et al. 2023).

    Rows at 1 or above, whose prompt makes the response less likely, come last, as Li et al. leave them out.
    """
    found = pool.data_map["ifd"]
    return np.where(found < 1, found, -found)


@selector("within_lengths", of_another=True, looks=True)
def within_lengths(pool: Pool, selector: str) -> np.ndarray:
    """The end of a score in every tenth of the lengths, with as many rows of each as all rows have."""
    parts = length_parts(pool.lengths)
    groups = [np.flatnonzero(parts == part) for part in np.unique(parts)]
    quotas = proportional_quotas([len(rows) for rows in groups], pool.size)
    return of_each(signed(pool, selector), groups, quotas, pool.uids)


@selector("hard_in_strata", scores=["mean_loss"], pruned=0.1, strata=50)
def hard_in_strata(pool: Pool, pruned: float, strata: int) -> np.ndarray:
    """Drawn evenly from `strata` of equal width in mean loss, the hardest share `pruned` left out (Zheng et
    al. 2023).
    """
    return coverage_centric(pool.data_map["mean_loss"], pool.uids, pool.fraction, pruned, pool.seed, strata)


@selector("s2l", signals=["p_true"], clusters=CLUSTERS)
def small_to_large(pool: Pool, clusters: int) -> np.ndarray:
    """Random rows, as many of each of the `clusters` of loss trajectories as their sizes allow (Yang et al.
    2024, S2L).

    A trajectory is the mean loss of each epoch; k-means is scikit-learn's, seeded as the pool is.
    """
    places = random_places(pool.uids, pool.seed)
    cluster = clusters_of(losses(pool.dynamics.p_true), places, clusters, pool.seed)
    groups = [np.flatnonzero(cluster == one) for one in np.unique(cluster)]
    quotas = even_quotas([len(rows) for rows in groups], pool.size)
    chosen = [rows[np.argsort(places[rows])[:quota]] for rows, quota in zip(groups, quotas, strict=True)]
    return np.sort(np.concatenate(chosen))


def clusters_of(trajectories: np.ndarray, places: np.ndarray, clusters: int, seed: int) -> np.ndarray:
    """The cluster [n] of each of the trajectories [epochs, n], by k-means on the rows in the order of their
    `places`, so that the result does not depend on that of the data.
    """
    from sklearn.cluster import KMeans

    order = np.argsort(places)
    points = trajectories.T[order]
    count = min(clusters, len(np.unique(points, axis=0)))
    found = np.empty(len(places), np.int64)
    found[order] = KMeans(count, n_init=1, random_state=seed).fit_predict(points)
    return found


def rank_within(values: np.ndarray, difficulty: np.ndarray, bins: int) -> np.ndarray:
    """The rank of each value, 0 to 1, among those of its bin of `difficulty`; bins hold as many values each.

    Equal values share their mean rank, so that the order of the rows does not count.
    """
    place = np.minimum((mean_ranks(difficulty) / len(difficulty) * bins).astype(np.int64), bins - 1)
    found = np.empty(len(values))
    for one in np.unique(place):
        own = np.flatnonzero(place == one)
        found[own] = (mean_ranks(values[own]) + 0.5) / len(own)
    return found
