import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from ftft.errors import FtftError
from ftft.tasks import metrics
from ftft.tasks.metrics import Metric, floors, has_failed, metric, metric_names, register, scores

ACCURACY, MACRO_F1 = metric("accuracy"), metric("macro_f1")
OF_CLASSES = metric_names("classification")
LABELS = ["a", "b", "c", "d"]
# Confusion, true by predicted: 0: [3, 1], 1: [2, 1].
TARGETS = np.array([0, 0, 0, 0, 1, 1, 1])
PREDICTIONS = np.array([0, 0, 0, 1, 0, 0, 1])
# F1 is 2 x hits / (true + predicted): 6/9 for class 0, 2/5 for class 1.
F1 = (6 / 9, 2 / 5)

classes = st.integers(0, 3)
pairs = st.lists(st.tuples(classes, classes), min_size=1, max_size=40)


def weighted(found, targets, predictions, weights):
    return float(found.value(weights @ found.statistics(targets, predictions, LABELS)))


@pytest.mark.parametrize("number", [2, 3, 4], ids=lambda number: f"{number} classes")
def test_macro_f1_of_a_confusion_matrix_by_hand_whatever_classes_the_task_has_beside(number):
    assert MACRO_F1.score(TARGETS, PREDICTIONS, LABELS[:number]) == pytest.approx(sum(F1) / 2, abs=1e-15)


def test_predictions_that_are_all_right_score_1_where_a_class_of_the_task_is_absent():
    assert scores(["macro_f1"], TARGETS, TARGETS, LABELS[:3]) == {"macro_f1": 1.0}


def test_a_class_that_is_only_predicted_or_only_true_scores_0():
    # Class 1 is true once and never predicted, class 2 predicted once and never true.
    assert MACRO_F1.score([0, 0, 1], [0, 0, 2], LABELS[:3]) == pytest.approx((2 * 2 / 4 + 0 + 0) / 3)


def test_accuracy_is_the_share_of_hits():
    assert ACCURACY.score(TARGETS, PREDICTIONS, LABELS) == 4 / 7


@given(pairs, st.data())
def test_scores_are_scikit_learns_with_weights(pairs, data):
    targets, predictions = np.array(pairs).T
    size = len(pairs)
    weights = np.array(data.draw(st.lists(st.floats(0.01, 10), min_size=size, max_size=size)))
    own = [weighted(found, targets, predictions, weights) for found in (ACCURACY, MACRO_F1)]
    theirs = [
        accuracy_score(targets, predictions, sample_weight=weights),
        f1_score(targets, predictions, average="macro", sample_weight=weights, zero_division=0),
    ]
    assert own == pytest.approx(theirs, rel=1e-12)
    assert scores(OF_CLASSES, targets, predictions, LABELS) == pytest.approx(
        {
            "accuracy": accuracy_score(targets, predictions),
            "macro_f1": f1_score(targets, predictions, average="macro", zero_division=0),
        },
        rel=1e-12,
    )


@given(pairs, st.data())
def test_a_resample_scores_as_its_instances_do_also_where_it_loses_a_class(pairs, data):
    targets, predictions = np.array(pairs).T
    counts = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(pairs), max_size=len(pairs))))
    if not counts.any():
        counts[0] = 1
    drawn = np.repeat(targets, counts), np.repeat(predictions, counts)
    expected = f1_score(*drawn, average="macro", zero_division=0)
    assert weighted(MACRO_F1, targets, predictions, counts) == pytest.approx(expected, rel=1e-12)


def test_sums_over_nothing_have_no_value():
    for found in (ACCURACY, MACRO_F1):
        statistics = found.statistics(TARGETS, PREDICTIONS, LABELS)
        values = found.value(np.stack([0 * statistics.sum(0), statistics.sum(0)]))
        assert np.isnan(values[0]) and values[1] > 0


def test_the_floor_always_answers_the_most_frequent_label():
    # F1 of class 0: 2 x 4 / (4 + 7), of class 1 nothing; classes that do not occur do not count.
    assert floors(OF_CLASSES, TARGETS, LABELS) == {
        "accuracy": 4 / 7,
        "macro_f1": pytest.approx(8 / 11 / 2),
    }


def test_small_integers_do_not_overflow():
    targets = np.arange(300, dtype=np.int16)
    assert MACRO_F1.score(targets, targets, [str(label) for label in targets]) == 1
    assert MACRO_F1.floor(targets, [str(label) for label in targets]) == pytest.approx(2 / 301 / 300)


@given(pairs.map(lambda pairs: [pair[0] for pair in pairs]), classes)
def test_a_model_that_collapsed_to_one_class_counts_as_failed(targets, chosen):
    collapsed = scores(OF_CLASSES, targets, np.full(len(targets), chosen), LABELS)
    outcome = {"validation": collapsed, "floor": floors(OF_CLASSES, targets, LABELS)}
    assert all(has_failed(outcome, name) for name in collapsed)


@pytest.mark.parametrize(
    ("value", "failed"), [(0.49, True), (0.5, True), (0.51, False), (float("nan"), True)]
)
def test_a_run_that_is_not_above_the_floor_has_failed(value, failed):
    outcome = {"validation": {"accuracy": value}, "floor": {"accuracy": 0.5}}
    assert has_failed(outcome, "accuracy") == failed


def test_a_metric_is_defined_in_one_place(monkeypatch):
    monkeypatch.setattr(metrics, "_REGISTRY", dict(metrics._REGISTRY))

    @register
    class Error(Metric):
        name, label, hub, kinds, definition = "error", "error", "error", ("classification",), "wrong ones"

        def statistics(self, targets, predictions, labels):
            return ACCURACY.statistics(targets, predictions, labels)

        def value(self, sums):
            return 1 - ACCURACY.value(sums)

    assert metric_names("classification") == ["accuracy", "macro_f1", "error"]
    assert metric_names("multiple_choice") == ["accuracy"]
    assert scores(["error"], TARGETS, PREDICTIONS, LABELS) == {"error": pytest.approx(3 / 7)}
    assert floors(["error"], TARGETS, LABELS) == {"error": pytest.approx(3 / 7)}


def test_an_unknown_metric_is_refused():
    with pytest.raises(FtftError, match=r"no metric 'bleu'\n  got: bleu\n  expected: one of accuracy, macro"):
        metric("bleu")


def test_metrics_are_quick_to_import(root):
    code = (
        "import sys; sys.path[0] = 'src'; import ftft.tasks.metrics;"
        "print({'torch', 'pandas', 'pyarrow', 'sklearn'} & set(sys.modules))"
    )
    job = subprocess.run([sys.executable, "-c", code], cwd=root, text=True, capture_output=True, check=True)
    assert job.stdout.strip() == "set()"
