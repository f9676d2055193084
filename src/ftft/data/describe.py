"""Rows and values of a data set in words, for messages."""

import reprlib
from collections.abc import Iterable

import pyarrow as pa

SHOWN = 5


def listing(values: Iterable[str | None]) -> str:
    """The distinct values as text, the first few of them."""
    found = sorted({"(missing)" if value is None else reprlib.repr(value) for value in values})
    return ", ".join(found[:SHOWN]) + (", ..." if len(found) > SHOWN else "")


def describe_rows(records: pa.Table, rows: list[int], spec: dict) -> str:
    """How many rows, and where the first of them are."""
    shown = ", ".join(str(row + 1) for row in rows[:SHOWN]) + (", ..." if len(rows) > SHOWN else "")
    kept = " and ".join(key for key in ("where", "share") if key in spec)
    return f"{len(rows)} row(s): {shown} (the first row{f' that {kept} keeps' if kept else ''} is 1)"
