"""The data map of dataset cartography: confidence, variability, correctness of every instance.

Swayamdipta et al. (2020), section 2; paper, section 2. A map may hold further scores of `scores`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ..artifacts import read_parquet, to_arrow, to_numpy, write_parquet
from ..data.columns import TextColumn, text_column
from ..data.dataset import Dataset
from ..errors import ArtifactError, DataError
from ..notebook import InNotebooks
from .arguments import checked
from .before import read_before
from .dynamics import Dynamics, load_dynamics
from .scores import SCORES, given_by

MINIMUM_EPOCHS = 2
COORDINATES = ("confidence", "variability", "correctness")
# Scores as they are: zstd with byte stream split would save a fifth of the file and double its writing time.
STORAGE: dict[str, Any] = {
    "compression": {"uid": "zstd", **dict.fromkeys(SCORES, "none")},
    "use_dictionary": ["correctness", "forgetting"],
    "column_encoding": {"uid": "DELTA_LENGTH_BYTE_ARRAY"},
}


@dataclass(frozen=True)
class DataMap(InNotebooks):
    """One reference run's view of n training instances, arrays [n] of float64 in data order.

    confidence: mean over epochs of the probability of the true label. variability: its standard deviation
    over epochs, divisor E. correctness: share of epochs in which the prediction was right. further: scores of
    `scores.SCORES` by name, where they were built.
    """

    uids: Sequence[str]
    confidence: np.ndarray
    variability: np.ndarray
    correctness: np.ndarray
    further: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.uids)

    @property
    def scores(self) -> dict[str, np.ndarray]:
        """All scores by name."""
        return {**{name: getattr(self, name) for name in COORDINATES}, **self.further}

    def __getitem__(self, name: str) -> np.ndarray:
        """One of the scores; raises DataError for one that was not built."""
        if name not in self.scores:
            raise DataError(
                f"this data map lacks the score '{name}'",
                got=", ".join(self.scores),
                fix="build it from the training dynamics, by build_map or write_map",
            )
        return self.scores[name]

    @classmethod
    def of(cls, dynamics: Dynamics, further: Sequence[str] = (), **settings: object) -> "DataMap":
        """Build a map from training dynamics, with `further` scores by name; `settings` are those of scores.

        Raises ArtifactError for fewer than two epochs, DataError for a score that the dynamics do not give.
        """
        epochs = len(dynamics.p_true)
        if epochs < MINIMUM_EPOCHS:
            raise ArtifactError(
                "these training dynamics give no data map",
                got=f"{epochs} complete epoch(s)",
                expected=f"at least {MINIMUM_EPOCHS}: variability is a deviation over epochs",
                fix="train the reference model for more epochs or steps",
            )
        scores = {name: score_of(dynamics, name, settings) for name in (*COORDINATES, *further)}
        coordinates = {name: scores.pop(name) for name in COORDINATES}
        return cls(dynamics.uids, further=scores, **coordinates)

    def save(self, path: str | Path, metadata: dict) -> None:
        """Write the map as Parquet: uid, and a column per score."""
        columns = {name: to_arrow(values) for name, values in self.scores.items()}
        table = pa.table({"uid": text_column(self.uids), **columns})
        storage = {
            **STORAGE,
            "use_dictionary": [name for name in STORAGE["use_dictionary"] if name in self.scores],
        }
        storage["compression"] = {"uid": "zstd", **dict.fromkeys(self.scores, "none")}
        write_parquet(path, table, metadata, **storage)

    @classmethod
    def load(cls, path: str | Path) -> tuple["DataMap", dict]:
        """Read a map and its metadata; raises ArtifactError where it is torn."""
        table, metadata = read_parquet(path, needed=("uid", *COORDINATES))
        scores = {name: to_numpy(table[name]) for name in table.column_names if name != "uid"}
        coordinates = {name: scores.pop(name) for name in COORDINATES}
        return cls(TextColumn(table["uid"]), further=scores, **coordinates), metadata

    @classmethod
    def load_for(
        cls, path: str | Path, dataset: Dataset, score_files: Iterable[str | Path] = ()
    ) -> "DataMap":
        """Read the map of a data set, with further scores from files of their own.

        Raises ArtifactError for a map or scores of other data.
        """
        data_map, metadata = cls.load(path)
        _require_data(path, metadata, dataset)
        data_map.further.update(load_scores(dataset, score_files))
        return data_map


def load_scores(dataset: Dataset, files: Iterable[str | Path]) -> dict[str, np.ndarray]:
    """Scores [n] of a data set by name, from a file each; raises ArtifactError for those of other data."""
    scores = {}
    for file in files:
        table, described = read_parquet(file)
        _require_data(file, described, dataset)
        scores[described["score"]] = to_numpy(table["score"])
    return scores


def _require_data(path: str | Path, metadata: dict, dataset: Dataset) -> None:
    if metadata["data_hash"] != dataset.content_hash:
        raise ArtifactError(
            f"the data map {path} was built on other data than it is to select from",
            fix=f"delete the file and let snakemake make it again: snakemake {path}",
        )


@checked
def build_map(p_true: np.ndarray, logits: np.ndarray, labels: np.ndarray, uids: list[str]) -> DataMap:
    """Build the map, with all further scores, from p_true [epochs, n], logits [epochs, n, classes], labels
    [n].

    Correctness asks for the largest logit, not for p_true > 0.5: with three classes or more the true
    class may win with less. Errors are those of `DataMap.of`.
    """
    dynamics = Dynamics(list(uids), p_true, logits.argmax(-1) == labels, labels, logits)
    return DataMap.of(dynamics, [name for name in given_by(dynamics) if name not in COORDINATES])


def score_of(dynamics: Dynamics, name: str, settings: dict) -> np.ndarray:
    """A registered score [n]; `settings` are those of all scores. Raises DataError where the dynamics lack a
    signal or an epoch that it is taken from.
    """
    score, epochs = SCORES[name], len(dynamics.p_true)
    if lacking := [signal for signal in score.needs if getattr(dynamics, signal) is None]:
        raise DataError(f"the score '{name}' needs {', '.join(lacking)}, which these dynamics lack")
    own = {key: value for key, value in settings.items() if key in score.settings}
    last = max([score.epochs - 1, *own.get("epochs", score.settings.get("epochs", ()))])
    if last >= epochs:
        raise DataError(
            f"the training dynamics lack an epoch that the score '{name}' is to be taken from",
            got=f"epoch {last} of {epochs}, counted from 0",
            expected=f"epochs from 0 to {epochs - 1}",
            fix="change selection.el2n_epochs, or train the reference for longer",
        )
    return score.of(dynamics, **own)


@checked
def write_map(dynamics_file: str | Path, data_file: str | Path, output: str | Path) -> int:
    """Build the map of a run from its training dynamics and the data it trained on.

    Returns its FLOPs: for every instance and epoch an addition each for confidence and correctness, and
    three operations for variability (difference from the mean, square, sum).
    """
    dataset = Dataset.load(data_file, texts=False)
    dynamics = load_dynamics(dynamics_file, dataset, logits=False)
    metadata = {"data_hash": dataset.content_hash, "epochs": len(dynamics.p_true)}
    DataMap.of(dynamics).save(output, metadata)
    return 5 * dynamics.p_true.size


def write_score(
    dynamics_file: str | Path | None,
    data_file: str | Path,
    output: str | Path,
    name: str,
    before_file: str | Path | None = None,
    **settings: object,
) -> None:
    """Write one further score of every instance: uid, score. `before_file` holds the pass before training,
    where the score is taken from it; `dynamics_file` is None where nothing else is.
    """
    dataset = Dataset.load(data_file, texts=False)
    if dynamics_file:
        more = not {"logits", "worst"}.isdisjoint(SCORES[name].needs)
        dynamics = load_dynamics(dynamics_file, dataset, logits=more)
    else:
        untaken = np.empty((SCORES[name].epochs, len(dataset)), np.float32)
        dynamics = Dynamics(dataset.uids, untaken, untaken > 0)
    if before_file:
        before, alone = read_before(before_file, dataset)
        dynamics = replace(dynamics, before=before, alone=alone)
    table = pa.table(
        {"uid": text_column(dataset.uids), "score": to_arrow(score_of(dynamics, name, settings))}
    )
    write_parquet(output, table, {"data_hash": dataset.content_hash, "score": name})
