"""Prepared data sets: uid, one or two texts, class index; validated, content-hashed, with provenance."""

import hashlib
import reprlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..artifacts import ParquetGroups, read_parquet, to_numpy, write_parquet
from ..errors import ArtifactError, DataError

TEXT_COLUMNS = ("text_a", "text_b")
SHOWN = 5


@dataclass(frozen=True)
class Dataset:
    """A prepared data set of n instances in file order; row i is instance i everywhere."""

    uids: list[str]
    texts: tuple[list[str], ...]
    labels: np.ndarray
    label_names: list[str]
    provenance: dict = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.uids)

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 over the label names, and over uids, texts and labels in order."""
        digest = hashlib.sha256()
        columns = (self.uids, *self.texts, (self.label_names[label] for label in self.labels))
        for values in (self.label_names, *zip(*columns, strict=True)):
            for value in values:
                digest.update(len(encoded := value.encode()).to_bytes(8, "little") + encoded)
        return digest.hexdigest()

    def save(self, path: str | Path) -> None:
        """Write the data set as Parquet."""
        columns = {"uid": pa.array(self.uids, pa.string())}
        for name, texts in zip(TEXT_COLUMNS, self.texts, strict=False):
            columns[name] = pa.array(texts, pa.string())
        columns["label"] = pa.array(self.labels, pa.int16())
        metadata = {
            "labels": self.label_names,
            "content_hash": self.content_hash,
            "provenance": self.provenance,
        }
        write_parquet(path, pa.table(columns), metadata)

    @classmethod
    def load(cls, path: str | Path) -> "Dataset":
        """Read a prepared data set; raises ArtifactError where it is torn."""
        table, metadata = read_parquet(path)
        texts = tuple(table[name].to_pylist() for name in TEXT_COLUMNS if name in table.column_names)
        labels = table["label"].to_numpy().astype(np.int64)
        dataset = cls(table["uid"].to_pylist(), texts, labels, metadata["labels"], metadata["provenance"])
        if dataset.content_hash != metadata["content_hash"]:
            raise ArtifactError(
                f"the rows in {path} are not those that it was written with",
                got=f"content hash {dataset.content_hash}",
                expected=metadata["content_hash"],
                fix=f"delete it and let snakemake make it again: snakemake {path}",
            )
        return dataset


class DatasetIndex:
    """Who is in a prepared data set, read without its texts; content hash and label names as in Dataset."""

    def __init__(self, path: str | Path):
        self._file = ParquetGroups(path)
        self.content_hash: str = self._file.metadata["content_hash"]
        self.label_names: list[str] = self._file.metadata["labels"]

    def __len__(self) -> int:
        return sum(self._file.sizes)

    @cached_property
    def uids(self) -> list[str]:
        """The uids of all instances, in memory."""
        return [uid for uids, _ in self.batches(1 << 16) for uid in uids.to_pylist()]

    @cached_property
    def labels(self) -> np.ndarray:
        """The class indices [n] of all instances, in memory."""
        return np.concatenate([labels for _, labels in self.batches(1 << 16)])

    def batches(self, size: int) -> Iterator[tuple[pa.StringArray, np.ndarray]]:
        """Uids and labels of `size` instances after the other."""
        for batch in self._file.batches(size, ["uid", "label"]):
            yield batch["uid"], to_numpy(batch["label"])


def prepare(records: pa.Table, spec: dict, name: str, provenance: dict) -> Dataset:
    """Validate a source's rows and turn them into a Dataset.

    `records` has one column of strings per source column. `spec` names the columns (`text`,
    `label`, `uid`), the `labels` of the task, `label_names` by raw value, and `max_rows`.
    `provenance` is kept; its `steps`, how many rows each step left, are carried on.
    Raises DataError for missing columns, empty or missing texts, unknown labels, duplicate uids,
    fewer than two classes, no rows.
    """
    if records.num_rows == 0:
        raise DataError(
            f"data set '{name}' is empty", got="0 rows", expected="at least 2", fix="check its source"
        )
    wanted = [*spec["text"], spec["label"], *([spec["uid"]] if spec["uid"] else [])]
    require(records, wanted, name, "name its columns by the keys text, label and uid of the data set")
    texts = tuple(_texts(records[column].to_pylist(), column, spec, name) for column in spec["text"])
    labels = _labels(records[spec["label"]].to_pylist(), spec, name)
    uids = _uids(records, spec, name)
    kept = _sample(uids, spec.get("max_rows"))
    sampled = [{"step": "max_rows", "rows": len(kept)}] if "max_rows" in spec else []
    dataset = Dataset(
        [uids[row] for row in kept],
        tuple([column[row] for row in kept] for column in texts),
        labels[kept],
        spec["labels"],
        {**provenance, "steps": [*provenance["steps"], *sampled]},
    )
    if len(np.unique(dataset.labels)) < 2:
        raise DataError(
            f"data set '{name}' has one class only",
            got=f"{len(kept)} rows labelled '{spec['labels'][dataset.labels[0]]}'",
            expected="rows of at least two classes",
            fix="check its label column, where, share and max_rows",
        )
    return dataset


def require(records: pa.Table, columns: Iterable[str], name: str, fix: str) -> None:
    """Raise DataError where `records` lack one of the columns."""
    if missing := [column for column in columns if column not in records.column_names]:
        raise DataError(
            f"data set '{name}' lacks the column(s) {', '.join(missing)}",
            got=f"columns {', '.join(map(_visible, records.column_names))}",
            expected=f"columns {', '.join(columns)}",
            fix=fix,
        )


def _visible(column: str) -> str:
    return column if column == column.strip() and column.isprintable() else repr(column)


def listing(values: Iterable[str | None]) -> str:
    """The distinct values as text, the first few of them."""
    found = sorted({"(missing)" if value is None else reprlib.repr(value) for value in values})
    return ", ".join(found[:SHOWN]) + (", ..." if len(found) > SHOWN else "")


def _rows_text(rows: list[int], spec: dict) -> str:
    shown = ", ".join(str(row + 1) for row in rows[:SHOWN]) + (", ..." if len(rows) > SHOWN else "")
    kept = " and ".join(key for key in ("where", "share") if key in spec)
    return f"{len(rows)} row(s): {shown} (the first row{f' that {kept} keeps' if kept else ''} is 1)"


def _texts(values: list, column: str, spec: dict, name: str) -> list[str]:
    bad = [row for row, value in enumerate(values) if not isinstance(value, str) or not value.strip()]
    if bad:
        raise DataError(
            f"data set '{name}' has missing or empty texts in column '{column}'",
            got=_rows_text(bad, spec),
            expected="text in every row",
            fix="fill or remove these rows",
        )
    return values


def _labels(values: list, spec: dict, name: str) -> np.ndarray:
    names = spec.get("label_names", {})
    index = {label: position for position, label in enumerate(spec["labels"])}
    translated = [None if value is None else names.get(str(value), str(value)) for value in values]
    bad = [row for row, label in enumerate(translated) if label not in index]
    if bad:
        raise DataError(
            f"data set '{name}' has unknown or missing labels in column '{spec['label']}'",
            got=f"{listing(values[row] for row in bad)} in {_rows_text(bad, spec)}",
            expected=f"one of {', '.join([*names, *index])}",
            fix="map the column's values to the task's labels by the key label_names",
        )
    return np.array([index[label] for label in translated], np.int64)


def _uids(records: pa.Table, spec: dict, name: str) -> list[str]:
    column = spec["uid"]
    if column is None:
        return [f"{name}-{row}" for row in range(records.num_rows)]
    uids = [None if uid is None else str(uid) for uid in records[column].to_pylist()]
    first: dict[str | None, int] = {}
    repeated = [
        row for row, uid in enumerate(uids) if not (uid or "").strip() or first.setdefault(uid, row) != row
    ]
    if repeated:
        raise DataError(
            f"data set '{name}' has duplicate or missing uids in column '{column}'",
            got=f"{uids[repeated[0]]!r} first, in {_rows_text(repeated, spec)}",
            expected="one uid per row, each once",
            fix="make them unique, or set uid: null to number the rows",
        )
    return uids


def uid_hash(uid: str) -> bytes:
    """A hash that orders uids the same on every machine, whatever the order of the rows."""
    return hashlib.blake2b(uid.encode(), digest_size=8).digest()


def _sample(uids: list[str], max_rows: int | None) -> np.ndarray:
    if max_rows is None or max_rows >= len(uids):
        return np.arange(len(uids))
    by_hash = sorted(range(len(uids)), key=lambda row: (uid_hash(uids[row]), uids[row]))
    return np.sort(np.array(by_hash[:max_rows]))
