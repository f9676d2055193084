"""The data map of dataset cartography: confidence, variability, correctness of every instance.

Swayamdipta et al. (2020), section 2; paper, section 2.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..artifacts import read_parquet, write_parquet
from ..errors import ArtifactError

MINIMUM_EPOCHS = 2


@dataclass(frozen=True)
class DataMap:
    """One reference run's view of n training instances, arrays [n] of float64 in data order.

    confidence: mean over epochs of the probability of the true class.
    variability: its standard deviation over epochs, divisor E (the population form, as Swayamdipta
    et al.; with E epochs for all instances the divisor E - 1 of the authors' code gives the same order).
    correctness: share of epochs in which the true class had the largest logit.
    """

    uids: list[str]
    confidence: np.ndarray
    variability: np.ndarray
    correctness: np.ndarray

    def save(self, path: str | Path, metadata: dict) -> None:
        """Write the map as Parquet: uid, confidence, variability, correctness."""
        names = ("confidence", "variability", "correctness")
        columns = {name: pa.array(getattr(self, name)) for name in names}
        write_parquet(path, pa.table({"uid": pa.array(self.uids), **columns}), metadata)

    @classmethod
    def load(cls, path: str | Path) -> tuple["DataMap", dict]:
        """Read a map and its metadata; raises ArtifactError where it is torn."""
        table, metadata = read_parquet(path)
        names = ("confidence", "variability", "correctness")
        return cls(table["uid"].to_pylist(), *(table[name].to_numpy() for name in names)), metadata


def build_map(p_true: np.ndarray, logits: np.ndarray, labels: np.ndarray, uids: list[str]) -> DataMap:
    """Build the map from p_true [epochs, n], logits [epochs, n, classes], labels [n].

    Correctness asks for the largest logit, not for p_true > 0.5: with three classes or more the true
    class may win with less. Raises ArtifactError for fewer than two epochs.
    """
    if len(p_true) < MINIMUM_EPOCHS:
        raise ArtifactError(
            "these training dynamics give no data map",
            got=f"{len(p_true)} complete epoch(s)",
            expected=f"at least {MINIMUM_EPOCHS}: variability is a deviation over epochs",
            fix="train the reference model for more epochs or steps",
        )
    probabilities = p_true.astype(np.float64)
    return DataMap(
        list(uids),
        probabilities.mean(0),
        probabilities.std(0),
        (logits.argmax(-1) == labels).mean(0),
    )
