"""Corrections of kinds whose labels are more than a class."""

import csv
import json

import pyarrow as pa
import pytest

from ftft.errors import DataError
from ftft.tasks.base import kind_of
from ftft.tasks.prepare import prepare

TEXTS = {"uid": ["u0", "u1"], "text": ["a", "b"]}
EMOTIONS = {"kind": "multilabel", "text": ["text"], "labels": ["joy", "fear"]}
QUESTION = {
    "kind": "multiple_choice",
    "text": ["text"],
    "choices": ["choices"],
    "label": "label",
    "labels": [],
}
TAGS = {"kind": "token_classification", "text": ["words"], "label": "tags", "labels": ["LOC"]}
SENTENCES = {
    "uid": ["u0", "u1"],
    "words": ['["in", "Bonn", "Town"]', '["so"]'],
    "tags": ['["O", "O", "O"]', '["O"]'],
}


@pytest.fixture
def labels_after(tmp_path):
    """The labels in words of a data set after this label is given to its first row."""

    def prepared(spec, columns, label):
        with open(tmp_path / "corrections.csv", "w", newline="") as file:
            csv.writer(file).writerows([("uid", "label"), ("u0", label)])
        spec = {"uid": "uid", "label": "label", **spec, "corrections": str(tmp_path / "corrections.csv")}
        dataset = prepare(pa.table(columns), spec, "train", {"steps": []})
        return kind_of(spec["kind"]).in_words(dataset.labels, dataset)

    return prepared


@pytest.mark.parametrize(
    ("spec", "columns", "label", "after"),
    [
        ({}, {"label": ['["joy"]', "[]"]}, '["fear", "joy"]', '["joy", "fear"]'),
        ({"label_names": {"0": "joy", "1": "fear"}}, {"label": ["[0]", "[]"]}, "[1]", '["fear"]'),
        ({"label_names": {"0": "joy", "1": "fear"}}, {"label": ["[0]", "[]"]}, '["fear"]', '["fear"]'),
        ({"label_columns": ["j", "f"]}, {"j": ["1", "0"], "f": ["0", "0"]}, '["fear"]', '["fear"]'),
        ({"label_columns": ["j", "f"]}, {"j": ["1", "0"], "f": ["0", "0"]}, "[]", "[]"),
    ],
)
def test_several_labels(labels_after, spec, columns, label, after):
    assert labels_after({**EMOTIONS, **spec}, {**TEXTS, **columns}, label) == [after, "[]"]


@pytest.mark.parametrize("column", [["0", "1"], ["A", "B"], ["x", "w"]])
@pytest.mark.parametrize("label", ["z", "as the column has it"])
def test_a_choice_is_written_as_the_column_has_it(labels_after, column, label):
    own = {"0": "2", "A": "C", "x": "z"}[column[0]]
    choices = [json.dumps(["x", "y", "z"]), json.dumps(["v", "w"])]
    columns = {**TEXTS, "choices": choices, "label": column}
    assert labels_after(QUESTION, columns, "z" if label == "z" else own) == ["z", "w"]


def test_a_choice_that_is_a_number_is_told_by_its_text(labels_after):
    columns = {**TEXTS, "choices": ['["7", "0"]', '["3", "4"]'], "label": ["1", "1"]}
    assert labels_after(QUESTION, columns, "7") == ["7", "4"]


def test_choices_in_columns_of_their_own(labels_after):
    columns = {**TEXTS, "a": ["x", "v"], "b": ["y", "w"], "label": ["1", "0"]}
    assert labels_after({**QUESTION, "choices": ["a", "b"]}, columns, "x") == ["x", "v"]


def test_tags_of_a_sentence(labels_after):
    after = '["O", "B-LOC", "I-LOC"]'
    assert labels_after(TAGS, SENTENCES, after) == [after, '["O"]']


@pytest.mark.parametrize(
    ("spec", "columns", "label", "expected"),
    [
        (EMOTIONS, {**TEXTS, "label": ["[]", "[]"]}, '["rage"]', "a list in JSON of joy, fear, or none"),
        (EMOTIONS, {**TEXTS, "label": ["[]", "[]"]}, "joy", "a list in JSON of joy, fear, or none"),
        (
            {**EMOTIONS, "label_columns": ["j", "f"]},
            {**TEXTS, "j": ["1", "0"], "f": ["0", "0"]},
            "1",
            "a list in JSON of joy, fear, or none",
        ),
        (
            QUESTION,
            {**TEXTS, "choices": ['["x", "y"]', '["v", "w"]'], "label": ["0", "1"]},
            "w",
            "the text of one of the row's choices, or what the label column would call it, or none",
        ),
        (TAGS, SENTENCES, '["O", "O"]', "a list in JSON with one of O, B-LOC, I-LOC for every word, or none"),
        (TAGS, SENTENCES, '["O", "O", "B-PER"]', "a list in JSON with one of O, B-LOC, I-LOC for every word"),
        (TAGS, SENTENCES, "{}", "a list in JSON with one of O, B-LOC, I-LOC for every word, or none"),
    ],
)
def test_a_label_that_there_is_not_is_refused(labels_after, spec, columns, label, expected):
    with pytest.raises(DataError) as error:
        labels_after(spec, columns, label)
    assert "to labels that it lacks" in str(error.value) and f"expected: {expected}" in str(error.value)
    assert label in str(error.value)


def test_tags_that_do_not_fit_together_are_refused(labels_after):
    with pytest.raises(DataError, match="not BIO2"):
        labels_after(TAGS, SENTENCES, '["O", "O", "I-LOC"]')
