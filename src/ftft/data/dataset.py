"""Prepared data sets: uid, texts, target; validated, content-hashed, with provenance."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..artifacts import read_parquet, to_numpy, write_parquet
from ..errors import ArtifactError, DataError
from .rows import column_names

TEXT_COLUMNS = ("text_a", "text_b")


@dataclass(frozen=True)
class Dataset:
    """A prepared data set of n instances in file order; row i is instance i everywhere.

    texts: columns of texts, or of lists of texts, as the `kind` of task defines them. labels: the targets
    [n], indices into `label_names` where the kind has such.
    """

    uids: list[str]
    texts: tuple[list, ...]
    labels: np.ndarray
    label_names: list[str]
    provenance: dict = field(default_factory=dict)
    kind: str = "classification"

    def __len__(self) -> int:
        return len(self.uids)

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 over the label names, and over uids, texts and targets in order."""
        digest = hashlib.sha256()
        labels = self.label_names and [self.label_names[label] for label in self.labels]
        columns = (self.uids, *self.texts, labels or map(str, self.labels))
        for values in (self.label_names, *zip(*columns, strict=True)):
            for value in values:
                text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
                digest.update(len(encoded := text.encode()).to_bytes(8, "little") + encoded)
        return digest.hexdigest()

    def save(self, path: str | Path) -> None:
        """Write the data set as Parquet."""
        columns = {"uid": pa.array(self.uids, pa.string())}
        for name, texts in zip(TEXT_COLUMNS, self.texts, strict=False):
            columns[name] = pa.array(
                texts, pa.string() if isinstance(texts[0], str) else pa.list_(pa.string())
            )
        columns["label"] = pa.array(self.labels, pa.int16())
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
        labels = to_numpy(table["label"]).astype(np.int64)
        described = (metadata["labels"], metadata["provenance"], metadata["kind"])
        dataset = cls(table["uid"].to_pylist(), columns, labels, *described)
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
