from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftft.artifacts import read_parquet, write_parquet
from ftft.data.dataset import Dataset
from ftft.data.keep import keep
from ftft.data.rows import with_places
from ftft.errors import ArtifactError, DataError
from ftft.tasks.prepare import prepare

READ = {"source": "file", "steps": [{"step": "read", "rows": 3}]}
SPEC = {"source": "file", "text": ["a", "b"], "label": "label", "uid": "uid", "labels": ["no", "yes"]}
COLUMNS = {
    "uid": ["u0", "u1", "u2"],
    "a": ["one", "two", "three"],
    "b": ["first", "second", "third"],
    "label": ["yes", "no", "yes"],
}


def prepared(spec=None, **columns):
    table = {name: pa.array(values, pa.string()) for name, values in {**COLUMNS, **columns}.items()}
    return prepare(pa.table(table), {**SPEC, **(spec or {})}, "train", READ)


def numbered(uids, **spec):
    labels = ["yes" if int(uid[1:]) % 2 else "no" for uid in uids]
    return prepared(spec, uid=uids, a=uids, b=uids, label=labels)


def test_rows_keep_their_order_and_labels_become_class_indices():
    dataset = prepared()
    assert dataset.uids == ["u0", "u1", "u2"]
    assert dataset.texts == (["one", "two", "three"], ["first", "second", "third"])
    assert dataset.labels.tolist() == [1, 0, 1]
    assert dataset.provenance == READ
    assert len(dataset) == 3


def test_one_text_column_is_enough():
    assert prepared({"text": ["b"]}).texts == (["first", "second", "third"],)


@pytest.mark.parametrize(
    ("spec", "columns", "texts"),
    [
        ({"text": ["a", "c"]}, {}, ("lacks the column(s) c", "uid, a, b, label")),
        ({"label": "gold"}, {}, ("lacks the column(s) gold",)),
        ({"uid": "id"}, {}, ("lacks the column(s) id",)),
        ({}, {"label": ["yes", "no", "maybe"]}, ("'maybe' in 1 row: row 3", "one of no, yes", "label_names")),
        ({}, {"label": ["yes", None, "no"]}, ("(missing) in 1 row: row 2",)),
        ({}, {"label": ["yes", "", "no"]}, ("'' in 1 row: row 2",)),
        ({}, {"label": ["yes", "no ", "no"]}, ("'no ' in 1 row: row 2",)),
        ({"label_names": {"1": "yes"}}, {"label": ["1", "no", "2"]}, ("'2' in 1 row: row 3", "1, no, yes")),
        ({}, {"a": ["one", None, "three"]}, ("missing or empty texts in column 'a'", "1 row: row 2")),
        ({}, {"b": ["", "second", "third"]}, ("missing or empty texts in column 'b'", "1 row: row 1")),
        ({}, {"b": ["x", " \t\n\u00a0", ""]}, ("2 rows: row 2 (uid 'u1'), row 3",)),
        ({}, {"uid": ["u0", "u1", "u0"]}, ("duplicate or missing uids", "'u0' first, in 1 row: row 3")),
        ({}, {"uid": ["u0", None, "u2"]}, ("(missing) first, in 1 row: row 2", "uid: null")),
        ({}, {"uid": ["u0", "u1", ""]}, ("'' first, in 1 row: row 3",)),
        ({}, {"label": ["yes", "yes", "yes"]}, ("one class only", "3 rows labelled 'yes'")),
        ({"max_rows": 1}, {}, ("one class only", "1 rows")),
        ({}, {name: [] for name in COLUMNS}, ("'train' is empty", "0 rows")),
        ({"text": ["absent"]}, {name: [] for name in COLUMNS}, ("'train' is empty",)),
    ],
)
def test_unusable_rows_are_refused_by_name_and_number(spec, columns, texts):
    with pytest.raises(DataError) as caught:
        prepared(spec, **columns)
    for text in ("data set 'train'", *texts):
        assert text in str(caught.value)


def test_a_row_is_named_by_its_place_in_the_file_whatever_was_left_out_before():
    columns = {**COLUMNS, "a": ["y", "x", "x"], "b": ["x", "z", ""]}
    records = with_places(pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()}))
    spec = {**SPEC, "where": {"a": "x"}}
    kept, _ = keep(records, spec, "train", "rows.csv")
    with pytest.raises(DataError, match=r"1 row: row 3 of the file \(uid 'u2'\)"):
        prepare(kept, spec, "train", READ)


def test_only_the_first_bad_rows_are_listed():
    with pytest.raises(DataError, match=r"9 rows: row 1 \(uid 'a'\), .*row 5 \(uid 'e'\), and 4 more"):
        prepared(uid=list("abcdefghi"), a=[None] * 9, b=["x"] * 9, label=["no"] * 9)


def test_columns_that_are_not_named_do_not_matter():
    assert prepared(extra=[None, "", "x"]).content_hash == prepared().content_hash


def test_label_names_translate_raw_values_beside_the_tasks_own():
    dataset = prepared({"label_names": {"1": "yes", "0": "no"}}, label=["1", "0", "no"])
    assert dataset.labels.tolist() == [1, 0, 0]


def test_rows_without_uid_column_are_numbered_after_the_data_set():
    assert prepared({"uid": None}, uid=["x", "x", "x"]).uids == ["train-0", "train-1", "train-2"]


@given(st.permutations([f"u{number}" for number in range(30)]))
def test_a_sample_depends_on_the_uids_and_not_on_their_order(uids):
    small, large = numbered(uids, max_rows=10), numbered(uids, max_rows=20)
    assert set(large.uids) == set(numbered(sorted(uids), max_rows=20).uids)
    assert set(small.uids) < set(large.uids)
    assert large.uids == [uid for uid in uids if uid in set(large.uids)]
    assert large.provenance == {**READ, "steps": [*READ["steps"], {"step": "max_rows", "rows": 20}]}


def test_a_sample_is_not_the_head_of_the_file():
    uids = [f"u{index:03}" for index in range(100)]
    kept = numbered(uids, max_rows=50).uids
    assert 10 < len(set(kept) & set(uids[:50])) < 40
    assert numbered(uids, max_rows=100).uids == numbered(uids, max_rows=1000).uids == uids


BASE = Dataset(["u0", "u1"], (["ab", "c"], ["d", "e"]), np.array([0, 1]), ["no", "yes"])


@pytest.mark.parametrize(
    "other",
    [
        replace(BASE, uids=["u0", "u2"]),
        replace(BASE, texts=(["ab", "C"], ["d", "e"])),
        replace(BASE, texts=(["ab", "c"], ["d", "f"])),
        replace(BASE, texts=(["a", "c"], ["bd", "e"])),
        replace(BASE, labels=np.array([0, 0])),
        replace(BASE, label_names=["no", "maybe"]),
        replace(BASE, label_names=["yes", "no"], labels=np.array([1, 0])),
        replace(BASE, uids=["u1", "u0"], texts=(["c", "ab"], ["e", "d"]), labels=np.array([1, 0])),
    ],
    ids=["uid", "first text", "second text", "boundary", "label", "label name", "label order", "row order"],
)
def test_the_content_hash_changes_with(other):
    assert other.content_hash != BASE.content_hash


def test_the_content_hash_is_of_the_content_alone():
    assert replace(BASE, provenance={"source": "hub"}).content_hash == BASE.content_hash


@pytest.mark.parametrize("columns", [["a"], ["a", "b"]])
def test_a_saved_data_set_loads_unchanged(tmp_path, columns):
    odd = ["\r\n  x \x00\t", "🏳️‍🌈 مرحبا", "null"]
    dataset = prepared({"text": columns}, a=odd, uid=["null", "7", "é"])
    dataset.save(tmp_path / "data.parquet")
    loaded = Dataset.load(tmp_path / "data.parquet")
    assert (loaded.uids, loaded.texts) == (dataset.uids, dataset.texts)
    assert loaded.labels.tolist() == dataset.labels.tolist() and loaded.labels.dtype == np.int64
    assert (loaded.label_names, loaded.provenance) == (dataset.label_names, dataset.provenance)
    assert loaded.content_hash == dataset.content_hash


def test_a_torn_data_set_is_refused(tmp_path):
    path = tmp_path / "data.parquet"
    BASE.save(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ArtifactError, match=r"data\.parquet cannot be read"):
        Dataset.load(path)


def test_a_data_set_edited_by_hand_is_refused(tmp_path):
    path = tmp_path / "train.parquet"
    dataset = Dataset(["a", "b"], (["one", "two"],), np.array([0, 1]), ["no", "yes"])
    dataset.save(path)
    assert Dataset.load(path).texts == dataset.texts
    table, metadata = read_parquet(path)
    write_parquet(path, table.set_column(1, "text_a", pa.array(["one", "three"])), metadata)
    with pytest.raises(ArtifactError, match="are not those that it was written with"):
        Dataset.load(path)
