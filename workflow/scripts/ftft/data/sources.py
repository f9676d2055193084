"""Where rows come from: local files, the hub, the generated demonstration task."""

import csv
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import DataError
from . import demo


def read(spec: dict, name: str, path: str | Path | None = None) -> pa.Table:
    """Read the rows of a data set, every value as text.

    `path` is the file of a `file` source, or what the download step left of a `hub` source.
    Raises DataError for a file that cannot be read in its format.
    """
    if spec["source"] == "demo":
        return pa.Table.from_pylist(_generate(spec, name))
    form = "parquet" if spec["source"] == "hub" else spec["format"]
    try:
        return _as_text(READERS[form](path))
    except (OSError, ValueError, pa.ArrowInvalid) as error:
        raise DataError(
            f"data set '{name}' cannot be read from {path}",
            got=str(error).splitlines()[0],
            expected=f"a {form} file in UTF-8",
            fix="correct the file, or name its format by the key 'format'",
        ) from error


def download(spec: dict, name: str, path: str | Path) -> None:
    """Fetch a hub data set at its pinned revision and leave it as Parquet at `path`.

    Class labels stay the numbers that the hub stores; `label_names` maps them.
    """
    from datasets import load_dataset

    try:
        rows = load_dataset(spec["id"], spec.get("name"), split=spec["split"], revision=spec["revision"])
    except Exception as error:  # the hub client raises many kinds, all of them the user's to mend
        raise DataError(
            f"data set '{name}' cannot be fetched from the hub",
            got=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
            expected=f"{spec['id']} at revision {spec['revision']}, split {spec['split']}",
            fix="check id, name, revision and split, and the network",
        ) from error
    rows.to_parquet(path)


def _generate(spec: dict, name: str) -> list[dict]:
    try:
        return demo.generate(spec["split"], spec["rows"], spec["seed"])
    except ValueError as error:
        raise DataError(f"data set '{name}' cannot be generated", got=str(error)) from error


def _read_delimited(path: str | Path, delimiter: str, quoting: int) -> pa.Table:
    import pandas as pd

    frame = pd.read_csv(
        path, sep=delimiter, quoting=quoting, dtype=str, keep_default_na=False, encoding="utf-8-sig"
    )
    if not isinstance(frame.index, pd.RangeIndex):
        raise ValueError("the rows have more fields than the header")
    return pa.Table.from_pandas(frame, preserve_index=False)


def _read_csv(path: str | Path) -> pa.Table:
    return _read_delimited(path, ",", csv.QUOTE_MINIMAL)


def _read_tsv(path: str | Path) -> pa.Table:
    # As GLUE and IANA have it: no quoting, so that a stray quote swallows no rows.
    return _read_delimited(path, "\t", csv.QUOTE_NONE)


def _read_jsonl(path: str | Path) -> pa.Table:
    records = []
    with open(path, encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from error
            if not isinstance(record, dict):
                raise ValueError(f"line {number}: not a JSON object")
            records.append({key: _text(value) for key, value in record.items()})
    columns = dict.fromkeys(key for record in records for key in record)
    return pa.table({key: pa.array([record.get(key) for record in records], pa.string()) for key in columns})


def _read_parquet(path: str | Path) -> pa.Table:
    with pq.ParquetFile(path) as file:
        return file.read()


def _read_arrow(path: str | Path) -> pa.Table:
    with pa.memory_map(str(path)) as source:
        try:
            return pa.ipc.open_file(source).read_all()
        except pa.ArrowInvalid:
            return pa.ipc.open_stream(source).read_all()


READERS = {
    "csv": _read_csv,
    "tsv": _read_tsv,
    "jsonl": _read_jsonl,
    "parquet": _read_parquet,
    "arrow": _read_arrow,
}


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def _as_text(table: pa.Table) -> pa.Table:
    columns = {
        name: pa.array([_text(value) for value in table[name].to_pylist()], pa.string())
        for name in table.column_names
    }
    return pa.table(columns)
