"""Where rows come from: local files, CAD's file, the hub, the generated demonstration task."""

import csv
import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..errors import DataError
from . import cad, demo
from .dataset import listing, require

ORIGIN = ("source", "id", "name", "revision", "split", "preparation")


def read(spec: dict, name: str, path: str | Path | None = None) -> tuple[pa.Table, dict]:
    """Read the rows of a data set that pass its `where`, every value as text, and their provenance.

    `path` is the file of a `file` or `cad` source, or what the download step left of a `hub` source.
    The provenance has the file's SHA-256, or what names the rows elsewhere, and `steps`: how many rows
    each step left.
    Raises DataError for a file that cannot be read in its format, and a `where` that no row passes.
    """
    if spec["source"] == "cad":
        spec = {"preparation": "ramponi-tonelli", **spec}
    rows = _read_rows(spec, name, path)
    provenance = {key: spec[key] for key in ORIGIN if key in spec}
    steps = [{"step": "read", "rows": rows.num_rows}]
    if spec["source"] in ("file", "cad"):
        provenance["sha256"] = _sha256(path)
    if spec["source"] == "cad":
        posts, further = cad.prepare(rows.to_pylist(), spec["split"], spec["preparation"], name)
        rows, steps = pa.Table.from_pylist(posts), [*steps, *further]
    if "where" in spec and rows.num_rows:
        rows = _where(rows, spec["where"], name)
        steps.append({"step": "where", "rows": rows.num_rows})
    return rows, {**provenance, "steps": steps}


def _read_rows(spec: dict, name: str, path: str | Path | None) -> pa.Table:
    if spec["source"] == "demo":
        return pa.Table.from_pylist(_generate(spec, name))
    form = {"hub": "parquet", "cad": "tsv"}.get(spec["source"]) or spec["format"]
    try:
        return _as_text(READERS[form](path))
    except (OSError, ValueError, pa.ArrowInvalid) as error:
        raise DataError(
            f"data set '{name}' cannot be read from {path}",
            got=str(error).splitlines()[0],
            expected=f"a {form} file in UTF-8",
            fix="correct the file, or name its format by the key 'format'",
        ) from error


def _where(records: pa.Table, where: dict, name: str) -> pa.Table:
    """The rows that have, in each column of `where`, the value or one of the values named there."""
    require(records, where, name, "name the columns of its source under where")
    for column, choice in where.items():
        wanted = [_text(value) for value in (choice if isinstance(choice, list) else [choice])]
        kept = records.filter(pc.is_in(records[column], pa.array(wanted, pa.string())))
        if kept.num_rows == 0:
            raise DataError(
                f"no row of data set '{name}' passes where",
                got=f"{listing(records[column].to_pylist())} in column '{column}'",
                expected=f"one of {listing(wanted)}",
                fix="name values, as text, that its rows have together",
            )
        records = kept
    return records


def _sha256(path: str | Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
