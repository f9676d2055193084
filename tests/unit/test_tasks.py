"""Kinds of tasks: what multiple choice adds to classification, through the same seam."""

import json

import numpy as np
import pyarrow as pa
import pytest
import torch
from small import RECIPE, RUNTIME
from transformers import AutoModelForMultipleChoice

from ftft.cartography.datamap import COORDINATES, DataMap
from ftft.cartography.dynamics import load_dynamics, save_dynamics
from ftft.cartography.scores import given_by
from ftft.cartography.selection import Pool, choose
from ftft.cartography.supervision import Supervision
from ftft.data.dataset import Dataset
from ftft.errors import DataError
from ftft.execution.progress import Progress
from ftft.tasks.base import ABSENT, KINDS, kind_of
from ftft.tasks.prediction import encode, predict_outputs
from ftft.tasks.prepare import prepare
from ftft.training.feed import Development, TrainingData
from ftft.training.loop import train

SPEC = {
    "kind": "multiple_choice",
    "text": ["question"],
    "choices": ["choices"],
    "label": "answer",
    "uid": None,
    "labels": [],
}
QUESTIONS = [f"the nurse is tall and number {number} is" for number in range(12)]
CHOICES = [[f"answer {number} {letter}" for letter in "abcde"[: 2 + number % 4]] for number in range(12)]
ANSWERS = [number % 2 for number in range(12)]


def records(**changes):
    columns = {
        "question": QUESTIONS,
        "choices": list(map(json.dumps, CHOICES)),
        "answer": list(map(str, ANSWERS)),
    }
    return pa.table({**columns, **changes})


@pytest.fixture
def dataset():
    return prepare(records(), SPEC, "questions", {"steps": []})


def test_every_kind_is_found_by_its_name():
    assert [kind_of(name).name for name in KINDS] == list(KINDS)


@pytest.mark.parametrize(
    "answers",
    [
        list(map(str, ANSWERS)),
        ["AB"[answer] for answer in ANSWERS],
        [own[answer] for own, answer in zip(CHOICES, ANSWERS, strict=True)],
    ],
    ids=["numbers", "letters", "texts"],
)
def test_the_right_choice_is_a_number_a_letter_or_a_text(answers):
    assert prepare(records(answer=answers), SPEC, "questions", {"steps": []}).labels.tolist() == ANSWERS


def test_choices_may_stand_in_columns_of_their_own():
    table = pa.table(
        {"question": ["q", "p"], "A": ["x", "x"], "B": ["y", "y"], "C": ["z", ""], "answer": ["C", "A"]}
    )
    spec = {**SPEC, "choices": ["A", "B", "C"]}
    found = prepare(table, spec, "questions", {"steps": []})
    assert found.texts[1] == [["x", "y", "z"], ["x", "y"]] and found.labels.tolist() == [2, 0]


def test_wrong_choices_may_be_equal():
    table = records(choices=['["a", "b", "a"]'] * 12, answer=["1"] * 12)
    assert prepare(table, SPEC, "questions", {"steps": []}).labels.tolist() == [1] * 12


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"choices": ['["only"]'] * 12}, "leave nothing to choose"),
        ({"choices": ['["a", "a"]'] * 12}, "leave nothing to choose"),
        ({"choices": ['["a", "b", "a", "c", "d"]'] * 12, "answer": ["0"] * 12}, "stands there twice"),
        ({"choices": ["a, b"] * 12}, "no lists of choices in column 'choices'"),
        ({"answer": ["7"] * 12}, "without a right choice in column 'answer'"),
        ({"answer": [None] * 12}, "without a right choice"),
        ({"question": [""] * 12}, "missing or empty texts in column 'question'"),
    ],
)
def test_bad_questions_are_refused(changes, message):
    with pytest.raises(DataError, match=message):
        prepare(records(**changes), SPEC, "questions", {"steps": []})


def test_a_data_set_of_questions_loads_as_it_was_saved(dataset, tmp_path):
    dataset.save(tmp_path / "questions.parquet")
    loaded = Dataset.load(tmp_path / "questions.parquet")
    assert (loaded.kind, loaded.texts, loaded.content_hash) == (
        "multiple_choice",
        dataset.texts,
        dataset.content_hash,
    )


def test_chance_and_make_up_go_by_the_number_of_choices(dataset):
    kind = kind_of("multiple_choice")
    assert kind.chance(dataset) == pytest.approx((1 / 2 + 1 / 3 + 1 / 4 + 1 / 5) / 4)
    assert kind.make_up(dataset).tolist() == [2, 3, 4, 5] * 3 and kind.width(dataset) == 5


def test_p_true_is_the_softmax_over_the_choices_that_there_are(dataset):
    logits = np.full((12, 5), ABSENT, np.float32)
    for row, own in enumerate(CHOICES):
        logits[row, : len(own)] = 0.0
    (columns,) = kind_of("multiple_choice").dynamics([logits], dataset)
    np.testing.assert_allclose(columns["p_true"], [1 / len(own) for own in CHOICES], rtol=1e-6)
    assert columns["correct"].tolist() == [answer == 0 for answer in ANSWERS]
    assert columns["logit_2"].null_count == 3 and columns["logit_4"].null_count == 9


def test_scores_of_a_batch_are_those_of_each_question_alone(dataset, encoder, tmp_path):
    kind = kind_of("multiple_choice")
    torch.manual_seed(0)
    model = kind.load(encoder, [], True)
    tokens = encode(kind, dataset, encoder, 32, tmp_path)
    together = predict_outputs(kind, model, tokens, 5, 4096, torch.no_grad)
    alone = predict_outputs(kind, model, tokens, 5, 1, torch.no_grad)
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert ((together == ABSENT).sum(1) == [5 - len(own) for own in CHOICES]).all()
    model.save_pretrained(tmp_path / "model")
    library = AutoModelForMultipleChoice.from_pretrained(tmp_path / "model").eval()
    rows = slice(int(tokens.features[3]), int(tokens.features[4]))
    padded = tokens.padded(np.arange(rows.start, rows.stop), 0)
    with torch.no_grad():
        theirs = library(**{name: torch.from_numpy(values)[None] for name, values in padded.items()}).logits
    np.testing.assert_allclose(together[3], theirs[0], atol=1e-5)


def test_a_run_on_questions_gives_dynamics_a_map_and_every_supervision(dataset, encoder, tmp_path):
    kind = kind_of("multiple_choice")
    tokens = encode(kind, dataset, encoder, 32, tmp_path)
    everything = Supervision.of(np.arange(12))
    data = TrainingData(
        kind,
        tokens,
        dataset,
        everything,
        {"validation": Development(tokens, dataset)},
    )
    spec = {"recipe": {**RECIPE, "epochs": 4.0}, "metrics": kind.metrics, "early_stopping": None}
    result = train(spec, str(encoder), data, 0, RUNTIME, Progress("test", []))
    assert result.outcome["floor"] == {"accuracy": 0.5} and len(result.epochs) == 4
    save_dynamics(tmp_path / "dynamics.parquet", kind, result.epochs, dataset, {})
    dynamics = load_dynamics(tmp_path / "dynamics.parquet", dataset)
    data_map = DataMap.of(dynamics, [name for name in given_by(dynamics) if name not in COORDINATES])
    assert all(np.isfinite(values).all() for values in data_map.scores.values())
    for name in (
        "ambiguous",
        "aum",
        "class_balanced",
        "matched_random",
        "within_labels",
        "longest",
        "balanced",
    ):
        assert len(choose(name, Pool.of(dataset, kind, data_map, 0.5, 0, "exact"), {})) == 6
