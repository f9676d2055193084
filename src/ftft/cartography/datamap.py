"""The data map of dataset cartography: confidence, variability, correctness of every instance.

Swayamdipta et al. (2020), section 2; paper, section 2. The further scores are those of `scores`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..artifacts import ParquetGroups, parquet_writer, read_parquet, to_arrow, to_numpy
from ..data.dataset import DatasetIndex
from ..errors import ArtifactError, DataError
from .dynamics import Block, DynamicsFile, block_size
from .scores import EL2N_EPOCHS, FURTHER, true_class_wins

MINIMUM_EPOCHS = 2
# Instances whose float64 intermediates, 128 KB an array, stay in a core's cache.
CACHED = 1 << 14
COORDINATES = ("confidence", "variability", "correctness")
SCORES = (*COORDINATES, *FURTHER)
# Scores as they are: zstd with byte stream split would save a fifth of the file and double its writing time.
STORAGE = {
    "compression": {"uid": "zstd", **dict.fromkeys(SCORES, "none")},
    "use_dictionary": ["correctness", "forgetting"],
    "column_encoding": {"uid": "DELTA_LENGTH_BYTE_ARRAY"},
}


def map_schema(scores: Iterable[str]) -> pa.Schema:
    """Columns of a data map's file: uid and some scores."""
    numbers = (pa.field(name, pa.float64(), nullable=False) for name in scores)
    return pa.schema([pa.field("uid", pa.string(), nullable=False), *numbers])


@dataclass(frozen=True)
class DataMap:
    """One reference run's view of n training instances, arrays [n] of float64 in data order.

    confidence: mean over epochs of the probability of the true class.
    variability: its standard deviation over epochs, divisor E (the population form, as Swayamdipta
    et al.; with E epochs for all instances the divisor E - 1 of the authors' code gives the same order).
    correctness: share of epochs in which the true class had the largest logit.
    further: the scores of `scores.FURTHER` by name, where they were built.
    """

    uids: list[str]
    confidence: np.ndarray
    variability: np.ndarray
    correctness: np.ndarray
    further: dict[str, np.ndarray] = field(default_factory=dict)

    def save(self, path: str | Path, metadata: dict) -> None:
        """Write the map as Parquet: uid, confidence, variability, correctness, further scores."""
        schema = map_schema([*COORDINATES, *self.further])
        columns = [getattr(self, name) for name in COORDINATES]
        table = pa.table([self.uids, *columns, *self.further.values()], schema=schema)
        with parquet_writer(path, schema, metadata, **STORAGE) as writer:
            writer.write_table(table, block_size(len(self.uids)))

    def __len__(self) -> int:
        return len(self.uids)

    def blocks(self, score: str) -> Iterator[np.ndarray]:
        """One of the scores as a stream of one block; raises DataError for one that was not built."""
        if score not in (*COORDINATES, *self.further):
            raise DataError(
                f"this data map lacks the score '{score}'",
                got=", ".join([*COORDINATES, *self.further]),
                fix="build it from the training dynamics, by build_map or write_map",
            )
        yield self.further[score] if score in self.further else getattr(self, score)

    def uids_of(self, rows: np.ndarray) -> pa.Array:
        """The uids of some rows."""
        return pa.array([self.uids[row] for row in rows], pa.string())

    @classmethod
    def load(cls, path: str | Path) -> tuple["DataMap", dict]:
        """Read a map and its metadata; raises ArtifactError where it is torn."""
        table, metadata = read_parquet(path)
        columns = {name: table[name].to_numpy() for name in table.column_names if name in SCORES}
        coordinates = [columns.pop(name) for name in COORDINATES]
        return cls(table["uid"].to_pylist(), *coordinates, columns), metadata


class MapFile:
    """A data map on disk, read block by block; raises ArtifactError where it is torn."""

    def __init__(self, path: str | Path):
        self._file = ParquetGroups(path)
        self.metadata = self._file.metadata
        self._ends = np.cumsum(self._file.sizes)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def blocks(self, score: str) -> Iterator[np.ndarray]:
        """Read one of the scores, in data order."""
        for group in range(len(self._file.sizes)):
            yield to_numpy(self._file.read([group], [score])[score])

    def uids_of(self, rows: np.ndarray) -> pa.ChunkedArray:
        """Read the uids of ascending rows of one block."""
        group = int(np.searchsorted(self._ends, rows[0], side="right"))
        uids = self._file.read([group], ["uid"])["uid"]
        return uids.take(to_arrow(rows - (self._ends[group] - self._file.sizes[group])))


def build_map(p_true: np.ndarray, logits: np.ndarray, labels: np.ndarray, uids: list[str]) -> DataMap:
    """Build the map from p_true [epochs, n], logits [epochs, n, classes], labels [n].

    Correctness asks for the largest logit, not for p_true > 0.5: with three classes or more the true
    class may win with less. Raises ArtifactError for fewer than two epochs.
    """
    _require_epochs(len(p_true))
    by_class = list(np.moveaxis(logits, -1, 0))
    further = further_scores(p_true, by_class, labels)
    return DataMap(list(uids), *confidence_and_variability(p_true), correctness(by_class, labels), further)


def write_map(
    dynamics_file: str | Path,
    data_file: str | Path,
    output: str | Path,
    threads: int = 1,
    further: bool = False,
    el2n_epochs: Sequence[int] = EL2N_EPOCHS,
) -> None:
    """Build the map of a run from its training dynamics and the data it trained on, block by block.

    The same map as `build_map` of `load_dynamics`, in the memory of a few blocks, and with the further
    scores if asked: they take longer than the rest. Raises ArtifactError for fewer than two epochs, and as
    DynamicsFile; DataError where the dynamics lack one of `el2n_epochs` (from 0).
    """
    dataset = DatasetIndex(data_file)
    dynamics = DynamicsFile(dynamics_file, dataset)
    _require_epochs(dynamics.epochs)
    if further and max(el2n_epochs) >= dynamics.epochs:
        raise DataError(
            "the training dynamics lack an epoch that EL2N is to be taken from",
            got=f"el2n_epochs: {list(el2n_epochs)}, {dynamics.epochs} epochs",
            expected=f"epochs from 0 to {dynamics.epochs - 1}",
            fix="change selection.el2n_epochs, or train the reference for longer",
        )

    def scored(block: Block, members: tuple[pa.Array, np.ndarray]) -> pa.Table:
        uids, labels = members
        scores = [*confidence_and_variability(block.p_true), correctness(block.logits, labels)]
        if further:
            scores += further_scores(block.p_true, block.logits, labels, el2n_epochs).values()
        return pa.table([uids, *map(to_arrow, scores)], schema=schema)

    schema = map_schema(SCORES if further else COORDINATES)
    metadata = {"data_hash": dataset.content_hash, "epochs": dynamics.epochs}
    with parquet_writer(output, schema, metadata, **STORAGE) as writer:
        for table in dynamics.map(scored, dataset.batches(dynamics.block_size), threads=threads):
            writer.write_table(table)


def confidence_and_variability(p_true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and two-pass standard deviation over epochs of p_true [epochs, n]: float64 [n] each.

    Sums go epoch after epoch, so that an instance's scores do not depend on who is in its block.
    """
    epochs, instances = p_true.shape
    confidence, variability = np.empty(instances), np.empty(instances)
    for part in _parts(instances):
        deviations = p_true[:, part].astype(np.float64)
        confidence[part] = reduce(np.add, deviations) / epochs
        deviations -= confidence[part]
        variability[part] = np.sqrt(reduce(np.add, np.square(deviations, out=deviations)) / epochs)
    return confidence, variability


def correctness(logits: Sequence[np.ndarray], labels: np.ndarray) -> np.ndarray:
    """Share of epochs in which the true class has the largest logit: float64 [n].

    logits: an array [epochs, n] per class; the first of equal ones is the largest. labels [n].
    """
    epochs, instances = logits[0].shape
    share = np.empty(instances)
    for part in _parts(instances):
        wins = true_class_wins([values[:, part] for values in logits], labels[part])
        share[part] = np.count_nonzero(wins, axis=0) / epochs
    return share


def further_scores(
    p_true: np.ndarray,
    logits: Sequence[np.ndarray],
    labels: np.ndarray,
    el2n_epochs: Sequence[int] = EL2N_EPOCHS,
) -> dict[str, np.ndarray]:
    """The scores of `scores.FURTHER` by name; p_true [epochs, n], logits [epochs, n] by class, labels [n]."""
    found = {name: np.empty(len(labels)) for name in FURTHER}
    for part in _parts(len(labels)):
        some = np.moveaxis(np.stack([values[:, part] for values in logits]), 0, -1)
        for name, score in FURTHER.items():
            found[name][part] = score(p_true[:, part], some, labels[part], el2n_epochs)
    return found


def _parts(instances: int) -> Iterator[slice]:
    return (slice(start, start + CACHED) for start in range(0, instances, CACHED))


def _require_epochs(epochs: int) -> None:
    if epochs < MINIMUM_EPOCHS:
        raise ArtifactError(
            "these training dynamics give no data map",
            got=f"{epochs} complete epoch(s)",
            expected=f"at least {MINIMUM_EPOCHS}: variability is a deviation over epochs",
            fix="train the reference model for more epochs or steps",
        )
