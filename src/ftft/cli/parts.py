"""The data sets that `ftft init` writes: read, split, and looked through for what would be refused later."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from ..data.cells import settings_of
from ..data.conversations import messages_of
from ..data.formats import FORMATS, endings, format_of
from ..data.keep import refuse_unusable, share_positions
from ..data.readers import unreadable
from ..data.rows import column_names
from ..data.sources import read
from ..data.text_files import UnreadableError
from ..errors import DataError
from .columns import Columns, guess_columns, present
from .kinds import columns_in, label_names, parsed_lists
from .labels import doubtful_labels

SHARES = {"train": [0, 0.8], "validation": [0.8, 0.9], "test": [0.9, 1]}
# With a validation set in a file of its own.
TWO_SHARES = {"train": [0, 0.9], "test": [0.9, 1]}
# Of the rows, those whose first or second text is that of another.
SHARED = 0.2


@dataclass(frozen=True)
class Part:
    """A data set of the configuration: its entry there, its rows and their columns."""

    name: str
    entry: dict
    records: pa.Table
    columns: Columns

    @property
    def labels(self) -> list[str | None]:
        """The label of every row, as text; where it has several columns, their values together."""
        names = self.columns.keys.get("label_columns", [self.columns.label])
        rows = zip(*(self.records[name].to_pylist() for name in names), strict=True)
        return [None if None in row else " ".join(row) for row in rows]

    @property
    def names(self) -> list[list[str]]:
        """The labels of every row by name, one, several or none."""
        return label_names(self.columns.kind, self.records, self.columns.label, self.columns.keys)

    @property
    def texts(self) -> list[tuple[str | None, ...]]:
        """The one or two texts of every row."""
        return list(zip(*(self.records[name].to_pylist() for name in self.columns.text), strict=True))

    @property
    def read_at_once(self) -> list[tuple[str | None, ...]]:
        """What a model reads of every row at once: words in one text, a question with its longest choice, a
        prompt with its response.
        """
        rows = [tuple(map(_joined, row)) for row in self.texts]
        if self.columns.kind == "generation":
            responses = self.records[self.columns.label].to_pylist()
            return [
                (_conversation(row[0]) or "\n".join(filter(None, (*row, response))),)
                for row, response in zip(rows, responses, strict=True)
            ]
        columns = [self.records[name].to_pylist() for name in self.columns.keys.get("choices", [])]
        if not columns:
            return rows
        longest = [max(map(_longest, own), key=len) for own in zip(*columns, strict=True)]
        return [(*row, choice) for row, choice in zip(rows, longest, strict=True)]


def _joined(text: str | None) -> str | None:
    words = parsed_lists([text])
    return " ".join(map(str, words[0])) if words else text


def _conversation(text: str | None) -> str | None:
    messages = messages_of(text)
    return "\n".join(f"{message['role']}: {message['content']}" for message in messages) if messages else None


def _longest(value: str | None) -> str:
    choices = parsed_lists([value])
    return max(map(str, choices[0]), key=len, default="") if choices else value or ""


def read_rows(path: str, encoding: str | None) -> tuple[pa.Table, dict]:
    """All rows of a file, or of a folder that the datasets library saved, every value as text; and the data
    set's entry in the configuration. Raises DataError.
    """
    if not Path(path).exists():
        raise DataError(f"there is no file {path}", got=f"nothing of that name in {Path.cwd()}")
    form = format_of(path)
    if form is None:
        raise DataError(
            f"cannot tell the format of {path}",
            expected=f"a name that ends in one of {endings()}, or a folder that the datasets library saved",
            fix="rename the file, or convert it",
        )
    given = {"encoding": encoding} if encoding and "encoding" in FORMATS[form].keys else {}
    if "delimiter" in FORMATS[form].keys:
        try:
            given |= settings_of(path, given, form)
        except UnreadableError as error:
            raise unreadable(Path(path).name, path, error, f"a {form} file") from error
        except (OSError, ValueError):
            pass  # The reader says what is wrong.
    records, _ = read({"source": "file", "format": form, **given}, Path(path).name, path)
    if records.num_rows == 0:
        raise DataError(f"{path} has no rows", expected="at least 2")
    return records.select(column_names(records)), {"source": "file", "path": path, **given}


def read_whole(
    path: str,
    text: list[str] | None,
    label: str | None,
    uid: str | None,
    kind: str | None = None,
    group: str | None = None,
    encoding: str | None = None,
) -> Part:
    """A whole file as the training set, its columns as given or guessed; raises DataError."""
    records, entry = read_rows(path, encoding)
    columns = guess_columns(records, path, text, label, uid, kind, group)
    _refuse_unusable(columns, records, path)
    return Part("train", entry, records, columns)


def _refuse_unusable(columns: Columns, records: pa.Table, path: str) -> None:
    # Other kinds read lists, and say themselves what they cannot use.
    if columns.kind == "classification":
        used = {"text": columns.text, "label": columns.label, "group": columns.group}
        refuse_unusable(records, used, Path(path).name, path)


def read_further(name: str, path: str, columns: Columns, encoding: str | None = None) -> Part:
    """A data set of another file; its entry names the columns that differ from the task's `columns`."""
    records, entry = read_rows(path, encoding)
    text = columns.text if set(columns.text) <= set(records.column_names) else None
    label = columns.label if columns.label in records.column_names else None
    group = columns.group if columns.group in records.column_names else None
    own = guess_columns(records, path, text, label, None, columns.kind, group)
    if own.keys != columns.keys:
        raise DataError(
            f"{path} lacks columns that the training data have",
            got=", ".join(map(repr, records.column_names)),
            expected=", ".join(columns_in(columns.keys)),
            fix="give its columns the names that they have there",
        )
    found = {role: getattr(own, role) for role in ("text", "label", "uid", "group")}
    differing = {role: name for role, name in found.items() if name != getattr(columns, role)}
    _refuse_unusable(own, records, path)
    return Part(name, {**entry, **differing}, records, own)


def split(whole: Part, labels: list[str], shares: dict[str, list[float]]) -> Iterator[Part]:
    """The data sets of these shares, as the key `share` will draw them from one file."""
    columns = whole.columns
    spec = {"text": columns.text, "label": columns.label, "group": columns.group, "labels": labels}
    positions = share_positions(whole.records, spec)
    for name, (low, high) in shares.items():
        rows = whole.records.filter(pa.array(low <= position < high for position in positions))
        yield Part(name, {**whole.entry, "share": [low, high]}, rows, whole.columns)


def rows_to_mend(part: Part) -> Iterator[str]:
    """What is doubtful about a file's rows, whatever the task's labels are."""
    yield from _groups_to_name(part)
    file, labels, texts = part.entry["path"], part.labels, part.texts
    cure = "will be refused; remove them, or set drop_empty: true for the data sets of this file"
    if missing := len(labels) - len(present(labels)):
        yield f"{file}: {missing} rows have no label and {cure}"
    # Behind a prompt there may be nothing more.
    needed = 1 if part.columns.kind == "generation" else None
    if empty := sum(len(present(row[:needed])) < len(row[:needed]) for row in texts):
        yield f"{file}: {empty} rows have an empty text and {cure}"
    distinct = len(set(texts))
    if repeated := len(texts) - distinct:
        contradicting = len(set(zip(texts, labels, strict=True))) - distinct
        yield f"{file}: {repeated} rows repeat the text of another, {contradicting} with another label"
    yield from doubtful_labels([name for own in part.names for name in own], file)


def _groups_to_name(part: Part) -> Iterator[str]:
    """A column that many rows share, where one file is to be split."""
    columns = part.columns
    if columns.group or "share" in part.entry or len(columns.text) < 2:
        return
    for name in columns.text:
        values = list(filter(None, part.records[name].to_pylist()))
        if (repeated := len(values) - len(set(values))) > SHARED * len(values):
            yield (
                f"{part.entry['path']}: {repeated} rows repeat the {name} of another; --group {name} keeps "
                "them together where one file is split"
            )


def labels_to_mend(part: Part, labels: list[str]) -> Iterator[str]:
    """What is wrong with a data set's labels, given the task's."""
    found = {name for own in part.names for name in own}
    if unknown := sorted(found - set(labels)):
        yield f"{part.name}: labels unknown to the task: {', '.join(unknown)}; map them by label_names"
    if len(found) < 2 and part.columns.kind == "classification" and part.name in ("train", "validation"):
        yield f"{part.name}: rows of fewer than two classes will be refused; give it a file of its own"
