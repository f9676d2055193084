"""The data map of dataset cartography: confidence, variability, correctness of every instance.

Swayamdipta et al. (2020), section 2; paper, section 2. A map may hold further scores of `scores`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..artifacts import read_parquet, write_parquet
from ..data.dataset import Dataset
from ..errors import ArtifactError, DataError
from .dynamics import Dynamics, load_dynamics
from .scores import SCORES

MINIMUM_EPOCHS = 2
COORDINATES = ("confidence", "variability", "correctness")
# Scores as they are: zstd with byte stream split would save a fifth of the file and double its writing time.
STORAGE = {
    "compression": {"uid": "zstd", **dict.fromkeys(SCORES, "none")},
    "use_dictionary": ["correctness", "forgetting"],
    "column_encoding": {"uid": "DELTA_LENGTH_BYTE_ARRAY"},
}


@dataclass(frozen=True)
class DataMap:
    """One reference run's view of n training instances: uids, and scores by name, arrays [n] of float64 in
    data order.
    """

    uids: list[str]
    scores: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.uids)

    def __getitem__(self, name: str) -> np.ndarray:
        """One of the scores; raises DataError for one that was not built."""
        if name not in self.scores:
            raise DataError(
                f"this data map lacks the score '{name}'",
                got=", ".join(self.scores),
                fix="build it from the training dynamics: build_map(dynamics, further=['" + name + "'])",
            )
        return self.scores[name]

    @property
    def confidence(self) -> np.ndarray:
        """Mean over epochs of the probability of the true label."""
        return self["confidence"]

    @property
    def variability(self) -> np.ndarray:
        """Its standard deviation over epochs, divisor E."""
        return self["variability"]

    @property
    def correctness(self) -> np.ndarray:
        """Share of epochs in which the prediction was right."""
        return self["correctness"]

    def save(self, path: str | Path, metadata: dict) -> None:
        """Write the map as Parquet: uid, and a column per score."""
        table = pa.table({"uid": pa.array(self.uids, pa.string()), **self.scores})
        storage = {
            **STORAGE,
            "use_dictionary": [name for name in STORAGE["use_dictionary"] if name in self.scores],
        }
        storage["compression"] = {"uid": "zstd", **dict.fromkeys(self.scores, "none")}
        write_parquet(path, table, metadata, **storage)

    @classmethod
    def load(cls, path: str | Path) -> tuple["DataMap", dict]:
        """Read a map and its metadata; raises ArtifactError where it is torn."""
        table, metadata = read_parquet(path)
        scores = {name: table[name].to_numpy() for name in table.column_names if name != "uid"}
        return cls(table["uid"].to_pylist(), scores), metadata

    @classmethod
    def load_for(cls, path: str | Path, dataset: Dataset) -> "DataMap":
        """Read the map of a data set; raises ArtifactError for a map of other data."""
        data_map, metadata = cls.load(path)
        if metadata["data_hash"] != dataset.content_hash:
            raise ArtifactError(
                f"the data map {path} was built on other data than it is to select from",
                fix=f"delete the file and let snakemake make it again: snakemake {path}",
            )
        return data_map


def build_map(dynamics: Dynamics, further: Sequence[str] = (), **settings: object) -> DataMap:
    """Build the map, with `further` scores of `scores.SCORES` by name, which `settings` are for.

    Raises ArtifactError for fewer than two epochs, DataError for a score that needs what the dynamics lack.
    """
    epochs = len(dynamics.p_true)
    if epochs < MINIMUM_EPOCHS:
        raise ArtifactError(
            "these training dynamics give no data map",
            got=f"{epochs} complete epoch(s)",
            expected=f"at least {MINIMUM_EPOCHS}: variability is a deviation over epochs",
            fix="train the reference model for more epochs or steps",
        )
    return DataMap(
        dynamics.uids, {name: _scored(dynamics, name, settings) for name in (*COORDINATES, *further)}
    )


def _scored(dynamics: Dynamics, name: str, settings: dict) -> np.ndarray:
    if name not in SCORES:
        raise DataError(f"there is no score '{name}'", got=name, expected=f"one of {', '.join(SCORES)}")
    score, epochs = SCORES[name], len(dynamics.p_true)
    if score.needs and dynamics.logits is None:
        raise DataError(
            f"the score '{name}' needs {', '.join(score.needs)}, which these training dynamics lack"
        )
    own = {key: value for key, value in settings.items() if key in score.settings}
    asked = max((score.epochs - 1, *own.get("el2n_epochs", score.settings.get("el2n_epochs", ()))))
    if asked >= epochs:
        raise DataError(
            f"the training dynamics lack an epoch that the score '{name}' is to be taken from",
            got=f"epoch {asked}, counted from 0, of {epochs}",
            expected=f"epochs from 0 to {epochs - 1}",
            fix="change selection.el2n_epochs, or train the reference for longer",
        )
    return score.function(dynamics, **own)


def write_map(
    dynamics_file: str | Path,
    data_file: str | Path,
    output: str | Path,
    further: Sequence[str] = (),
    **settings: object,
) -> None:
    """Build the map of a run from its training dynamics and the data it trained on, with `further` scores."""
    dataset = Dataset.load(data_file, texts=False)
    needs_logits = any(SCORES[name].needs for name in further)
    dynamics = load_dynamics(dynamics_file, dataset, logits=needs_logits)
    metadata = {"data_hash": dataset.content_hash, "epochs": len(dynamics.p_true)}
    build_map(dynamics, further, **settings).save(output, metadata)
