"""Where rows come from: local files, CAD's file, the hub, the generated demonstration task."""

import csv
import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Iterable
from itertools import zip_longest
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..errors import DataError
from ..paper import cad
from . import demo
from .dataset import listing, require

ORIGIN = ("source", "id", "name", "revision", "split", "preparation")


def read(spec: dict, name: str, path: str | Path | None = None) -> tuple[pa.Table, dict]:
    """Read the rows of a data set in its `where` and `share`, every value as text, and their provenance.

    `path` is the file of a `file` or `cad` source, or what the download step left of a `hub` source.
    The provenance has the file's SHA-256, or what names the rows elsewhere, and `steps`: how many rows
    each step left.
    Raises DataError for a file that cannot be read in its format, a `where` or `share` without rows.
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
    if "share" in spec and rows.num_rows:
        rows = _share(rows, spec["text"], spec["share"], name)
        steps.append({"step": "share", "rows": rows.num_rows})
    return rows, {**provenance, "steps": steps}


def _read_rows(spec: dict, name: str, path: str | Path | None) -> pa.Table:
    if spec["source"] == "demo":
        return pa.Table.from_pylist(_generate(spec, name))
    form = {"hub": "parquet", "cad": "tsv"}.get(spec["source"]) or spec["format"]
    used = {*spec.get("text", []), spec.get("label"), spec.get("uid"), *spec.get("where", {})}
    try:
        return _as_text(READERS[form](path), used)
    except (OSError, ValueError, csv.Error, pa.ArrowException, RecursionError) as error:
        raise DataError(
            f"data set '{name}' cannot be read from {path}",
            got=next(iter(str(error).splitlines()), type(error).__name__),
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


def _share(records: pa.Table, columns: list[str], share: list[float], name: str) -> pa.Table:
    """The rows whose texts lie in this share of all texts, from `share[0]` on to below `share[1]`."""
    require(records, columns, name, "name its text columns by the key text of the data set")
    low, high = share
    texts = zip(*(records[column].to_pylist() for column in columns), strict=True)
    kept = records.filter(pa.array([low <= text_position(row) < high for row in texts], pa.bool_()))
    if kept.num_rows == 0:
        raise DataError(
            f"no row of data set '{name}' lies in its share",
            got=f"{records.num_rows} rows, none from {low} to {high} by the hash of the text",
            expected="at least 2 rows",
            fix="widen share, or leave it out for so few rows",
        )
    return kept


def text_position(texts: Iterable[str | None]) -> float:
    """Where the texts of a row, taken together, lie in [0, 1): uniform by hash, the same on every machine.

    Rows of the same texts lie at the same place, whatever their order, label and uid.
    """
    digest = hashlib.blake2b(digest_size=8, person=b"share")
    for text in texts:
        encoded = (text or "").encode()
        digest.update(len(encoded).to_bytes(8, "little") + encoded)
    # The 53 bits that a float holds exactly; all 64 could round to 1.
    return (int.from_bytes(digest.digest(), "little") >> 11) / 2**53


def _sha256(path: str | Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _generate(spec: dict, name: str) -> list[dict]:
    try:
        return demo.generate(spec["split"], spec["rows"], spec["seed"])
    except ValueError as error:
        raise DataError(f"data set '{name}' cannot be generated", got=str(error)) from error


def _read_csv(path: str | Path) -> dict[str, list]:
    # The module's own limit is 128 KiB.
    csv.field_size_limit(2**31 - 1)
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        try:
            return _columns((reader.line_num, cells) for cells in reader)
        except csv.Error as error:
            reason = "EOF inside string" if "unexpected end" in str(error) else str(error)
            raise ValueError(
                f"line {reader.line_num}: {reason}; are all quotes closed and doubled?"
            ) from error


def _read_tsv(path: str | Path) -> dict[str, list]:
    # As GLUE and IANA have it: no quoting, so that a stray quote swallows no rows.
    with open(path, encoding="utf-8-sig", newline="\n") as file:
        lines = (line.removesuffix("\n").removesuffix("\r") for line in file)
        return _columns((number, line.split("\t") if line else []) for number, line in enumerate(lines, 1))


def _columns(rows: Iterable[tuple[int, list[str]]]) -> dict[str, list]:
    """The cells by column of numbered lines, of which the first names the columns and empty ones are none."""
    numbered = ((number, cells) for number, cells in rows if cells)
    _, header = next(numbered, (0, []))
    if not header:
        raise ValueError("No columns: the file is empty")
    _once_each(filter(None, header))
    columns: list[list[str]] = [[] for _ in header]
    for number, cells in numbered:
        if len(cells) > len(header):
            raise ValueError(f"line {number}: more fields than the header, {len(cells)} for {len(header)}")
        for column, cell in zip_longest(columns, cells, fillvalue=""):
            column.append(cell)
    return dict(zip(header, columns, strict=True))


def _once_each(names: Iterable[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise ValueError(f"{count} columns are named {name!r}")


def _read_jsonl(path: str | Path) -> dict[str, list]:
    records = []
    with open(path, encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                record = json.loads(line, object_pairs_hook=_json_object)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"line {number}: {error}") from error
            if not isinstance(record, dict):
                raise ValueError(f"line {number}: not a JSON object")
            records.append(record)
    columns = dict.fromkeys(key for record in records for key in record)
    return {key: [record.get(key) for record in records] for key in columns}


def _json_object(pairs: list[tuple[str, object]]) -> dict:
    _once_each(name for name, _ in pairs)
    return dict(pairs)


def _read_parquet(path: str | Path) -> dict[str, list]:
    with pq.ParquetFile(path) as file:
        return _values(file.read())


def _read_arrow(path: str | Path) -> dict[str, list]:
    with pa.memory_map(str(path)) as source:
        try:
            return _values(pa.ipc.open_file(source).read_all())
        except pa.ArrowInvalid:
            return _values(pa.ipc.open_stream(source).read_all())


def _values(table: pa.Table) -> dict[str, list]:
    _once_each(table.column_names)
    # Offsets of a damaged file point anywhere.
    table.validate(full=True)
    return {name: table[name].to_pylist() for name in table.column_names}


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
    if isinstance(value, float) and math.isnan(value):
        return None
    return json.dumps(value, ensure_ascii=False, default=str)


def _as_text(columns: dict[str, list], used: set[str | None]) -> pa.Table:
    """Every value as text. Raises ValueError for values of `used` columns that no text is written in."""
    for name in filter(used.__contains__, columns):
        for row, value in enumerate(columns[name], 1):
            if isinstance(value, list | dict | bytes):
                raise ValueError(f"row {row}: a {type(value).__name__} in column '{name}', not text")
    return pa.table({name: _text_array(name, map(_text, values)) for name, values in columns.items()})


def _text_array(name: str, texts: Iterable[str | None]) -> pa.Array:
    texts = list(texts)
    try:
        return pa.array(texts, pa.string())
    except UnicodeEncodeError as error:
        row = next(row for row, text in enumerate(texts, 1) if text and re.search("[\ud800-\udfff]", text))
        raise ValueError(f"row {row}: half a character in column '{name}': {error}") from error
