"""Epoch 0: how likely every response is before any training, after its prompt and without it."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from ..artifacts import read_parquet, to_numpy, write_parquet
from ..data.dataset import Dataset
from ..errors import ArtifactError


def save_before(
    path: str | Path, outputs: np.ndarray, alone: np.ndarray, dataset: Dataset, metadata: dict
) -> None:
    """Write what a language model gave for every response, [n, 4] each as recorded (`tasks.generation`),
    after its prompt and, `alone`, without it.

    Columns: row, tokens, log_p, mean_p, tokens_right; alone_log_p, alone_mean_p, alone_tokens_right.
    """
    columns = {"row": np.arange(len(dataset), dtype=np.int32), "tokens": outputs[:, 0].astype(np.int32)}
    for prefix, found in (("", outputs), ("alone_", alone)):
        columns[f"{prefix}log_p"] = np.ascontiguousarray(found[:, 1])
        columns[f"{prefix}mean_p"] = np.ascontiguousarray(found[:, 2])
        columns[f"{prefix}tokens_right"] = found[:, 3].astype(np.int32)
    write_parquet(path, pa.table(columns), {**metadata, "data_hash": dataset.content_hash})


def read_before(path: str | Path, dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """The mean loss per token of every response after its prompt and without it, float64 [n] each.

    Raises ArtifactError where the file is torn or belongs to other data.
    """
    table, metadata = read_parquet(path)
    if metadata["data_hash"] != dataset.content_hash or len(table) != len(dataset):
        raise ArtifactError(
            f"the pass before training in {path} was made on other data",
            fix=f"delete the file and let snakemake make it again: snakemake {path}",
        )
    tokens = to_numpy(table["tokens"]).astype(np.float64)
    before, alone = (-to_numpy(table[name]) / tokens for name in ("log_p", "alone_log_p"))
    return before, alone
