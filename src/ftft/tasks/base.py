"""What a kind of task is: the one seam between the method and the labels, models and metrics of a task.

The light half of a kind (targets, make-up, recorded columns) needs numpy and pyarrow; torch and transformers
are imported inside the functions that need them.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    import torch

    from ..data.dataset import Dataset
    from ..models.tokens import Tokens

# Where each kind is defined; a module is imported when its kind is asked for.
KINDS = {
    "classification": "classification:Classification",
    "multiple_choice": "multiple_choice:MultipleChoice",
}


def kind_of(name: str) -> "Kind":
    """The kind of task of this name; raises KeyError for an unknown one."""
    module, _, kind = KINDS[name].partition(":")
    return getattr(import_module(f".{module}", __package__), kind)()


@dataclass(frozen=True)
class Batch:
    """Inputs of a model for some instances, on its device.

    inputs: what the model takes, its rows being features. features: how many features each instance has,
    [b], or None where each has one. width: columns of the outputs.
    """

    inputs: dict
    features: "torch.Tensor | None"
    width: int


class Kind(ABC):
    """How the instances of a task are labelled, fed to a model, recorded and scored.

    metrics: names of the metrics that every run of this kind records, the primary one first. signals: what
    the training dynamics hold beside p_true and correct; a score that needs more is refused. keys: those of a
    task in the configuration that only this kind takes. one_text: whether an instance may have a single text.
    first_token: whether the model's head reads the first token alone.
    """

    name: str
    keys: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ("accuracy",)
    signals: frozenset[str] = frozenset()
    first_token = True

    # The light half.

    def columns(self, spec: dict) -> list[str]:
        """The source columns that an instance is read from, texts first."""
        return [*spec["text"], spec["label"]]

    @abstractmethod
    def read(self, records: pa.Table, spec: dict, name: str) -> tuple[tuple[list, ...], np.ndarray]:
        """Texts by column and targets [n] of a source's rows; raises DataError for what this kind refuses."""

    @abstractmethod
    def width(self, dataset: "Dataset") -> int:
        """Columns of a model's outputs for this data set."""

    @abstractmethod
    def chance(self, dataset: "Dataset") -> float:
        """The mean p_true of a model that knows nothing."""

    @abstractmethod
    def make_up(self, dataset: "Dataset") -> np.ndarray:
        """A code [n] of each instance's label make-up: what a control that knows no model may match."""

    @abstractmethod
    def dynamics(self, recorded: np.ndarray, dataset: "Dataset") -> dict[str, np.ndarray]:
        """The columns of one epoch of training dynamics from what was recorded, [n, width]: p_true and
        correct, [n] each, and the kind's own.
        """

    def features(self, dataset: "Dataset") -> tuple[Sequence[Sequence[str]], np.ndarray | None]:
        """What is given to the tokenizer: one or two columns of texts, a row per feature; and the offsets [n
        + 1] of every instance's features, None where each has one.
        """
        return dataset.texts, None

    @abstractmethod
    def predictions(self, outputs: np.ndarray) -> np.ndarray:
        """Predictions [n] from a model's outputs [n, width]."""

    def prediction_columns(self, outputs: np.ndarray) -> dict[str, pa.Array]:
        """What an evaluation keeps of a model's outputs beside the predictions."""
        return {f"logit_{index}": finite_or_null(column) for index, column in enumerate(outputs.T)}

    # The half that needs torch.

    @abstractmethod
    def load(self, folder: str | Path, label_names: Sequence[str], own_kernels: bool):
        """The model in a folder with a head for this kind, weights in float32."""

    def collate(self, tokens: "Tokens", rows: np.ndarray, config, device, width: int) -> Batch:
        """The instances `rows` as a padded batch on `device`."""
        from ..models.inputs import model_inputs

        return Batch(model_inputs(tokens, rows, config, device), None, width)

    def outputs(self, model, batch: Batch) -> "torch.Tensor":
        """Outputs [b, width], float32, of the model's forward pass."""
        return model(**batch.inputs).logits.float()

    def losses(self, outputs: "torch.Tensor", targets: "torch.Tensor") -> "torch.Tensor":
        """One loss per instance, [b]: cross-entropy of the outputs as logits."""
        from torch.nn.functional import cross_entropy

        return cross_entropy(outputs, targets, reduction="none")


def true_class_probability(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Softmax at the true class: logits [n, classes], labels [n] -> float32 [n]."""
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    exponential = np.exp(shifted)
    gold = exponential[np.arange(len(labels)), labels]
    return (gold / exponential.sum(-1)).astype(np.float32)


def finite_or_null(column: np.ndarray) -> pa.Array:
    """A column of numbers in which what stands for an absent choice is null."""
    return pa.array(column, mask=column <= ABSENT if (column <= ABSENT).any() else None)


# The logit of a choice that an instance does not have: finite, and 0 after a softmax.
ABSENT = -1.0e9
