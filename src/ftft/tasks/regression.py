"""Numbers: a score for every text or pair of texts.

An error counts by the standard deviation of the training targets: p_true is exp(-(error / deviation)^2 / 2),
which is 1 for an exact prediction and 0.71 in the mean where all predictions are the mean of normally
distributed targets. The training is on standardised targets; what is saved predicts in their own unit.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..data.targets import numbers, required_texts
from ..errors import DataError
from .base import Kind, Suggestions

# A prediction is right within this share of a standard deviation.
TOLERANCE = 0.25
PARTS = 10


class Regression(Kind):
    """Labels: numbers [n]."""

    name = "regression"
    learns = "a number per row"
    title = "model that gives a text a number"
    metrics = ("spearman", "pearson")

    def read(self, records: pa.Table, spec: dict, name: str) -> tuple[tuple[list, ...], np.ndarray]:
        """Texts by column, and the numbers."""
        texts = tuple(required_texts(records, column, spec, name) for column in spec["text"])
        found = numbers(records, spec, name)
        if not spec.get("evaluated_only") and (found == found[0]).all():
            raise DataError(
                f"data set '{name}' has one number only in column '{spec['label']}'",
                got=f"{found[0]:g} in all {len(found)} rows",
                expected="numbers that differ",
                fix="check its label column, where and share",
            )
        return texts, found

    def width(self, dataset) -> int:
        """One."""
        return 1

    def targets(self, dataset) -> np.ndarray:
        """The numbers, less their mean, by their standard deviation."""
        return ((dataset.labels - dataset.labels.mean()) / dataset.labels.std()).astype(np.float32)

    def chance(self, dataset) -> float:
        """The mean p_true where every prediction is the mean."""
        return float(_closeness(self.targets(dataset)).mean())

    def make_up(self, dataset) -> np.ndarray:
        """The tenth of the numbers in which each lies."""
        edges = np.quantile(dataset.labels, np.arange(1, PARTS) / PARTS, method="lower")
        return np.searchsorted(np.unique(edges[edges < dataset.labels.max()]), dataset.labels)

    def groups(self, dataset) -> tuple[np.ndarray, list[str]]:
        """The tenths."""
        parts = self.make_up(dataset)
        found = [dataset.labels[parts == part] for part in range(parts.max() + 1)]
        ends = [dict.fromkeys([f"{part.min():.3g}", f"{part.max():.3g}"]) for part in found]
        return parts, [" to ".join(own) for own in ends]

    def taken(self, outputs: np.ndarray, rows: np.ndarray, dataset, words: np.ndarray | None) -> np.ndarray:
        """Predictions [m] or [m, 1] in the unit of the targets."""
        column = outputs[:, None] if outputs.ndim == 1 else outputs
        standardised = (column - dataset.labels.mean()) / dataset.labels.std()
        return super().taken(standardised.astype(np.float32), rows, dataset, words)

    def dynamics(self, epochs: Sequence[np.ndarray], dataset) -> Iterator[dict[str, np.ndarray]]:
        """p_true, correct and the prediction."""
        mean, deviation = dataset.labels.mean(), dataset.labels.std()
        for outputs in epochs:
            predictions = outputs[:, 0].astype(np.float64)
            errors = predictions - (dataset.labels - mean) / deviation
            yield {
                "p_true": _closeness(errors).astype(np.float32),
                "correct": np.abs(errors) <= TOLERANCE,
                "prediction": (predictions * deviation + mean).astype(np.float32),
            }

    def suggestions(self, logits: None, own: dict[str, np.ndarray], dataset) -> Suggestions:
        """The mean prediction over epochs, where it does not count as correct."""
        predictions = own["prediction"].mean(0, dtype=np.float64)
        far = np.abs(predictions - dataset.labels) > TOLERANCE * dataset.labels.std()
        suggested = [f"{number:.4g}" if off else "" for number, off in zip(predictions, far, strict=True)]
        return Suggestions([f"{number:g}" for number in dataset.labels], suggested)

    def predictions(self, outputs: np.ndarray, dataset) -> np.ndarray:
        """The numbers [n] as they are."""
        return outputs[:, 0]

    def prediction_columns(self, outputs: np.ndarray) -> dict[str, pa.Array]:
        """Nothing: the outputs are the predictions."""
        return {}

    def load(self, folder: str | Path, label_names: Sequence[str], own_kernels: bool):
        """An encoder with a head of one output."""
        from ..models.heads import load_classifier

        return load_classifier(folder, ["score"], own_kernels, "regression")

    def finish(self, model, dataset):
        """Let the head's last layer give numbers in the unit of the targets, which it learnt standardised."""
        import torch

        linear = (layer for layer in model.modules() if isinstance(layer, torch.nn.Linear))
        head = [layer for layer in linear if layer.out_features == 1][-1]
        with torch.no_grad():
            head.weight *= dataset.labels.std()
            head.bias.mul_(dataset.labels.std()).add_(dataset.labels.mean())
        return model

    def losses(self, outputs, targets):
        """The squared errors."""
        return (outputs[:, 0] - targets) ** 2


def _closeness(errors: np.ndarray) -> np.ndarray:
    return np.exp(-(errors**2) / 2)
