"""Delimited text, CSV and TSV: what stands between the cells, whether these are quoted, their columns."""

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, zip_longest
from pathlib import Path

from .text_files import UnreadableError, open_text

DELIMITERS = (",", "\t", ";", "|")
LOOKED_AT = 200

# The module's own limit is 128 KiB.
csv.field_size_limit(2**31 - 1)


@dataclass(frozen=True)
class Dialect:
    """What stands between two cells, and whether a double quote encloses cells."""

    delimiter: str
    quoted: bool


def read_cells(path: str | Path, spec: dict, form: str) -> dict[str, list[str]]:
    """The columns of a CSV or TSV file by name, as the keys of `spec` and else the file itself say.

    Raises ValueError that says what is wrong, and UnreadableError where a key is the cure.
    """
    own = Dialect("," if form == "csv" else "\t", form == "csv" or spec.get("quoting", False))
    encoding, names = spec.get("encoding"), spec.get("columns")
    if "delimiter" in spec:
        dialect = Dialect(spec["delimiter"], own.quoted)
    else:
        dialect = _dialect(path, encoding, names, own)
    columns, short = _columns(path, encoding, names, dialect)
    if short and not dialect.quoted and "quoting" not in spec and _reads_quoted(path, encoding, names):
        raise UnreadableError(
            f"its cells are quoted: {short} lines have too few cells, unless quotes enclose line breaks",
            "set the key 'quoting: true'; or 'quoting: false' where quotes are part of the text",
        )
    return columns


def settings_of(path: str | Path, spec: dict, form: str) -> dict:
    """The keys that a CSV or TSV file needs beside its format to be read right, found by a look at it.

    Raises what `read_cells` does.
    """
    own = Dialect("," if form == "csv" else "\t", form == "csv" or spec.get("quoting", False))
    encoding, names = spec.get("encoding"), spec.get("columns")
    found = {}
    if "delimiter" not in spec and (dialect := _dialect(path, encoding, names, own)) != own:
        found["delimiter"] = dialect.delimiter
        if form == "tsv":
            found["quoting"] = dialect.quoted
    elif form == "tsv" and "quoting" not in spec and _looks_quoted(path, encoding, names):
        found["quoting"] = True
    return found


def _dialect(path: str | Path, encoding: str | None, names: list[str] | None, own: Dialect) -> Dialect:
    """The format's own dialect, or the only other one in which the first lines have a cell per column."""
    if _fits(path, encoding, names, own):
        return own
    others = [Dialect(delimiter, True) for delimiter in DELIMITERS if delimiter != own.delimiter]
    fitting = [dialect for dialect in others if _fits(path, encoding, names, dialect)]
    return fitting[0] if len(fitting) == 1 else own


def _fits(path: str | Path, encoding: str | None, names: list[str] | None, dialect: Dialect) -> bool:
    try:
        with _lines(path, encoding, dialect) as rows:
            first = [cells for _, cells in islice(rows, LOOKED_AT) if cells]
    except csv.Error:
        return False
    width = len(names or (first[0] if first else ()))
    return width > 1 and all(len(cells) == width for cells in first)


def _reads_quoted(path: str | Path, encoding: str | None, names: list[str] | None) -> bool:
    """Whether every line of a TSV file has a cell for every column where quotes enclose cells."""
    try:
        _, short = _columns(path, encoding, names, Dialect("\t", True))
    except ValueError:
        return False
    return not short


def _looks_quoted(path: str | Path, encoding: str | None, names: list[str] | None) -> bool:
    """Whether quotes enclose cells of a TSV file: its lines need it, or all cells of a column have them."""
    try:
        columns, short = _columns(path, encoding, names, Dialect("\t", False))
    except UnreadableError:
        raise
    except ValueError:
        return _reads_quoted(path, encoding, names)
    enclosed = any(column and all(map(_enclosed, column)) for column in columns.values())
    return bool(short or enclosed) and _reads_quoted(path, encoding, names)


def _enclosed(cell: str) -> bool:
    return len(cell) > 1 and cell[0] == cell[-1] == '"'


class _lines:
    """The numbered lines of a file as lists of cells; an empty line has none."""

    def __init__(self, path: str | Path, encoding: str | None, dialect: Dialect):
        self._dialect = dialect
        self._text = open_text(path, encoding, "" if dialect.quoted else "\n")

    def __enter__(self) -> Iterator[tuple[int, list[str]]]:
        file = self._text.__enter__()
        return self._quoted(file) if self._dialect.quoted else self._plain(file)

    def __exit__(self, *error) -> bool | None:
        return self._text.__exit__(*error)

    def _plain(self, file: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
        # As GLUE and IANA have it: no quoting, so that a stray quote swallows no rows.
        for number, line in enumerate(file, 1):
            line = line.removesuffix("\n").removesuffix("\r")
            yield number, line.split(self._dialect.delimiter) if line else []

    def _quoted(self, file: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
        reader = csv.reader(file, strict=True, delimiter=self._dialect.delimiter)
        try:
            for cells in reader:
                yield reader.line_num, cells
        except csv.Error as error:
            reason = "EOF inside string" if "unexpected end" in str(error) else str(error)
            raise csv.Error(
                f"line {reader.line_num}: {reason}; are all quotes closed and doubled?"
            ) from error


def _columns(
    path: str | Path, encoding: str | None, names: list[str] | None, dialect: Dialect
) -> tuple[dict[str, list[str]], int]:
    """The cells by column, and how many lines have too few of them. Empty lines are none."""
    with _lines(path, encoding, dialect) as lines:
        try:
            return _by_column(((number, cells) for number, cells in lines if cells), names)
        except csv.Error as error:
            raise ValueError(str(error)) from error


def _by_column(
    numbered: Iterator[tuple[int, list[str]]], names: list[str] | None
) -> tuple[dict[str, list[str]], int]:
    header = names or next(numbered, (0, []))[1]
    if not header:
        raise ValueError("No columns: the file is empty")
    once_each(filter(None, header))
    columns: list[list[str]] = [[] for _ in header]
    adders: list[Callable] = [column.append for column in columns]
    short = 0
    for number, cells in numbered:
        if len(cells) > len(header):
            named = "names in the key 'columns'" if names else "the header"
            raise ValueError(f"line {number}: more fields than {named}, {len(cells)} for {len(header)}")
        short += len(cells) < len(header)
        for add, cell in zip_longest(adders, cells, fillvalue=""):
            add(cell)
    return dict(zip(header, columns, strict=True)), short


def once_each(names: Iterable[str]) -> None:
    """Raise ValueError for a column that stands twice."""
    for name, count in Counter(names).items():
        if count > 1:
            raise ValueError(f"{count} columns are named {name!r}")
