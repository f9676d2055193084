"""Prepared data sets: uid, texts, target; validated, content-hashed, with provenance."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..artifacts import read_parquet, to_numpy, write_parquet
from ..errors import ArtifactError, DataError
from .columns import TextColumn, text_column
from .rows import column_names

TEXT_COLUMNS = ("text_a", "text_b")


@dataclass(frozen=True)
class Dataset:
    """A prepared data set of n instances in file order; row i is instance i everywhere.

    texts: columns of texts, or of lists of texts, as the `kind` of task defines them. labels: the targets, a
    row per instance: indices into `label_names` [n], numbers [n], truth values [n, classes], or an object
    array [n] of what the kind defines. group: what each row shares with others, so that training and
    evaluation must not divide them, [n], or None.
    """

    uids: Sequence[str]
    texts: tuple[list, ...]
    labels: np.ndarray
    label_names: list[str]
    provenance: dict = field(default_factory=dict)
    kind: str = "classification"
    group: list[str] | None = None

    def __len__(self) -> int:
        return len(self.uids)

    @property
    def settings(self) -> dict:
        """The optional keys of its kind that the task was given."""
        return self.provenance.get("settings", {})

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 over the label names, and over uids, texts and targets in order."""
        digest = hashlib.sha256()
        columns = (self.uids, *self.texts, self._labels_as_text())
        for values in (self.label_names, *zip(*columns, strict=True)):
            for value in values:
                text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
                digest.update(len(encoded := text.encode()).to_bytes(8, "little") + encoded)
        return digest.hexdigest()

    def _labels_as_text(self) -> Iterable[str]:
        if self.labels.dtype == object or self.labels.ndim > 1:
            return map(json.dumps, target_column(self.labels).to_pylist())
        return (
            [self.label_names[label] for label in self.labels] if self.label_names else map(str, self.labels)
        )

    def label_counts(self) -> dict[str, int]:
        """How often each of `label_names` occurs among the targets, once an instance at most where these are
        truth values.
        """
        if self.labels.ndim > 1:
            counts = self.labels.sum(0)
        else:
            flat = np.concatenate(self.labels) if self.labels.dtype == object else self.labels
            counts = np.bincount(flat, minlength=len(self.label_names))
        return dict(zip(self.label_names, counts.tolist(), strict=True))

    def save(self, path: str | Path) -> None:
        """Write the data set as Parquet."""
        columns = {"uid": text_column(self.uids)}
        for name, texts in zip(TEXT_COLUMNS, self.texts, strict=False):
            columns[name] = pa.array(
                texts, pa.string() if isinstance(texts[0], str) else pa.list_(pa.string())
            )
        columns["label"] = target_column(self.labels)
        if self.group is not None:
            columns["group"] = pa.array(self.group, pa.string())
        metadata = {
            "kind": self.kind,
            "labels": self.label_names,
            "content_hash": self.content_hash,
            "provenance": self.provenance,
        }
        write_parquet(path, pa.table(columns), metadata)

    @classmethod
    def load(cls, path: str | Path, texts: bool = True) -> "Dataset":
        """Read a prepared data set, without its texts if asked; raises ArtifactError where it is torn."""
        table, metadata = read_parquet(path, None if texts else ["uid", "label"], needed=("uid", "label"))
        columns = tuple(table[name].to_pylist() for name in TEXT_COLUMNS if name in table.column_names)
        labels = targets_of_column(table["label"])
        described = (metadata["labels"], metadata["provenance"], metadata["kind"])
        group = table["group"].to_pylist() if "group" in table.column_names else None
        dataset = cls(TextColumn(table["uid"]), columns, labels, *described, group)
        if not texts:
            # It is no field, for it follows from the fields of a whole data set.
            vars(dataset)["content_hash"] = metadata["content_hash"]
        if dataset.content_hash != metadata["content_hash"]:
            raise ArtifactError(
                f"the rows in {path} are not those that it was written with",
                got=f"content hash {dataset.content_hash}",
                expected=metadata["content_hash"],
                fix=f"delete it and let snakemake make it again: snakemake {path}",
            )
        return dataset


def target_column(values: np.ndarray) -> pa.Array:
    """Targets or predictions, a row per instance, as a column."""
    if values.dtype == object or values.ndim > 1:
        return pa.array(list(values))
    return pa.array(values, pa.int16() if np.issubdtype(values.dtype, np.integer) else None)


def targets_of_column(column: pa.ChunkedArray) -> np.ndarray:
    """What `target_column` was given."""
    if pa.types.is_integer(column.type):
        return to_numpy(column).astype(np.int64)
    if pa.types.is_floating(column.type):
        return to_numpy(column)
    values = column.to_pylist()
    if pa.types.is_list(column.type) and pa.types.is_boolean(column.type.value_type):
        return np.array(values, bool)
    numbers = pa.types.is_list(column.type) and pa.types.is_integer(column.type.value_type)
    return object_array([np.array(value, np.int64) for value in values] if numbers else values)


def object_array(values: Sequence) -> np.ndarray:
    """An object array [n] of these values, which may be arrays of one length."""
    found = np.empty(len(values), object)
    for row, value in enumerate(values):
        found[row] = value
    return found


def require(records: pa.Table, columns: Iterable[str], name: str, fix: str) -> None:
    """Raise DataError where `records` lack one of the columns."""
    if missing := [column for column in columns if column not in records.column_names]:
        raise DataError(
            f"data set '{name}' lacks the column(s) {', '.join(missing)}",
            got=f"columns {', '.join(map(_visible, column_names(records)))}",
            expected=f"columns {', '.join(columns)}",
            fix=fix,
        )


def _visible(column: str) -> str:
    return column if column == column.strip() and column.isprintable() else repr(column)


def uid_hash(uid: str) -> bytes:
    """A hash that orders uids the same on every machine, whatever the order of the rows."""
    return hashlib.blake2b(uid.encode(), digest_size=8).digest()
