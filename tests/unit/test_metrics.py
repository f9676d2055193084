import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftft.statistics.scores import has_failed
from ftft.tasks.metrics import accuracy, macro_f1, majority_score, score

# Confusion, true by predicted: 0: [3, 1, 0], 1: [2, 1, 0], 2: never true, never predicted.
LABELS = np.array([0, 0, 0, 0, 1, 1, 1])
PREDICTIONS = np.array([0, 0, 0, 1, 0, 0, 1])
# F1 is 2 x hits / (true + predicted): 6/9 for class 0, 2/5 for class 1.
F1 = (6 / 9, 2 / 5)


@pytest.mark.parametrize(
    ("classes", "expected"),
    [(2, sum(F1) / 2), (3, (sum(F1) + 0) / 3)],
    ids=["all classes occur", "an absent class counts 0"],
)
def test_macro_f1_of_a_confusion_matrix_worked_out_by_hand(classes, expected):
    assert macro_f1(LABELS, PREDICTIONS, classes) == pytest.approx(expected, abs=1e-15)


def test_a_class_that_is_only_predicted_or_only_true_scores_0():
    # Class 1 is true once and never predicted, class 2 predicted once and never true.
    labels, predictions = np.array([0, 0, 1]), np.array([0, 0, 2])
    assert macro_f1(labels, predictions, 3) == pytest.approx(1 / 3)


def test_accuracy_is_the_share_of_hits():
    assert accuracy(LABELS, PREDICTIONS, 2) == 4 / 7


def test_scores_come_by_name():
    scores = score(LABELS, PREDICTIONS, 2)
    assert scores == {"accuracy": 4 / 7, "macro_f1": pytest.approx(sum(F1) / 2)}


def test_the_majority_classifier_always_answers_the_most_frequent_label():
    # F1 of class 0: 2 x 4 / (4 + 7).
    assert majority_score(LABELS, 2) == {"accuracy": 4 / 7, "macro_f1": pytest.approx(8 / 11 / 2)}
    assert majority_score(1 - LABELS, 3) == {"accuracy": 4 / 7, "macro_f1": pytest.approx(8 / 11 / 3)}


def test_scores_do_not_depend_on_the_order_of_instances():
    order = np.array([4, 2, 0, 6, 1, 5, 3])
    assert score(LABELS[order], PREDICTIONS[order], 3) == score(LABELS, PREDICTIONS, 3)


@given(st.lists(st.integers(0, 2), min_size=1, max_size=40), st.integers(0, 2))
def test_a_model_that_collapsed_to_one_class_counts_as_failed(labels, chosen):
    labels = np.array(labels)
    collapsed = score(labels, np.full(len(labels), chosen), 3)
    ledger = {"outcome": {"validation": collapsed, "majority": majority_score(labels, 3)}}
    assert all(has_failed(ledger, metric) for metric in collapsed)
