"""Synthetic training dynamics, the same numbers in our format and in those of the peers."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ftft.artifacts import parquet_writer
from ftft.cartography.dynamics import (
    STORAGE,
    block_size,
    dynamics_schema,
    save_dynamics,
    true_class_probability,
)
from ftft.data.dataset import Dataset

EPOCHS = 5
LABELS = ["entailment", "neutral", "contradiction"]


def logits_of(start: int, instances: int, epoch: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits [instances, classes] of one epoch, and labels: easy, ambiguous and hard instances."""
    own = np.random.default_rng([start, 0])
    ease = own.normal(1.0, 1.5, instances).astype(np.float32)
    labels = own.integers(0, classes, instances)
    logits = np.random.default_rng([start, 1, epoch]).standard_normal((instances, classes), dtype=np.float32)
    logits[np.arange(instances), labels] += ease * np.float32(0.5 + 0.5 * np.log1p(epoch))
    return logits, labels


def with_logits(folder: Path, instances: int, authors: bool) -> None:
    """Dynamics and data set as the workflow has them, probabilities by epoch, and the `authors`' formats."""
    epochs = [logits_of(0, instances, epoch, len(LABELS))[0] for epoch in range(EPOCHS)]
    labels = logits_of(0, instances, 0, len(LABELS))[1]
    uids = [f"mnli-{row}" for row in range(instances)]
    texts = ([f"premise {row}" for row in range(instances)], ["hypothesis"] * instances)
    dataset = Dataset(uids, texts, labels, LABELS)
    dataset.save(folder / "train.parquet")
    save_dynamics(folder / "dynamics.parquet", epochs, dataset, {})
    for epoch, logits in enumerate(epochs):
        _write_epoch(folder, epoch, [true_class_probability(logits, labels)])
    if authors:
        _write_json_lines(folder / "training_dynamics", epochs, labels)
        _write_tensors(folder, epochs, labels)


def without_logits(folder: Path, instances: int) -> None:
    """Dynamics without logits, and the probabilities by epoch, block by block."""
    size, schema = block_size(instances), dynamics_schema(0)

    def blocks(epoch: int) -> Iterator[np.ndarray]:
        for start in range(0, instances, size):
            yield true_class_probability(*logits_of(start, min(size, instances - start), epoch, 2))

    metadata = {"instances": instances, "epochs": EPOCHS}
    with parquet_writer(folder / "dynamics.parquet", schema, metadata, **STORAGE) as writer:
        for epoch in range(EPOCHS):
            _write_epoch(folder, epoch, _kept(blocks(epoch), epoch, writer))


def _kept(blocks: Iterator[np.ndarray], epoch: int, writer: pq.ParquetWriter) -> Iterator[np.ndarray]:
    start = 0
    for p_true in blocks:
        rows = np.arange(start, start + len(p_true), dtype=np.int32)
        columns = [np.full(len(rows), epoch, np.int16), rows, p_true]
        writer.write_table(pa.table(columns, schema=writer.schema))
        start += len(rows)
        yield p_true


def _write_epoch(folder: Path, epoch: int, blocks: Iterator[np.ndarray] | list[np.ndarray]) -> None:
    schema = pa.schema([pa.field("p_true", pa.float32(), nullable=False)])
    plain = {"compression": "none", "use_dictionary": False}
    with pq.ParquetWriter(folder / f"epoch_{epoch}.parquet", schema, **plain) as writer:
        for p_true in blocks:
            writer.write_table(pa.table([p_true], schema=schema))


def _write_json_lines(folder: Path, epochs: list[np.ndarray], labels: np.ndarray) -> None:
    folder.mkdir()
    for epoch, logits in enumerate(epochs):
        rows = zip(logits.tolist(), labels.tolist(), strict=True)
        with open(folder / f"dynamics_epoch_{epoch}.jsonl", "w", encoding="utf-8") as file:
            for guid, (values, gold) in enumerate(rows):
                file.write(json.dumps({"guid": guid, f"logits_epoch_{epoch}": values, "gold": gold}) + "\n")


def _write_tensors(folder: Path, epochs: list[np.ndarray], labels: np.ndarray) -> None:
    import torch

    stacked = torch.from_numpy(np.stack(epochs, 1))
    torch.save({str(row): logits.clone() for row, logits in enumerate(stacked)}, folder / "logits.pt")
    np.save(folder / "labels.npy", labels)
