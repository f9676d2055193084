"""Where rows come from, and which of them a data set keeps.

The sources of this library are defined here; `registry.SOURCES` has them by name, and those of other modules
once these are imported.
"""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DataError
from .demo import SPLITS
from .formats import CELL_KEYS
from .registry import SOURCES, source

if TYPE_CHECKING:
    import pyarrow as pa

ORIGIN = ("source", "id", "name", "revision", "split", "preparation")


@source("file", required=("path",), optional=("format", *CELL_KEYS, "quoting"), reads_path=True)
def read_file(spec: dict, name: str, path: str | Path | None) -> tuple["pa.Table", list[dict]]:
    """The rows of a file, or of a folder that the datasets library saved."""
    from .readers import read_table

    return read_table(path, spec, spec["format"], name), []


@source("hub", required=("id", "split", "revision"), optional=("name",), downloads=True)
def read_download(spec: dict, name: str, path: str | Path | None) -> tuple["pa.Table", list[dict]]:
    """The rows that `hub.download` left at `path`; raises ArtifactError where it did not leave them."""
    from ..artifacts import check_parquet
    from .readers import read_table

    check_parquet(path)
    return read_table(path, spec, "parquet", name), []


@source("demo", required=("split", "rows"), optional=("seed",), splits=SPLITS)
def read_generated(spec: dict, name: str, _: str | Path | None) -> tuple["pa.Table", list[dict]]:
    """The rows of the generated demonstration task."""
    import pyarrow as pa

    from .demo import generate

    try:
        return pa.Table.from_pylist(generate(spec["split"], spec["rows"], spec["seed"])), []
    except ValueError as error:
        raise DataError(f"data set '{name}' cannot be generated", got=str(error)) from error


def read(spec: dict, name: str, path: str | Path | None = None) -> tuple["pa.Table", dict]:
    """The rows that a data set keeps, every value as text, and their provenance.

    path: the file of a source that reads one, or what the download step left. Rows of a file have their
    places in it in the column `rows.PLACE`. The provenance has the SHA-256 of a file, or what names the rows
    elsewhere, and `steps`: how many rows each step left. Raises DataError for a source that cannot be read,
    and for keys of `spec` that leave no rows.
    """
    from .keep import keep

    origin = SOURCES[spec["source"]]
    spec = {**dict(origin.defaults), **spec}
    records, steps = read_all(spec, name, path)
    provenance = {key: spec[key] for key in ORIGIN if key in spec}
    if origin.reads_path:
        provenance["sha256"] = content_of(path)
    records, kept = keep(records, spec, name, path)
    return records, {**provenance, "steps": [*steps, *kept]}


def read_all(spec: dict, name: str, path: str | Path | None = None) -> tuple["pa.Table", list[dict]]:
    """All rows of a data set's source, every value as text, and the steps that led to them."""
    origin = SOURCES[spec["source"]]
    records, further = origin.read({**dict(origin.defaults), **spec}, name, path)
    return records, further or [{"step": "read", "rows": records.num_rows}]


def content_of(path: str | Path) -> str:
    """The SHA-256 of a file, or of the names and contents of a folder's files."""
    path = Path(path)
    if path.is_dir():
        hashes = {file.name: content_of(file) for file in sorted(path.iterdir()) if file.is_file()}
        return hashlib.sha256(json.dumps(hashes).encode()).hexdigest()
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
