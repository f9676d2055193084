"""Whole-or-absent files: written to a temporary name, synced, renamed; Parquet carries its provenance."""

import glob
import hashlib
import json
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .canonical import canonical_json
from .errors import ArtifactError

METADATA_KEY = b"ftft"
WEIGHTS = "model.safetensors"


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its name once the block succeeds."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_files(folder: str | Path) -> Iterator[Path]:
    """Yield a temporary folder whose files move into `folder`, one by one, once the block succeeds."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(folder)
    temporary.mkdir()
    try:
        yield temporary
        for path in sorted(temporary.iterdir()):
            with replacing(folder / path.name) as place:
                os.replace(path, place)
    finally:
        shutil.rmtree(temporary)


def _temporary(path: Path) -> Path:
    """A name beside `path` that is this process's own; those of processes that were killed are removed."""
    prefix, suffix = f".{path.name}.{platform.node()}-", ".tmp"
    for stale in path.parent.glob(f"{glob.escape(prefix)}*{suffix}"):
        process = stale.name.removeprefix(prefix).removesuffix(suffix)
        if not Path(f"/proc/{process}").exists():
            shutil.rmtree(stale) if stale.is_dir() else stale.unlink(missing_ok=True)
    return path.with_name(f"{prefix}{os.getpid()}{suffix}")


def file_hash(path: str | Path) -> str:
    """SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: str | Path, value: object) -> None:
    """Write `value` as indented JSON with sorted keys."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def read_json(path: str | Path) -> dict:
    """Read a JSON file; raises ArtifactError where it is missing or torn."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


@contextmanager
def parquet_writer(
    path: str | Path, schema: pa.Schema, metadata: dict, **options
) -> Iterator[pq.ParquetWriter]:
    """Yield a writer of tables of `schema`, with `metadata` (JSON values) in it; `options` go to pyarrow.

    The file takes its name once the block succeeds.
    """
    schema = schema.with_metadata({METADATA_KEY: canonical_json(metadata).encode()})
    options = {"compression": "zstd", "write_page_checksum": True, **options}
    with replacing(path) as temporary, pq.ParquetWriter(temporary, schema, **options) as writer:
        yield writer


def write_parquet(
    path: str | Path, table: pa.Table, metadata: dict, row_group_size: int = 1 << 20, **options
) -> None:
    """Write `table` with `metadata` (JSON values) in its schema; `options` go to pyarrow."""
    with parquet_writer(path, table.schema, metadata, **options) as writer:
        writer.write_table(table, row_group_size)


def read_parquet(path: str | Path, columns: list[str] | None = None) -> tuple[pa.Table, dict]:
    """Read a table written by `write_parquet` and its metadata.

    Raises ArtifactError where the file is missing, torn, or was not written by this workflow.
    """
    with _readable(path):
        table = pq.read_table(path, columns=columns, page_checksum_verification=True)
    return table, _provenance(path, table.schema.metadata)


class ParquetGroups:
    """A Parquet file of this workflow, read one row group at a time, from any thread.

    `metadata` is what `write_parquet` was given, `columns` the names, `sizes` the rows of each row group.
    Raises ArtifactError as `read_parquet` does.
    """

    def __init__(self, path: str | Path):
        self.path = path
        with _readable(path):
            self.footer = pq.read_metadata(path)
        self.metadata = _provenance(path, self.footer.metadata)
        self.columns = self.footer.schema.names
        self.sizes = [self.footer.row_group(group).num_rows for group in range(self.footer.num_row_groups)]

    def _open(self) -> pq.ParquetFile:
        return pq.ParquetFile(self.path, metadata=self.footer, page_checksum_verification=True)

    def read(self, groups: list[int], columns: list[str]) -> pa.Table:
        """Some columns of some row groups, one after the other."""
        # A reader per call, since readers are not safe to share; the footer is parsed once.
        with _readable(self.path), self._open() as file:
            return file.read_row_groups(groups, columns, use_threads=False).select(columns)

    def bounds(self, group: int, column: str) -> tuple | None:
        """Smallest and largest value of a column in a row group, where the file holds them."""
        statistics = self.footer.row_group(group).column(self.columns.index(column)).statistics
        return (statistics.min, statistics.max) if statistics and statistics.has_min_max else None

    def batches(self, size: int, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """Some columns in batches of `size` rows, whatever the row groups; the last may be shorter."""
        with _readable(self.path), self._open() as file:
            for batch in file.iter_batches(size, columns=columns, use_threads=False):
                yield batch.select(columns)


def to_numpy(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """The values of a column of numbers; pyarrow's own way imports pandas, 0.15 s and 80 MB."""
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return column.to_numpy(zero_copy_only=False) if column.null_count else np.from_dlpack(column)


def to_arrow(values: np.ndarray) -> pa.Array:
    """A column of numbers; see `to_numpy`."""
    values = np.ascontiguousarray(values)
    buffers = [None, pa.py_buffer(values)]
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), buffers)


def _provenance(path: str | Path, metadata: dict[bytes, bytes] | None) -> dict:
    if METADATA_KEY not in (metadata or {}):
        raise ArtifactError(
            f"{path} was not written by this workflow",
            got="a Parquet file without provenance",
            fix=f"delete it and let snakemake make it again: snakemake {path}",
        )
    return json.loads(metadata[METADATA_KEY])


@contextmanager
def _readable(path: str | Path) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowInvalid, KeyError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: str | Path, error: Exception) -> ArtifactError:
    return ArtifactError(
        f"{path} cannot be read",
        got=str(error).splitlines()[0] if str(error) else type(error).__name__,
        expected="a whole file, as its rule leaves it",
        fix=f"delete it and let snakemake make it again: snakemake {path}",
    )


def require_model_of(run: dict, folder: str | Path) -> None:
    """Raise ArtifactError unless the model in `folder` is the one that `run` left there."""
    folder = Path(folder)
    weights = folder / WEIGHTS
    got = read_json(folder / "config.json").get("ftft")
    expected = {"run": run, "weights": file_hash(weights)}
    if got != expected:
        raise ArtifactError(
            f"the model in {folder} is not what its run left there",
            got=got,
            expected=expected,
            fix=f"delete {weights} and let snakemake make it again",
        )
