import pyarrow as pa
import pytest

from ftft.data.corrections import text_hash
from ftft.errors import DataError
from ftft.results.notes import correction_notes
from ftft.tasks.prepare import prepare

SPEC = {"source": "file", "text": ["a"], "label": "label", "uid": "uid", "labels": ["no", "yes"]}
ROWS = {
    "uid": ["u0", "u1", "u2", "u3"],
    "a": ["one", "two", "three", "four"],
    "label": ["yes", "no", "yes", "no"],
}


@pytest.fixture
def corrected(tmp_path):
    """The data set after the corrections in a file of this text."""

    def prepared(text, name="corrections.csv", **spec):
        path = tmp_path / name
        path.write_text(text)
        records = pa.table({key: pa.array(values, pa.string()) for key, values in ROWS.items()})
        spec = {**SPEC, "corrections": str(path), **spec}
        return prepare(records, spec, "train", {"source": "file", "steps": [{"step": "read", "rows": 4}]})

    return prepared


def test_labels_are_replaced_and_rows_dropped(corrected):
    dataset = corrected(f"uid,label,note,text\nu1,yes,,{text_hash(['two'])}\nu2,,unclear,\n")
    assert dataset.uids == ["u0", "u1", "u3"]
    assert dataset.labels.tolist() == [1, 1, 0]
    assert dataset.texts == (["one", "two", "four"],)
    step = {"step": "corrections", "rows": 3, "corrected": 1, "dropped": 1}
    assert dataset.provenance["steps"] == [{"step": "read", "rows": 4}, step]
    assert correction_notes({"train": dataset.provenance, "test": {}}) == [
        "Data set train: 1 labels were corrected, 1 rows dropped"
    ]


def test_numbered_rows_keep_their_numbers(corrected):
    dataset = corrected("uid,label\ntrain-1,\n", uid=None)
    assert dataset.uids == ["train-0", "train-2", "train-3"]


def test_a_label_may_be_spelled_as_the_source_spells_it(corrected):
    assert corrected("uid,label\nu1,1\n", label_names={"1": "yes"}).labels.tolist() == [1, 1, 1, 0]


def test_a_row_that_would_be_refused_may_be_corrected(corrected, monkeypatch):
    monkeypatch.setitem(ROWS, "label", ["yes", "no", "maybe", None])
    assert corrected("uid,label\nu2,no\nu3,\n").labels.tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("uid,label\nu9,yes\n", ("of rows that it lacks", "1: 'u9'")),
        ("uid,label\nu1,maybe\n", ("to labels that it lacks", "'maybe'", "no, yes")),
        ("uid,label,text\nu1,yes,00000000\n", ("texts that have changed since", "'u1'")),
        ("uid,label\nu1,yes\nu1,no\n", ("corrects a row twice", "'u1' in row 2")),
        ("uid,label\n,no\n", ("corrects a row twice, or does not say which",)),
        ("id,label\nu1,no\n", ("holds no corrections: it lacks the column(s) uid",)),
    ],
)
def test_what_does_not_fit_is_refused_in_one_error(corrected, text, parts):
    with pytest.raises(DataError) as refused:
        corrected(text)
    assert all(part in str(refused.value) for part in parts), refused.value


def test_the_hash_tells_texts_and_their_borders():
    assert text_hash(["ab", "c"]) != text_hash(["a", "bc"]) != text_hash(["a", "b"])
    # BLAKE2b over each text's length in eight bytes and the text itself.
    assert len(text_hash(["one"])) == 8 and text_hash(["one"]) == text_hash(["one"])
