"""Synthetic training dynamics of a data set, as the workflow leaves them and in the authors' formats."""

import json
from pathlib import Path

import numpy as np

from ftft.cartography.dynamics import save_dynamics
from ftft.data.dataset import Dataset
from ftft.tasks.base import kind_of

EPOCHS = 5
LABELS = ["entailment", "neutral", "contradiction"]


def write_files(folder: Path, instances: int, authors: bool) -> None:
    """train.parquet and dynamics.parquet as the workflow has them, and the `authors`' own files."""
    epochs, labels = _logits(instances)
    texts = ([f"premise {row}" for row in range(instances)], ["hypothesis"] * instances)
    dataset = Dataset([f"mnli-{row}" for row in range(instances)], texts, labels, LABELS)
    dataset.save(folder / "train.parquet")
    save_dynamics(folder / "dynamics.parquet", kind_of(dataset.kind), epochs, dataset, {})
    if authors:
        _write_json_lines(folder / "training_dynamics", epochs, labels)
        _write_tensors(folder, epochs, labels)


def _logits(instances: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Logits [instances, classes] per epoch, and labels: easy, ambiguous and hard instances."""
    random = np.random.default_rng(0)
    ease = random.normal(1.0, 1.5, instances).astype(np.float32)
    labels = random.integers(0, len(LABELS), instances)
    epochs = []
    for epoch in range(EPOCHS):
        logits = random.standard_normal((instances, len(LABELS)), dtype=np.float32)
        logits[np.arange(instances), labels] += ease * np.float32(0.5 + 0.5 * np.log1p(epoch))
        epochs.append(logits)
    return epochs, labels


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
