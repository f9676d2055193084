"""What kind of task the columns of a file hold, told from their values."""

import json
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa

from ..data.conversations import messages_of
from ..data.readers import class_names
from ..data.targets import TRUTHS, answers_of, are_answers

LABEL_NAMES = {"label", "labels", "class", "target", "gold", "gold_label", "category", "sentiment", "y"}
NUMBER_NAMES = LABEL_NAMES | {"score", "similarity", "relatedness", "rating", "value"}
CHOICE_LISTS = {"choices", "options", "endings", "answers", "candidates"}
CHOICE_COLUMN = re.compile(
    r"(?:choice|option|ending|answer|sol|alternative)s?[_ .-]?(?:\d|[a-h])|[a-h]", re.I
)
CONTEXTS = ("context", "passage", "paragraph", "document", "article", "text")
QUESTIONS = ("question", "prompt", "query", "stem", "context", "ctx", "premise", "sentence", "text", "goal")
CONVERSATIONS = ("messages", "conversations", "conversation")
# Prompts, what may be added to them, and responses, as files of instructions call them.
INSTRUCTIONS = ("instruction", "prompt")
INPUTS = ("input", "context")
RESPONSES = ("response", "output", "completion")
TAG = re.compile(r"O|[BI]-.+")
MOST_LABELS = 100


class Recognised(NamedTuple):
    """The columns of a kind of task: its texts, if they are known, its label, further keys of the task, and
    what told so.
    """

    kind: str
    text: list[str] | None
    label: str | None
    keys: dict
    reason: str


def recognise(
    records: pa.Table, text: list[str] | None, label: str | None, kind: str | None
) -> Recognised | None:
    """The kind of task other than classification that the columns hold, where `text` and `label` are as given
    or None; None where they hold none of these. `kind` says that it is to be one.
    """
    values = {name: records[name].to_pylist() for name in records.column_names}
    lists = {name: found for name in values if (found := _named_lists(records, name))}
    labels = [label] if label else list(values)
    for name, find in (
        ("token_classification", _tags),
        ("question_answering", _spans),
        ("multiple_choice", _choices),
        ("generation", _responses),
        ("multilabel", _label_lists),
        ("multilabel", _label_columns),
        ("regression", _numbers),
    ):
        if kind in (None, name) and (found := find(values, lists, text, labels, kind == name)):
            return Recognised(name, *found)
    return None


def columns_in(keys: dict) -> list[str]:
    """The columns that further keys of a task name, each one or several."""
    return [name for names in keys.values() for name in ([names] if isinstance(names, str) else names)]


def parsed_lists(values: Sequence[str | None]) -> list[list] | None:
    """The lists that all values of a column are, or None."""
    found = []
    for value in values:
        try:
            own = json.loads(value) if value and value.lstrip().startswith("[") else None
        except ValueError:
            own = None
        if not isinstance(own, list) or not all(isinstance(entry, str | int) for entry in own):
            return None
        found.append(own)
    return found


def _named_lists(records: pa.Table, column: str) -> list[list] | None:
    """The lists that all values of a column are; numbers of classes by the names that the file has."""
    lists = parsed_lists(records[column].to_pylist())
    names = class_names(records, column)
    if not lists or not names:
        return lists
    by_number = dict(enumerate(names))
    return [[by_number.get(entry, entry) for entry in own] for own in lists]


def label_names(kind: str, records: pa.Table, label: str | None, keys: dict) -> list[list[str]]:
    """The labels of every row by name, one or several; none of a kind without classes."""
    if "label_columns" in keys:
        columns = [records[column].to_pylist() for column in keys["label_columns"]]
        return [
            [name for name, value in zip(keys["label_columns"], row, strict=True) if _truth(value)]
            for row in zip(*columns, strict=True)
        ]
    if kind in ("generation", "multiple_choice", "question_answering", "regression"):
        return [[] for _ in range(records.num_rows)]
    values = records[label].to_pylist()
    if kind == "classification":
        return [[value] if value and value.strip() else [] for value in values]
    lists = _named_lists(records, label) or [[] for _ in values]
    if kind == "multilabel":
        return [list(map(str, own)) for own in lists]
    return [[str(tag)[2:] for tag in own if str(tag).startswith("B-")] for own in lists]


def _tags(values: dict, lists: dict, text: list[str] | None, labels: list[str], _: bool) -> tuple | None:
    tagged = [name for name in labels if name in lists and _are_tags(lists[name])]
    for tags in sorted(tagged, key=lambda name: name.casefold() not in ("tags", "ner_tags")):
        sizes = list(map(len, lists[tags]))
        words = [
            name
            for name, rows in lists.items()
            if name not in tagged and list(map(len, rows)) == sizes and name in (text or [name])
        ]
        if words:
            return words[:1], tags, {}, "lists of tags, one for every word"
    return None


def _are_tags(rows: list[list]) -> bool:
    tags = {str(tag) for own in rows for tag in own}
    return all(map(TAG.fullmatch, tags)) and any(tag.startswith("B-") for tag in tags)


def _spans(values: dict, lists: dict, text: list[str] | None, labels: list[str], _: bool) -> tuple | None:
    folded = {name.casefold(): name for name in reversed(values)}
    named = [
        next((folded[name] for name in names if name in folded), None) for names in (QUESTIONS, CONTEXTS)
    ]
    question, context = text if text and len(text) == 2 else named
    if None in (question, context) or question == context:
        return None
    others = [name for name in values if name not in (question, context)]
    candidates = [
        (_fitting(values, context, label, starts), label, starts)
        for label in others
        if label in labels and any(value and value[0] in "[{" for value in values[label])
        for starts in (None, *(name for name in others if name != label))
    ]
    fits, label, starts = max(candidates, key=lambda candidate: candidate[0], default=(0, None, None))
    # The rows that do not fit are refused by name when the data are read.
    if 2 * fits <= len(values[context]):
        return None
    keys = {"answer_starts": starts} if starts else {}
    return [question, context], label, keys, f"answers with their places in {context}"


def _fitting(values: dict, context: str, label: str, starts: str | None) -> int:
    """How many rows have answers that lie in their contexts, or none; 0 where none has any."""
    columns = [values[name] for name in filter(None, (label, starts))]
    found = [answers_of(*row) for row in zip(*columns, strict=True)]
    fits = [are_answers(*own, row or "") for own, row in zip(found, values[context], strict=True)]
    return sum(fits) if any(own[0] and fit for own, fit in zip(found, fits, strict=True)) else 0


def _choices(
    values: dict, lists: dict, text: list[str] | None, labels: list[str], asked: bool
) -> tuple | None:
    columns = [name for name in lists if name.casefold() in CHOICE_LISTS]
    if not columns:
        columns = [name for name in values if CHOICE_COLUMN.fullmatch(name)]
        if len(columns) < 2:
            return None
        rows = [
            [value for value in own if value] for own in zip(*(values[name] for name in columns), strict=True)
        ]
    else:
        columns, rows = columns[:1], [list(map(str, own)) for own in lists[columns[0]]]
    fitting = [
        name
        for name in labels
        if name not in columns
        and all(_chooses(value, own) for value, own in zip(values[name], rows, strict=True))
    ]
    named = sorted(fitting, key=lambda name: name.casefold() not in LABEL_NAMES | {"answer", "answerkey"})
    left = {name.casefold(): name for name in values if name not in (*columns, *named[:1], *lists)}
    question = text or [left[name] for name in QUESTIONS if name in left][:1]
    if not named or not question or (min(map(len, rows)) < 2 and not asked):
        return None
    return question[:1], named[0], {"choices": columns}, "which of the row's choices is right"


def _chooses(value: str | None, choices: list[str]) -> bool:
    if not value:
        return False
    by_number = value.isascii() and value.isdigit() and int(value) < len(choices)
    return by_number or value in choices or value.upper() in [*"ABCDEFGH"[: len(choices)]]


def _responses(
    values: dict, lists: dict, text: list[str] | None, labels: list[str], asked: bool
) -> tuple | None:
    folded = {name.casefold(): name for name in reversed(values)}
    for name in (folded[name] for name in CONVERSATIONS if name in folded):
        fits = [messages_of(value) is not None for value in values[name]]
        # The rows that do not fit are refused by name when the data are read.
        if 2 * sum(fits) > len(fits) and name in labels and text in (None, [name]):
            return [name], name, {}, "conversations, the last message of each being the response"
    if asked and text and len(labels) == 1:
        return text, labels[0], {}, "as given"
    named = [
        next((folded[name] for name in names if name in folded), None)
        for names in (INSTRUCTIONS, INPUTS, RESPONSES)
    ]
    prompt, further, response = named
    if None in (prompt, response) or response not in labels:
        return None
    found = text or [prompt, *([further] if further else [])]
    return found, response, {}, f"responses to {found[0]}"


def _label_lists(
    values: dict, lists: dict, text: list[str] | None, labels: list[str], asked: bool
) -> tuple | None:
    fitting = [name for name in labels if name in lists and (asked or _are_few(lists[name]))]
    if not fitting:
        return None
    chosen = min(fitting, key=lambda name: name.casefold() not in LABEL_NAMES)
    return text, chosen, {}, "lists of labels"


def _are_few(rows: list[list]) -> bool:
    return 2 <= len({entry for own in rows for entry in own}) <= min(MOST_LABELS, len(rows))


def _label_columns(
    values: dict, lists: dict, text: list[str] | None, labels: list[str], _: bool
) -> tuple | None:
    binary = [name for name in labels if all(_truth(value) is not None for value in values[name])]
    if len(binary) < 2 or any(name.casefold() in LABEL_NAMES for name in values):
        return None
    return text, None, {"label_columns": binary}, "columns of 0 and 1"


def _truth(value: str | None) -> bool | None:
    return TRUTHS.get((value or "").strip().lower())


def _numbers(
    values: dict, lists: dict, text: list[str] | None, labels: list[str], asked: bool
) -> tuple | None:
    for name in sorted(labels, key=lambda name: name.casefold() not in NUMBER_NAMES):
        found = set(_floats(values[name]))
        fractions = any(number != int(number) for number in found)
        expected = name.casefold() in NUMBER_NAMES or len(labels) == 1
        if len(found) > 2 and expected and (asked or fractions or len(found) > MOST_LABELS):
            return text, name, {}, f"numbers from {min(found):g} to {max(found):g}"
    return None


def _floats(values: list[str | None]) -> Iterator[float]:
    """The numbers of a column; none where a value is none."""
    try:
        numbers = [float(value) for value in values if value and value.strip()]
    except ValueError:
        return iter(())
    finite = all(abs(number) < float("inf") for number in numbers)
    return iter(numbers if finite else ())
