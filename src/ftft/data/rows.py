"""Rows and values of a data set in words, for messages that somebody can act on."""

import reprlib
from collections.abc import Iterable, Sequence

import pyarrow as pa

from ..errors import DataError

# Which row of its file each row is, from 1. No file can have a column of this name.
PLACE = "\0row of the file"
SHOWN = 5
LONGEST = 60

_SHORT = reprlib.Repr()
_SHORT.maxstring = LONGEST


def with_places(records: pa.Table) -> pa.Table:
    """The rows of a file, with the place of each in it."""
    return records.append_column(PLACE, pa.array(range(1, records.num_rows + 1), pa.int64()))


def column_names(records: pa.Table) -> list[str]:
    """The columns that the rows have from their source."""
    return [name for name in records.column_names if name != PLACE]


def describe_rows(records: pa.Table, rows: Sequence[int], uid_column: str | None = None) -> str:
    """Which rows of a table these are: their places in the file and their uids, the first few of them.

    `rows` are positions in `records`, from 0. Where the rows do not know their places in a file, the
    positions themselves are given, from 1.
    """
    known = PLACE in records.column_names
    uids = records[uid_column] if uid_column in records.column_names else None
    shown = []
    for row in rows[:SHOWN]:
        place = f"row {records[PLACE][row].as_py()} of the file" if known else f"row {row + 1}"
        shown.append(place if uids is None else f"{place} (uid {quoted(uids[row].as_py())})")
    more = f", and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
    return f"{len(rows)} {'row' if len(rows) == 1 else 'rows'}: {', '.join(shown)}{more}"


def quoted(value: str | None) -> str:
    """A value from outside in quotes: short, and without characters that a terminal obeys."""
    if value is None:
        return "(missing)"
    return visible(_SHORT.repr(value))


def visible(text: str) -> str:
    """Text from outside without line breaks and characters that a terminal obeys."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def listing(values: Iterable[str | None]) -> str:
    """The distinct values as text, the first few of them."""
    found = sorted({quoted(value) for value in values})
    return ", ".join(found[:SHOWN]) + (", ..." if len(found) > SHOWN else "")


def refuse(wrong: Sequence[str | None], message: str, expected: str, fix: str) -> None:
    """Raise DataError, with how many there are and the first few, where there are wrong values."""
    if wrong:
        raise DataError(message, got=f"{len(wrong)}: {listing(wrong)}", expected=expected, fix=fix)
