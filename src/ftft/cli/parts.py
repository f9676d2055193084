"""The data sets that `ftft init` writes: read, split, and looked through for what would be refused later."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from ..data.cells import settings_of
from ..data.formats import FORMATS, endings, format_of
from ..data.keep import refuse_unusable, share_positions
from ..data.readers import unreadable
from ..data.rows import column_names
from ..data.sources import read
from ..data.text_files import UnreadableError
from ..errors import DataError
from .columns import Columns, guess_columns, present
from .labels import doubtful_labels

SHARES = {"train": [0, 0.8], "validation": [0.8, 0.9], "test": [0.9, 1]}
# With a validation set in a file of its own.
TWO_SHARES = {"train": [0, 0.9], "test": [0.9, 1]}


@dataclass(frozen=True)
class Part:
    """A data set of the configuration: its entry there, its rows and their columns."""

    name: str
    entry: dict
    records: pa.Table
    columns: Columns

    @property
    def labels(self) -> list[str | None]:
        """The label of every row, as text."""
        return self.records[self.columns.label].to_pylist()

    @property
    def texts(self) -> list[tuple[str | None, ...]]:
        """The one or two texts of every row."""
        return list(zip(*(self.records[name].to_pylist() for name in self.columns.text), strict=True))


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
    path: str, text: list[str] | None, label: str | None, uid: str | None, encoding: str | None = None
) -> Part:
    """A whole file as the training set, its columns as given or guessed; raises DataError."""
    records, entry = read_rows(path, encoding)
    columns = guess_columns(records, path, text, label, uid)
    refuse_unusable(records, {"text": columns.text, "label": columns.label}, Path(path).name, path)
    return Part("train", entry, records, columns)


def read_further(name: str, path: str, columns: Columns, encoding: str | None = None) -> Part:
    """A data set of another file; its entry names the columns that differ from the task's `columns`."""
    records, entry = read_rows(path, encoding)
    text = columns.text if set(columns.text) <= set(records.column_names) else None
    label = columns.label if columns.label in records.column_names else None
    own = guess_columns(records, path, text, label, None)
    found = {role: getattr(own, role) for role in ("text", "label", "uid")}
    differing = {role: name for role, name in found.items() if name != getattr(columns, role)}
    refuse_unusable(records, {"text": own.text, "label": own.label}, Path(path).name, path)
    return Part(name, {**entry, **differing}, records, own)


def split(whole: Part, labels: list[str], shares: dict[str, list[float]]) -> Iterator[Part]:
    """The data sets of these shares, as the key `share` will draw them from one file."""
    spec = {"text": whole.columns.text, "label": whole.columns.label, "labels": labels}
    positions = share_positions(whole.records, spec)
    for name, (low, high) in shares.items():
        rows = whole.records.filter(pa.array(low <= position < high for position in positions))
        yield Part(name, {**whole.entry, "share": [low, high]}, rows, whole.columns)


def rows_to_mend(part: Part) -> Iterator[str]:
    """What is doubtful about a file's rows, whatever the task's labels are."""
    file, labels, texts = part.entry["path"], part.labels, part.texts
    cure = "will be refused; remove them, or set drop_empty: true for the data sets of this file"
    if missing := len(labels) - len(present(labels)):
        yield f"{file}: {missing} rows have no label and {cure}"
    if empty := sum(len(present(row)) < len(row) for row in texts):
        yield f"{file}: {empty} rows have an empty text and {cure}"
    distinct = len(set(texts))
    if repeated := len(texts) - distinct:
        contradicting = len(set(zip(texts, labels, strict=True))) - distinct
        yield f"{file}: {repeated} rows repeat the text of another, {contradicting} with another label"
    yield from doubtful_labels(labels, file)


def labels_to_mend(part: Part, labels: list[str]) -> Iterator[str]:
    """What is wrong with a data set's labels, given the task's."""
    found = set(present(part.labels))
    if unknown := sorted(found - set(labels)):
        yield f"{part.name}: labels unknown to the task: {', '.join(unknown)}; map them by label_names"
    if len(found) < 2 and part.name in ("train", "validation"):
        yield f"{part.name}: rows of fewer than two classes will be refused; give it a file of its own"
