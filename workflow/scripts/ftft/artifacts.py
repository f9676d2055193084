"""Whole-or-absent files: written to a temporary name, synced, renamed; Parquet carries its provenance."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from .canonical import canonical_json
from .errors import ArtifactError

METADATA_KEY = b"ftft"


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its name once the block succeeds."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


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


def write_parquet(
    path: str | Path, table: pa.Table, metadata: dict, row_group_size: int = 1 << 20, **options
) -> None:
    """Write `table` with `metadata` (JSON values) in its schema; `options` go to pyarrow."""
    table = table.replace_schema_metadata({METADATA_KEY: canonical_json(metadata).encode()})
    with replacing(path) as temporary:
        pq.write_table(table, temporary, row_group_size=row_group_size, **{"compression": "zstd", **options})


def read_parquet(path: str | Path, columns: list[str] | None = None) -> tuple[pa.Table, dict]:
    """Read a table written by `write_parquet` and its metadata.

    Raises ArtifactError where the file is missing, torn, or was not written by this workflow.
    """
    try:
        table = pq.read_table(path, columns=columns)
    except (OSError, pa.ArrowInvalid, KeyError) as error:
        raise _unreadable(path, error) from error
    metadata = (table.schema.metadata or {}).get(METADATA_KEY)
    if metadata is None:
        raise ArtifactError(
            f"{path} was not written by this workflow",
            got="a Parquet file without provenance",
            fix=f"delete it and let snakemake make it again: snakemake {path}",
        )
    return table, json.loads(metadata)


def _unreadable(path: str | Path, error: Exception) -> ArtifactError:
    return ArtifactError(
        f"{path} cannot be read",
        got=str(error).splitlines()[0] if str(error) else type(error).__name__,
        expected="a whole file, as its rule leaves it",
        fix=f"delete it and let snakemake make it again: snakemake {path}",
    )
