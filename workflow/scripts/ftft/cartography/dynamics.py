"""Training dynamics: every instance's probability of its true class, and its logits, at every epoch.

They are those of the training-mode forward pass in which the instance was drawn (paper, section 2).
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from ..artifacts import read_parquet, write_parquet
from ..data.dataset import Dataset
from ..errors import ArtifactError

ROW_GROUP = 1 << 20


class Dynamics(NamedTuple):
    """Training dynamics of n instances over all complete epochs, joined to who they belong to.

    uids and labels [n], p_true [epochs, n], logits [epochs, n, classes].
    """

    uids: list[str]
    labels: np.ndarray
    p_true: np.ndarray
    logits: np.ndarray


class DynamicsRecorder:
    """Collects logits by instance; an epoch counts once every instance has been seen in it."""

    def __init__(self, instances: int, classes: int):
        import torch

        self.epochs: list[np.ndarray] = []
        self._current = torch.full((instances, classes), float("nan"))
        self._seen = 0

    def record(self, rows, logits) -> None:
        """Take the logits [batch, classes] of the instances `rows` [batch], both tensors.

        They stay on the logits' device until the epoch is complete.
        """
        if self._current.device != logits.device:
            self._current = self._current.to(logits.device)
        self._current[rows] = logits.detach().float()
        self._seen += len(rows)
        if self._seen == len(self._current):
            self.epochs.append(self._current.cpu().numpy().copy())
            self._current.fill_(float("nan"))
            self._seen = 0


def true_class_probability(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Softmax at the true class: logits [n, classes], labels [n] -> float32 [n]."""
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    exponential = np.exp(shifted)
    gold = exponential[np.arange(len(labels)), labels]
    return (gold / exponential.sum(-1)).astype(np.float32)


def save_dynamics(path: str | Path, epochs: list[np.ndarray], dataset: Dataset, metadata: dict) -> None:
    """Write complete epochs, each [n, classes] float32 logits, as Parquet.

    Columns: epoch, row (instance i of the prepared data), p_true, logit_0, ...; epoch after epoch,
    rows in data order.
    """
    instances, classes = len(dataset), len(dataset.label_names)
    p_true = (true_class_probability(logits, dataset.labels) for logits in epochs)
    stacked = np.concatenate([np.empty((0, classes), np.float32), *epochs])
    columns = {
        "epoch": pa.array(np.repeat(np.arange(len(epochs), dtype=np.int16), instances)),
        "row": pa.array(np.tile(np.arange(instances, dtype=np.int32), len(epochs))),
        "p_true": pa.array(np.concatenate([np.empty(0, np.float32), *p_true])),
    }
    for index in range(classes):
        columns[f"logit_{index}"] = pa.array(np.ascontiguousarray(stacked[:, index]))
    floats = [name for name in columns if name not in ("epoch", "row")]
    write_parquet(
        path,
        pa.table(columns),
        {**metadata, "data_hash": dataset.content_hash, "instances": instances, "epochs": len(epochs)},
        row_group_size=min(ROW_GROUP, instances),
        compression_level=1,
        use_dictionary=False,
        column_encoding={
            **dict.fromkeys(floats, "BYTE_STREAM_SPLIT"),
            **dict.fromkeys(("epoch", "row"), "DELTA_BINARY_PACKED"),
        },
    )


def load_dynamics(path: str | Path, dataset: Dataset) -> Dynamics:
    """Read the training dynamics of the instances of `dataset`.

    Raises ArtifactError where the file is torn, belongs to other data, lacks an instance in an
    epoch, or holds a value that is not finite.
    """
    table, metadata = read_parquet(path)
    if metadata.get("data_hash") != dataset.content_hash:
        raise _mismatch(path, "they were recorded on other data than the data set given")
    epochs, instances = metadata["epochs"], metadata["instances"]
    complete = table.num_rows == epochs * instances and instances == len(dataset)
    if not complete or not (
        np.array_equal(table["epoch"], np.repeat(np.arange(epochs), instances))
        and np.array_equal(table["row"], np.tile(np.arange(instances), epochs))
    ):
        raise _mismatch(path, "an instance lacks an epoch, or rows are out of order")
    p_true = table["p_true"].to_numpy().reshape(epochs, instances)
    names = [f"logit_{index}" for index in range(len(dataset.label_names))]
    logits = np.stack([table[name].to_numpy().reshape(epochs, instances) for name in names], axis=-1)
    bad = ~(np.isfinite(p_true) & np.isfinite(logits).all(-1))
    if bad.any():
        epoch, row = np.argwhere(bad)[0]
        raise ArtifactError(
            f"the training dynamics in {path} are not finite",
            got=f"{bad.sum()} value(s), first at epoch {epoch}, instance {dataset.uids[row]}",
            expected="a probability for every instance and epoch",
            fix="the reference run diverged: lower its learning rate, then run it again",
        )
    return Dynamics(dataset.uids, dataset.labels, p_true, logits)


def _mismatch(path: str | Path, what: str) -> ArtifactError:
    return ArtifactError(
        f"the training dynamics in {path} do not fit: {what}",
        fix=f"delete the file and let snakemake make it again: snakemake {path}",
    )
