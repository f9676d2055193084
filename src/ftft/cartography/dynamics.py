"""Training dynamics: every instance's probability of its true label, and what else a model gave, at every
epoch.

They are those of the training-mode forward pass in which the instance was drawn (paper, section 2).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ..artifacts import read_parquet, to_numpy, write_parquet
from ..data.dataset import Dataset
from ..errors import ArtifactError
from ..tasks.base import Kind
from . import arguments

# Floats as they are: zstd with byte stream split would save a tenth of the file and triple its reading time.
STORAGE: dict[str, Any] = {
    "compression": "none",
    "use_dictionary": False,
    "column_encoding": dict.fromkeys(("epoch", "row"), "DELTA_BINARY_PACKED"),
}
KEYS = ("epoch", "row", "p_true", "correct")


@dataclass(frozen=True)
class Dynamics:
    """Training dynamics of n instances over all complete epochs, joined to who they belong to.

    uids [n], p_true [epochs, n] float32, correct [epochs, n] bool; labels [n] and logits [epochs, n,
    classes] where the kind of task has them, else None. before and alone [n]: the mean loss per token of each
    response before any training, after its prompt and without it, where that pass was made. own [epochs, n]:
    what else the kind of task records, by name.
    """

    uids: Sequence[str]
    p_true: np.ndarray
    correct: np.ndarray
    labels: np.ndarray | None = None
    logits: np.ndarray | None = None
    before: np.ndarray | None = None
    alone: np.ndarray | None = None
    own: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def worst(self) -> np.ndarray | None:
        """The least probability [epochs, n] of a part of the target that may be wrong alone, such as a word's
        tag, or None.
        """
        return self.own.get("worst")


def save_dynamics(
    path: str | Path, kind: Kind, epochs: list[np.ndarray], dataset: Dataset, metadata: dict
) -> None:
    """Write what was recorded in complete epochs, each [n, width] float32, as Parquet.

    Columns: epoch, row (instance i of the data), p_true, correct, and the kind's own; epoch after epoch,
    rows in data order.
    """
    path = arguments.path("path", path)
    arguments.instance("kind", kind, Kind)
    arguments.instance("dataset", dataset, Dataset)
    instances = len(dataset)
    if not isinstance(epochs, Sequence | np.ndarray) or isinstance(epochs, str):
        raise arguments.refuse("epochs", epochs, "a list of arrays [n, width], one per epoch")
    for epoch, recorded in enumerate(epochs):
        name = f"epochs[{epoch}]"
        arguments.outputs(name, recorded, instances, kind.width(dataset))
    described = {"data_hash": dataset.content_hash, "instances": instances, "epochs": len(epochs)}
    rows = np.arange(instances, dtype=np.int32)
    tables = []
    for epoch, found in enumerate(kind.dynamics(epochs, dataset)):
        columns = {"epoch": np.full(instances, epoch, np.int16), "row": rows}
        tables.append(pa.table({**columns, **found}))
    if not tables:
        columns = {"epoch": pa.int16(), "row": pa.int32(), "p_true": pa.float32(), "correct": pa.bool_()}
        tables = [pa.schema(list(columns.items())).empty_table()]
    write_parquet(path, pa.concat_tables(tables), {**metadata, **described}, **STORAGE)


def unfinished_dynamics(scratch: str | Path, run: dict) -> Path:
    """Where a reference run leaves the dynamics of its epochs so far while it trains."""
    return Path(scratch) / "dynamics" / run["task"] / run["model"] / f"seed{run['seed']}.parquet"


def all_unfinished_dynamics(scratch: str | Path, task: str | None = None) -> list[Path]:
    """What the reference runs of a task, or of all, have left in this way."""
    return sorted((Path(scratch) / "dynamics").glob(f"{task or '*'}/*/seed*.parquet"))


def load_dynamics(path: str | Path, dataset: Dataset, logits: bool = True) -> Dynamics:
    """Read the training dynamics of the instances of `dataset`, of p_true and correct alone if asked.

    Raises ArtifactError where the file is torn, belongs to other data, lacks an instance in an epoch, or
    holds a probability that is not finite.
    """
    path = arguments.path("path", path)
    arguments.instance("dataset", dataset, Dataset)
    table, metadata = read_parquet(path, None if logits else list(KEYS))
    if metadata.get("data_hash") != dataset.content_hash:
        raise _mismatch(path, "training dynamics that were recorded on other data")
    return _whole(path, table, metadata["epochs"], dataset.uids, dataset.labels)


def load_numbered(path: str | Path) -> Dynamics:
    """Read training dynamics without their data set and logits: the instances are numbered from 0 on.

    Raises ArtifactError as `load_dynamics` does, and for a file that holds something else.
    """
    table, metadata = read_parquet(path, list(KEYS))
    if not {"epochs", "instances"} <= metadata.keys():
        raise _mismatch(path, "a file of other content")
    return _whole(path, table, metadata["epochs"], [str(row) for row in range(metadata["instances"])])


def _whole(
    path: str | Path, table: pa.Table, epochs: int, uids: Sequence[str], labels: np.ndarray | None = None
) -> Dynamics:
    """The dynamics in a table, of complete epochs and finite probabilities; otherwise ArtifactError."""
    instances = len(uids)
    shape = (epochs, instances)
    expected = np.arange(epochs * instances)
    if (
        len(table) != len(expected)
        or (to_numpy(table["epoch"]) != expected // max(1, instances)).any()
        or (to_numpy(table["row"]) != expected % max(1, instances)).any()
    ):
        raise _mismatch(path, "an instance lacks an epoch, or rows are out of order")
    p_true = to_numpy(table["p_true"]).reshape(shape)
    if not np.isfinite(p_true).all():
        epoch, row = np.argwhere(~np.isfinite(p_true))[0]
        raise ArtifactError(
            f"the training dynamics in {path} are not finite",
            got=f"{(~np.isfinite(p_true)).sum()} value(s), first at epoch {epoch}, instance {uids[row]}",
            expected="a probability for every instance and epoch",
            fix="the reference run diverged: lower its learning rate, then run it again",
        )
    correct = to_numpy(table["correct"].cast(pa.uint8())).astype(bool).reshape(shape)
    names = [name for name in table.column_names if name.startswith("logit_")]
    columns = [to_numpy(table[name]).reshape(shape) for name in names]
    stacked = np.stack(columns, -1) if columns else None
    further = [name for name in table.column_names if name not in (*KEYS, *names)]
    own = Own(path, {name: to_numpy(table[name]).reshape(shape) for name in further})
    return Dynamics(uids, p_true, correct, labels, stacked, own=own)


class Own(dict[str, np.ndarray]):
    """What a kind of task recorded beside p_true and correct, by name; ArtifactError for what it did not."""

    def __init__(self, path: str | Path, columns: dict[str, np.ndarray]):
        super().__init__(columns)
        self._path = path

    def __missing__(self, name: str) -> np.ndarray:
        raise _mismatch(self._path, f"no column {name}: another version of the program recorded them")


def _mismatch(path: str | Path, what: str) -> ArtifactError:
    return ArtifactError(
        f"the training dynamics in {path} do not fit the data set",
        got=what,
        expected="every instance of the data set in every epoch, in order",
        fix=f"delete the file and let snakemake make it again: snakemake {path}",
    )
