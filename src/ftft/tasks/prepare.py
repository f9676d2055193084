"""From a source's rows to a prepared data set of a kind of task."""

from dataclasses import replace

import numpy as np
import pyarrow as pa

from ..data.corrections import correct
from ..data.dataset import Dataset, require, uid_hash
from ..data.rows import describe_rows, quoted
from ..data.targets import required_texts
from ..errors import DataError
from .base import kind_of


def prepare(records: pa.Table, spec: dict, name: str, provenance: dict) -> Dataset:
    """Validate a source's rows and turn them into a Dataset.

    `records` has one column of strings per source column. `spec` names the `kind` of task, the columns
    (`text`, `label`, `uid`, and what the kind reads beside), the `labels` of the task, `label_names` by raw
    value, `corrections`, and `max_rows`; `evaluated_only` says that one class will do. `provenance` is kept;
    its `steps`, how many rows each step left, are carried on. Raises DataError for missing columns, what the
    kind refuses, duplicate uids, no rows.
    """
    kind = kind_of(spec.get("kind", "classification"))
    if records.num_rows == 0:
        raise DataError(
            f"data set '{name}' is empty", got="0 rows", expected="at least 2", fix="check its source"
        )
    wanted = [*kind.columns(spec), *filter(None, (spec["uid"], spec.get("group")))]
    require(records, wanted, name, "name its columns by the keys text, label, uid and group of the data set")
    records, uids, corrected = correct(records, _uids(records, spec, name), spec, name, kind)
    if corrected:
        provenance = {**provenance, "steps": [*provenance["steps"], *corrected]}
    texts, labels = kind.read(records, spec, name)
    if settings := {key: spec[key] for key in kind.optional if key in spec}:
        provenance = {**provenance, "settings": settings}
    label_names = kind.label_names(spec)
    group = _groups(records, spec, name)
    whole = Dataset(uids, texts, labels, label_names, provenance, kind.name, group)
    dataset = _sample(whole, spec)
    one_label_each = dataset.labels.ndim == 1 and np.issubdtype(dataset.labels.dtype, np.integer)
    of_classes = one_label_each and dataset.label_names and not spec.get("evaluated_only")
    if of_classes and len(np.unique(dataset.labels)) < 2:
        raise DataError(
            f"data set '{name}' has one class only",
            got=f"{len(dataset)} rows labelled '{dataset.label_names[dataset.labels[0]]}'",
            expected="rows of at least two classes",
            fix="check its label column, where, share and max_rows",
        )
    return dataset


def _sample(dataset: Dataset, spec: dict) -> Dataset:
    if "max_rows" not in spec:
        return dataset
    uids, limit = dataset.uids, spec["max_rows"]
    by_hash = sorted(range(len(uids)), key=lambda row: (uid_hash(uids[row]), uids[row]))
    kept = np.sort(np.array(by_hash[:limit]))
    steps = [*dataset.provenance["steps"], {"step": "max_rows", "rows": len(kept)}]
    return replace(
        dataset,
        uids=[uids[row] for row in kept],
        texts=tuple([column[row] for row in kept] for column in dataset.texts),
        labels=dataset.labels[kept],
        provenance={**dataset.provenance, "steps": steps},
        group=dataset.group and [dataset.group[row] for row in kept],
    )


def _groups(records: pa.Table, spec: dict, name: str) -> list[str] | None:
    return required_texts(records, spec["group"], spec, name) if spec.get("group") else None


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
            got=f"{quoted(uids[repeated[0]])} first, in {describe_rows(records, repeated, column)}",
            expected="one uid per row, each once",
            fix="make them unique, or set uid: null to number the rows",
        )
    return uids
