from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftft.cartography.datamap import DataMap
from ftft.cartography.mixtures import (
    class_balanced,
    coverage_centric,
    with_copies,
    with_easy,
)
from ftft.cartography.selection import (
    SELECTORS,
    Pool,
    choose,
    even_quotas,
    largest,
    needs_training,
    proportional_quotas,
    scores_read,
    select_random,
    select_region,
)
from ftft.errors import DataError

TEN = [f"u{row}" for row in range(10)]
RISING = np.arange(10.0)
FEW_VALUES = st.sampled_from([0.0, 0.1, 0.2, 0.7])


@pytest.mark.parametrize(
    ("sizes", "total", "quotas"),
    [
        ([5, 5, 5], 9, [3, 3, 3]),
        ([1, 5, 9], 9, [1, 4, 4]),
        ([9, 1, 2], 9, [6, 1, 2]),
        ([5, 5], 3, [1, 2]),
        ([0, 4, 0], 3, [0, 3, 0]),
    ],
)
def test_quotas_are_as_even_as_sizes_allow(sizes, total, quotas):
    assert even_quotas(sizes, total) == quotas


@given(st.lists(st.integers(0, 9), min_size=1), st.data())
def test_quotas_use_the_whole_total_and_no_group_twice(sizes, data):
    total = data.draw(st.integers(0, sum(sizes)))
    quotas = even_quotas(sizes, total)
    assert sum(quotas) == total and all(quota <= size for quota, size in zip(quotas, sizes, strict=True))
    open_ended = [quota for quota, size in zip(quotas, sizes, strict=True) if quota < size]
    assert max(quotas) <= min(open_ended, default=10) + 1


def test_the_largest_scores_are_those_of_a_region():
    variability = np.array([0.1, 0.3, 0.3, 0.2, 0.3, 0, 0, 0.5, 0.3, 0.3])
    data_map = DataMap(TEN, variability, variability, variability)
    for size in range(1, 11):
        expected = select_region(data_map, "ambiguous", size / 10).tolist()
        assert largest(variability, TEN, size).tolist() == expected


def test_classes_are_balanced_and_a_small_one_gives_all_it_has():
    labels = np.array([0, 0, 0, 0, 0, 0, 0, 0, 0, 1])
    assert class_balanced(RISING, labels, TEN, 0.4).tolist() == [6, 7, 8, 9]
    labels = np.array([0, 1, 0, 1, 0, 1, 0, 1, 2, 2])
    assert class_balanced(RISING, labels, TEN, 0.6).tolist() == [4, 5, 6, 7, 8, 9]
    assert class_balanced(-RISING, labels, TEN, 0.6).tolist() == [0, 1, 2, 3, 8, 9]


def test_the_easiest_take_the_place_of_the_least_ambiguous():
    confidence = np.array([0.1, 0.9, 0.2, 0.8, 0.3, 0.7, 0.4, 0.6, 0.5, 0.95])
    # Four of ten: the three most ambiguous and the easiest of the rest; 9 is easier, but ambiguous.
    assert with_easy(RISING, confidence, TEN, 0.4, easy=0.25).tolist() == [1, 7, 8, 9]
    assert with_easy(RISING, confidence, TEN, 0.4, easy=0).tolist() == [6, 7, 8, 9]
    assert with_easy(RISING, confidence, TEN, 0.4, easy=1).tolist() == [1, 3, 5, 9]


MANY = [f"m{row}" for row in range(1000)]


def test_strata_of_equal_width_give_alike_and_the_hard_end_is_left_out():
    # A tenth is pruned; 0 to 8 in nine strata of width 8/9 hold 792, 12, 12, ... 12 instances.
    scores = np.array([0.0] * 792 + [level for level in range(1, 9) for _ in range(12)] + [9.0] * 112)
    rows = coverage_centric(scores, MANY, 0.1, 0.112, seed=0, strata=9)
    assert len(rows) == len(set(rows)) == 100 and scores[rows].max() == 8
    # 100 over nine strata: eleven each, and what does not divide to the largest.
    assert sorted(Counter(scores[rows]).values()) == [11] * 8 + [12]
    assert Counter(scores[rows])[0.0] == 12
    rows = coverage_centric(scores, MANY, 0.5, 0.112, seed=0, strata=9)
    assert Counter(scores[rows]) == {0.0: 404, **dict.fromkeys(range(1, 9), 12)}


def test_strata_are_drawn_by_chance():
    scores = np.linspace(0, 1, 1000)
    chosen = [frozenset(coverage_centric(scores, MANY, 0.3, 0.1, seed).tolist()) for seed in range(20)]
    assert len(set(chosen)) == 20 and frozenset().union(*chosen) == set(range(900))


def test_nothing_is_pruned_where_no_share_is_named_and_equal_scores_are_one_stratum():
    assert coverage_centric(np.ones(10), TEN, 1.0, 0.0, 0).tolist() == list(range(10))
    assert len(coverage_centric(np.ones(10), TEN, 0.3, 0.5, 0)) == 3


def test_copies_come_on_top_of_all_or_of_a_random_share():
    rows = with_copies(RISING, TEN, 0.2, copies=3, seed=0)
    assert rows.tolist() == [*range(8), 8, 8, 8, 8, 9, 9, 9, 9]
    rows = Counter(with_copies(RISING, TEN, 0.2, copies=2, seed=5, base=0.5).tolist())
    rows.subtract([8, 8, 9, 9])
    assert sorted(rows.elements()) == select_random(TEN, 0.5, 5).tolist()


@settings(max_examples=30)
@given(
    st.lists(st.tuples(FEW_VALUES, FEW_VALUES, st.integers(0, 2)), min_size=4, max_size=40),
    st.integers(0, 5),
    st.randoms(use_true_random=False),
)
def test_no_mixture_depends_on_the_order_of_the_rows(points, seed, random):
    def mixtures(order):
        scores, confidence, labels = np.array([points[row] for row in order]).T
        uids = [f"u{row}" for row in order]
        rows = {
            "balanced": class_balanced(scores, labels, uids, 0.5),
            "easy": with_easy(scores, confidence, uids, 0.5, 0.3),
            "strata": coverage_centric(scores, uids, 0.5, 0.25, seed, strata=4),
            "copies": with_copies(scores, uids, 0.25, 2, seed, base=0.5),
        }
        assert all((np.diff(found) >= 0).all() for found in rows.values())
        return {name: sorted(uids[row] for row in found) for name, found in rows.items()}

    whole = range(len(points))
    chosen = mixtures(whole)
    assert chosen == mixtures(random.sample(whole, len(points)))
    size = int(len(points) / 2 + 0.5)
    assert all(len(set(chosen[name])) == len(chosen[name]) == size for name in ("balanced", "easy", "strata"))


@pytest.mark.parametrize(
    ("mixture", "message"),
    [
        (lambda: class_balanced(RISING, RISING, TEN, 0.04), "selection is empty"),
        (lambda: with_easy(RISING, RISING, TEN, 0.04, 0.1), "selection is empty"),
        (lambda: with_easy(RISING, RISING, TEN, 0.5, 1.1), "'easy' cannot be used\n  got: 1.1"),
        (lambda: coverage_centric(RISING, TEN, 0.5, -0.1, 0), "'pruned' cannot be used"),
        (lambda: coverage_centric(RISING, TEN, 0.5, 0.6, 0), "of which 4 remain\n  expected: fraction"),
        (lambda: with_copies(RISING, TEN, 0.5, 0, 0), "'copies' cannot be used\n  got: 0"),
        (lambda: with_copies(RISING, TEN, 0.04, 1, 0), "selection is empty"),
    ],
)
def test_what_cannot_be_selected_is_refused(mixture, message):
    with pytest.raises(DataError, match=message):
        mixture()


SCORES = {name: np.arange(8.0)[::-1] / 16 for name in ("variability", "confidence")}
FOUR_OF_EACH = np.array([0, 0, 0, 0, 0, 0, 1, 1])


@pytest.mark.parametrize(
    ("name", "settings", "rows", "weights"),
    [
        ("class_balanced", {}, [0, 1, 6, 7], None),
        ("class_balanced", {"selector": "hard-to-learn"}, [4, 5, 6, 7], None),
        ("within_labels", {}, [0, 1, 2, 6], None),
        ("within_labels", {"selector": "hard-to-learn"}, [3, 4, 5, 7], None),
        ("with_easy", {}, [0, 1, 2, 3], None),
        ("with_easy", {"easy": 0.5, "selector": "hard-to-learn"}, [0, 1, 6, 7], None),
        ("with_copies", {"copies": 2}, list(range(8)), [3, 3, 3, 3, 1, 1, 1, 1]),
        ("coverage_centric", {"pruned": 0.5}, [4, 5, 6, 7], None),
    ],
)
def test_mixtures_by_name(name, settings, rows, weights):
    data_map = DataMap(TEN[:8], SCORES["confidence"], SCORES["variability"], SCORES["confidence"])
    chosen = choose(name, Pool(TEN[:8], 0.5, 0, data_map, FOUR_OF_EACH), settings)
    assert chosen.rows.tolist() == rows and chosen.weights.tolist() == (weights or [1] * len(rows))


def test_quotas_in_proportion_use_the_whole_total():
    assert proportional_quotas([6, 2], 4) == [3, 1]
    assert proportional_quotas([1, 1, 1], 2) == [1, 1, 0]
    assert proportional_quotas([9, 1], 5) == [5, 0]


STARTED_FROM = [
    name for name, entry in SELECTORS.items() if entry.needs_map and not entry.all_rows and not entry.signals
]


@pytest.mark.parametrize("other", STARTED_FROM)
def test_a_control_is_given_what_the_selection_reads_that_it_starts_from(other):
    settings = {"selector": other}
    names = scores_read("matched_random", settings)
    assert names and needs_training("matched_random", settings) == needs_training(other, {})
    generator = np.random.Generator(np.random.PCG64(0))
    scores = {name: generator.random(60) for name in names}
    pool = Pool([str(row) for row in range(60)], 0.3, 0, scores, np.arange(60) % 3, np.arange(60))
    chosen, control = (
        choose(*taken).rows for taken in ((other, pool, {}), ("matched_random", pool, settings))
    )
    assert len(control) == len(chosen) > 0
