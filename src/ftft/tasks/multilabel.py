"""Several labels, one or none for every text, each of which is a yes or a no.

p_true is the mean probability of the right answer over the labels that matter: those of the instance, and
those that the model ever gave it. Most labels are absent and learnt to be so at once; a mean over all of them
would be flat.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..data.targets import label_sets, list_of_texts, required_texts
from .base import Kind, Suggestions


class Multilabel(Kind):
    """Labels: truth values [n, labels]."""

    name = "multilabel"
    required = ("labels",)
    optional = ("label_columns",)
    learns = "several labels per row, one or none"
    title = "classifier of texts that have several labels, one or none"
    metrics = ("macro_f1", "micro_f1", "subset_accuracy")

    def columns(self, spec: dict) -> list[str]:
        """The texts, and the column of lists or the columns of the labels."""
        return [*spec["text"], *spec.get("label_columns", [spec["label"]])]

    def lists(self, spec: dict) -> list[str]:
        """The one column of labels."""
        return [] if "label_columns" in spec else [spec["label"]]

    def read(self, records: pa.Table, spec: dict, name: str) -> tuple[tuple[list, ...], np.ndarray]:
        """Texts by column, and which labels each row has."""
        texts = tuple(required_texts(records, column, spec, name) for column in spec["text"])
        return texts, label_sets(records, spec, name)

    def label_form(self, spec: dict) -> str:
        """A list."""
        return f"a list in JSON of {', '.join(spec['labels'])}"

    def corrected(
        self, labels: dict[int, str], records: pa.Table, spec: dict, name: str
    ) -> dict[int, dict[str, str] | None]:
        """The list of a row's labels, or a truth value for each column."""
        columns = spec.get("label_columns")
        known = {*spec["labels"], *({} if columns else spec.get("label_names", {}))}
        found: dict[int, dict[str, str] | None] = {}
        for row, label in labels.items():
            own = list_of_texts(label)
            if own is None or not known.issuperset(own):
                found[row] = None
            elif columns:
                pairs = zip(columns, spec["labels"], strict=True)
                found[row] = {column: str(int(name in own)) for column, name in pairs}
            else:
                found[row] = {spec["label"]: label}
        return found

    def width(self, dataset) -> int:
        """The number of labels."""
        return len(dataset.label_names)

    def targets(self, dataset) -> np.ndarray:
        """0 and 1."""
        return dataset.labels.astype(np.float32)

    def chance(self, dataset) -> float:
        """One half: each label is a yes or a no."""
        return 0.5

    def make_up(self, dataset) -> np.ndarray:
        """The set of labels."""
        return np.unique(dataset.labels, axis=0, return_inverse=True)[1].ravel()

    def groups(self, dataset) -> tuple[np.ndarray, list[str]]:
        """The one label of an instance, that it has several, or none."""
        counts, classes = dataset.labels.sum(1), len(dataset.label_names)
        alone = np.where(counts == 1, dataset.labels.argmax(1) + 1, 0)
        return np.where(counts > 1, classes + 1, alone), [
            "no label",
            *dataset.label_names,
            "several labels",
        ]

    def dynamics(self, epochs: Sequence[np.ndarray], dataset) -> Iterator[dict[str, np.ndarray]]:
        """p_true, correct (every label) and probability_0, ...; a label is predicted above one half."""
        labels = dataset.labels
        matter = np.logical_or.reduce([labels, *(logits > 0 for logits in epochs)])
        matter |= ~matter.any(1, keepdims=True)
        for logits in epochs:
            # Of large logits the exponential overflows to infinity, which divides to 0.
            with np.errstate(over="ignore"):
                probabilities = 1 / (1 + np.exp(-logits.astype(np.float64)))
            right = np.where(labels, probabilities, 1 - probabilities)
            yield {
                "p_true": ((right * matter).sum(1) / matter.sum(1)).astype(np.float32),
                "correct": ((logits > 0) == labels).all(1),
                **{
                    f"probability_{index}": column.astype(np.float32)
                    for index, column in enumerate(probabilities.T)
                },
            }

    def suggestions(self, logits: None, own: dict[str, np.ndarray], dataset) -> Suggestions:
        """The labels whose mean probability over epochs is above one half."""
        means = [own[f"probability_{index}"].mean(0) for index in range(len(dataset.label_names))]
        likeliest = np.stack(means, 1) > 0.5
        agrees = (likeliest == dataset.labels).all(1)
        words = self.in_words(likeliest, dataset)
        suggested = ["" if same else word for same, word in zip(agrees, words, strict=True)]
        return Suggestions(self.in_words(dataset.labels, dataset), suggested)

    def in_words(self, targets: np.ndarray, dataset) -> list[str]:
        """The list of an instance's labels, as JSON."""
        names = np.array(dataset.label_names, object)
        return [json.dumps(names[own].tolist(), ensure_ascii=False) for own in targets]

    def readable(self, label: str, texts: Sequence) -> str:
        """The labels one after the other."""
        return ", ".join(json.loads(label)) or "no label"

    def predictions(self, outputs: np.ndarray, dataset) -> np.ndarray:
        """The labels whose probability is above one half, bool [n, labels]."""
        return outputs > 0

    def usage(self, text: Sequence[str], encoder_decoder: bool = False) -> str:
        """The pipeline for text classification, asked for all labels."""
        return f"{super().usage(text).removesuffix(')')}, top_k=None)"

    def load(self, folder: str | Path, label_names: Sequence[str], own_kernels: bool):
        """An encoder with a classification head."""
        from ..models.heads import load_classifier

        return load_classifier(folder, label_names, own_kernels, "multi_label_classification")

    def losses(self, outputs, targets):
        """Binary cross-entropy, the mean over the labels."""
        from torch.nn.functional import binary_cross_entropy_with_logits

        return binary_cross_entropy_with_logits(outputs, targets, reduction="none").mean(1)
