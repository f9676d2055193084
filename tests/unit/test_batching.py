import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftft.models.tokens import budget_batches
from ftft.training.batching import PLANS, POOL_BATCHES, steps_per_epoch, training_batches

LENGTHS = np.random.default_rng(0).integers(3, 120, 1001)


def as_lists(batches):
    return [batch.tolist() for batch in batches]


@pytest.mark.parametrize("plan", PLANS)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=80), st.integers(1, 9), st.integers(0, 3))
def test_an_epoch_draws_each_instance_once(plan, lengths, batch_size, epoch):
    batches = PLANS[plan](np.array(lengths), batch_size, 0, epoch)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    assert len(batches) == steps_per_epoch(len(lengths), batch_size)
    sizes = sorted(len(batch) for batch in batches)
    assert sizes[1:] == [batch_size] * (len(batches) - 1)
    assert sizes[0] == len(lengths) - batch_size * (len(batches) - 1)


@pytest.mark.parametrize("plan", PLANS)
def test_a_plan_is_a_pure_function_of_seed_and_epoch(plan):
    def draw(seed, epoch):
        return as_lists(PLANS[plan](LENGTHS, 32, seed, epoch))

    np.random.seed(1)
    first = draw(0, 0)
    np.random.seed(2)
    assert draw(0, 0) == first
    orders = {str(draw(seed, epoch)) for seed, epoch in itertools.product(range(3), repeat=2)}
    assert len(orders) == 9


@pytest.mark.parametrize("plan", PLANS)
def test_batches_run_on_from_epoch_to_epoch(plan):
    steps = steps_per_epoch(len(LENGTHS), 100)
    drawn = list(itertools.islice(training_batches(plan, LENGTHS, 100, 7), 2 * steps + 1))
    assert as_lists(drawn[steps : 2 * steps]) == as_lists(PLANS[plan](LENGTHS, 100, 7, 1))
    assert as_lists(drawn[2 * steps :]) == as_lists(PLANS[plan](LENGTHS, 100, 7, 2)[:1])


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("start", [1, 10, 11, 12, 25])
def test_batches_go_on_from_any_step(plan, start):
    whole = list(itertools.islice(training_batches(plan, LENGTHS, 100, 7), 40))
    rest = list(itertools.islice(training_batches(plan, LENGTHS, 100, 7, start), 40 - start))
    assert as_lists(rest) == as_lists(whole[start:])


def test_the_last_batch_may_hold_one_instance():
    sizes = [len(batch) for batch in PLANS["random"](LENGTHS, 100, 0, 0)]
    assert sizes == [100] * 10 + [1]


def padding(batches):
    return sum(LENGTHS[batch].max() * len(batch) - LENGTHS[batch].sum() for batch in batches)


def test_batches_of_like_length_pad_far_less_and_still_mix():
    grouped, random = PLANS["length_grouped"](LENGTHS, 8, 0, 0), PLANS["random"](LENGTHS, 8, 0, 0)
    assert padding(grouped) < padding(random) / 5
    longest = [LENGTHS[batch].max() for batch in grouped[:POOL_BATCHES]]
    assert longest != sorted(longest)
    partners = [
        {frozenset(batch) for batch in as_lists(PLANS["length_grouped"](LENGTHS, 8, 0, epoch))}
        for epoch in (0, 1)
    ]
    assert len(partners[0] & partners[1]) < len(grouped) / 10


@given(st.lists(st.integers(0, 60), max_size=60), st.integers(1, 200))
def test_evaluation_batches_cover_all_within_the_budget(lengths, budget):
    lengths = np.array(lengths, np.int64)
    batches = list(budget_batches(lengths, budget))
    assert sorted(row for batch in batches for row in batch.tolist()) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * lengths[batch].max() <= budget
    widths = [lengths[batch].max() for batch in batches]
    assert widths == sorted(widths, reverse=True)


def test_evaluation_batches_fill_the_budget():
    assert as_lists(budget_batches(np.array([2, 10, 5, 5, 2]), 10)) == [[1], [2, 3], [0, 4]]
