"""Several labels and numbers: definitions by numbers computed by hand, and a whole run of each."""

import json

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score
from small import RECIPE, RUNTIME, require_all_selectors
from transformers import AutoModelForSequenceClassification

from ftft.cartography.dynamics import load_dynamics, save_dynamics
from ftft.cartography.supervision import Supervision
from ftft.data.dataset import Dataset
from ftft.errors import DataError
from ftft.execution.progress import Progress
from ftft.tasks.base import kind_of
from ftft.tasks.metrics import metric, scores
from ftft.tasks.prediction import encode, predict_outputs
from ftft.tasks.prepare import prepare
from ftft.training.feed import Development, TrainingData
from ftft.training.loop import train

MULTILABEL, REGRESSION = kind_of("multilabel"), kind_of("regression")
LABELS = ["joy", "anger", "fear"]
SPEC = {"text": ["text"], "label": "label", "uid": None}
LABELLED = {**SPEC, "kind": "multilabel", "labels": LABELS}
NUMBERED = {**SPEC, "kind": "regression"}
TEXTS = ["the nurse is tall", "the nurse is here", "nobody is tall", "is it"]
TRUTHS = np.array([[1, 0, 0], [0, 1, 1], [0, 0, 0], [1, 1, 0]], bool)


def labelled(labels, **changes):
    table = pa.table({"text": [TEXTS[row % 4] for row in range(len(labels))], "label": labels})
    return prepare(table, {**LABELLED, **changes}, "labelled", {"steps": []})


def numbered(values):
    table = pa.table(
        {"text": [TEXTS[row % 4] for row in range(len(values))], "label": list(map(str, values))}
    )
    return prepare(table, NUMBERED, "numbered", {"steps": []})


def lists(truths):
    return [json.dumps([name for name, truth in zip(LABELS, row, strict=True) if truth]) for row in truths]


@pytest.fixture
def several():
    return labelled(lists(TRUTHS) * 3 + ['["fear"]'])


@pytest.fixture
def numbers():
    return numbered([0.5, 2.5, 4.0, 1.0] * 3 + [5.0])


def test_labels_come_as_lists_or_in_columns_of_their_own(several, tmp_path):
    assert (several.labels[:4] == TRUTHS).all()
    assert several.label_counts() == {"joy": 6, "anger": 6, "fear": 4}
    columns = {name: [str(int(truth)) for truth in TRUTHS[:, place]] for place, name in enumerate("abc")}
    table = pa.table({"text": TEXTS, **columns})
    found = prepare(table, {**LABELLED, "label_columns": ["a", "b", "c"]}, "columns", {"steps": []})
    assert (found.labels == TRUTHS).all()
    several.save(tmp_path / "several.parquet")
    loaded = Dataset.load(tmp_path / "several.parquet")
    assert loaded.content_hash == several.content_hash and (loaded.labels == several.labels).all()


def test_raw_labels_may_be_numbers_with_names():
    found = labelled(["[0, 2]", "[]"], label_names={"0": "joy", "1": "anger", "2": "fear"})
    assert found.labels.tolist() == [[True, False, True], [False] * 3]


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ('["rage"]', "unknown labels in column 'label'"),
        ("joy", "no lists of labels in column 'label'"),
        (None, "no lists of labels"),
    ],
)
def test_bad_label_lists_are_refused_with_their_rows(label, message):
    with pytest.raises(DataError, match=message) as caught:
        labelled(["[]", label])
    assert "1 row: row 2" in str(caught.value)


def test_a_label_column_with_other_values_than_0_and_1_is_refused():
    table = pa.table({"text": TEXTS[:2], "a": ["1", "2"], "b": ["0", "0"], "c": ["0", "1"]})
    with pytest.raises(DataError, match=r"other than 0 and 1 in column 'a'\n  got: '2' in 1 row: row 2"):
        prepare(table, {**LABELLED, "label_columns": ["a", "b", "c"]}, "columns", {"steps": []})


def test_p_true_is_the_mean_over_labels_of_the_instance_and_labels_ever_given():
    """Gold: joy. Anger is given in the second epoch, fear never. Logits of ln 3 and ln 4 are 3/4 and 4/5."""
    dataset = labelled(['["joy"]', "[]"])
    first = [np.log(3), -np.log(4), -np.log(9)]
    second = [np.log(4), np.log(3), -np.log(9)]
    epochs = [np.array([row, [-np.log(3), -np.log(4), -np.log(9)]], np.float32) for row in (first, second)]
    one, two = MULTILABEL.dynamics(epochs, dataset)
    # An instance without labels that was never given one goes by all labels.
    nothing = (3 / 4 + 4 / 5 + 9 / 10) / 3
    assert one["p_true"].tolist() == pytest.approx([(3 / 4 + 4 / 5) / 2, nothing])
    assert two["p_true"].tolist() == pytest.approx([(4 / 5 + 1 / 4) / 2, nothing])
    assert one["correct"].tolist() == [True, True] and two["correct"].tolist() == [False, True]
    assert one["probability_1"][0] == pytest.approx(1 / 5)


def test_losses_of_labels_by_hand():
    outputs, targets = torch.tensor([[0.0, np.log(3)]]), torch.tensor([[1.0, 0.0]])
    assert MULTILABEL.losses(outputs, targets).tolist() == pytest.approx([(np.log(2) + np.log(4)) / 2])


def test_make_up_and_groups_of_labels(several):
    assert len(set(MULTILABEL.make_up(several).tolist())) == 5 and MULTILABEL.chance(several) == 0.5
    groups, names = MULTILABEL.groups(several)
    assert [names[group] for group in groups[[0, 1, 2, 3, 12]]] == [
        "joy",
        "several labels",
        "no label",
        "several labels",
        "fear",
    ]


def test_scores_of_labels_by_hand():
    """F1 of joy: 2/3; of anger: 2 x 1 / (2 + 1); of fear, never predicted: 0. One row of four is right."""
    predicted = np.array([[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 0]], bool)
    found = scores(MULTILABEL.metrics, TRUTHS, predicted, LABELS)
    assert found["macro_f1"] == pytest.approx((2 / 4 + 2 / 3 + 0) / 3)
    assert found["micro_f1"] == pytest.approx(2 * 2 / (5 + 3)) and found["subset_accuracy"] == 1 / 4
    # Always joy alone: of its four labels two are right, and one row.
    floors = {name: metric(name).floor(TRUTHS, LABELS) for name in found}
    assert floors == {
        "macro_f1": pytest.approx((2 * 2 / (2 + 4)) / 3),
        "micro_f1": pytest.approx(2 * 2 / (5 + 4)),
        "subset_accuracy": 1 / 4,
    }


truths = st.lists(st.lists(st.booleans(), min_size=6, max_size=6), min_size=1, max_size=20)


@settings(deadline=None)
@given(truths, st.data())
def test_scores_of_labels_are_scikit_learns(pairs, data):
    targets, predictions = np.hsplit(np.array(pairs), 2)
    counts = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(pairs), max_size=len(pairs))))
    counts[0] += 1
    rows = np.repeat(np.arange(len(pairs)), counts)
    sides = targets[rows], predictions[rows]
    occurs = (sides[0] | sides[1]).any(0)
    if not occurs.any():
        return
    # Scikit-learn's mean is over all labels, ours over those that occur.
    for name, average, share in (("macro_f1", "macro", occurs.mean()), ("micro_f1", "micro", 1)):
        found = metric(name)
        own = found.replicates(counts[None], found.statistics(targets, predictions, LABELS)[:, None])[0, 0]
        assert own == pytest.approx(f1_score(*sides, average=average, zero_division=0) / share)
    own = metric("subset_accuracy").score(targets[rows], predictions[rows], LABELS)
    assert own == pytest.approx(accuracy_score(targets[rows], predictions[rows]))


def test_p_true_of_a_number_goes_by_its_error_in_standard_deviations():
    """Targets 1 and 3: mean 2, deviation 1. Standardised outputs -1 and 1 are exact."""
    dataset = numbered([1, 3])
    assert REGRESSION.targets(dataset).tolist() == [-1.0, 1.0]
    (columns,) = REGRESSION.dynamics([np.array([[-1.0], [0.0]], np.float32)], dataset)
    assert columns["p_true"].tolist() == pytest.approx([1.0, np.exp(-1 / 2)])
    assert columns["prediction"].tolist() == [1.0, 2.0]
    (columns,) = REGRESSION.dynamics([np.array([[-0.75], [0.74]], np.float32)], dataset)
    assert columns["correct"].tolist() == [True, False]
    assert REGRESSION.chance(dataset) == pytest.approx(np.exp(-1 / 2))
    assert REGRESSION.losses(torch.tensor([[0.5]]), torch.tensor([-1.0])).tolist() == [2.25]


def test_chance_is_the_root_of_one_half_for_normally_distributed_targets():
    values = np.random.default_rng(0).normal(3, 2, 20000).round(3)
    assert REGRESSION.chance(numbered(values)) == pytest.approx(np.sqrt(1 / 2), abs=0.005)


@pytest.mark.parametrize("value", ["nan", "inf", "", "much", None, "1,5"])
def test_what_is_no_finite_number_is_refused(value):
    table = pa.table({"text": TEXTS[:3], "label": ["1", "2", value]})
    with pytest.raises(DataError, match="no finite numbers in column 'label'") as caught:
        prepare(table, NUMBERED, "numbers", {"steps": []})
    assert "1 row: row 3" in str(caught.value)


def test_one_number_in_all_rows_is_refused_but_where_they_are_evaluated_only():
    with pytest.raises(DataError, match=r"one number only in column 'label'\n  got: 2 in all 2 rows"):
        numbered([2, 2.0])
    table = pa.table({"text": TEXTS[:2], "label": ["2", "2"]})
    assert len(prepare(table, {**NUMBERED, "evaluated_only": True}, "numbers", {"steps": []})) == 2


def test_make_up_and_groups_of_numbers_are_tenths():
    dataset = numbered(np.arange(40))
    assert np.bincount(REGRESSION.make_up(dataset)).tolist() == [4] * 10
    groups, names = REGRESSION.groups(dataset)
    assert names[groups[0]] == "0 to 3" and names[groups[-1]] == "36 to 39"
    few = numbered([1, 1, 1, 1, 5, 5])
    groups, names = REGRESSION.groups(few)
    assert names == ["1", "5"] and groups.tolist() == [0, 0, 0, 0, 1, 1]


def test_correlations_by_hand():
    """Ranks 1, 2.5, 2.5, 4 and 1, 2, 3, 4: 4.5 / sqrt(4.5 x 5)."""
    found = scores(REGRESSION.metrics, np.array([1.0, 2, 2, 9]), np.array([0.1, 0.2, 0.3, 0.4]), [])
    assert found["spearman"] == pytest.approx(4.5 / np.sqrt(4.5 * 5))
    assert found["pearson"] == pytest.approx(1.2 / np.sqrt(41 * 0.05))


def test_one_instance_drawn_thrice_has_no_correlation():
    targets = np.array([0.0, 0, 0, 0, 1])
    for name in ("spearman", "pearson"):
        found = metric(name)
        statistics = np.stack([found.statistics(targets, targets, [])], 1)
        assert found.replicates(np.array([[0, 0, 0, 0, 3]]), statistics)[0] == [0.0]


pairs = st.lists(st.tuples(st.integers(-4, 4), st.integers(-4, 4)), min_size=2, max_size=20)


@settings(deadline=None)
@given(pairs, st.data())
def test_correlations_are_scipys_on_resamples_too(pairs, data):
    targets, predictions = np.array(pairs, float).T
    counts = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(pairs), max_size=len(pairs))))
    drawn = np.repeat(targets, counts), np.repeat(predictions, counts)
    varies = all(len(np.unique(side)) > 1 for side in drawn)
    for name, theirs in (("spearman", spearmanr), ("pearson", pearsonr)):
        found = metric(name)
        statistics = np.stack([found.statistics(targets, run, []) for run in (predictions, -predictions)], 1)
        weights = np.stack([counts, np.ones(len(counts))])
        own, opposite = found.replicates(weights, statistics)[0]
        if counts.any():
            assert own == pytest.approx(theirs(*drawn)[0] if varies else 0.0, abs=1e-9)
            assert opposite == pytest.approx(-own, abs=1e-9)
        else:
            assert np.isnan(own)


def test_a_constant_answer_has_no_correlation_and_so_has_failed():
    constant = np.full(3, 0.1)
    assert scores(REGRESSION.metrics, np.arange(3.0), constant, []) == {"spearman": 0.0, "pearson": 0.0}
    assert all(metric(name).floor(np.arange(3.0), []) == 0.0 for name in REGRESSION.metrics)


@pytest.mark.parametrize("name", ["several", "numbers"])
def test_a_run_gives_dynamics_a_map_and_supervisions(name, request, encoder, tmp_path):
    """13 instances in batches of 4: the last batch holds one."""
    dataset = request.getfixturevalue(name)
    kind = kind_of(dataset.kind)
    tokens = encode(kind, dataset, encoder, 32, tmp_path)
    everything = Supervision.of(np.arange(13))
    data = TrainingData(kind, tokens, dataset, everything, {"validation": Development(tokens, dataset)})
    recipe = {**RECIPE, "epochs": 10.0, "batch_size": 4, "learning_rate": 1e-2}
    spec = {"recipe": recipe, "metrics": kind.metrics, "early_stopping": None}
    result = train(spec, str(encoder), data, 0, RUNTIME, Progress("test", []))
    assert len(result.epochs) == 10 and result.epochs[0].shape == (13, kind.width(dataset))
    primary = kind.metrics[0]
    assert result.outcome["validation"][primary] > result.outcome["floor"][primary]
    save_dynamics(tmp_path / "dynamics.parquet", kind, result.epochs, dataset, {})
    dynamics = load_dynamics(tmp_path / "dynamics.parquet", dataset)
    assert dynamics.logits is None
    require_all_selectors(dynamics, dataset)
    before = predict_outputs(kind, result.model, tokens, kind.width(dataset), 4096, torch.no_grad)
    alone = predict_outputs(kind, result.model, tokens, kind.width(dataset), 1, torch.no_grad)
    np.testing.assert_allclose(before, alone, atol=1e-5)
    kind.finish(result.model, dataset)
    result.model.save_pretrained(tmp_path / "model")
    library = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model")
    after = predict_outputs(kind, library, tokens, kind.width(dataset), 4096, torch.no_grad)
    if name == "numbers":
        expected = before * dataset.labels.std() + dataset.labels.mean()
        assert np.abs(after[:, 0] - dataset.labels).mean() < dataset.labels.std()
    else:
        expected = before
    np.testing.assert_allclose(after, expected, atol=1e-4)
    assert library.config.problem_type in ("multi_label_classification", "regression")
