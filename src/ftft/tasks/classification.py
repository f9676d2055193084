"""Single-label classification of texts and pairs of texts: the task of the paper."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..data.targets import label_indices, required_texts
from .base import Kind, true_class_probability


class Classification(Kind):
    """One class per instance; p_true is the softmax at the true class (paper, section 2)."""

    name = "classification"
    required = ("labels",)
    metrics = ("accuracy", "macro_f1")
    signals = frozenset({"logits"})
    issue_scores = ("last_confidence",)

    def read(self, records: pa.Table, spec: dict, name: str) -> tuple[tuple[list, ...], np.ndarray]:
        """Texts by column, and class indices [n]."""
        texts = tuple(required_texts(records, column, spec, name) for column in spec["text"])
        return texts, label_indices(records, spec, name)

    def label_form(self, spec: dict) -> str:
        """A class."""
        return f"one of {', '.join(spec['labels'])}"

    def corrected(
        self, labels: dict[int, str], records: pa.Table, spec: dict, name: str
    ) -> dict[int, dict[str, str] | None]:
        """A class of the task, or a raw value that stands for one."""
        known = {*spec["labels"], *spec.get("label_names", {})}
        return {row: {spec["label"]: label} if label in known else None for row, label in labels.items()}

    def width(self, dataset) -> int:
        """The number of classes."""
        return len(dataset.label_names)

    def chance(self, dataset) -> float:
        """One over the number of classes."""
        return 1 / len(dataset.label_names)

    def make_up(self, dataset) -> np.ndarray:
        """The class."""
        return np.asarray(dataset.labels)

    def groups(self, dataset) -> tuple[np.ndarray, list[str]]:
        """The classes."""
        return dataset.labels, dataset.label_names

    def dynamics(self, epochs: Sequence[np.ndarray], dataset) -> Iterator[dict[str, np.ndarray]]:
        """p_true, correct and logit_0, ...; of equal logits the first is the largest."""
        for logits in epochs:
            yield {
                "p_true": true_class_probability(logits, dataset.labels),
                "correct": logits.argmax(-1) == dataset.labels,
                **{f"logit_{index}": column for index, column in enumerate(np.ascontiguousarray(logits.T))},
            }

    def predictions(self, outputs: np.ndarray, dataset) -> np.ndarray:
        """The class of the largest logit."""
        return outputs.argmax(-1)

    def load(self, folder: str | Path, label_names: Sequence[str], own_kernels: bool):
        """An encoder with a classification head."""
        from ..models.heads import load_classifier

        return load_classifier(folder, label_names, own_kernels)
