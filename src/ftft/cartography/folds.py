"""Folds of a training set, and the dynamics out of sample: of every instance what a model gave that was not
trained on it.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..artifacts import read_json, read_parquet, to_arrow, to_numpy, write_parquet
from ..data.dataset import Dataset, uid_hash
from ..errors import ArtifactError
from ..tasks.base import kind_of
from .dynamics import save_dynamics

# What a ledger counts of a training and adds up over folds: FLOPs and seconds, scoring included.
COSTS = {"flops": ("flops", "evaluation_flops"), "seconds": ("training_seconds", "evaluation_seconds")}


def folds_of(dataset: Dataset, count: int) -> np.ndarray:
    """The fold [n], from 0 to count - 1, of each instance: like label make-ups are dealt out evenly.

    They are in the order of a hash of the uid, so that the order of the rows decides nothing.
    """
    codes = kind_of(dataset.kind).make_up(dataset)
    order = sorted(range(len(dataset)), key=lambda row: (codes[row], uid_hash(dataset.uids[row])))
    folds = np.empty(len(dataset), np.int64)
    folds[order] = np.arange(len(dataset)) % count
    return folds


def split(dataset: Dataset, fold: str) -> tuple[np.ndarray, np.ndarray]:
    """The rows that the training of a fold such as "1of5" learns from, and those that it leaves out."""
    number, count = map(int, fold.split("of"))
    left_out = folds_of(dataset, count) == number - 1
    return np.flatnonzero(~left_out), np.flatnonzero(left_out)


def save_outputs(path: str | Path, rows: np.ndarray, outputs: np.ndarray, metadata: dict) -> None:
    """Write what a model gave [m, width] for the instances `rows` [m] that it was not trained on."""
    columns = {f"output_{index}": to_arrow(column) for index, column in enumerate(outputs.T)}
    write_parquet(path, pa.table({"row": to_arrow(rows), **columns}), metadata)


def gather_folds(
    output_files: Sequence[str | Path], ledger_files: Sequence[str | Path], data_file: str | Path, path: Path
) -> None:
    """Write what the trainings of all folds gave as the dynamics of one epoch, and in its metadata what these
    trainings cost (`COSTS`).

    Raises ArtifactError where the files do not hold each instance once.
    """
    dataset = Dataset.load(data_file)
    parts = [read_parquet(file)[0] for file in output_files]
    rows = np.concatenate([to_numpy(part["row"]) for part in parts])
    if not np.array_equal(np.sort(rows), np.arange(len(dataset))):
        raise ArtifactError(
            "the folds do not hold each instance of the training set once",
            got=f"{len(rows)} rows, {len(np.unique(rows))} different ones",
            expected=f"{len(dataset)} rows",
            fix="delete the files of the folds and let snakemake make them again",
        )
    kind = kind_of(dataset.kind)
    outputs = np.empty((len(dataset), kind.width(dataset)), np.float32)
    outputs[rows] = np.concatenate([_matrix(part) for part in parts])
    costs = [read_json(file, defines=False)["cost"] for file in ledger_files]
    total = {
        name: sum(cost[part] or 0 for cost in costs for part in summands) for name, summands in COSTS.items()
    }
    save_dynamics(path, kind, [outputs], dataset, {"folds": len(parts), **total})


def _matrix(table: pa.Table) -> np.ndarray:
    return np.stack([to_numpy(table[name]) for name in table.column_names if name != "row"], 1)
