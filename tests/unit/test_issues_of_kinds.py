"""Issues of every kind of task: hand-made dynamics in which one row's label is never learnt."""

import csv
import json

import numpy as np
import pyarrow as pa
import pytest

from ftft.artifacts import read_parquet, write_parquet
from ftft.cartography.dynamics import load_dynamics, save_dynamics
from ftft.cartography.scores import SCORES
from ftft.errors import ArtifactError
from ftft.results.issues import find_issues, listed
from ftft.tasks.base import ABSENT, KINDS, kind_of
from ftft.tasks.prepare import prepare

# By kind: keys of its task, the columns of rows u0 to u3, what is recorded of these in an epoch, and of u2,
# whose label is wrong: the given label, the suggested one, and the end of the reason.
SURE, ODD = 4.0, -4.0
CASES = {
    "classification": (
        {"text": ["text"], "label": "label", "labels": ["no", "yes"]},
        {"text": list("abcd"), "label": ["no", "yes", "no", "yes"]},
        [[SURE, 0], [0, SURE], [0, SURE], [0, SURE]],
        ("no", "yes", "its mean probability is 0.02, that of the suggested one 0.98."),
    ),
    "multiple_choice": (
        {"text": ["question"], "choices": ["choices"], "label": "label", "labels": []},
        {
            "question": list("abcd"),
            "choices": [json.dumps(own) for own in (["x", "y"], ["x", "y"], ["x", "y", "z"], ["x", "y"])],
            "label": ["0", "1", "1", "0"],
        },
        [[SURE, 0, ABSENT], [0, SURE, ABSENT], [0, 0, SURE], [SURE, 0, ABSENT]],
        ("y", "z", "that of the suggested one 0.96."),
    ),
    "multilabel": (
        {"text": ["text"], "label": "label", "labels": ["joy", "fear"], "lists": ["label"]},
        {"text": list("abcd"), "label": ['["joy"]', '["fear"]', '["fear"]', "[]"]},
        [[SURE, ODD], [ODD, SURE], [SURE, ODD], [ODD, ODD]],
        ('["fear"]', '["joy"]', "its mean probability is 0.02."),
    ),
    "regression": (
        {"text": ["text"], "label": "label", "labels": []},
        # Mean 2, deviation 1.27, the square root of 13 / 8: u2 is predicted 2 + 1.6 deviations.
        {"text": list("abcd"), "label": ["1", "3", "0.5", "3.5"]},
        [[-0.83], [0.83], [1.6], [1.24]],
        ("0.5", "4.04", "its mean probability is 0.02."),
    ),
    "token_classification": (
        {"text": ["words"], "label": "tags", "labels": ["LOC"], "lists": ["words", "tags"]},
        {
            "words": [json.dumps(own) for own in (["in", "Rome"], ["so"], ["in", "Bonn"], ["to", "Oslo"])],
            "tags": [json.dumps(own) for own in (["O", "B-LOC"], ["O"], ["O", "O"], ["O", "B-LOC"])],
        },
        # Probabilities of the two words' tags, and the tags that are predicted.
        [[0.9, 0.9, 0, 1], [0.9, ABSENT, 0, ABSENT], [0.9, 0.1, 0, 1], [0.9, 0.8, 0, 1]],
        (
            '["O", "O"]',
            '["O", "B-LOC"]',
            "The worst word is 'Bonn': its tag O has probability 0.10 in the last epoch, B-LOC is predicted.",
        ),
    ),
    "question_answering": (
        {"text": ["question", "context"], "label": "answers", "labels": [], "lists": ["answers"]},
        {
            "question": list("abcd"),
            "context": ["Rome is far"] * 4,
            "answers": [
                json.dumps({"text": [text], "answer_start": [start]})
                for text, start in (("Rome", 0), ("Rome", 0), ("far", 8), ("Rome", 0))
            ],
        },
        # Log-probabilities of the answer's start and end, whether it is predicted; the best span, its margin.
        [
            [-0.1, -0.1, 1, 0, 4, 2],
            [-0.2, -0.1, 1, 0, 4, 2],
            [-4, -4, 0, 0, 4, 2],
            [-0.1, -0.2, 1, 0, 4, 2],
        ],
        (
            '{"text": ["far"], "answer_start": [8]}',
            '{"text": ["Rome"], "answer_start": [0]}',
            "its mean probability is 0.02. The model answers 'Rome' in 2 of 2 epochs.",
        ),
    ),
    "generation": (
        {"text": ["prompt"], "label": "response", "labels": []},
        {"prompt": list("abcd"), "response": ["it is so", "it is", "is it", "so it is"]},
        # Tokens, their log-probability, mean probability, and how many are the likeliest. The longest has the
        # least likelihood, the third the least for its length.
        [[30, -15, 0.6, 30], [2, -0.2, 0.9, 2], [2, -8, 0.1, 0], [3, -0.6, 0.8, 3]],
        ("is it", "", "its mean probability is 0.02."),
    ),
}


def dataset_of(kind, **keys):
    spec, columns, *_ = CASES[kind]
    records = pa.table({"uid": ["u0", "u1", "u2", "u3"], **columns})
    return prepare(records, {"kind": kind, "uid": "uid", **spec, **keys}, "rows", {"steps": []})


def issues_of(kind, folder, scores=("confidence",), epochs=2, **keys):
    dataset, recorded = dataset_of(kind, **keys), CASES[kind][2]
    epoch = np.array(recorded, np.float32)
    save_dynamics(folder / "dynamics.parquet", kind_of(kind), [epoch] * epochs, dataset, {})
    dynamics = load_dynamics(folder / "dynamics.parquet", dataset)
    return listed(*find_issues(dynamics, dataset, {"u0": 0, "u1": 0}, scores, {}))


@pytest.fixture(autouse=True)
def one_of_four_is_listed(monkeypatch):
    monkeypatch.setattr("ftft.results.issues.LISTED_WITHOUT_PROBABILITIES", 0.25)


def test_all_kinds_are_here():
    assert CASES.keys() == KINDS.keys()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("epochs", [1, 2])
def test_the_wrong_label_is_the_first_issue(kind, epochs, tmp_path):
    worst = issues_of(kind, tmp_path, epochs=epochs).iloc[0]
    given, suggested, reason = CASES[kind][-1]
    assert (worst["uid"], worst["given"], worst["suggested"]) == ("u2", given, suggested)
    assert worst["reason"].startswith(f"The given label was never learnt in {epochs} epochs")
    of_one = reason.replace("mean ", "").replace(" in 2 of 2 epochs", "")
    assert worst["reason"].endswith(reason if epochs == 2 else of_one)


@pytest.mark.parametrize("kind", KINDS)
def test_the_scores_that_a_kind_takes_are_given_by_one_epoch_of_it(kind, tmp_path):
    scores = kind_of(kind).issue_scores
    assert all(SCORES[name].wrong and SCORES[name].epochs == 1 for name in scores)
    assert issues_of(kind, tmp_path, scores, epochs=1).iloc[0]["uid"] == "u2"


@pytest.mark.parametrize("kind", [kind for kind in KINDS if CASES[kind][-1][1]])
def test_the_suggested_label_is_a_correction(kind, tmp_path):
    given, suggested, _ = CASES[kind][-1]
    with open(tmp_path / "corrections.csv", "w", newline="") as file:
        csv.writer(file).writerows([("uid", "label"), ("u2", suggested)])
    corrected = dataset_of(kind, corrections=str(tmp_path / "corrections.csv"))
    before, after = (kind_of(kind).in_words(data.labels, data) for data in (dataset_of(kind), corrected))
    assert before[2] == given and after == [*before[:2], suggested, before[3]]


@pytest.mark.parametrize(
    ("kind", "given", "suggested"),
    [
        ("multiple_choice", "y", "z"),
        ("multilabel", "fear", "joy"),
        ("token_classification", "in Bonn", "in [Bonn]LOC"),
        ("question_answering", "far", "Rome"),
    ],
)
def test_a_page_shows_labels_as_a_reader_would_write_them(kind, given, suggested):
    dataset, written = dataset_of(kind), CASES[kind][-1][:2]
    texts = [column[2] for column in dataset.texts]
    assert [kind_of(kind).readable(label, texts) for label in written] == [given, suggested]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "question_answering"])
def test_duplicates_with_other_labels_are_issues_of_every_kind(kind, tmp_path):
    """u0 and u1 are said to be alike; of the questions alone they have one answer."""
    found = issues_of(kind, tmp_path).set_index("uid")
    assert "nearly the same, has the label" in found.loc["u0", "reason"]
    assert "nearly the same, has the label" in found.loc["u1", "reason"]


@pytest.mark.parametrize(
    ("kind", "column"),
    [
        ("question_answering", "answer_end"),
        ("token_classification", "worst_tag"),
        ("multilabel", "probability_1"),
        ("regression", "prediction"),
    ],
)
def test_dynamics_that_another_version_recorded_are_refused(kind, column, tmp_path):
    issues_of(kind, tmp_path)
    table, metadata = read_parquet(tmp_path / "dynamics.parquet")
    write_parquet(tmp_path / "dynamics.parquet", table.drop_columns([column]), metadata)
    dataset = dataset_of(kind)
    dynamics = load_dynamics(tmp_path / "dynamics.parquet", dataset)
    with pytest.raises(ArtifactError, match=f"no column {column}: another version") as error:
        find_issues(dynamics, dataset, {}, ["confidence"], {})
    assert "delete the file" in str(error.value)


@pytest.mark.parametrize("pool", ["entities", "all_words", "min"])
def test_the_worst_word_does_not_ask_for_a_pool(pool, tmp_path):
    found = issues_of("token_classification", tmp_path, scores=("worst_word",), pool=pool)
    assert found.iloc[0]["uid"] == "u2"
