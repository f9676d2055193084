import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ftft import artifacts
from ftft.artifacts import (
    Provenance,
    canonical_json,
    read_json,
    read_parquet,
    working,
    write_json,
    write_parquet,
    write_text,
)
from ftft.errors import ArtifactError
from ftft.replacing import replacing, replacing_files

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
    assert list(json.loads((tmp_path / "file.json").read_text())) == ["a", "artifact", "z"]


def test_a_table_is_read_as_written_with_its_provenance(tmp_path):
    metadata = {"data_hash": "é", "run": {"seed": 0}}
    write_parquet(tmp_path / "file.parquet", TABLE, metadata)
    table, read = read_parquet(tmp_path / "file.parquet")
    assert (table.to_pydict(), read) == (TABLE.to_pydict(), metadata)
    assert read_parquet(tmp_path / "file.parquet", ["score"])[0].column_names == ["score"]


@pytest.mark.parametrize("read", [read_json, read_parquet])
@pytest.mark.parametrize("content", [None, b"", b'{"torn": [', b"PAR1 torn", b"\xff\xfe"])
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
    script += "from ftft.replacing import replacing, replacing_files\n"
    script += "with replacing(sys.argv[2]) as one, replacing_files(sys.argv[3]) as some:\n"
    script += (
        "    one.write_text('half'); (some / 'x').write_text('half'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    scripts = Path(artifacts.__file__).parents[1]
    file, folder = tmp_path / "file.json", tmp_path / "folder"
    subprocess.run([sys.executable, "-c", script, scripts, file, folder], check=False)
    assert len(list(tmp_path.glob(".*.tmp"))) == 2
    artifacts.write_text(file, "whole")
    with replacing_files(folder) as some:
        (some / "x").write_text("whole")
    assert file.read_text() == (folder / "x").read_text() == "whole"
    assert not list(tmp_path.glob(".*.tmp"))


def test_what_another_node_writes_is_not_swept_up(tmp_path, monkeypatch):
    for node, own in (("gpu-1", "gpu"), ("gpu", "gpu-1")):
        monkeypatch.setattr("platform.node", lambda node=node: node)
        with replacing(tmp_path / "file") as elsewhere:
            elsewhere.write_text("half")
            monkeypatch.setattr("platform.node", lambda own=own: own)
            monkeypatch.setattr("ftft.replacing.has_ended", lambda process: True)
            artifacts.write_text(tmp_path / "file", "whole")
            assert elsewhere.exists()


def test_a_folder_keeps_its_files_where_the_block_fails(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_text("old")
    with pytest.raises(OSError), replacing_files(tmp_path / "model") as folder:
        (folder / "weights").write_text("half")
        raise OSError
    assert (tmp_path / "model" / "weights").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("place", [0.2, 0.4])
def test_a_changed_byte_of_an_uncompressed_column_is_noticed(tmp_path, place):
    path = tmp_path / "table.parquet"
    values = np.random.default_rng(0).random(10_000)
    write_parquet(path, pa.table({"x": values}), {"a": 1}, compression="none", use_dictionary=False)
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match="is damaged"):
        read_parquet(path)


def flipped(content, bit):
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def loaded(read, path):
    value = read(path)
    return (value[0].to_pydict(), value[0].schema, value[1]) if isinstance(value, tuple) else value


WRITERS = {
    "parquet": (
        lambda path: write_parquet(path, TABLE, {"run": {"seed": 0}, "content": "0" * 64}),
        read_parquet,
    ),
    "json": (
        lambda path: write_json(path, {"run": {"seed": 0}, "cost": [1.5e-7, None], "é": "x"}),
        read_json,
    ),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_any_flipped_bit_is_an_artifact_error_or_nothing(tmp_path, kind):
    write, read = WRITERS[kind]
    path = tmp_path / f"file.{kind}"
    with working(Provenance("slice", "code", inputs={"results/a.json": "b"})):
        write(path)
    content, expected = path.read_bytes(), loaded(read, path)
    bits = range(8 * len(content))
    for bit in bits if len(bits) < 4000 else random.Random(0).sample(bits, 4000):
        path.write_bytes(flipped(content, bit))
        try:
            assert loaded(read, path) == expected, f"bit {bit}"
        except ArtifactError:
            continue


def test_any_cut_is_an_artifact_error(tmp_path):
    for kind, (write, read) in WRITERS.items():
        path = tmp_path / f"file.{kind}"
        write(path)
        content = path.read_bytes()
        for length in range(0, len(content) - 2, 7):
            path.write_bytes(content[:length])
            with pytest.raises(ArtifactError):
                read(path)


@pytest.fixture
def results(tmp_path, monkeypatch):
    """An empty folder of a workflow, as the working directory."""
    monkeypatch.chdir(tmp_path)
    return Path("results")


def job(slice_hash="s", **more):
    return working(Provenance(slice_hash, "code", **more))


def test_a_file_says_what_it_is_and_what_it_was_made_from(results):
    with job():
        write_json(results / "data/train.json", {"rows": 3})
    with job("t"):
        read_json(results / "data/train.json")
        write_parquet(results / "maps/map.parquet", TABLE, {})
    stamp = artifacts.read_stamp(results / "maps/map.parquet")
    assert (stamp["path"], stamp["slice"], stamp["code"]) == ("results/maps/map.parquet", "t", "code")
    assert stamp["inputs"] == {
        "results/data/train.json": artifacts.read_stamp(results / "data/train.json")["content"]
    }


def test_a_cache_is_the_same_whichever_job_wrote_it_and_leaves_no_trace(results):
    cache, written = results / "scratch/tokens/one.parquet", set()
    for slice_hash in ("s", "t"):
        with job(slice_hash):
            write_parquet(cache, TABLE, {})
            read_parquet(cache)
            write_json(results / "maps/map.json", {})
        written.add(cache.read_bytes())
        assert artifacts.read_stamp(results / "maps/map.json")["inputs"] == {}
    assert len(written) == 1


def test_a_permission_to_go_on_leaves_no_trace(results):
    with job():
        write_json(results / "runs/ledger.json", {"seconds": 1})
    with job("another", expected=lambda path: "s"):
        read_json(results / "runs/ledger.json", defines=False)
        write_json(results / "runs/other.json", {})
    assert artifacts.read_stamp(results / "runs/other.json")["inputs"] == {}


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("results/data/a.json", "results/data/a.json"),
        ("module/results/data/a.json", "results/data/a.json"),
        (".snakemake/storage/fs/mnt/results/results/data/a.json", "results/data/a.json"),
        ("results/data/results/results.json", "results/data/results/results.json"),
        ("elsewhere/a.json", None),
        ("results/scratch/tokens/a.parquet", None),
    ],
)
def test_the_path_is_the_same_for_every_folder_and_prefix(results, path, name):
    assert artifacts.artifact_path(path) == artifacts.artifact_path(Path.cwd() / path) == name


def test_a_file_in_another_ones_place_is_refused(results):
    with job():
        write_json(results / "data/train.json", {"rows": 3})
        write_parquet(results / "maps/one.parquet", TABLE, {})
    for suffix, one, other in (
        ("json", "data/train.json", "data/validation.json"),
        ("parquet", "maps/one.parquet", "maps/two.parquet"),
    ):
        shutil.copy(results / one, results / other)
        read = read_json if suffix == "json" else read_parquet
        read(results / other)  # outside a job, the content alone counts
        with job(), pytest.raises(ArtifactError, match="another file than its name says") as caught:
            read(results / other)
        assert f"snakemake results/{other}" in str(caught.value)


def test_a_file_of_other_settings_is_refused(results):
    with job("old"):
        write_json(results / "data/train.json", {"rows": 3})
    with job(expected=lambda path: "new"), pytest.raises(ArtifactError, match="made by other settings"):
        read_json(results / "data/train.json")
    with job(expected=lambda path: "old"):
        assert read_json(results / "data/train.json") == {"rows": 3}


def test_files_made_from_two_versions_of_an_input_do_not_go_together(results):
    for version, name in enumerate(("one", "two")):
        with job():
            write_json(results / "data/train.json", {"rows": version})
        with job():
            read_json(results / "data/train.json")
            write_json(results / f"maps/{name}.json", {})
    with job():
        read_json(results / "maps/two.json")
        read_json(results / "data/train.json")
    for second in ("maps/two.json", "data/train.json"):
        with job(), pytest.raises(ArtifactError, match=r"two versions of results/data/train\.json"):
            read_json(results / "maps/one.json")
            read_json(results / second)


def test_every_file_of_a_folder_is_checked(results):
    folder = results / "encoders/small"
    folder.mkdir(parents=True)
    for name in artifacts.MODEL_FILES:
        (folder / name).write_bytes(b"{}")
    write_json(folder / "provenance.json", {}, artifacts.file_hashes(folder, artifacts.MODEL_FILES))
    artifacts.read_folder(folder / "provenance.json")
    for name in artifacts.MODEL_FILES:
        (folder / name).write_bytes(b"{ }")
        with pytest.raises(ArtifactError, match=f"{name} is not the file that was left there"):
            artifacts.read_folder(folder / "provenance.json")
        (folder / name).write_bytes(b"{}")
