"""Which rows of a source a data set keeps: by `where`, `drop_empty` and `share`; and the names of classes."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from ..errors import DataError
from .dataset import require
from .readers import class_names, text_of, unreadable, unusable
from .rows import listing

# A class of fewer different texts is dealt to the shares in turn: chance could leave a share without it.
FEW_TEXTS = 100


def keep(records: pa.Table, spec: dict, name: str, path: str | Path | None) -> tuple[pa.Table, list[dict]]:
    """The rows of a source that `spec` keeps, and how many each step left.

    Raises DataError for columns in use that hold no text, and for keys that leave no rows.
    """
    steps = []
    if not records.num_rows:
        return records, steps
    refuse_unusable(records, spec, name, path)
    if "where" in spec:
        records = _where(records, spec["where"], name)
        steps.append({"step": "where", "rows": records.num_rows})
    records = _with_class_names(records, spec)
    if spec.get("drop_empty"):
        records = _with_values(records, spec, name)
        steps.append({"step": "drop_empty", "rows": records.num_rows})
    if "share" in spec:
        records = _share(records, spec, name)
        steps.append({"step": "share", "rows": records.num_rows})
    return records, steps


def refuse_unusable(records: pa.Table, spec: dict, name: str, path: str | Path | None) -> None:
    """Raise DataError for columns in use whose values are no text."""
    roles = [spec.get(role) for role in ("label", "uid", "group")]
    named = [*spec.get("text", []), *roles, *spec.get("where", {})]
    for column in (column for column in named if column not in spec.get("lists", ())):
        if column in records.column_names and (reason := unusable(records, column)):
            error = ValueError(reason)
            error.fix = (
                f"write one text or label per row in column '{column}', or name another column; of several "
                "labels of a row, one can be learnt"
            )
            raise unreadable(name, path, error, "one text, number or truth value in every row")


def _where(records: pa.Table, where: dict, name: str) -> pa.Table:
    """The rows that have, in each column of `where`, the value or one of the values named there."""
    require(records, where, name, "name the columns of its source under where")
    for column, choice in where.items():
        wanted = [text_of(value) for value in (choice if isinstance(choice, list | tuple) else [choice])]
        kept = records.filter(pc.is_in(records[column], pa.array(wanted, pa.string())))
        if kept.num_rows == 0:
            raise DataError(
                f"no row of data set '{name}' passes where",
                got=f"{listing(records[column].to_pylist())} in column '{column}'",
                expected=f"one of {listing(wanted)}",
                fix="name values, as text, that its rows have together",
            )
        records = kept
    return records


def _with_class_names(records: pa.Table, spec: dict) -> pa.Table:
    """Numbers of classes become the names that their file has for them, where these are the task's labels.

    A configuration that maps the numbers itself, or whose labels they are, is left alone.
    """
    column, labels = spec.get("label"), spec.get("labels")
    if not labels or spec.get("label_names") or column not in records.column_names:
        return records
    names = class_names(records, column)
    if not names or not set(labels) <= set(names):
        return records
    by_number = {str(number): text for number, text in enumerate(names)}
    texts = [by_number.get(value, value) for value in records[column].to_pylist()]
    index = records.schema.get_field_index(column)
    return records.set_column(index, records.schema.field(column), pa.array(texts, pa.string()))


def _with_values(records: pa.Table, spec: dict, name: str) -> pa.Table:
    """The rows whose texts and label are more than white space."""
    used = [*spec["text"], *spec.get("label_columns", [spec["label"]])]
    require(records, used, name, "name its columns by the keys text and label of the data set")
    columns = [records[column].to_pylist() for column in used]
    whole = [all(value and value.strip() for value in row) for row in zip(*columns, strict=True)]
    kept = records.filter(pa.array(whole, pa.bool_()))
    if kept.num_rows == 0:
        raise DataError(
            f"data set '{name}' has no row with text and label",
            got=f"{records.num_rows} rows, something empty in each of the columns {', '.join(used)}",
            fix="name its columns by the keys text and label of the data set",
        )
    return kept


def _share(records: pa.Table, spec: dict, name: str) -> pa.Table:
    """The rows whose texts, or groups, lie in this share of all, from `share[0]` on to below `share[1]`."""
    read = [spec["group"]] if spec.get("group") else spec["text"]
    require(records, read, name, "name its columns by the keys text and group of the data set")
    low, high = spec["share"]
    positions = share_positions(records, spec)
    kept = records.filter(pa.array([low <= position < high for position in positions], pa.bool_()))
    if kept.num_rows == 0:
        raise DataError(
            f"no row of data set '{name}' lies in its share",
            got=f"{records.num_rows} rows, none from {low} to {high} by the hash of {' and '.join(read)}",
            expected="at least 2 rows",
            fix="widen share, or leave it out for so few rows",
        )
    return kept


def share_positions(records: pa.Table, spec: dict) -> list[float]:
    """Where every row lies in [0, 1), by which shares are taken; equal texts lie together.

    Where `spec` names a `group`, a column, its values stand for the texts, so that the rows of a group lie
    together whatever their texts are. The place is a hash of the texts. The texts of a class that has fewer
    than FEW_TEXTS different ones lie at equal distances instead, in the order of their hashes, so that every
    share gets its part of the class. So places depend on what rows there are, never on their order; a text
    with several such classes goes with the rarest.
    """
    columns = [spec["group"]] if spec.get("group") else spec["text"]
    texts = list(zip(*(records[column].to_pylist() for column in columns), strict=True))
    hashed = {row: text_position(row) for row in dict.fromkeys(texts)}
    column, labels = spec.get("label"), set(spec.get("labels") or ())
    if labels and column in records.column_names:
        names = spec.get("label_names") or {}
        found = [names.get(value, value) for value in records[column].to_pylist()]
        hashed |= _dealt(hashed, {pair for pair in zip(texts, found, strict=True) if pair[1] in labels})
    return [hashed[row] for row in texts]


def _dealt(hashed: dict[tuple, float], pairs: Iterable[tuple[tuple, str]]) -> dict[tuple, float]:
    """The places of the texts of rare classes, from pairs of texts and class."""
    classes: dict[tuple, list[str]] = defaultdict(list)
    for texts, label in pairs:
        classes[texts].append(label)
    counts = Counter(label for own in classes.values() for label in own)
    rare = {label for label, count in counts.items() if count < FEW_TEXTS}
    strata: dict[str, list[tuple]] = defaultdict(list)
    for texts, own in classes.items():
        if mine := [label for label in own if label in rare]:
            strata[min(mine, key=lambda label: (counts[label], label))].append(texts)
    placed = {}
    for members in strata.values():
        members.sort(key=lambda texts: (hashed[texts], tuple(text or "" for text in texts)))
        placed |= {texts: (rank + 0.5) / len(members) for rank, texts in enumerate(members)}
    return placed


def text_position(texts: Sequence[str | None]) -> float:
    """Where the texts of a row, taken together, lie in [0, 1): uniform by hash, the same on every machine.

    Rows of the same texts lie at the same place, whatever their order, label and uid.
    """
    digest = hashlib.blake2b(digest_size=8, person=b"share")
    for text in texts:
        encoded = (text or "").encode()
        digest.update(len(encoded).to_bytes(8, "little") + encoded)
    # The 53 bits that a float holds exactly; all 64 could round to 1.
    return (int.from_bytes(digest.digest(), "little") >> 11) / 2**53
