"""Corrections from what other tools leave: cleanlab, Argilla, Label Studio, allenai/cartography.

A tool is told by what its file holds. Each gives some rows of a prepared data set a label; where it is not
the label that the row has, it is a correction.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from ..data.corrections import text_hash
from ..data.dataset import Dataset
from ..data.formats import endings, format_of
from ..data.readers import read_table
from ..data.rows import SHOWN, column_names, quoted, refuse
from ..errors import DataError
from ..tasks.base import mean_probabilities
from .interchange import import_cartography


@dataclass(frozen=True)
class Tool:
    """A tool whose files are read: its name, the columns that tell them, and `read`, which gives by uid the
    label of a row, of a file's rows and the data set, and of the question where the tool asks several.
    """

    name: str
    columns: frozenset[str]
    read: Callable[[pa.Table, Dataset, str | None], dict[str, str]]


TOOLS: list[Tool] = []


def _tool(name: str, *columns: str) -> Callable:
    def register(read: Callable[[pa.Table, Dataset, str | None], dict[str, str]]) -> Callable:
        TOOLS.append(Tool(name, frozenset(columns), read))
        return read

    return register


def import_corrections(path: str | Path, dataset: Dataset, question: str | None = None) -> list[dict]:
    """The corrections that a file, or a folder of allenai/cartography, holds: `uid`, `label`, `note` and
    `text` of each, in the order of the data set (see `data.corrections`).

    `question` is the one whose answers are labels, where Argilla or Label Studio asked several. Raises
    DataError for a data set without classes, a file of no known tool, and for uids and labels that the data
    set lacks.
    """
    if dataset.kind != "classification":
        raise DataError(
            "corrections are imported for rows with one class each",
            got=f"a data set of the kind '{dataset.kind}'",
            expected="the kind 'classification'",
            fix="write corrections.csv by hand: uid, and label as the data set's source spells it",
        )
    if Path(path).is_dir() and format_of(path) is None:
        name, found = "allenai/cartography", _never_learnt(path, dataset)
    else:
        table = _read(path)
        tool = next((one for one in TOOLS if one.columns.issubset(table.column_names)), None)
        if tool is None:
            raise _unknown(path, f"columns {', '.join(column_names(table)[:10])}")
        name, found = tool.name, _labels(tool, path, table, dataset, question)
    rows = {uid: row for row, uid in enumerate(dataset.uids)}
    names, fix = dataset.label_names, "export the file again from this data set, or take these rows out"
    lacking = [uid for uid in found if uid not in rows]
    refuse(lacking, f"{path} speaks of rows that the data set lacks", "uids of it", fix)
    unknown = [*({*found.values()} - {*names})]
    refuse(unknown, f"{path} speaks of labels that the data set lacks", f"one of {', '.join(names)}", fix)
    changed = sorted(row for uid, label in found.items() if names[dataset.labels[row := rows[uid]]] != label)
    return [
        {
            "uid": dataset.uids[row],
            "label": found[dataset.uids[row]],
            "note": f"from {name}",
            "text": text_hash([column[row] for column in dataset.texts]),
        }
        for row in changed
    ]


def _read(path: str | Path) -> pa.Table:
    form = format_of(path)
    if form is None:
        raise _unknown(path, "a name that tells no format")
    return read_table(path, {}, form, "corrections")


def _labels(
    tool: Tool, path: str | Path, table: pa.Table, dataset: Dataset, question: str | None
) -> dict[str, str]:
    try:
        return tool.read(table, dataset, question)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read as what {tool.name} exports",
            got=f"{type(error).__name__}: {error}",
            expected="the file as the tool wrote it",
            fix="export it again",
        ) from error


def _unknown(path: str | Path, got: str) -> DataError:
    return DataError(
        f"cannot tell which tool wrote {path}",
        got=got,
        expected="a frame of cleanlab's label issues (is_label_issue, given_label, predicted_label), records "
        "of Argilla (id, responses), tasks of Label Studio (data, annotations), or a folder of "
        f"allenai/cartography (dynamics_epoch_0.jsonl, ...); files end in one of {endings()}",
        fix="export the file again, or write the columns uid and label yourself",
    )


@_tool("cleanlab", "is_label_issue", "given_label", "predicted_label")
def _of_cleanlab(table: pa.Table, dataset: Dataset, _: str | None) -> dict[str, str]:
    """The predicted labels of the rows that are label issues, by their uid, or where the frame has none by
    their order. Labels are names, or numbers of classes.
    """
    own = "uid" in table.column_names
    uids = [str(uid) for uid in (table["uid"].to_pylist() if own else dataset.uids)]
    if len(uids) != len(table):
        raise DataError(
            "a frame of cleanlab without uids has to hold the rows of the data set in their order",
            got=f"{len(table)} rows",
            expected=f"{len(dataset)} rows, or a column uid",
            fix="keep all rows, or put the uids into the frame",
        )
    numbers = {str(number): name for number, name in enumerate(dataset.label_names)}
    given, predicted = (
        [
            label if label in dataset.label_names else numbers.get(_whole(label), label)
            for label in table[key].to_pylist()
        ]
        for key in ("given_label", "predicted_label")
    )
    _require_given(zip(uids, given, strict=True), dataset)
    issue = [str(value).strip().lower() in ("true", "1") for value in table["is_label_issue"].to_pylist()]
    return {uid: label for uid, label, wrong in zip(uids, predicted, issue, strict=True) if wrong}


def _whole(label: str | None) -> str:
    """A number without the decimals that a column of floats gives it."""
    return (label or "").removesuffix(".0")


def _require_given(pairs: Iterable[tuple[str, str]], dataset: Dataset) -> None:
    """Refuse a file that gives rows other labels than the data set does: its classes are in another order,
    or its rows.
    """
    own = dict(zip(dataset.uids, (dataset.label_names[label] for label in dataset.labels), strict=True))
    differing = [uid for uid, label in pairs if uid in own and own[uid] != label]
    if differing:
        raise DataError(
            "the given labels in the file are not those of the data set",
            got=f"{len(differing)} differ, of rows {', '.join(map(quoted, differing[:SHOWN]))}",
            expected=f"the labels of its rows, by name or as numbers in the order "
            f"{', '.join(dataset.label_names)}",
            fix="export the file again from the data set as it is, with the classes in this order",
        )


@_tool("Argilla", "id", "responses")
def _of_argilla(table: pa.Table, dataset: Dataset, question: str | None) -> dict[str, str]:
    """What most people answered, of the records that somebody answered; `id` is the uid."""
    pairs = zip(table["id"].to_pylist(), map(_loaded, table["responses"].to_pylist()), strict=True)
    answers = {
        str(uid): {
            name: [one.get("value") for one in given or () if isinstance(one, dict)]
            for name, given in responses.items()
        }
        for uid, responses in pairs
        if isinstance(responses, dict)
    }
    return _majority(answers, question)


@_tool("Label Studio", "data", "annotations")
def _of_label_studio(table: pa.Table, dataset: Dataset, question: str | None) -> dict[str, str]:
    """What most people chose, of the tasks that somebody annotated and did not skip; data.uid is the uid."""
    answers: dict[str, dict[str, list]] = {}
    for data, annotations in zip(table["data"].to_pylist(), table["annotations"].to_pylist(), strict=True):
        data, annotations = _loaded(data), _loaded(annotations) or []
        if not isinstance(data, dict) or "uid" not in data or not isinstance(annotations, list):
            raise DataError(
                "a task of Label Studio does not say which row it is",
                got=quoted(json.dumps(data, ensure_ascii=False)),
                expected="data with a key uid, and a list of annotations",
                fix="import tasks with the rows' uids into Label Studio, and export them as JSON",
            )
        answered = answers.setdefault(str(data["uid"]), {})
        results = [one for kept in annotations if not kept.get("was_cancelled") for one in kept["result"]]
        for one in results:
            if one.get("type") == "choices":
                answered.setdefault(one["from_name"], []).extend(one["value"]["choices"])
    return _majority(answers, question)


def _loaded(value: str | None) -> object:
    return json.loads(value) if value else None


def _majority(answers: dict[str, dict[str, list]], question: str | None) -> dict[str, str]:
    """By uid the label that most answers give; `answers` hold them by uid and question."""
    questions = sorted({name for own in answers.values() for name, given in own.items() if given})
    if (question is None and len(questions) > 1) or question not in (None, *questions):
        raise DataError(
            "cannot tell which question asks for the label",
            got=f"answers to {', '.join(questions) or 'none'}",
            expected="answers to one question, or its name",
            fix="name it: --question NAME",
        )
    counts = {
        uid: Counter(own.get(question or next(iter(questions), ""), ())) for uid, own in answers.items()
    }
    if tied := [uid for uid, count in counts.items() if _tied(count)]:
        raise DataError(
            "people gave different labels equally often",
            got=f"{len(tied)} rows: {', '.join(map(quoted, tied[:SHOWN]))}",
            expected="one label that most people gave",
            fix="settle these rows in the tool, and export again",
        )
    return {uid: str(count.most_common(1)[0][0]) for uid, count in counts.items() if count}


def _tied(count: Counter) -> bool:
    most = [number for _, number in count.most_common(2)]
    return len(most) == 2 and most[0] == most[1]


def _never_learnt(folder: str | Path, dataset: Dataset) -> dict[str, str]:
    """The likeliest class, by its mean probability over the epochs, of the rows that were right in none."""
    dynamics = import_cartography(folder)
    names = dataset.label_names
    assert dynamics.logits is not None and dynamics.labels is not None  # the format consists of these
    if dynamics.logits.shape[-1] != len(names):
        raise DataError(
            f"{folder} has another number of classes than the data set",
            got=f"{dynamics.logits.shape[-1]} classes",
            expected=f"{len(names)}: {', '.join(names)}",
        )
    _require_given(zip(dynamics.uids, [names[label] for label in dynamics.labels], strict=True), dataset)
    likeliest = mean_probabilities(dynamics.logits).argmax(1)
    wrong = ~dynamics.correct.any(0)
    return {
        uid: names[label] for uid, label, never in zip(dynamics.uids, likeliest, wrong, strict=True) if never
    }
