"""Texts and targets of a source's rows, validated: what the kinds of task read from the columns of a data
set.
"""

import json
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from ..errors import DataError
from .rows import describe_rows, listing


def required_texts(records: pa.Table, column: str, spec: dict, name: str) -> list[str]:
    """The texts of a column; raises DataError where one is missing or empty."""
    values = records[column].to_pylist()
    bad = [row for row, value in enumerate(values) if not isinstance(value, str) or not value.strip()]
    if bad:
        raise DataError(
            f"data set '{name}' has missing or empty texts in column '{column}'",
            got=describe_rows(records, bad, spec.get("uid")),
            expected="text in every row",
            fix="fill or remove these rows, or leave them out by drop_empty: true",
        )
    return values


def label_indices(records: pa.Table, spec: dict, name: str) -> np.ndarray:
    """Class indices [n] of the label column, by `label_names` and the task's `labels`; raises DataError."""
    values = records[spec["label"]].to_pylist()
    names = spec.get("label_names", {})
    index = {label: position for position, label in enumerate(spec["labels"])}
    translated = [None if value is None else names.get(str(value), str(value)) for value in values]
    bad = [row for row, label in enumerate(translated) if label not in index]
    if bad:
        raise DataError(
            f"data set '{name}' has unknown or missing labels in column '{spec['label']}'",
            got=f"{listing(values[row] for row in bad)} in {describe_rows(records, bad, spec.get('uid'))}",
            expected=f"one of {', '.join([*names, *index])}",
            fix="map the column's values to the task's labels by the key label_names",
        )
    return np.array([index[label] for label in translated], np.int64)


def choice_columns(records: pa.Table, spec: dict, name: str) -> tuple[list[list[str]], np.ndarray]:
    """The choices of every row, and the index [n] of the right one.

    The choices are the values of several columns, of which empty ones are none, or those of one column of
    lists. The label is a number from 0 on, a letter from A on, or the text of the right choice. Raises
    DataError for rows with fewer than two choices, with equal choices, or without a right one.
    """
    choices = _choices(records, spec["choices"], spec, name)
    bad = [row for row, own in enumerate(choices) if len(own) < 2 or len(set(own)) < len(own)]
    if bad:
        raise DataError(
            f"data set '{name}' has rows that leave nothing to choose",
            got=f"fewer than two choices, or one twice, in {describe_rows(records, bad, spec.get('uid'))}",
            expected="two or more different choices in every row",
            fix="correct or remove these rows",
        )
    values = records[spec["label"]].to_pylist()
    readings = (_by_number, _by_letter, _by_text)
    found = [
        [reading(value, own) for value, own in zip(values, choices, strict=True)] for reading in readings
    ]
    # One reading for the whole column, the one that understands most: texts may be numbers too.
    labels = min(found, key=lambda indices: indices.count(None))
    wrong = [row for row, index in enumerate(labels) if index is None]
    if wrong:
        found_in = describe_rows(records, wrong, spec.get("uid"))
        raise DataError(
            f"data set '{name}' has rows without a right choice in column '{spec['label']}'",
            got=f"{listing(values[row] for row in wrong)} in {found_in}",
            expected="a number from 0 on, a letter from A on, or the text of one of the row's choices",
            fix="correct or remove these rows",
        )
    return choices, np.array(labels, np.int64)


def _choices(records: pa.Table, columns: Sequence[str], spec: dict, name: str) -> list[list[str]]:
    if len(columns) > 1:
        rows = zip(*(records[column].to_pylist() for column in columns), strict=True)
        return [[value for value in row if value and value.strip()] for row in rows]
    lists, bad = [], []
    for row, text in enumerate(records[columns[0]].to_pylist()):
        try:
            values = json.loads(text or "null")
        except ValueError:
            values = None
        if not isinstance(values, list) or not all(
            isinstance(value, str) and value.strip() for value in values
        ):
            bad.append(row)
            values = []
        lists.append(values)
    if bad:
        raise DataError(
            f"data set '{name}' has no lists of choices in column '{columns[0]}'",
            got=describe_rows(records, bad, spec.get("uid")),
            expected='a list of texts in every row, in CSV written as JSON: ["one", "another"]',
            fix="name the columns of the choices under choices: several of them, or one of lists",
        )
    return lists


def _by_number(value: str | None, choices: list[str]) -> int | None:
    return int(value) if value and value.isascii() and value.isdigit() and int(value) < len(choices) else None


def _by_letter(value: str | None, choices: list[str]) -> int | None:
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[: len(choices)]
    return letters.index(value.strip().upper()) if value and value.strip().upper() in [*letters] else None


def _by_text(value: str | None, choices: list[str]) -> int | None:
    return choices.index(value) if value in choices else None
