"""Readers of data files: every format becomes a table of texts in which each row knows its place."""

import json
import lzma
import math
import re
import zlib
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import DataError
from .cells import once_each, read_cells
from .rows import visible, with_places
from .squad import flat_rows, is_nested
from .text_files import UnreadableError, open_bytes, open_text

# What damage in a file raises somewhere in the libraries that read it.
FAULTS = (
    OSError,
    ValueError,
    EOFError,
    OverflowError,
    KeyError,
    TypeError,
    MemoryError,
    RecursionError,
    zlib.error,
    lzma.LZMAError,
    pa.ArrowException,
)
# Metadata of a column: the names of its classes by number, and why it cannot be used.
CLASS_NAMES, UNUSABLE = b"class names", b"unusable"


def read_table(path: str | Path, spec: dict, form: str, name: str) -> pa.Table:
    """All rows of a file as texts, with the place of each.

    spec: the keys of the data set that say how the file is to be read. Values that are no text become their
    JSON. A column that holds what no text can be keeps the reason in its metadata (`unusable`), and a column
    of numbers that stand for classes their names (`class_names`). Raises DataError for a file that cannot be
    read.
    """
    try:
        return with_places(READERS[form](path, spec))
    except FAULTS as error:
        expected = "a folder that the datasets library saved" if form == "saved" else f"a {form} file"
        raise unreadable(name, path, error, expected) from error


def unreadable(name: str, path: str | Path | None, error: Exception, expected: str) -> DataError:
    """The fault of a file that cannot be read."""
    return DataError(
        f"data set '{name}' cannot be read from {visible(str(path))}",
        got=next(iter(str(error).splitlines()), "") or type(error).__name__,
        expected=expected,
        fix=getattr(error, "fix", "correct the file, or name its format by the key 'format'"),
    )


def unusable(records: pa.Table, column: str) -> str | None:
    """Why a column's values cannot be used as text, or None where they can."""
    return _metadata(records, column, UNUSABLE)


def class_names(records: pa.Table, column: str) -> list[str] | None:
    """The names of the classes that the numbers of a column stand for, where its file has them."""
    return _metadata(records, column, CLASS_NAMES)


def _metadata(records: pa.Table, column: str, key: bytes):
    found = (records.schema.field(column).metadata or {}).get(key)
    return json.loads(found) if found else None


def _read_csv(path: str | Path, spec: dict) -> pa.Table:
    return _as_text(read_cells(path, spec, "csv"))


def _read_tsv(path: str | Path, spec: dict) -> pa.Table:
    return _as_text(read_cells(path, spec, "tsv"))


def _read_json(path: str | Path, spec: dict) -> pa.Table:
    """One JSON object a line, one JSON array of objects, or SQuAD's object of articles."""
    with open_text(path, spec.get("encoding"), None) as file:
        first = next((line for line in file if line.strip()), "").strip("\ufeff \t\r\n")
    with open_text(path, spec.get("encoding"), None) as file:
        if first.startswith("["):
            records = _array(file.read())
        elif first == "{":
            records = _document(file.read())
        else:
            records = _objects(file)
    columns = dict.fromkeys(key for record in records for key in record)
    return _as_text({key: [record.get(key) for record in records] for key in columns})


def _array(text: str) -> list[dict]:
    records = json.loads(text, object_pairs_hook=_json_object)
    for number, record in enumerate(records, 1):
        if not isinstance(record, dict):
            raise ValueError(f"entry {number} of the JSON array: not a JSON object")
    return records


def _document(text: str) -> list[dict]:
    """The rows of an object over several lines: SQuAD's, or what is refused line by line."""
    try:
        document = json.loads(text.lstrip("\ufeff"), object_pairs_hook=_json_object)
    except (ValueError, RecursionError):
        document = None
    return list(flat_rows(document)) if is_nested(document) else _objects(text.splitlines())


def _objects(lines: Iterable[str]) -> list[dict]:
    records = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line, object_pairs_hook=_json_object)
        except (ValueError, RecursionError) as error:
            raise UnreadableError(
                f"line {number}: {error}",
                "write one JSON object per line, or one array of objects: no comments, no single quotes",
            ) from error
        if not isinstance(record, dict):
            raise ValueError(f"line {number}: not a JSON object")
        records.append(record)
    if len(records) == 1 and is_nested(records[0]):
        return list(flat_rows(records[0]))
    if len(records) == 1 and any(isinstance(value, list | dict) for value in records[0].values()):
        raise UnreadableError(
            "it is one JSON object whose values are tables or columns, not a list of rows",
            "write one object per row; in pandas: to_json(path, orient='records', lines=True)",
        )
    return records


def _json_object(pairs: list[tuple[str, object]]) -> dict:
    once_each(name for name, _ in pairs)
    return dict(pairs)


def _read_parquet(path: str | Path, _: dict) -> pa.Table:
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        return _texts_of(file.read())


def _read_arrow(path: str | Path, _: dict) -> pa.Table:
    return _texts_of(_arrow_table(path))


def _arrow_table(path: str | Path) -> pa.Table:
    with open_bytes(path) as file:
        content = pa.py_buffer(file.read())
    try:
        return pa.ipc.open_file(content).read_all()
    except pa.ArrowInvalid:
        return pa.ipc.open_stream(content).read_all()


def _read_saved(path: str | Path, _: dict) -> pa.Table:
    """The shards of a folder that `save_to_disk` wrote, in its order."""
    folder = Path(path)
    if (folder / "dataset_dict.json").is_file():
        splits = json.loads((folder / "dataset_dict.json").read_text(encoding="utf-8"))["splits"]
        raise UnreadableError(
            f"it is a folder of several splits: {', '.join(map(str, splits))}", f"name one: {folder}/SPLIT"
        )
    state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    if state.get("_indices_files"):
        raise UnreadableError(
            "it holds a selection of its rows as indices beside them",
            "save it anew after flatten_indices()",
        )
    shards = [_arrow_table(folder / Path(file["filename"]).name) for file in state["_data_files"]]
    return _texts_of(pa.concat_tables(shards))


READERS = {
    "csv": _read_csv,
    "tsv": _read_tsv,
    "jsonl": _read_json,
    "parquet": _read_parquet,
    "arrow": _read_arrow,
    "saved": _read_saved,
}


def _texts_of(table: pa.Table) -> pa.Table:
    """A table's columns as texts, and the names of classes that its metadata has."""
    once_each(table.column_names)
    # Offsets of a damaged file point anywhere.
    table.validate(full=True)
    names = _features(table)
    fields, columns = [], []
    for name in table.column_names:
        column, reason = _column(table[name], name)
        metadata = {UNUSABLE: json.dumps(reason)} if reason else {}
        form = table[name].type
        if name in names and pa.types.is_integer(form.value_type if pa.types.is_list(form) else form):
            metadata[CLASS_NAMES] = json.dumps(names[name])
        columns.append(column)
        fields.append(pa.field(name, pa.string(), metadata=metadata or None))
    return pa.table(columns, pa.schema(fields))


def _features(table: pa.Table) -> dict[str, list[str]]:
    """The names of classes by column, from the metadata that the datasets library writes."""
    try:
        found = json.loads((table.schema.metadata or {}).get(b"huggingface", b"{}"))
        features = found["info"]["features"]
        own = {name: _of_one(entry) for name, entry in features.items()}
        return {
            name: list(map(str, entry["names"]))
            for name, entry in own.items()
            if isinstance(entry, dict) and entry.get("_type") == "ClassLabel"
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _of_one(feature: object) -> object:
    """What a feature is, or what its lists hold."""
    if isinstance(feature, list) and len(feature) == 1:
        return feature[0]
    return feature.get("feature", feature) if isinstance(feature, dict) else feature


def _column(values: pa.ChunkedArray, name: str) -> tuple[pa.Array | pa.ChunkedArray, str | None]:
    if pa.types.is_string(values.type):
        return values, None
    if pa.types.is_large_string(values.type) or pa.types.is_integer(values.type):
        return values.cast(pa.string()), None
    try:
        return _text_array(name, values.to_pylist())
    except (ValueError, OverflowError, TypeError, ArithmeticError, pa.ArrowException) as error:
        # Dates beyond those of Python, zones that nobody knows.
        return pa.nulls(len(values), pa.string()), f"values that cannot be read in column '{name}': {error}"


def _as_text(columns: dict[str, list]) -> pa.Table:
    fields, arrays = [], []
    for name, values in columns.items():
        array, reason = _text_array(name, values)
        arrays.append(array)
        metadata = {UNUSABLE: json.dumps(reason)} if reason else None
        fields.append(pa.field(name, pa.string(), metadata=metadata))
    return pa.table(arrays, pa.schema(fields))


def _text_array(name: str, values: list) -> tuple[pa.Array, str | None]:
    """The values as text, and what stands against their use."""
    kinds = {kind for kind in map(type, values) if issubclass(kind, list | dict | bytes)}
    row = next((row for row, value in enumerate(values, 1) if type(value) in kinds), None) if kinds else None
    reason = f"row {row}: a {type(values[row - 1]).__name__} in column '{name}', not text" if row else None
    texts = values if set(map(type, values)) <= {str} else [text_of(value) for value in values]
    try:
        return pa.array(texts, pa.string()), reason
    except UnicodeEncodeError as error:
        row = next(row for row, text in enumerate(texts, 1) if text and re.search("[\ud800-\udfff]", text))
        whole = [None if text is None else text.encode(errors="replace").decode() for text in texts]
        fault = f"row {row}: half a character in column '{name}': {error}"
        return pa.array(whole, pa.string()), reason or fault


def text_of(value: object) -> str | None:
    """A value as the rows spell it: text as it is, None for what is missing, JSON for all else."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float) and math.isnan(value):
        return None
    return json.dumps(value, ensure_ascii=False, default=str)
