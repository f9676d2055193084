import math
import subprocess
import sys
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftft.errors import ArtifactError
from ftft.statistics import bootstrap
from ftft.statistics.bootstrap import (
    Replicates,
    difference,
    example_weights,
    holm,
    resample_scores,
    seed_weights,
)
from ftft.tasks.metrics import metric as named_metric
from ftft.tasks.metrics import metric_names, scores

LABELS = np.random.default_rng(0).integers(3, size=40)


def predictions_of(seeds, correct, generator):
    """Predictions of LABELS by seed, right with a probability."""
    return {
        seed: np.where(generator.random(40) < correct, LABELS, generator.integers(3, size=40))
        for seed in seeds
    }


def two_methods(left=range(4), right=range(4), **changes):
    generator = np.random.default_rng(1)
    arguments = {"dataset": "d", "labels": ["a", "b", "c"], "metric": "macro_f1", "resamples": 500, **changes}
    methods = {
        "left": predictions_of(left, 0.8, generator),
        "right": predictions_of(right, 0.6, generator),
    }
    replicates = resample_scores(targets=LABELS, predictions=methods, **arguments)
    return replicates["left"], replicates["right"]


def weights_of(dataset, instances, resamples):
    return np.concatenate(list(example_weights(dataset, instances, resamples)))


def certain(values, resamples=20_000):
    """Replicates of examples without any variance, one value per seed."""
    values = np.array(values, float)
    return Replicates("d", list(range(len(values))), values, np.tile(values, (resamples, 1)))


ZERO = certain([0.0] * 4)


@given(st.data(), st.integers(2, 4), st.integers(1, 12))
@settings(max_examples=60)
def test_scores_are_those_of_the_explicitly_resampled_arrays(data, classes, instances):
    classes_of = st.lists(st.integers(0, classes - 1), min_size=instances, max_size=instances).map(np.array)
    labels = data.draw(classes_of)
    runs = {
        "a": {3: data.draw(classes_of), 1: data.draw(classes_of)},
        "none": {},
        "b": {1: data.draw(classes_of)},
    }
    weights = weights_of("d", instances, 20).astype(int)
    names = [str(label) for label in range(classes)]
    for metric in metric_names("classification"):
        replicates = resample_scores("d", labels, runs, names, metric, 20)
        for method, by_seed in runs.items():
            assert replicates[method].seeds == list(by_seed)
            for column, run in enumerate(by_seed.values()):
                expected = [
                    scores([metric], np.repeat(labels, row), np.repeat(run, row), names)[metric]
                    for row in weights
                ]
                np.testing.assert_allclose(replicates[method].resampled[:, column], expected, rtol=1e-14)
                assert replicates[method].observed[column] == pytest.approx(
                    scores([metric], labels, run, names)[metric], rel=1e-14
                )


@pytest.mark.parametrize("metric", [*metric_names("classification"), *metric_names("regression")])
def test_few_examples_follow_the_enumerated_bootstrap_distribution(metric):
    formula = named_metric(metric).score
    labels, run = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 0])
    every = [formula(labels[list(draw)], run[list(draw)], ["a", "b"]) for draw in product(range(4), repeat=4)]
    resampled = resample_scores("d", labels, {"m": {0: run}}, ["a", "b"], metric, 20_000)["m"].resampled[:, 0]
    values, counts = np.unique(np.round(every, 9), return_counts=True)
    for value, share in zip(values, counts / 4**4, strict=True):
        # Four standard errors of a share.
        assert np.mean(np.round(resampled, 9) == value) == pytest.approx(
            share, abs=4 * math.sqrt(share / 20_000)
        )
    assert np.isin(np.round(resampled, 9), values).all()


def test_a_resample_draws_n_of_n_each_alike():
    weights = weights_of("d", 30, 20_000)
    assert (weights.sum(1) == 30).all()
    np.testing.assert_allclose(weights.mean(0), 1, atol=4 / math.sqrt(20_000))
    # Multinomial: variance 1 - 1/n, covariance of two examples -1/n.
    np.testing.assert_allclose(np.cov(weights.T), np.eye(30) - 1 / 30, atol=0.07)


def test_resamples_depend_on_the_data_set_alone_and_neither_on_chunks_nor_on_their_number(monkeypatch):
    weights = weights_of("d", 7, 100)
    assert (weights_of("d", 7, 60) == weights[:60]).all()
    monkeypatch.setattr(bootstrap, "CHUNK", 21)
    assert (weights_of("d", 7, 100) == weights).all()
    monkeypatch.setattr(bootstrap, "CHUNK", 1)
    assert (weights_of("d", 7, 100) == weights).all()
    assert (weights_of("e", 7, 100) != weights).any()
    assert (weights_of("d", 8, 100)[:, :7] != weights).any()


def test_replicates_are_the_same_in_another_process(root):
    code = (
        "import sys; sys.path[0] = 'src';"
        "from ftft.statistics.bootstrap import example_weights, seed_weights;"
        "print(next(example_weights('d', 5, 3)).tolist(), seed_weights(3, 2).tolist())"
    )
    job = subprocess.run([sys.executable, "-c", code], cwd=root, text=True, capture_output=True, check=True)
    assert job.stdout.strip() == f"{weights_of('d', 5, 3).tolist()} {seed_weights(3, 2).tolist()}"


def test_a_method_does_not_differ_from_itself():
    left, _ = two_methods()
    result = difference([left], [left], 0.95)
    assert (result.value, result.low, result.high, result.p_value, result.seeds) == (0, 0, 0, 1, 4)


def test_swapping_the_sides_flips_the_sign():
    left, right = two_methods()
    forth, back = difference([left], [right], 0.9), difference([right], [left], 0.9)
    assert (back.value, back.p_value) == (-forth.value, forth.p_value)
    assert (back.low, back.high) == pytest.approx((-forth.high, -forth.low), abs=1e-12)
    assert forth.low < forth.value < forth.high


def test_the_order_of_seeds_does_not_matter():
    left, right = two_methods()
    assert difference([left.of([2, 0, 3, 1])], [right.of([1, 3, 0, 2])], 0.95) == difference(
        [left], [right], 0.95
    )


def test_only_common_seeds_count():
    left, right = two_methods(left=[5, 1, 3], right=[3, 2, 5])
    result = difference([left], [right], 0.95)
    assert result == difference([left.of([3, 5])], [right.of([3, 5])], 0.95)
    assert result.seeds == 2
    assert result.value == pytest.approx((left.observed[[0, 2]] - right.observed[[2, 0]]).mean(), abs=1e-15)


@pytest.mark.parametrize("right", [[], [7, 8]])
def test_without_a_common_seed_nothing_is_known(right):
    left, right = two_methods(right=right)
    result = difference([left], [right], 0.95)
    assert result.seeds == 0
    assert np.isnan([result.value, result.low, result.high, result.p_value]).all()


def test_with_one_seed_only_examples_vary():
    left, right = two_methods(left=[0], right=[0])
    result = difference([left], [right], 0.9)
    deltas = (left.resampled - right.resampled)[:, 0]
    assert (result.low, result.high) == pytest.approx(tuple(np.quantile(deltas, [0.05, 0.95])), abs=1e-12)
    # Nothing tells how other seeds would come out.
    assert np.isnan(result.p_value) and result.seeds == 1


def test_many_runs_of_many_classes_are_resampled_in_batches_alike(monkeypatch):
    whole = two_methods()
    monkeypatch.setattr(bootstrap, "MOST_NUMBERS", 1)
    for one, other in zip(whole, two_methods(), strict=True):
        np.testing.assert_allclose(one.resampled, other.resampled, rtol=1e-14)
        assert (one.observed == other.observed).all()


def test_a_data_set_without_examples_is_refused():
    with pytest.raises(ArtifactError, match="'d' has no examples"):
        resample_scores("d", np.zeros(0, int), {"m": {0: np.zeros(0, int)}}, ["a"], "accuracy", 10)


@pytest.mark.parametrize(
    ("values", "quantile"),
    # Student's t at 0.975 with 1, 3 and 7 degrees of freedom.
    [([0.01, 0.03], 12.706), ([0.02, 0.05, -0.01, 0.06], 3.182), ([0.1, 0, 0.2, 0.1, 0, 0.1, 0.3, 0], 2.365)],
)
def test_with_certain_examples_it_is_the_paired_t_interval_over_seeds(values, quantile):
    zero = certain([0.0] * len(values))
    result = difference([certain(values)], [zero], 0.95)
    reach = quantile * np.std(values, ddof=1) / math.sqrt(len(values))
    assert result.value == pytest.approx(np.mean(values), abs=1e-15)
    assert (result.low, result.high) == pytest.approx(
        (result.value - reach, result.value + reach), abs=reach * (0.1 if len(values) == 2 else 0.05)
    )


def test_with_certain_examples_the_p_value_is_the_paired_t_tests():
    # Mean 0.03, variance 0.001: t = 0.03 / sqrt(0.001 / 4) = 1.897, two-sided p 0.154 at 3 degrees.
    values = [0.02, 0.05, -0.01, 0.06]
    assert difference([certain(values)], [ZERO], 0.95).p_value == pytest.approx(0.154, abs=0.01)


def test_the_smallest_p_value_is_two_in_resamples_plus_one():
    assert difference([certain([0.5] * 4, 99)], [certain([0.0] * 4, 99)], 0.95).p_value == 2 / 100


def test_data_sets_enter_the_mean_alike_and_share_the_seeds():
    one, other = two_methods(), two_methods(dataset="e", metric="accuracy")
    both = difference([one[0], other[0]], [one[1], other[1]], 0.95)
    merged = [
        Replicates("de", a.seeds, (a.observed + b.observed) / 2, (a.resampled + b.resampled) / 2)
        for a, b in zip(one, other, strict=True)
    ]
    alone = difference(merged[:1], merged[1:], 0.95)
    for name in ("value", "low", "high", "p_value"):
        assert getattr(both, name) == pytest.approx(getattr(alone, name), abs=1e-12)
    # What one seed wins on one data set and loses on the other, it does not vary by.
    up, down = [0.1, -0.2, 0.0, 0.3], [-0.1, 0.2, 0.0, -0.3]
    result = difference([certain(up), certain(down)], [ZERO, ZERO], 0.95)
    assert (result.low, result.high) == pytest.approx((0, 0), abs=1e-15)


def test_data_sets_of_equal_size_are_resampled_independently():
    weights = np.stack([weights_of(name, 20, 5_000).ravel() for name in ("d", "e")])
    assert abs(np.corrcoef(weights)[0, 1]) < 4 / math.sqrt(weights.shape[1])


def test_more_confidence_is_a_wider_interval_around_the_same_value():
    left, right = two_methods()
    wide, narrow = (difference([left], [right], confidence) for confidence in (0.99, 0.8))
    assert wide.low < narrow.low < narrow.high < wide.high
    assert (wide.value, wide.p_value) == (narrow.value, narrow.p_value)


def test_more_resamples_converge():
    sides = [two_methods(resamples=count) for count in (100, 4_000, 8_000)]
    results = [difference([left], [right], 0.95) for left, right in sides]
    assert len({result.value for result in results}) == 1
    few, many, most = (np.array([result.low, result.high]) for result in results)
    assert np.abs(many - most).max() < 0.005 < np.abs(few - most).max()


def simulate(seed_deviation, comparisons, true=0.0):
    """Shares of intervals that cover and of p-values up to 0.05, with 4 seeds and 300 examples."""
    generator = np.random.default_rng(8)
    weights = weights_of("d", 300, 800)
    covered = rejected = 0
    for _ in range(comparisons):
        # Hits of two methods by example and seed, through a common difficulty.
        difficulty = generator.normal(0, 1.2, (1, 300, 1))
        by_seed = seed_deviation * generator.normal(size=(2, 1, 4))
        own = 0.5 * generator.normal(size=(2, 300, 1))
        shift = np.array([true, 0.0])[:, None, None]
        hits = (difficulty + own + by_seed + shift + 1 > 0).astype(float)
        sides = [Replicates("d", [0, 1, 2, 3], side.mean(0), weights @ side / 300) for side in hits]
        result = difference(sides[:1], sides[1:], 0.95)
        deviation = math.sqrt(2 * (1.2**2 + 0.5**2 + seed_deviation**2))
        expected = (math.erf((1 + true) / deviation) - math.erf(1 / deviation)) / 2
        covered += result.low <= expected <= result.high
        rejected += result.p_value <= 0.05
    return covered / comparisons, rejected / comparisons


@pytest.mark.parametrize("seed_deviation", [0.0, 0.1, 0.5], ids=["no seed variance", "some", "dominant"])
def test_intervals_cover_and_true_null_hypotheses_stand(seed_deviation):
    covered, rejected = simulate(seed_deviation, 400)
    # 0.95 and 0.05, less or more three standard errors of 0.011; "some" is known to be cautious.
    assert covered >= 0.917 and rejected <= 0.083


def test_intervals_cover_a_true_difference_and_find_it():
    covered, rejected = simulate(0.05, 400, true=0.4)
    assert covered >= 0.917 and rejected >= 0.7


def test_predictions_of_another_number_than_labels_are_refused():
    with pytest.raises(ArtifactError, match=r"of erm, seed 2, .* 'd'\n  got: 3 predictions\n  expected: 2,"):
        resample_scores("d", np.zeros(2, int), {"erm": {2: np.zeros(3, int)}}, ["a"], "accuracy", 10)


@pytest.mark.parametrize("change", [{"dataset": "e"}, {"resamples": 400}])
def test_sides_that_do_not_belong_together_are_refused(change):
    left, _ = two_methods()
    _, right = two_methods(**change)
    with pytest.raises(ArtifactError, match=r"do not belong together\n  got: .*'d', 500.* and "):
        difference([left], [right], 0.95)


def test_sides_of_different_length_are_refused():
    left, right = two_methods()
    with pytest.raises(ArtifactError, match="do not belong together"):
        difference([left, left], [right], 0.95)


NAN = math.nan


@pytest.mark.parametrize(
    ("p_values", "adjusted"),
    [
        # The example of the article on the method in Wikipedia: x4, x3, x2, x1 from the smallest on.
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.2, 0.9, 0.5], [0.6, 1.0, 1.0]),
        ([0.01, 0.01, 0.01], [0.03, 0.03, 0.03]),
        ([NAN, 0.02, NAN, 0.03], [NAN, 0.04, NAN, 0.04]),
        ([0.3], [0.3]),
        ([NAN], [NAN]),
        ([], []),
    ],
)
def test_holm_by_hand(p_values, adjusted):
    np.testing.assert_allclose(holm(p_values), adjusted, rtol=1e-12)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.randoms())
def test_holm_lies_between_the_raw_values_and_bonferroni_and_keeps_their_order(p_values, random):
    adjusted, raw = holm(p_values), np.array(p_values)
    assert (raw <= adjusted).all() and (adjusted <= np.minimum(1, raw * len(raw))).all()
    assert (np.diff(adjusted[np.argsort(raw)]) >= 0).all()
    order = random.sample(range(len(raw)), len(raw))
    assert (holm(raw[order]) == adjusted[order]).all()
