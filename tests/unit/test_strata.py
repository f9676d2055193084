"""Selectors that rank or draw within strata, by hand-made numbers."""

import random

import numpy as np
import pytest

from ftft.cartography.datamap import DataMap
from ftft.cartography.dynamics import Dynamics
from ftft.cartography.selection import Pool, choose
from ftft.cartography.strata import rank_within
from ftft.errors import DataError

ROWS = 400
UIDS = [f"u{row}" for row in range(ROWS)]
RANDOM = np.random.default_rng(0)
P_TRUE = np.sort(RANDOM.random((3, ROWS)), axis=0).astype(np.float32)
LENGTHS = RANDOM.integers(1, 1000, ROWS)
NEW = [
    "ambiguous_within_difficulty",
    "hard_in_strata",
    "high_loss",
    "high_mean_low_variance",
    "s2l",
    "slow_to_learn",
    "within_lengths",
]


def pool_of(order=range(ROWS), fraction=0.25, seed=0):
    rows = list(order)
    dynamics = Dynamics([UIDS[row] for row in rows], P_TRUE[:, rows], P_TRUE[:, rows] > 0.5)
    data_map = DataMap.of(dynamics, ["mean_loss", "learning_percentage"])
    described = np.zeros(ROWS, np.int64), LENGTHS[rows]
    return Pool(dynamics.uids, fraction, seed, data_map, *described, dynamics=dynamics)


def chosen(name, pool, **settings):
    return {pool.uids[row] for row in choose(name, pool, settings).rows}


@pytest.mark.parametrize("name", NEW)
def test_a_selection_does_not_depend_on_the_order_of_the_rows(name):
    shuffled = random.Random(1).sample(range(ROWS), ROWS)
    found = chosen(name, pool_of())
    assert len(found) == ROWS // 4 and found == chosen(name, pool_of(shuffled))


def test_ranks_are_those_within_a_bin_of_like_difficulty():
    # Two bins of three: values 5, 1, 1 and 2, 9, 4.
    ranks = rank_within(np.array([5.0, 2, 1, 9, 1, 4]), np.array([0.1, 0.7, 0.2, 0.8, 0.3, 0.9]), 2)
    np.testing.assert_allclose(ranks, [5 / 6, 1 / 6, 1 / 3, 5 / 6, 1 / 3, 1 / 2])


def test_ambiguous_within_difficulty_takes_every_difficulty_alike():
    pool = pool_of()
    rows = choose("ambiguous_within_difficulty", pool, {}).rows
    of_difficulty = np.argsort(np.argsort(pool.data_map["mean_loss"])) // (ROWS // 50)
    counts = np.bincount(of_difficulty[rows], minlength=50)
    assert counts.min() == counts.max() == 2


def test_within_lengths_takes_every_tenth_of_the_lengths_alike():
    pool = pool_of()
    rows = choose("within_lengths", pool, {"selector": "ambiguous_within_difficulty"}).rows
    shares = [np.mean(np.isin(part, rows)) for part in np.array_split(np.argsort(LENGTHS), 10)]
    assert max(shares) - min(shares) < 0.06
    with pytest.raises(DataError, match="'s2l' puts the instances in no order"):
        choose("within_lengths", pool, {"selector": "s2l"})


def test_s2l_draws_evenly_from_groups_of_like_trajectories():
    # Three courses that no k-means mixes up, of 300, 60 and 40 instances.
    courses = np.repeat([[0.1, 0.1, 0.1], [0.1, 0.5, 0.9], [0.9, 0.9, 0.9]], [300, 60, 40], axis=0)
    dynamics = Dynamics(UIDS, courses.T.astype(np.float32), courses.T > 0.5)
    for fraction, expected in ((0.25, [34, 33, 33]), (0.4, [60, 60, 40])):
        rows = choose("s2l", Pool(UIDS, fraction, 0, dynamics=dynamics), {"clusters": 3}).rows
        counts = np.histogram(rows, [0, 300, 360, 400])[0].tolist()
        assert sorted(counts) == sorted(expected)
    first, second = (set(choose("s2l", pool_of(seed=seed), {}).rows) for seed in (0, 1))
    assert first != second


def test_high_mean_low_variance_is_far_from_ambiguous():
    pool = pool_of()
    calm = choose("high_mean_low_variance", pool, {}).rows
    assert pool.data_map.variability[calm].mean() < 0.7 * pool.data_map.variability.mean()
    assert pool.data_map.confidence[calm].mean() > pool.data_map.confidence.mean()
