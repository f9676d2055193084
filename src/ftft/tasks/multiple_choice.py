"""Multiple choice: one question, several candidate answers, whose number may differ by instance.

A model scores every choice beside the question; p_true is the softmax over an instance's choices at the
right one, as in dataset cartography's WinoGrande (Swayamdipta et al. 2020). Its chance level is one over the
number of choices.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..data.targets import choice_cells, choice_columns, required_texts
from ..errors import DataError
from .base import ABSENT, Batch, Kind, finite_or_null, true_class_probability


class MultipleChoice(Kind):
    """Texts: the question, and the list of its choices. Labels: the index [n] of the right choice."""

    name = "multiple_choice"
    required = ("choices",)
    text_columns = 1
    metrics = ("accuracy",)
    learns = "which of a row's texts is right"
    title = "model that chooses one of several texts"
    head = "MultipleChoice"
    pipeline = "multiple-choice"
    signals = frozenset({"logits"})

    def columns(self, spec: dict) -> list[str]:
        """The question's column, those of the choices, the label's."""
        return [*spec["text"], *spec["choices"], spec["label"]]

    def lists(self, spec: dict) -> list[str]:
        """The one column of choices."""
        return [*spec["choices"]]

    def text_names(self, spec: dict) -> list[str]:
        """The question's column, and what its choices are called together."""
        return [*spec["text"], "choices"]

    def read(self, records: pa.Table, spec: dict, name: str) -> tuple[tuple[list, ...], np.ndarray]:
        """Questions and lists of choices, and the index [n] of the right one."""
        questions = required_texts(records, spec["text"][0], spec, name)
        choices, labels = choice_columns(records, spec, name)
        return (questions, choices), labels

    def label_form(self, spec: dict) -> str:
        """A choice."""
        return "the text of one of the row's choices, or what the label column would call it"

    def corrected(
        self, labels: dict[int, str], records: pa.Table, spec: dict, name: str
    ) -> dict[int, dict[str, str] | None]:
        """The text of a choice, as the column of labels names it."""
        cells = choice_cells(records, labels, spec, name)
        return {row: None if cell is None else {spec["label"]: cell} for row, cell in cells.items()}

    def width(self, dataset) -> int:
        """The largest number of choices."""
        return max(map(len, dataset.texts[1]))

    def chance(self, dataset) -> float:
        """The mean over instances of one over the number of choices."""
        return float(np.mean([1 / len(choices) for choices in dataset.texts[1]]))

    def make_up(self, dataset) -> np.ndarray:
        """The number of choices."""
        return np.array([len(choices) for choices in dataset.texts[1]])

    def groups(self, dataset) -> tuple[np.ndarray, list[str]]:
        """Which of the choices is right."""
        return dataset.labels, [f"choice {index + 1}" for index in range(dataset.labels.max(initial=0) + 1)]

    def in_words(self, targets: np.ndarray, dataset) -> list[str]:
        """The text of each choice."""
        return [own[target] for own, target in zip(dataset.texts[1], targets, strict=True)]

    def tokenize(self, dataset, tokenizer_file: str | Path, max_length: int):
        """Every choice beside its question, as a feature."""
        from ..models.tokens import tokenize

        questions, choices = dataset.texts
        repeated = [question for question, own in zip(questions, choices, strict=True) for _ in own]
        flat = [choice for own in choices for choice in own]
        counts = list(map(len, choices))
        tokens = tokenize((repeated, flat), tokenizer_file, max_length, counts=counts)
        return replace(tokens, features=np.cumsum([0, *counts]))

    def taken(self, outputs: np.ndarray, rows: np.ndarray, dataset, words: np.ndarray | None) -> np.ndarray:
        """Scores [m, choices], of which those beyond a question's own choices count for nothing."""
        counts = self.make_up(dataset)[rows, None]
        if outputs.ndim != 2 or outputs.shape[1] < counts.max(initial=0):
            raise DataError(
                "these are not scores of choices",
                got=f"shape {list(outputs.shape)}",
                expected=f"[{len(rows)}, {counts.max(initial=0)}] or more: a score for every choice",
            )
        present = np.arange(outputs.shape[1]) < counts
        padded = np.full((len(rows), max(outputs.shape[1], self.width(dataset))), ABSENT, np.float32)
        padded[:, : outputs.shape[1]] = np.where(present, outputs, ABSENT)
        return padded[:, : self.width(dataset)]

    def dynamics(self, epochs: Sequence[np.ndarray], dataset) -> Iterator[dict[str, np.ndarray]]:
        """p_true, correct and logit_0, ..., null where an instance has no such choice."""
        for scores in epochs:
            columns = enumerate(np.ascontiguousarray(scores.T))
            yield {
                "p_true": true_class_probability(scores, dataset.labels),
                "correct": scores.argmax(-1) == dataset.labels,
                **{f"logit_{index}": finite_or_null(column) for index, column in columns},
            }

    def predictions(self, outputs: np.ndarray, dataset) -> np.ndarray:
        """The choice of the largest score."""
        return outputs.argmax(-1)

    def shown(self, texts: Sequence[list], labels: np.ndarray, label_names: Sequence[str]) -> list[list[str]]:
        """Questions, and their choices line by line, an arrow before the right one."""
        questions, choices = texts
        marked = [
            "\n".join(f"{'→ ' if place == right else ''}{choice}" for place, choice in enumerate(own))
            for own, right in zip(choices, labels, strict=True)
        ]
        return [questions, marked]

    def usage(self, text: Sequence[str], encoder_decoder: bool = False) -> str:
        """The library's model itself: it has no pipeline for choices."""
        return (
            "from transformers import AutoModelForMultipleChoice, AutoTokenizer\n\n"
            'tokenizer = AutoTokenizer.from_pretrained("path/of/this/folder")\n'
            'model = AutoModelForMultipleChoice.from_pretrained("path/of/this/folder")\n'
            'choices = ["a choice", "another"]\n'
            'inputs = tokenizer(["a question"] * len(choices), choices, padding=True, return_tensors="pt")\n'
            "scores = model(**{name: values[None] for name, values in inputs.items()}).logits[0]"
        )

    def load(self, folder: str | Path, label_names: Sequence[str], own_kernels: bool):
        """An encoder with a head of one output."""
        from ..models.heads import load_multiple_choice

        return load_multiple_choice(folder, own_kernels)

    def outputs(self, model, batch: Batch):
        """The score of every choice, [b, width]; `base.ABSENT` where there is none."""
        import torch

        # The library's heads take [instances, choices, tokens]: here all choices as those of one instance.
        flat = model(**{name: values[None] for name, values in batch.inputs.items()}).logits.float().flatten()
        present = torch.arange(batch.width, device=flat.device) < batch.features[:, None]
        absent = flat.new_full(present.shape, ABSENT)
        return absent.masked_scatter(present, flat)
