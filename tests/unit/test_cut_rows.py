"""How many rows are cut at `max_length`, and by how many tokens: told alike for every kind of task."""

import json

import pyarrow as pa
import pytest

from ftft.artifacts import read_json
from ftft.tasks.base import KINDS, kind_of
from ftft.tasks.lengths import check_lengths
from ftft.tasks.prepare import prepare

LENGTH, LONG = 24, "ann is in rome now " * 12
ANSWER = json.dumps({"text": ["ann"], "answer_start": [0]})
# By kind: the specification, a row that is not cut, and one that is.
ROWS = {
    "classification": (
        {"text": ["text"], "label": "label", "labels": ["a", "b"]},
        {"text": "ann", "label": "a"},
        {"text": LONG, "label": "b"},
    ),
    "multilabel": (
        {"text": ["text"], "label": "label", "labels": ["a", "b"]},
        {"text": "ann", "label": json.dumps(["a"])},
        {"text": LONG, "label": json.dumps(["b"])},
    ),
    "regression": (
        {"text": ["text"], "label": "label"},
        {"text": "ann", "label": 1.0},
        {"text": LONG, "label": 2.0},
    ),
    "token_classification": (
        {"text": ["words"], "label": "tags", "labels": ["O", "B-PER"]},
        {"words": json.dumps(["ann"]), "tags": json.dumps(["O"])},
        {"words": json.dumps(LONG.split()), "tags": json.dumps(["O"] * len(LONG.split()))},
    ),
    "multiple_choice": (
        {"text": ["question"], "choices": ["choices"], "label": "label"},
        {"question": "who", "choices": json.dumps(["ann", "bob"]), "label": "0"},
        # Two of its choices are too long, and it is one row.
        {"question": "who", "choices": json.dumps([LONG, f"{LONG} {LONG}", "bob"]), "label": "1"},
    ),
    "question_answering": (
        {"text": ["question", "context"], "label": "answers"},
        {"question": "who", "context": "ann is in rome", "answers": ANSWER},
        # Contexts are strided; a question may take half of a stride.
        {"question": LONG, "context": "ann is", "answers": ANSWER},
    ),
    "generation": (
        {"text": ["prompt"], "label": "response"},
        {"prompt": "ann", "response": "bob"},
        {"prompt": LONG, "response": "bob"},
    ),
}


@pytest.mark.parametrize("name", KINDS)
def test_rows_that_are_cut_are_counted_and_by_how_much(name, encoder, tmp_path):
    spec, short, long = ROWS[name]
    table = pa.Table.from_pylist([short, long, short])
    dataset = prepare(table, {"kind": name, "uid": None, **spec}, "rows", {"steps": []})
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    (folder / "tokenizer.json").write_bytes((encoder / "tokenizer.json").read_bytes())
    settings = json.loads((encoder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "eos_token": "[SEP]"}))
    kind = kind_of(name)
    cut = kind.tokenize(dataset, folder / "tokenizer.json", LENGTH).cut
    whole = kind.tokenize(dataset, folder / "tokenizer.json", 10_000)
    assert (cut.rows, cut.total) == (1, 3) and (whole.cut.rows, whole.cut.tokens) == (0, 0)
    assert cut.longest == whole.cut.longest > LENGTH
    lost = (whole.feature_lengths - LENGTH).clip(0).sum()
    if name == "question_answering":
        lost = cut.longest - LENGTH // 2
    assert cut.tokens == lost > 0


def test_a_check_counts_them_by_data_set_and_model(encoder, tmp_path, caplog):
    spec, short, long = ROWS["classification"]
    files = []
    for name, rows in (("train", [short, long, long]), ("validation", [short, {**short, "label": "b"}])):
        table = pa.Table.from_pylist(rows)
        prepare(table, {"kind": "classification", "uid": None, **spec}, name, {"steps": []}).save(
            tmp_path / f"{name}.parquet"
        )
        files.append(tmp_path / f"{name}.parquet")
    asked = {"datasets": ["train", "validation"], "max_length": LENGTH}
    check_lengths(asked, files, encoder, tmp_path / "check.json", {"scratch": str(tmp_path)})
    found = read_json(tmp_path / "check.json")
    assert found["max_length"] == LENGTH
    train, validation = found["datasets"]["train"], found["datasets"]["validation"]
    assert (train["rows"], train["total"], validation["rows"], validation["total"]) == (2, 3, 0, 2)
    assert train["longest"] > LENGTH and train["tokens"] == 2 * (train["longest"] - LENGTH)
    assert "train: 2 of 3 rows are longer than max_length" in caplog.text
    assert "validation" not in caplog.text
