import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ftft.artifacts import (
    canonical_json,
    read_json,
    read_parquet,
    replacing,
    write_json,
    write_parquet,
    write_text,
)
from ftft.errors import ArtifactError

TABLE = pa.table({"uid": ["a", "b", None], "score": [0.1, 0.2, 0.3]})


def test_a_file_appears_whole_under_its_name(tmp_path):
    path = tmp_path / "new" / "folder" / "file"
    with replacing(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
        temporary.write_text("whole")
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("before", [None, "old"])
def test_a_failed_write_leaves_what_was_there_and_no_debris(tmp_path, before):
    path = tmp_path / "file"
    if before is not None:
        path.write_text(before)
    with pytest.raises(RuntimeError, match="killed"), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError("killed")
    assert [file.read_text() for file in tmp_path.iterdir()] == ([] if before is None else [before])


def test_text_is_written_as_utf8_with_its_line_ends_as_given(tmp_path):
    write_text(tmp_path / "file", "é\r\n±\n")
    assert (tmp_path / "file").read_bytes() == "é\r\n±\n".encode()


def test_canonical_json_has_one_spelling_per_value():
    one = canonical_json({"b": [1, 2.5, None], "a": {"d": "é", "c": True}})
    assert one == '{"a":{"c":true,"d":"é"},"b":[1,2.5,null]}'
    assert canonical_json({"a": {"c": True, "d": "é"}, "b": [1, 2.5, None]}) == one
    assert canonical_json({"a": [2, 1]}) != canonical_json({"a": [1, 2]})


def test_json_is_read_as_written(tmp_path):
    value = {"z": [1.5, None, "é"], "a": {}}
    write_json(tmp_path / "file.json", value)
    assert read_json(tmp_path / "file.json") == value
    assert list(json.loads((tmp_path / "file.json").read_text())) == ["a", "z"]


def test_a_table_is_read_as_written_with_its_provenance(tmp_path):
    metadata = {"data_hash": "é", "run": {"seed": 0}}
    write_parquet(tmp_path / "file.parquet", TABLE, metadata)
    table, read = read_parquet(tmp_path / "file.parquet")
    assert (table.to_pydict(), read) == (TABLE.to_pydict(), metadata)
    assert read_parquet(tmp_path / "file.parquet", ["score"])[0].column_names == ["score"]


@pytest.mark.parametrize("read", [read_json, read_parquet])
@pytest.mark.parametrize("content", [None, b"", b'{"torn": [', b"PAR1 torn PAR1", b"\xff\xfe"])
def test_a_missing_or_torn_file_is_refused_with_its_cure(tmp_path, read, content):
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ArtifactError) as caught:
        read(path)
    assert f"{path} cannot be read" in str(caught.value)
    assert f"snakemake {path}" in str(caught.value)


def test_a_table_of_another_program_is_refused(tmp_path):
    pq.write_table(TABLE, tmp_path / "file.parquet")
    with pytest.raises(ArtifactError, match=r"file\.parquet was not written by this workflow"):
        read_parquet(tmp_path / "file.parquet")
