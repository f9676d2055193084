"""Whole-or-absent files that say what they are: a stamp with path, specification, inputs and a hash of the
content.

Files are written to a temporary name, synced and renamed. In a job of the workflow (`working`) every file
that is written gets a stamp, and every file that is read is held against what the job expects of it. Outside
a job, only the content is checked.
"""

import hashlib
import json
import mmap
import os
import re
import shlex
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .errors import ArtifactError
from .replacing import replacing

RESULTS = "results"
# Below it, caches: whichever job wrote them, the content is the same.
SCRATCH = "scratch"
METADATA_KEY = b"ftft"
# The key of the stamp: in the footer of a Parquet file, and in the object of a JSON file.
STAMP = "artifact"
STAMP_KEY = b"ftft.artifact"
WEIGHTS = "model.safetensors"
MODEL_FILES = ("config.json", WEIGHTS, "tokenizer.json", "tokenizer_config.json")
# A Parquet file holds the hash of its own bytes, taken while these zeros stood in the hash's place.
UNKNOWN = "0" * 64
CONTENT = re.compile(rb'"content":"([0-9a-f]{64})"')


@dataclass
class Provenance:
    """What a job of the workflow knows of files: what it writes them by, and what it expects of those it
    reads.

    slice_hash, code: of the job's own specification and code. expected: gives the hash of the slice that an
    artifact must be made by, and None for a file of which nothing is known. inputs: the content hashes of
    what was read.
    """

    slice_hash: str | None = None
    code: str | None = None
    expected: Callable[[str], str | None] = lambda path: None
    inputs: dict[str, str] = field(default_factory=dict)
    # By path, its content hash as some artifact has recorded it, and which.
    recorded: dict[str, tuple[str, str]] = field(default_factory=dict)


_work: ContextVar[Provenance | None] = ContextVar("work", default=None)


@contextmanager
def working(provenance: Provenance) -> Iterator[Provenance]:
    """Stamp and check all files in the block by `provenance`."""
    token = _work.set(provenance)
    try:
        yield provenance
    finally:
        _work.reset(token)


def canonical_json(value: object) -> str:
    """JSON with one spelling per value: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def value_hash(value: object) -> str:
    """SHA-256 of a JSON value, whatever its spelling."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def artifact_path(path: str | Path) -> str | None:
    """The path from results/ on, whatever stands before it; None for caches and for files elsewhere."""
    path = Path(path)
    parts = path.relative_to(Path.cwd()).parts if path.is_relative_to(Path.cwd()) else path.parts
    for place, part in enumerate(parts[:-1]):
        if part == RESULTS and parts[place + 1] != RESULTS:
            return None if parts[place + 1] == SCRATCH else "/".join(parts[place:])
    return None


def _new_stamp(path: str | Path, files: dict[str, str] | None = None) -> dict:
    name = artifact_path(path)
    work = _work.get() if name else None
    stamp = {
        "path": name if work else None,
        "slice": work.slice_hash if work else None,
        "code": work.code if work else None,
        "inputs": dict(work.inputs) if work else {},
    }
    return {**stamp, "files": files} if files else stamp


def _admit(path: str | Path, stamp: dict, content: str, defines: bool = True) -> None:
    """Raise ArtifactError unless a file is whole and the one that the running job expects at its path."""
    if stamp.get("content") != content:
        raise _refused(
            path, "is damaged or was edited", f"content {content}", f"content {stamp.get('content')}"
        )
    work, name = _work.get(), artifact_path(path)
    if work is None or name is None:
        return
    if stamp.get("path") != name:
        raise _refused(path, "is another file than its name says", stamp.get("path") or "no path", name)
    expected = work.expected(name)
    if expected is not None and stamp["slice"] != expected:
        raise _refused(
            path, "was made by other settings", f"specification {stamp['slice']}", f"specification {expected}"
        )
    for place, recorded in [*stamp["inputs"].items(), (name, content)]:
        known, by = work.recorded.setdefault(place, (recorded, name))
        if known != recorded:
            raise _refused(
                path,
                f"does not go with {by}: they were made by two versions of {place}",
                f"{recorded} in {name}",
                f"{known} as in {by}",
            )
    if defines:
        work.inputs[name] = content


def _refused(path: str | Path, fault: str, got: str, expected: str) -> ArtifactError:
    return ArtifactError(f"{path} {fault}", got=got, expected=expected, fix=_cure(path))


def _cure(path: str | Path) -> str:
    return f"delete it and let snakemake make it again: snakemake {shlex.quote(str(path))}"


def file_hash(path: str | Path) -> str:
    """SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def indented_json(value: object) -> str:
    """JSON for people: indented, sorted keys."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def write_json(
    path: str | Path, value: dict, files: dict[str, str] | None = None, place: str | Path | None = None
) -> None:
    """Write an object as indented JSON with its stamp under `artifact`.

    files: the hashes of files beside it that belong to it, as `file_hashes` gives them. place: where the file
    will lie, if it is moved there after it was written.
    """
    value = {**value, STAMP: _new_stamp(place or path, files)}
    value[STAMP]["content"] = value_hash(value)
    write_text(path, indented_json(value))


def read_json(path: str | Path, defines: bool = True) -> dict:
    """Read what `write_json` was given; raises ArtifactError where it is missing, damaged or another's.

    defines: whether the job's outputs depend on the content. They do, unless the file only lets the job run.
    """
    return _read_stamped_json(path, defines)[0]


def read_folder(path: str | Path) -> dict:
    """Read a JSON file as `read_json` does, and check the files that it names beside it."""
    value, stamp = _read_stamped_json(path)
    folder = Path(path).parent
    for name, expected in stamp.get("files", {}).items():
        try:
            got = file_hash(folder / name)
        except OSError as error:
            raise _unreadable(folder / name, error) from error
        if got != expected:
            raise _refused(
                folder / name, "is not the file that was left there", f"hash {got}", f"hash {expected}"
            )
    return value


def file_hashes(folder: str | Path, names: Iterable[str]) -> dict[str, str]:
    """SHA-256 of files of a folder, by name."""
    return {name: file_hash(Path(folder) / name) for name in names}


def _read_stamped_json(path: str | Path, defines: bool = True) -> tuple[dict, dict]:
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
        stamp = dict(value.pop(STAMP))
        content = value_hash({**value, STAMP: {key: stamp[key] for key in stamp if key != "content"}})
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _unreadable(path, error) from error
    _admit(path, stamp, content, defines)
    return value, stamp


@contextmanager
def parquet_writer(
    path: str | Path, schema: pa.Schema, metadata: dict, **options
) -> Iterator[pq.ParquetWriter]:
    """Yield a writer of tables of `schema` with `metadata` (JSON values) added to it.

    `options` go to pyarrow. The file takes its name once the block succeeds.
    """
    described = {METADATA_KEY: canonical_json(metadata).encode()}
    schema = schema.with_metadata({**(schema.metadata or {}), **described})
    options = {"compression": "zstd", "write_page_checksum": True, **options}
    with replacing(path) as temporary:
        with pq.ParquetWriter(temporary, schema, **options) as writer:
            yield writer
            stamp = canonical_json({**_new_stamp(path), "content": UNKNOWN})
            writer.add_key_value_metadata({STAMP_KEY: stamp})
        _seal(temporary)


def write_parquet(
    path: str | Path, table: pa.Table, metadata: dict, row_group_size: int = 1 << 20, **options
) -> None:
    """Write `table` with `metadata` (JSON values) in its schema; `options` go to pyarrow."""
    with parquet_writer(path, table.schema, metadata, **options) as writer:
        writer.write_table(table, row_group_size)


def read_parquet(path: str | Path, columns: list | None = None, needed: tuple = ()) -> tuple[pa.Table, dict]:
    """Read a table written by `write_parquet` and its metadata: `columns`, or all with those `needed`.

    Raises ArtifactError where the file is missing, damaged, was not written by this workflow, or is another
    than the running job expects.
    """
    check_parquet(path)
    with _readable(path):
        file = pq.ParquetFile(path, memory_map=True)
        table = file.read(columns)
        table.select(list(needed))
        table = table if columns is None else table.select(columns)
        metadata = json.loads(file.metadata.metadata[METADATA_KEY])
    return table.replace_schema_metadata(), metadata


def check_parquet(path: str | Path) -> None:
    """Compare a Parquet file with its own hash before anything in it is parsed, then its stamp with the job's
    plan.
    """
    with _readable(path), _mapped(path, mmap.ACCESS_READ) as content:
        if content[:4] + content[-4:] != b"PAR1PAR1":
            raise ValueError("not a whole Parquet file")
        try:
            stamp, place = _find_stamp(content)
        except ValueError:
            raise ArtifactError(
                f"{path} was not written by this workflow", got="no stamp in it", fix=_cure(path)
            ) from None
        got = _hash_around(content, place)
    _admit(path, stamp, got)


def _seal(path: Path) -> None:
    with _mapped(path, mmap.ACCESS_WRITE) as content:
        _, place = _find_stamp(content)
        content[place] = _hash_around(content, place).encode()


def _find_stamp(content: bytes | mmap.mmap) -> tuple[dict, slice]:
    """The stamp in a Parquet file or its footer, and the place of its hash; raises ValueError where there is
    none.
    """
    start = content.find(b"{", max(0, content.rfind(STAMP_KEY)))
    found = CONTENT.search(content, start) if start >= 0 else None
    if found is None:
        raise ValueError("no stamp of this workflow")
    stamp, _ = json.JSONDecoder().raw_decode(content[start:].decode("utf-8", "replace"))
    return stamp, slice(*found.span(1))


def _hash_around(content: mmap.mmap, place: slice) -> str:
    with memoryview(content) as view:
        digest = hashlib.sha256(view[: place.start])
        digest.update(UNKNOWN.encode())
        digest.update(view[place.stop :])
    return digest.hexdigest()


@contextmanager
def _mapped(path: str | Path, access: int) -> Iterator[mmap.mmap]:
    with (
        open(path, "r+b" if access == mmap.ACCESS_WRITE else "rb") as file,
        mmap.mmap(file.fileno(), 0, access=access) as content,
    ):
        yield content


def read_stamp(path: str | Path) -> dict | None:
    """The stamp of a Parquet or JSON file, quickly and unchecked; None where it has none."""
    try:
        with open(path, "rb") as file:
            if Path(path).suffix == ".json":
                return json.load(file)[STAMP]
            file.seek(-8, os.SEEK_END)
            length = int.from_bytes(file.read(4), "little")
            file.seek(-8 - length, os.SEEK_END)
            return _find_stamp(file.read(length))[0]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def to_numpy(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """The values of a column of numbers; pyarrow's own way imports pandas, 0.15 s and 80 MB."""
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return column.to_numpy(zero_copy_only=False) if column.null_count else np.from_dlpack(column)


def to_arrow(values: np.ndarray) -> pa.Array:
    """A column of numbers; see `to_numpy`."""
    values = np.ascontiguousarray(values)
    buffers = [None, pa.py_buffer(values)]
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), buffers)


@contextmanager
def _readable(path: str | Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: str | Path, error: Exception) -> ArtifactError:
    return ArtifactError(
        f"{path} cannot be read",
        got=str(error).splitlines()[0] if str(error) else type(error).__name__,
        expected="a whole file, as its rule leaves it",
        fix=_cure(path),
    )


def require_model_of(run: dict, folder: str | Path) -> None:
    """Raise ArtifactError unless the model in `folder` is the one that `run` left there, file by file."""
    path = Path(folder) / "config.json"
    got = (read_folder(path).get("ftft") or {}).get("run")
    if got != run:
        raise _refused(path, "is of another run than its folder", str(got), str(run))
