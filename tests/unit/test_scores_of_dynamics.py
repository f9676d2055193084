import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftft.artifacts import read_parquet
from ftft.cartography.datamap import COORDINATES, DataMap, build_map, write_map, write_score
from ftft.cartography.dynamics import Dynamics, save_dynamics
from ftft.cartography.scores import (
    SCORES,
    area_under_margin,
    el2n,
    forgetting_events,
    last_margin,
    predictive_entropy,
    threshold_closeness,
)
from ftft.cartography.selection import ENDS, select, select_region
from ftft.data.dataset import Dataset
from ftft.errors import DataError
from ftft.tasks.base import kind_of, true_class_probability

# Of classes in training; tests/unit/test_before_training.py has those of the pass before it.
FURTHER = [
    name
    for name, own in SCORES.items()
    if name not in COORDINATES and not {"worst", "before", "alone"} & {*own.needs}
]


def of_courses(*courses):
    """Logits [epochs, n, 2] of instances of class 1, which is right in the epochs that have a one."""
    right = np.array(courses, np.float32).T
    return np.stack([1 - right, right], -1), np.ones(len(courses), np.int64)


@pytest.mark.parametrize(
    ("course", "events"),
    [
        ([1, 1, 1, 1], 0),
        ([0, 0, 1, 1], 0),
        ([1, 0, 1, 0], 2),
        ([0, 1, 0, 0], 1),
        ([1, 1, 1, 0], 1),
        ([0, 0, 0, 0], 5),  # never learnt: epochs + 1
    ],
)
def test_an_event_is_a_step_from_right_to_wrong(course, events):
    assert forgetting_events(*of_courses(course)).tolist() == [events]


def test_the_margin_is_to_the_largest_other_logit():
    # Class 0: 3 - 2 and 1 - 5; class 2: 1 - 3 and 2 - 5.
    logits = np.array([[[3, 2, 1], [3, 2, 1]], [[1, 5, 2], [1, 5, 2]]], np.float32)
    assert area_under_margin(logits, np.array([0, 2])).tolist() == [-1.5, -2.5]


def test_el2n_is_the_length_of_the_error_at_the_chosen_epochs():
    # Errors of class 0: (-.5, .25, .25), (-.2, .1, .1), (-1, 1, 0) to rounding.
    logits = np.log(np.array([[[0.5, 0.25, 0.25]], [[0.8, 0.1, 0.1]], [[1e-30, 1, 1e-30]]], np.float32))
    lengths = [math.sqrt(0.375), math.sqrt(0.06), math.sqrt(2)]
    label = np.array([0])
    np.testing.assert_allclose(el2n(logits, label, [0]), lengths[0], rtol=1e-6)
    np.testing.assert_allclose(el2n(logits, label), lengths[1], rtol=1e-6)
    np.testing.assert_allclose(el2n(logits, label, [0, 2]), (lengths[0] + lengths[2]) / 2, rtol=1e-6)


def test_the_last_epoch_alone():
    # Class 0 has 0.2 and the largest other class 0.5; class 2 has 0.6, the largest other one 0.25.
    last = [[0.2, 0.5, 0.3], [0.15, 0.25, 0.6]]
    logits = np.log(np.array([[[0.8, 0.1, 0.1], [0.1, 0.8, 0.1]], last], np.float32))
    labels = np.array([0, 2])
    np.testing.assert_allclose(last_margin(logits, labels), [-0.3, 0.35], atol=1e-6)
    p_true = p_true_of(logits, labels)
    np.testing.assert_allclose(SCORES["last_confidence"].function(p_true), [0.2, 0.6], rtol=1e-6)
    assert SCORES["worst_word"].function(np.array([[0.1, 0.9], [0.75, 0.5]], np.float32)).tolist() == [
        0.75,
        0.5,
    ]


def test_the_margin_ignores_choices_that_an_instance_lacks():
    logits = np.log(np.array([[[0.25, 0.75, np.nan], [1.0, np.nan, np.nan]]], np.float32))
    found = SCORES["last_margin"].function(logits, np.zeros(2, np.int64))
    np.testing.assert_allclose(found, [-0.5, 1], rtol=1e-6)


def test_the_entropy_is_that_of_the_mean_prediction():
    # Two certain and contradictory epochs: mean (1/2, 1/2, 0); the mean of the epochs' entropies would be 0.
    logits = np.array([[[800, 0, 0], [0, 0, 0]], [[0, 800, 0], [0, 0, 0]]], np.float32)
    np.testing.assert_allclose(predictive_entropy(logits), [math.log(2), math.log(3)], rtol=1e-12)
    assert predictive_entropy(logits[:1]).tolist()[0] == 0


def test_the_threshold_is_one_half():
    p_true = np.array([[0.25, 1.0, 0.0], [0.75, 1.0, 0.5]])
    assert threshold_closeness(p_true).tolist() == [0.25, 0, 0.1875]


ROWS, EPOCHS, CLASSES = 40, 4, 3
RANDOM = np.random.default_rng(3)
LOGITS = RANDOM.normal(0, 3, (EPOCHS, ROWS, CLASSES)).astype(np.float32)
LABELS = RANDOM.integers(0, CLASSES, ROWS)


def p_true_of(logits, labels):
    return np.stack([true_class_probability(epoch, labels) for epoch in logits])


def all_scores(logits, labels):
    p_true, correct = p_true_of(logits, labels), logits.argmax(-1) == labels
    dynamics = Dynamics([], p_true, correct, labels, logits)
    return {name: SCORES[name].of(dynamics) for name in FURTHER}


def assert_same(ours, theirs, tolerance=0.0):
    for name, scores in theirs.items():
        np.testing.assert_allclose(ours[name], scores, rtol=0, atol=tolerance, err_msg=name)


def test_losses_and_how_soon_they_fall_by_hand():
    p_true = np.array([[0.25, 0.5, 0.1], [0.5, 0.25, 0.5], [1.0, 0.25, 0.5]], np.float32)
    np.testing.assert_allclose(SCORES["mean_loss"].function(p_true)[0], math.log(2), rtol=1e-6)
    # Perplexities 4, 2, 1; 2, 4, 4, which do not fall; 10, 2, 2.
    np.testing.assert_allclose(SCORES["learning_percentage"].function(p_true), [2 / 3, 0, 1], rtol=1e-6)


@given(st.permutations(range(CLASSES)))
def test_the_order_of_classes_changes_no_score(order):
    renamed = np.argsort(order)[LABELS]
    assert_same(all_scores(LOGITS[:, :, order], renamed), all_scores(LOGITS, LABELS), 1e-12)


@given(st.floats(-50, 50))
def test_a_constant_added_to_all_logits_changes_no_score(constant):
    shifted = LOGITS.astype(np.float64) + constant
    assert_same(all_scores(shifted, LABELS), all_scores(LOGITS, LABELS), 1e-6)


@given(st.permutations(range(EPOCHS)))
def test_the_order_of_epochs_matters_to_few_scores(order):
    timed = ("forgetting", "el2n", "learning_percentage", "last_confidence", "last_margin")
    timeless = [name for name in FURTHER if name not in timed]
    ours, theirs = all_scores(LOGITS[order], LABELS), all_scores(LOGITS, LABELS)
    assert_same(ours, {name: theirs[name] for name in timeless}, 1e-12)


@pytest.mark.parametrize("part", [*np.arange(ROWS)[:, None], slice(7, 20), slice(None, None, -1)], ids=str)
def test_an_instances_scores_do_not_depend_on_who_is_beside_it(part):
    # NumPy sums more than eight numbers in an order that depends on the shape.
    logits = np.random.default_rng(4).normal(0, 3, (30, ROWS, CLASSES)).astype(np.float32)
    some = all_scores(logits[:, part], LABELS[part])
    assert_same(some, {name: scores[part] for name, scores in all_scores(logits, LABELS).items()})


def test_bounds():
    scores = all_scores(LOGITS, LABELS)
    for name, (least, most) in {
        "forgetting": (0, EPOCHS + 1),
        "el2n": (0, math.sqrt(2)),
        "entropy": (0, math.log(CLASSES)),
        "threshold": (0, 0.25),
        "last_confidence": (0, 1),
        "last_margin": (-1, 1),
    }.items():
        assert least <= scores[name].min() and scores[name].max() <= most, name
    assert all(values.dtype == np.float64 and values.shape == (ROWS,) for values in scores.values())
    right = (LOGITS.argmax(-1) == LABELS).all(0)
    assert (scores["aum"][right] > 0).all() and (scores["forgetting"][right] == 0).all()


DATA = Dataset([f"u{row}" for row in range(ROWS)], (["x"] * ROWS,), LABELS, ["a", "b", "c"])


@pytest.fixture
def files(tmp_path):
    """The files of the map, of its further scores, and of what they are made of."""
    DATA.save(tmp_path / "train.parquet")
    save_dynamics(tmp_path / "dynamics.parquet", kind_of("classification"), list(LOGITS), DATA, {})
    sources = [tmp_path / "dynamics.parquet", tmp_path / "train.parquet"]
    write_map(*sources, tmp_path / "map.parquet")
    for name in FURTHER:
        write_score(*sources, tmp_path / name, name)
    return sources, tmp_path / "map.parquet", [tmp_path / name for name in FURTHER]


def test_a_map_holds_the_scores(files):
    _, map_file, score_files = files
    expected = all_scores(LOGITS, LABELS)
    built = build_map(p_true_of(LOGITS, LABELS), LOGITS, LABELS, DATA.uids)
    written = DataMap.load_for(map_file, DATA, score_files)
    assert list(written.further) == list(built.further) == FURTHER
    assert_same(built.further, expected)
    assert_same(written.further, expected)


@pytest.mark.parametrize(
    "region", [name for name, (score, _) in ENDS.items() if score in (*COORDINATES, *FURTHER)]
)
def test_every_end_selects_its_end_of_its_score(region, files, tmp_path):
    _, map_file, score_files = files
    spec = {"selector": region, "fraction": 0.25, "rule": "exact"}
    select(spec, 0, DATA, map_file, tmp_path / "selection.parquet", score_files)
    rows = read_parquet(tmp_path / "selection.parquet")[0]["row"].to_pylist()
    data_map = DataMap.load_for(map_file, DATA, score_files)
    assert rows == select_region(data_map, region, 0.25).tolist() and len(rows) == 10
    name, sign = ENDS[region]
    scores = sign * data_map[name]
    assert scores[rows].min() >= np.delete(scores, rows).max()


def test_a_mixture_is_written_like_any_selection(files, tmp_path):
    _, map_file, score_files = files
    settings = {"selector": "aum", "copies": 2}
    spec = {"selector": "with_copies", "settings": settings, "fraction": 0.25}
    select(spec, 3, DATA, map_file, tmp_path / "selection.parquet", score_files)
    table, metadata = read_parquet(tmp_path / "selection.parquet")
    data_map = DataMap.load_for(map_file, DATA, score_files)
    lowest = select_region(data_map, "aum", 0.25)
    assert table["row"].to_pylist() == list(range(40)) and table["uid"].to_pylist() == DATA.uids
    assert np.array_equal(np.flatnonzero(table["weight"].to_numpy() == 3), lowest)
    assert metadata["selector"] == "with_copies" and metadata["data_hash"] == DATA.content_hash


def test_el2n_from_other_epochs(files, tmp_path):
    sources, *_ = files
    write_score(*sources, tmp_path / "scores.parquet", "el2n", epochs=[0, 2])
    expected = el2n(LOGITS, LABELS, [0, 2])
    np.testing.assert_array_equal(read_parquet(tmp_path / "scores.parquet")[0]["score"], expected)
    with pytest.raises(DataError, match=r"epoch 9 of 4, counted from 0\n *expected: epochs from 0 to 3"):
        write_score(*sources, tmp_path / "scores.parquet", "el2n", epochs=[9])


def test_hard_ends_of_the_scores_agree():
    # Right in every epoch, wrong in every epoch: no score prefers the first.
    logits, labels = of_courses([1, 1, 1, 1], [0, 0, 0, 0])
    data_map = build_map(p_true_of(4 * logits, labels), 4 * logits, labels, ["right", "wrong"])
    for region in ("hard-to-learn", "forgetting", "aum", "el2n"):
        assert select_region(data_map, region, 0.5).tolist() == [1], region


def test_a_map_without_the_score_says_what_it_has():
    bare = DataMap(["u"], *np.zeros((3, 1)))
    with pytest.raises(DataError, match=f"lacks the score 'aum'\n  got: {', '.join(COORDINATES)}"):
        select_region(bare, "aum", 1.0)
