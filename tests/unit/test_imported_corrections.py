"""What other tools leave becomes corrections: small files in their formats, written by hand."""

import csv
import json

import numpy as np
import pytest

from ftft.cartography.imported_corrections import import_corrections
from ftft.cli import main
from ftft.data.corrections import read_corrections, text_hash
from ftft.data.dataset import Dataset
from ftft.errors import DataError

UIDS, TEXTS = ["u0", "u1", "u2"], ["one", "two", "three"]
DATASET = Dataset(UIDS, (TEXTS,), np.array([0, 1, 0]), ["no", "yes"])

CLEANLAB = """,is_label_issue,label_quality,given_label,predicted_label
0,True,0.05,0,1
1,False,0.4,1,0
2,True,0.1,0,0
"""
DATALAB = """uid,is_label_issue,label_score,given_label,predicted_label
u2,False,0.9,no,no
u1,True,0.2,yes,no
"""
NUMBERS_OF_PANDAS = CLEANLAB.replace(",0,1\n", ",0.0,1.0\n")


def record(uid, **answers):
    """A record of Argilla 2: `Record.to_dict`."""
    given = {name: [{"value": value, "user_id": "a"} for value in values] for name, values in answers.items()}
    return {"id": uid, "fields": {"text": "x"}, "metadata": {}, "suggestions": {}, "responses": given}


def task(uid, *chosen, name="label", skipped=False):
    """A task of Label Studio: each annotation is the choice of one person."""
    annotations = [
        {
            "was_cancelled": skipped,
            "result": [
                {"from_name": name, "to_name": "text", "type": "choices", "value": {"choices": [one]}}
            ],
        }
        for one in chosen
    ]
    return {"id": 7, "data": {"uid": uid, "text": "x"}, "annotations": annotations, "predictions": []}


@pytest.fixture
def imported(tmp_path):
    """The corrections in a file of this content, by uid."""

    def read(content, name="export.json", **settings):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return {one["uid"]: one["label"] for one in import_corrections(path, DATASET, **settings)}

    return read


@pytest.mark.parametrize(
    ("text", "expected"),
    [(CLEANLAB, {"u0": "yes"}), (NUMBERS_OF_PANDAS, {"u0": "yes"}), (DATALAB, {"u1": "no"})],
)
def test_a_frame_of_cleanlab(imported, text, expected):
    assert imported(text, "frame.csv") == expected


def test_records_of_argilla(imported):
    # Two of three say yes; the second keeps its label; nobody has looked at the third.
    records = [record("u0", label=["yes", "no", "yes"]), record("u1", label=["yes"]), record("u2")]
    assert imported(records) == {"u0": "yes"}
    several = [record("u0", label=["yes"], clear=["very"])]
    assert imported(several, question="label") == {"u0": "yes"}
    with pytest.raises(DataError, match=r"answers to clear, label\n.*\n *what to do: name it: --question"):
        imported(several)


def test_tasks_of_label_studio(imported):
    tasks = [task("u0", "yes"), task("u1", "no", skipped=True), task("u2")]
    assert imported(tasks) == {"u0": "yes"}
    assert imported("\n".join(map(json.dumps, tasks)), "tasks.jsonl") == {"u0": "yes"}


def test_rows_that_cartography_never_learnt(tmp_path):
    # Of class no are u0, wrong in both epochs, and u2, right in the second.
    logits = [{"u0": [0, 1], "u1": [0, 1], "u2": [0, 3]}, {"u0": [0, 2], "u1": [0, 1], "u2": [1, 0]}]
    gold = {"u0": 0, "u1": 1, "u2": 0}
    for epoch, values in enumerate(logits):
        lines = [
            json.dumps({"guid": uid, f"logits_epoch_{epoch}": own, "gold": gold[uid]})
            for uid, own in values.items()
        ]
        (tmp_path / f"dynamics_epoch_{epoch}.jsonl").write_text("\n".join(lines) + "\n")
    found = import_corrections(tmp_path, DATASET)
    assert found == [
        {"uid": "u0", "label": "yes", "note": "from allenai/cartography", "text": text_hash(["one"])}
    ]


@pytest.mark.parametrize(
    ("content", "name", "parts"),
    [
        (DATALAB.replace("u1", "u9"), "f.csv", ("rows that the data set lacks", "1: 'u9'")),
        ([record("u0", label=["maybe"])], "f.json", ("labels that the data set lacks", "'maybe'", "no, yes")),
        ([task("u0", "perhaps")], "f.json", ("labels that the data set lacks", "'perhaps'")),
        (
            "uid,label\nu0,yes\n",
            "f.csv",
            ("cannot tell which tool wrote", "columns uid, label", "Label Studio"),
        ),
        ("uid", "f.doc", ("cannot tell which tool wrote", "a name that tells no format", ".csv")),
        (CLEANLAB + "3,True,0,0,1\n", "f.csv", ("without uids", "4 rows", "3 rows, or a column uid")),
        (CLEANLAB.replace(",1,0\n", ",0,0\n"), "f.csv", ("not those of the data set", "'u1'", "no, yes")),
        ([record("u0", label=["yes", "no"])], "f.json", ("equally often", "'u0'")),
        ([{**task("u0", "yes"), "data": {"text": "x"}}], "f.json", ("does not say which row", "key uid")),
        ([record("u0", label=[["yes"]])], "f.json", ("cannot be read as what Argilla exports",)),
        ([record("u0", label=["yes"])], "f.json", ("cannot tell which question", "answers to label")),
    ],
)
def test_what_does_not_fit_is_refused_in_one_error(imported, content, name, parts):
    question = "other" if "which question" in parts[0] else None
    with pytest.raises(DataError) as refused:
        imported(content, name, question=question)
    assert all(part in str(refused.value) for part in parts), refused.value


def test_other_kinds_are_refused():
    numbers = Dataset(["a", "b"], (["x", "y"],), np.array([1.0, 2.0]), [], kind="regression")
    with pytest.raises(DataError, match="rows with one class each\n  got: a data set of the kind 'regress"):
        import_corrections("none.csv", numbers)


def test_the_command_writes_what_the_data_set_takes(tmp_path, capsys):
    DATASET.save(tmp_path / "train.parquet")
    (tmp_path / "frame.csv").write_text(CLEANLAB)
    output = tmp_path / "corrections.csv"
    arguments = ["corrections", str(tmp_path / "frame.csv"), "--data", str(tmp_path / "train.parquet")]
    assert main([*arguments, "--output", str(output)]) == 0
    assert "another label for 1 of 3 rows" in capsys.readouterr().out
    assert read_corrections(output) == {
        "u0": {"uid": "u0", "label": "yes", "note": "from cleanlab", "text": text_hash(["one"])}
    }
    assert list(csv.DictReader(output.open())) == [
        {"uid": "u0", "label": "yes", "note": "from cleanlab", "text": text_hash(["one"])}
    ]
    assert main([*arguments, "--output", str(output)]) == 1
    assert "exists and is left as it is" in capsys.readouterr().err
