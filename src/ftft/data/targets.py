"""Texts and targets of a source's rows, validated: what the kinds of task read from the columns of a data
set.
"""

import json
from collections.abc import Callable, Sequence
from itertools import pairwise
from string import ascii_uppercase

import numpy as np
import pyarrow as pa

from ..errors import DataError
from .dataset import object_array
from .readers import class_names
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
    DataError for rows with fewer than two different choices, without a right one, or with that one twice.
    Wrong choices may be equal: published sets have such rows, and the right answer is still one.
    """
    choices = _choices(records, spec["choices"], spec, name)
    bad = [row for row, own in enumerate(choices) if len(set(own)) < 2]
    if bad:
        raise DataError(
            f"data set '{name}' has rows that leave nothing to choose",
            got=f"fewer than two different choices in {describe_rows(records, bad, spec.get('uid'))}",
            expected="two or more different choices in every row",
            fix="correct or remove these rows",
        )
    values = records[spec["label"]].to_pylist()
    labels, _ = _read_as(values, choices)
    wrong = [row for row, index in enumerate(labels) if index is None]
    if wrong:
        found_in = describe_rows(records, wrong, spec.get("uid"))
        raise DataError(
            f"data set '{name}' has rows without a right choice in column '{spec['label']}'",
            got=f"{listing(values[row] for row in wrong)} in {found_in}",
            expected="a number from 0 on, a letter from A on, or the text of one of the row's choices",
            fix="correct or remove these rows",
        )
    rows = enumerate(zip(choices, labels, strict=True))
    twice = [row for row, (own, label) in rows if own.count(own[label]) > 1]
    if twice:
        raise DataError(
            f"data set '{name}' has rows whose right choice stands there twice",
            got=describe_rows(records, twice, spec.get("uid")),
            expected="one right choice in every row",
            fix="correct or remove these rows",
        )
    return choices, np.array(labels, np.int64)


def choice_cells(records: pa.Table, labels: dict[int, str], spec: dict, name: str) -> dict[int, str | None]:
    """By row what the label column has to hold for the choice of this text, or the one that the column would
    give this label, to be the right one; None where the row has no such choice.
    """
    choices = _choices(records, spec["choices"], spec, name)
    _, reading = _read_as(records[spec["label"]].to_pylist(), choices)
    cells: dict[int, str | None] = {}
    for row, label in labels.items():
        index = _by_text(label, choices[row])
        if index is None:
            index = reading(label, choices[row])
        cells[row] = None if index is None else _READINGS[reading](index, choices[row])
    return cells


def _read_as(values: Sequence[str | None], choices: list[list[str]]) -> tuple[list[int | None], Callable]:
    """Which choices the values of a label column name, and the reading that says so.

    It is one for the whole column, the one that understands most: texts may be numbers too.
    """
    found = {
        reading: [reading(value, own) for value, own in zip(values, choices, strict=True)]
        for reading in _READINGS
    }
    best = min(found, key=lambda reading: found[reading].count(None))
    return found[best], best


def _choices(records: pa.Table, columns: Sequence[str], spec: dict, name: str) -> list[list[str]]:
    if len(columns) > 1:
        rows = zip(*(records[column].to_pylist() for column in columns), strict=True)
        return [[value for value in row if value and value.strip()] for row in rows]
    fix = "name the columns of the choices under choices: several of them, or one of lists"
    choices = list_column(records, columns[0], spec, name, "choices", fix)
    blank = [row for row, own in enumerate(choices) if not all(map(str.strip, own))]
    if blank:
        raise _not_lists(records, columns[0], spec, name, "choices", fix, blank)
    return choices


def list_column(
    records: pa.Table, column: str, spec: dict, name: str, what: str, fix: str
) -> list[list[str]]:
    """The lists of texts in a column, numbers as texts; raises DataError where there is none.

    `what` they are lists of and how to `fix` a column without them are for the message.
    """
    lists = [list_of_texts(text) for text in records[column].to_pylist()]
    if bad := [row for row, own in enumerate(lists) if own is None]:
        raise _not_lists(records, column, spec, name, what, fix, bad)
    return [own for own in lists if own is not None]


def list_of_texts(cell: str | None) -> list[str] | None:
    """The texts and whole numbers, these as texts, of a list in JSON; None for anything else."""
    values = _parsed(cell)
    if not isinstance(values, list) or not all(isinstance(value, str | int) for value in values):
        return None
    return [str(value) for value in values]


def _not_lists(
    records: pa.Table, column: str, spec: dict, name: str, what: str, fix: str, rows: list[int]
) -> DataError:
    return DataError(
        f"data set '{name}' has no lists of {what} in column '{column}'",
        got=describe_rows(records, rows, spec.get("uid")),
        expected='a list of texts in every row, in CSV written as JSON: ["one", "another"]',
        fix=fix,
    )


def tagged_words(
    records: pa.Table, spec: dict, name: str, tags: Sequence[str]
) -> tuple[list[list[str]], np.ndarray]:
    """The words of every row, and the indices of their tags: an object array [n] of int64 [words].

    Tags are in BIO2, translated by `label_names`. Raises DataError for rows without words, with another
    number of tags than words, with tags that are none of `tags`, and with an entity that no B- begins.
    """
    words_column, tags_column = spec["text"][0], spec["label"]
    words = list_column(
        records, words_column, spec, name, "words", "name the column of the words by the key text"
    )
    given = list_column(
        records, tags_column, spec, name, "tags", "name the column of the tags by the key label"
    )
    names, index = _raw_names(records, tags_column, spec), {tag: place for place, tag in enumerate(tags)}
    found = [[names.get(tag, tag) for tag in own] for own in given]
    pairs = list(zip(words, found, strict=True))
    for bad, what, got, expected, fix in (
        (
            [row for row, (own, _) in enumerate(pairs) if not own],
            f"has rows without words in column '{words_column}'",
            "",
            "a word at least in every row",
            "remove these rows",
        ),
        (
            [row for row, (own, tagged) in enumerate(pairs) if len(own) != len(tagged)],
            "has rows with another number of tags than of words",
            "",
            "one tag for every word",
            "correct or remove these rows",
        ),
        (
            [row for row, tagged in enumerate(found) if not index.keys() >= set(tagged)],
            f"has unknown tags in column '{tags_column}'",
            f"{listing(tag for own in found for tag in own if tag not in index)} in ",
            f"one of {', '.join(tags)}",
            "name all entity types under labels, or map the column's tags by the key label_names",
        ),
        (
            [row for row, tagged in enumerate(found) if not is_bio2(tagged)],
            f"has tags that are not BIO2 in column '{tags_column}'",
            "",
            "B- at the first word of every entity, I- of the same type at its further words",
            "rewrite the tags so that every entity begins with B-",
        ),
    ):
        if bad:
            where = describe_rows(records, bad, spec.get("uid"))
            raise DataError(f"data set '{name}' {what}", got=got + where, expected=expected, fix=fix)
    return words, object_array([np.array([index[tag] for tag in own], np.int64) for own in found])


def answer_spans(records: pa.Table, contexts: list[str], spec: dict, name: str) -> np.ndarray:
    """The answers of every row: an object array [n] of {texts, starts}, starts in characters.

    `label` names a column of lists of texts and `answer_starts` one of their starts, or `label` one of
    SQuAD's objects {text, answer_start}, of lists or in a list. Raises DataError for rows whose answers are
    not where they are said to be.
    """
    column, starts_column = spec["label"], spec.get("answer_starts")
    columns = [records[name].to_pylist() for name in filter(None, (column, starts_column))]
    found = [answers_of(*row) for row in zip(*columns, strict=True)]
    bad = [row for row, values in enumerate(found) if not are_answers(*values, contexts[row])]
    if bad:
        raise DataError(
            f"data set '{name}' has answers that are not in their contexts",
            got=f"in column '{column}', {describe_rows(records, bad, spec.get('uid'))}",
            expected="lists of texts and of the characters of the context, from 0, at which they begin, both "
            "empty where a question has no answer",
            fix="correct or remove these rows, or name the column of the starts by the key answer_starts",
        )
    return object_array([{"texts": texts, "starts": starts} for texts, starts in found])


def answers_of(answers: str | None, starts: str | None = None) -> tuple[object, object]:
    """What a row says of its answers' texts and starts, from JSON; SQuAD's objects hold both."""
    own = _parsed(answers)
    if isinstance(own, list) and own and all(isinstance(answer, dict) for answer in own):
        own = {key: [answer.get(key) for answer in own] for key in ("text", "answer_start")}
    if isinstance(own, dict):
        return own.get("text"), own.get("answer_start")
    return own, [] if own == [] and starts is None else _parsed(starts)


def _parsed(value: str | None) -> object:
    try:
        return json.loads(value or "null")
    except ValueError:
        return None


def are_answers(texts: object, starts: object, context: str) -> bool:
    """Whether these are lists of texts and of where each of them stands in a context."""
    if not isinstance(texts, list) or not isinstance(starts, list) or len(texts) != len(starts):
        return False
    return all(
        isinstance(text, str)
        and text.strip()
        and isinstance(start, int)
        and start >= 0
        and context[start : start + len(text)] == text
        for text, start in zip(texts, starts, strict=True)
    )


def label_sets(records: pa.Table, spec: dict, name: str) -> np.ndarray:
    """Which labels every row has: bool [n, labels].

    They come as lists in the label column, translated by `label_names`, or as a column of 0 and 1 for each
    label, `label_columns`, in the order of the task's labels. Raises DataError.
    """
    if "label_columns" in spec:
        return np.stack([_truths(records, column, spec, name) for column in spec["label_columns"]], axis=1)
    column, index = spec["label"], {label: place for place, label in enumerate(spec["labels"])}
    names = _raw_names(records, column, spec)
    fix = "name the column of the lists by the key label, or columns of 0 and 1 by label_columns"
    given = list_column(records, column, spec, name, "labels", fix)
    found = [[names.get(label, label) for label in own] for own in given]
    if bad := [row for row, own in enumerate(found) if not index.keys() >= set(own)]:
        unknown = listing(label for own in found for label in own if label not in index)
        raise DataError(
            f"data set '{name}' has unknown labels in column '{column}'",
            got=f"{unknown} in {describe_rows(records, bad, spec.get('uid'))}",
            expected=f"lists of {', '.join([*names, *index])}",
            fix="map the column's values to the task's labels by the key label_names",
        )
    truths = np.zeros((len(found), len(index)), bool)
    for row, own in enumerate(found):
        truths[row, [index[label] for label in own]] = True
    return truths


TRUTHS = {"0": False, "0.0": False, "false": False, "1": True, "1.0": True, "true": True}


def _truths(records: pa.Table, column: str, spec: dict, name: str) -> np.ndarray:
    values = records[column].to_pylist()
    found = [TRUTHS.get((value or "").strip().lower()) for value in values]
    if bad := [row for row, truth in enumerate(found) if truth is None]:
        raise DataError(
            f"data set '{name}' has values other than 0 and 1 in column '{column}'",
            got=f"{listing(values[row] for row in bad)} in {describe_rows(records, bad, spec.get('uid'))}",
            expected="0 or 1, false or true in every row",
            fix="correct or remove these rows, or name other columns by the key label_columns",
        )
    return np.array(found, bool)


def numbers(records: pa.Table, spec: dict, name: str) -> np.ndarray:
    """The numbers of the label column, float64 [n]; raises DataError where one is none or not finite."""
    column = spec["label"]
    values = records[column].to_pylist()
    found = np.array([_number(value) for value in values], np.float64)
    bad = np.flatnonzero(~np.isfinite(found)).tolist()
    if bad:
        raise DataError(
            f"data set '{name}' has labels that are no finite numbers in column '{column}'",
            got=f"{listing(values[row] for row in bad)} in {describe_rows(records, bad, spec.get('uid'))}",
            expected="a finite number in every row, with a point where it has decimals",
            fix="correct or remove these rows, or leave rows without label out by drop_empty: true",
        )
    return found


def _number(value: str | None) -> float:
    try:
        return float(value or "nan")
    except ValueError:
        return float("nan")


def _raw_names(records: pa.Table, column: str, spec: dict) -> dict[str, str]:
    """What the raw values in a column of lists stand for: as configured, or as the file names numbers."""
    known = class_names(records, column) or ()
    return spec.get("label_names") or {str(number): name for number, name in enumerate(known)}


def is_bio2(tags: Sequence[str]) -> bool:
    """Whether B- begins every entity."""
    return all(
        tag[:2] != "I-" or (before[:2] in ("B-", "I-") and before[2:] == tag[2:])
        for before, tag in pairwise(["O", *tags])
    )


def _by_number(value: str | None, choices: list[str]) -> int | None:
    return int(value) if value and value.isascii() and value.isdigit() and int(value) < len(choices) else None


def _by_letter(value: str | None, choices: list[str]) -> int | None:
    letters = [*ascii_uppercase[: len(choices)]]
    return letters.index(value.strip().upper()) if value and value.strip().upper() in letters else None


def _by_text(value: str | None, choices: list[str]) -> int | None:
    return choices.index(value) if value in choices else None


# What a label column may hold of the right choice, and how it is written.
_READINGS: dict[Callable, Callable[[int, list[str]], str]] = {
    _by_number: lambda index, choices: str(index),
    _by_letter: lambda index, choices: ascii_uppercase[index],
    _by_text: lambda index, choices: choices[index],
}
