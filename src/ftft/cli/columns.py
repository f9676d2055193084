"""Which columns of a table hold text, label and uid: by their names, then by their values."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import pyarrow as pa

from ..data.dataset import require
from ..errors import DataError
from .kinds import LABEL_NAMES, MOST_LABELS, columns_in, recognise

TEXT_NAMES = {"text", "sentence", "comment", "content", "review", "tweet", "post", "message", "body"}
PAIR_NAMES = (
    ("premise", "hypothesis"),
    ("context", "hypothesis"),
    ("sentence1", "sentence2"),
    ("text1", "text2"),
    ("text_a", "text_b"),
    ("question1", "question2"),
    ("question", "sentence"),
)
UID_NAMES = ("uid", "guid", "id", "uuid", "idx", "index", "pairid")
# Of a text column without a name that says so.
FEWEST_WORDS = 3


@dataclass(frozen=True)
class Columns:
    """The columns of a task, and by role why they were taken; its kind, and the keys that this kind has.

    There is no `label` where each label has a column of its own.
    """

    text: list[str]
    label: str | None
    uid: str | None
    reasons: dict[str, str]
    kind: str = "classification"
    keys: dict = field(default_factory=dict)
    group: str | None = None

    @property
    def used(self) -> list[str]:
        """All columns that are read."""
        return [*self.text, *columns_in(self.keys), *filter(None, (self.label, self.uid, self.group))]


def guess_columns(
    records: pa.Table,
    file: str,
    text: list[str] | None,
    label: str | None,
    uid: str | None,
    kind: str | None = None,
    group: str | None = None,
) -> Columns:
    """Find the columns of `records`, all strings, that are not given, and the kind of task that they hold.

    Raises DataError for given columns that are absent, and where none or several fit equally well.
    """
    given = [*(text or []), *filter(None, (label, uid, group))]
    require(records, given, file, "name columns that the file has")
    reasons = {role: "as given" for role, name in (("text", text), ("label", label), ("uid", uid)) if name}
    values = {
        name: records[name].to_pylist() for name in records.column_names if name.strip() and name not in given
    }
    found = recognise(records, text, label, kind)
    if found is None and kind not in (None, "classification"):
        raise DataError(
            f"{file} has no columns of a task of the kind '{kind}'",
            got=", ".join(map(repr, records.column_names)),
            expected="what docs/kinds.md describes",
            fix="name its columns by --text and --label",
        )
    if found:
        text, label = found.text, found.label
        reasons["label"] = found.reason
        reasons.setdefault("text", "goes with these")
        for name in [*(text or []), label, *columns_in(found.keys)]:
            values.pop(name, None)
    elif label is None:
        label, reasons["label"] = _guess_label(values, file)
        values.pop(label)
    if uid is None:
        uid, reasons["uid"] = _guess_uid(values)
        values.pop(uid, None)
    if text is None:
        text, reasons["text"] = _guess_text(values, file)
    return Columns(text, label, uid, reasons, *((found.kind, found.keys) if found else ()), group=group)


def present(values: Iterable[str | None]) -> list[str]:
    """The values that are more than white space."""
    return [value for value in values if value and value.strip()]


def _guess_label(values: dict[str, list], file: str) -> tuple[str, str]:
    sizes = {name: len(set(present(column))) for name, column in values.items()}
    rows = max(map(len, values.values()), default=0)
    few = {name for name, size in sizes.items() if 2 <= size <= min(MOST_LABELS, rows // 2)}
    named = {name for name in few if name.casefold() in LABEL_NAMES}
    label = _only(named or few, "label", file, values, lambda name: f"{sizes[name]} different values")
    return label, f"{sizes[label]} different values{', named like a label' if named else ''}"


def _guess_uid(values: dict[str, list]) -> tuple[str | None, str]:
    named = sorted(
        (UID_NAMES.index(name.casefold()), name) for name in values if name.casefold() in UID_NAMES
    )
    unique = [name for _, name in named if len(set(present(values[name]))) == len(values[name])]
    if unique:
        further = f"; so is {', '.join(map(repr, unique[1:]))}" if unique[1:] else ""
        return unique[0], f"unique, named like an id{further}"
    doubted = f": {', '.join(repr(name) for _, name in named)} repeats or lacks values" if named else ""
    return None, f"none, rows are numbered{doubted}"


def _guess_text(values: dict[str, list], file: str) -> tuple[list[str], str]:
    folded = {name.casefold(): name for name in values}
    pairs = [[folded[one], folded[two]] for one, two in PAIR_NAMES if {one, two} <= set(folded)]
    single = [[name] for name in values if name.casefold() in TEXT_NAMES]
    words = {name: mean_words(column) for name, column in values.items()}
    if len(pairs) + len(single) == 1:
        return (pairs or single)[0], f"{'a pair' if pairs else 'named'} like text"
    named = {name for columns in pairs + single for name in columns}
    long = {name for name, mean in words.items() if mean >= FEWEST_WORDS}
    text = _only(named or long, "text", file, values, lambda name: f"{words[name]:.1f} words on average")
    return [text], f"{words[text]:.1f} words on average, the only column of texts"


def mean_words(texts: list[str | None]) -> float:
    """Words of a text on average, split at white space."""
    return sum(len(text.split()) for text in texts if text) / max(1, len(texts))


def _only(
    candidates: set[str], role: str, file: str, values: dict[str, list], describe: Callable[[str], str]
) -> str:
    """The one candidate. Raises DataError that lists several, or all columns where there is none."""
    if len(candidates) == 1:
        (name,) = candidates
        return name
    listed = [name for name in values if name in candidates] or list(values)
    count = "several columns could be" if candidates else "no column looks like"
    raise DataError(
        f"{count} the {role} of {file}",
        got=", ".join(f"{name!r} ({describe(name)})" for name in listed) or "no further column",
        expected="one column" + (", or the two of a pair" if role == "text" else ""),
        fix=f"name it: --{role} COLUMN" + (" [COLUMN]" if role == "text" else ""),
    )
