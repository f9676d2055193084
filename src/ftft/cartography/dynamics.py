"""Training dynamics: every instance's probability of its true class, and its logits, at every epoch.

They are those of the training-mode forward pass in which the instance was drawn (paper, section 2).
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import pyarrow as pa

from ..artifacts import ParquetGroups, parquet_writer, to_numpy
from ..data.dataset import Dataset, DatasetIndex
from ..errors import ArtifactError

# Rows of a block at most: 512 KB per column and epoch. With fewer, calls cost more than they do.
LARGEST_BLOCK = 1 << 17
# Floats as they are: zstd with byte stream split would save a tenth of the file and triple its reading time.
STORAGE = {
    "compression": "none",
    "use_dictionary": False,
    "column_encoding": dict.fromkeys(("epoch", "row"), "DELTA_BINARY_PACKED"),
}
DISORDER = "an instance lacks an epoch, or rows are out of order"
Result = TypeVar("Result")


@dataclass(frozen=True)
class Dynamics:
    """The training dynamics of n instances over all complete epochs, joined to the instances that they belong
    to.

    uids: [n]. p_true: the probability of the true answer, [epochs, n]. correct: whether the model was right,
    bool [epochs, n]. labels: class indices [n], and logits: [epochs, n, classes], where the kind of task has
    them.
    """

    uids: list[str]
    p_true: np.ndarray
    correct: np.ndarray
    labels: np.ndarray | None = None
    logits: np.ndarray | None = None


def true_class_probability(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Softmax at the true class: logits [n, classes], labels [n] -> float32 [n]."""
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    exponential = np.exp(shifted)
    gold = exponential[np.arange(len(labels)), labels]
    return (gold / exponential.sum(-1)).astype(np.float32)


def dynamics_schema(classes: int) -> pa.Schema:
    """Columns of a file of training dynamics: epoch, row (instance i of the data), p_true, logit_0, ..."""
    types = {"epoch": pa.int16(), "row": pa.int32(), "p_true": pa.float32()}
    types |= {f"logit_{index}": pa.float32() for index in range(classes)}
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in types.items()])


def save_dynamics(path: str | Path, epochs: list[np.ndarray], dataset: Dataset, metadata: dict) -> None:
    """Write complete epochs, each [n, classes] float32 logits, as Parquet.

    The columns of `dynamics_schema`; epoch after epoch, rows in data order, the same row groups in each.
    """
    instances, schema = len(dataset), dynamics_schema(len(dataset.label_names))
    metadata = {**metadata, "data_hash": dataset.content_hash, "instances": instances, "epochs": len(epochs)}
    rows = np.arange(instances, dtype=np.int32)
    with parquet_writer(path, schema, metadata, **STORAGE) as writer:
        for epoch, logits in enumerate(epochs):
            p_true = true_class_probability(logits, dataset.labels)
            columns = [np.full(instances, epoch, np.int16), rows, p_true, *np.ascontiguousarray(logits.T)]
            writer.write_table(pa.table(columns, schema=schema), block_size(instances))


def block_size(instances: int) -> int:
    """Rows of a row group, so that an epoch has as few of them as the limit allows, of one size."""
    return max(1, math.ceil(instances / max(1, math.ceil(instances / LARGEST_BLOCK))))


class Block(NamedTuple):
    """Training dynamics of the m instances from row `start` on.

    p_true [epochs, m], logits [epochs, m] per class.
    """

    start: int
    p_true: np.ndarray
    logits: list[np.ndarray]


class DynamicsFile:
    """A file of training dynamics, read in blocks: one row group of every epoch.

    Raises ArtifactError where it is torn, belongs to other data than `dataset`, lacks an instance in an
    epoch, or holds a value that is not finite. Without a data set, instances go by their rows.
    """

    def __init__(self, path: str | Path, dataset: Dataset | DatasetIndex | None = None):
        self._file, self._dataset = ParquetGroups(path), dataset
        metadata, sizes = self._file.metadata, self._file.sizes
        if dataset is not None and metadata.get("data_hash") != dataset.content_hash:
            raise self._mismatch("they were recorded on other data than the data set given")
        self.epochs, self.instances = metadata["epochs"], metadata["instances"]
        self.block_size = max([1, *sizes[:1]])
        self._starts = range(0, self.instances if self.epochs else 0, self.block_size)
        expected = [min(self.block_size, self.instances - start) for start in self._starts]
        if sizes != expected * self.epochs or (dataset is not None and len(dataset) != self.instances):
            raise self._mismatch(DISORDER)
        self._logits = [name for name in self._file.columns if name.startswith("logit_")]

    def map(self, function: Callable[..., Result], *streams: Iterable, threads: int = 1) -> Iterator[Result]:
        """Yield function(block, ...) for every block in order, with the streams' items for it.

        `threads` threads read and work; one block more than that is in memory.
        """

        def work(start: int, *items: object) -> Result:
            return function(self.read(start), *items)

        with ThreadPoolExecutor(threads) as pool:
            waiting: deque[Future[Result]] = deque()
            for items in zip(self._starts, *streams, strict=True):
                waiting.append(pool.submit(work, *items))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def read(self, start: int) -> Block:
        """Read the block from row `start` on."""
        block = self._read(start)
        if not all(np.isfinite(values).all() for values in (block.p_true, *block.logits)):
            raise self._not_finite()
        return block

    def _read(self, start: int) -> Block:
        groups = range(start // self.block_size, len(self._file.sizes), len(self._starts))
        size = self._file.sizes[groups[0]]
        table = self._file.read(list(groups), ["row", "p_true", *self._logits])
        rows, p_true, *logits = (to_numpy(column).reshape(-1, size) for column in table.columns)
        in_epochs = [self._file.bounds(group, "epoch") for group in groups]
        if (
            in_epochs != [(epoch, epoch) for epoch in range(self.epochs)]
            or not (rows == np.arange(start, start + size, dtype=np.int32)).all()
        ):
            raise self._mismatch(DISORDER)
        return Block(start, p_true, logits)

    def _not_finite(self) -> ArtifactError:
        count, first = 0, (self.epochs, 0)
        for block in map(self._read, self._starts):
            bad = np.argwhere(~np.isfinite([block.p_true, *block.logits]).all(0))
            if len(bad):
                count += len(bad)
                first = min(first, (int(bad[0, 0]), block.start + int(bad[0, 1])))
        epoch, row = first
        return ArtifactError(
            f"the training dynamics in {self._file.path} are not finite",
            got=f"{count} value(s), first at epoch {epoch}, instance "
            f"{row if self._dataset is None else self._dataset.uids[row]}",
            expected="a probability for every instance and epoch",
            fix="the reference run diverged: lower its learning rate, then run it again",
        )

    def _mismatch(self, what: str) -> ArtifactError:
        path = self._file.path
        return ArtifactError(
            f"the training dynamics in {path} do not fit: {what}",
            fix=f"delete the file and let snakemake make it again: snakemake {path}",
        )


def load_dynamics(path: str | Path, dataset: Dataset) -> Dynamics:
    """Read the training dynamics of the instances of `dataset` into memory; errors as DynamicsFile."""
    file = DynamicsFile(path, dataset)
    shape = (file.epochs, len(dataset))
    p_true = np.empty(shape, np.float32)
    logits = np.empty((*shape, len(dataset.label_names)), np.float32)
    for block in file.map(lambda block: block):
        rows = slice(block.start, block.start + block.p_true.shape[1])
        p_true[:, rows] = block.p_true
        logits[:, rows] = np.stack(block.logits, -1)
    correct = logits.argmax(-1) == dataset.labels
    return Dynamics(dataset.uids, p_true, correct, dataset.labels, logits)
