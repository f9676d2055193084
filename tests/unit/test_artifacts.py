import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ftft import artifacts
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


def test_what_a_killed_writer_left_is_swept_up_by_the_next(tmp_path):
    script = "import os, signal, sys; sys.path.insert(0, sys.argv[1])\n"
    script += "from ftft.artifacts import replacing, replacing_files\n"
    script += "with replacing(sys.argv[2]) as one, replacing_files(sys.argv[3]) as some:\n"
    script += (
        "    one.write_text('half'); (some / 'x').write_text('half'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    scripts = Path(artifacts.__file__).parents[1]
    file, folder = tmp_path / "file.json", tmp_path / "folder"
    subprocess.run([sys.executable, "-c", script, scripts, file, folder], check=False)
    assert len(list(tmp_path.glob(".*.tmp"))) == 2
    artifacts.write_text(file, "whole")
    with artifacts.replacing_files(folder) as some:
        (some / "x").write_text("whole")
    assert file.read_text() == (folder / "x").read_text() == "whole"
    assert not list(tmp_path.glob(".*.tmp"))


def test_a_folder_keeps_its_files_where_the_block_fails(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_text("old")
    with pytest.raises(OSError), artifacts.replacing_files(tmp_path / "model") as folder:
        (folder / "weights").write_text("half")
        raise OSError
    assert (tmp_path / "model" / "weights").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("place", [0.2, 0.4])
def test_a_changed_byte_is_noticed(tmp_path, place):
    path = tmp_path / "table.parquet"
    values = np.random.default_rng(0).random(10_000)
    write_parquet(path, pa.table({"x": values}), {"a": 1}, compression="none", use_dictionary=False)
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_parquet(path)
    with pytest.raises(ArtifactError, match="cannot be read"):
        artifacts.ParquetGroups(path).read([0], ["x"])
