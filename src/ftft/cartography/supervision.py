"""A supervision: what a reference hands to a main model, as a file and in memory.

It says which rows of the training set to learn from, with which weight, and, where a method needs them, the
reference's log-probabilities (`bias`) or distributions over classes (`target`); the objective that reads
these is named beside them.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..artifacts import read_parquet, to_arrow, to_numpy, write_parquet
from ..data.columns import text_column
from ..data.dataset import Dataset
from ..errors import ArtifactError

CROSS_ENTROPY = "cross_entropy"


@dataclass(frozen=True)
class Supervision:
    """rows: ascending row numbers [m] of the training set, each once. weights: [m], float32, above 0. bias
    and target: [m, classes] or None. settings: those of the objective.
    """

    rows: np.ndarray
    weights: np.ndarray
    bias: np.ndarray | None = None
    target: np.ndarray | None = None
    objective: str = CROSS_ENTROPY
    settings: dict = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def of(cls, rows: np.ndarray) -> "Supervision":
        """Rows of one weight."""
        return cls(np.asarray(rows, np.int64), np.ones(len(rows), np.float32))

    @classmethod
    def counted(cls, rows: np.ndarray) -> "Supervision":
        """Rows that may repeat, each weighing as often as it occurs."""
        distinct, counts = np.unique(rows, return_counts=True)
        return cls(distinct.astype(np.int64), counts.astype(np.float32))

    def save(self, path: str | Path, dataset: Dataset, metadata: dict) -> None:
        """Write it for the training set `dataset`: row, uid, weight, bias_0 ..., target_0 ..."""
        columns = {
            "row": pa.array(self.rows, pa.int32()),
            "uid": text_column(dataset.uids).take(to_arrow(self.rows)),
            "weight": pa.array(self.weights, pa.float32()),
        }
        for name in ("bias", "target"):
            values = getattr(self, name)
            if values is not None:
                columns |= {
                    f"{name}_{index}": column for index, column in enumerate(values.T.astype(np.float32))
                }
        described = {
            "objective": self.objective,
            "settings": self.settings,
            "data_hash": dataset.content_hash,
        }
        write_parquet(path, pa.table(columns), {**metadata, **described})

    @classmethod
    def load(cls, path: str | Path, dataset: Dataset) -> "Supervision":
        """Read what `save` wrote; raises ArtifactError where it is torn or was made on other data than
        `dataset`.
        """
        table, metadata = read_parquet(path)
        rows, weights = to_numpy(table["row"]).astype(np.int64), to_numpy(table["weight"])
        fits = metadata["data_hash"] == dataset.content_hash
        if not fits or not len(rows) or rows.max() >= len(dataset) or (np.diff(rows) <= 0).any():
            raise ArtifactError(
                f"the supervision {path} was made on other data than this run trains on",
                fix=f"delete the file and let snakemake make it again: snakemake {path}",
            )
        return cls(
            rows,
            weights,
            _matrix(table, "bias"),
            _matrix(table, "target"),
            metadata["objective"],
            metadata["settings"],
        )


def _matrix(table: pa.Table, name: str) -> np.ndarray | None:
    columns = [column for column in table.column_names if column.startswith(f"{name}_")]
    return np.stack([to_numpy(table[column]) for column in columns], 1) if columns else None
