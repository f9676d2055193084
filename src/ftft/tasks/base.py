"""What a kind of task is: the one seam between the method and the labels, models and metrics of a task.

The light half of a kind (targets, make-up, recorded columns) needs numpy and pyarrow; torch and transformers
are imported inside the functions that need them.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from ..errors import DataError

if TYPE_CHECKING:
    import torch

    from ..data.dataset import Dataset
    from ..models.tokens import Tokens

# Where each kind is defined; a module is imported when its kind is asked for.
KINDS = {
    "classification": "classification:Classification",
    "generation": "generation:Generation",
    "multiple_choice": "multiple_choice:MultipleChoice",
    "multilabel": "multilabel:Multilabel",
    "regression": "regression:Regression",
    "question_answering": "question_answering:QuestionAnswering",
    "token_classification": "token_classification:TokenClassification",
}


def kind_of(name: str) -> "Kind":
    """The kind of task of this name; raises KeyError for an unknown one."""
    module, _, kind = KINDS[name].partition(":")
    return getattr(import_module(f".{module}", __package__), kind)()


@dataclass(frozen=True)
class Batch:
    """Inputs of a model for some instances, on its device.

    inputs: what the model takes, its rows being features. features: how many features each instance has,
    [b], or None where each has one. width: columns of what is recorded or predicted of an instance. aligned:
    what the kind keeps beside every token, [features, tokens] by name, -1 at padding.
    """

    inputs: dict
    features: "torch.Tensor | None"
    width: int
    aligned: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Suggestions:
    """What a model would say of n instances in place of their labels.

    given, suggested: the labels in words [n]; the suggested one is empty where the model agrees or has none.
    probabilities: the mean over epochs of the probability of each class [n, classes], or None. remarks: by
    row, a sentence about the part of its label that looks worst.
    """

    given: list[str]
    suggested: list[str]
    probabilities: np.ndarray | None = None
    remarks: dict[int, str] = field(default_factory=dict)


class Kind(ABC):
    """How the instances of a task are labelled, fed to a model, recorded and scored.

    metrics: names of the metrics that every run of this kind records, the primary one first. signals: what
    the training dynamics hold beside p_true and correct; a score that needs more is refused. required and
    optional: keys of a task in the configuration that not every kind takes. fewest_labels: how many labels a
    task must name where it names any; fewest_texts and text_columns: how many columns of texts it must and
    may name. learns: what is
    learnt, and title: what a model of this kind is, in words; head: what transformers calls its head,
    AutoModelFor...; pipeline: what the hub calls its task. first_token: whether the head reads the first
    token alone. evaluated: optional keys that evaluations alone read.
    shows_targets: whether a page shows more than the texts as they are; shows_dynamics: whether it shows what
    this kind records beside p_true and correct.
    evaluation_share: how much of the tokens of an evaluation batch this kind's outputs leave room for.
    one_column: whether text and label may be one column. issue_scores: the scores by which labels of this
    kind look wrong, where none are asked for. baselines: selectors that a table of this kind shows
    beside its own.
    """

    name: str
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ("accuracy",)
    signals: frozenset[str] = frozenset()
    fewest_labels = 2
    fewest_texts = 1
    text_columns = 2
    learns = "one label per row"
    title = "text classifier"
    head = "SequenceClassification"
    pipeline = "text-classification"
    first_token = True
    evaluated: tuple[str, ...] = ()
    shows_targets = False
    shows_dynamics = False
    evaluation_share = 1.0
    one_column = False
    issue_scores: tuple[str, ...] = ("confidence",)
    baselines: tuple[str, ...] = ()

    # The light half.

    def head_of(self, encoder_decoder: bool) -> str:
        """What transformers calls this kind's head on a model with or without a decoder of its own."""
        return self.head

    def pipeline_of(self, encoder_decoder: bool) -> str:
        """What the hub calls this kind's task for such a model."""
        return self.pipeline

    def label_names(self, spec: dict) -> list[str]:
        """Names of what the targets hold indices of, by the task's `labels`."""
        return list(spec.get("labels", ()))

    def columns(self, spec: dict) -> list[str]:
        """The source columns that an instance is read from, texts first."""
        return [*spec["text"], spec["label"]]

    def lists(self, spec: dict) -> list[str]:
        """Those of the columns that may hold lists; in the others one is refused."""
        return []

    def text_names(self, spec: dict) -> list[str]:
        """What the columns of texts of a data set are called."""
        return [*spec["text"]]

    @abstractmethod
    def read(self, records: pa.Table, spec: dict, name: str) -> tuple[tuple[list, ...], np.ndarray]:
        """Texts by column and targets [n] of a source's rows; raises DataError for what this kind refuses."""

    @abstractmethod
    def width(self, dataset: "Dataset") -> int:
        """Columns of what is recorded of an instance of this data set in an epoch."""

    def prediction_width(self, dataset: "Dataset") -> int:
        """Columns of what is predicted for an instance of this data set."""
        return self.width(dataset)

    def targets(self, dataset: "Dataset") -> np.ndarray:
        """What the loss compares the outputs with, a row of numbers per instance."""
        return dataset.labels

    @abstractmethod
    def chance(self, dataset: "Dataset") -> float:
        """The mean p_true of a model that knows nothing."""

    @abstractmethod
    def make_up(self, dataset: "Dataset") -> np.ndarray:
        """A code [n] of each instance's label make-up: what a control that knows no model may match."""

    def lengths(self, dataset: "Dataset") -> np.ndarray:
        """How long each instance is, [n]: characters of its texts, as not every script tells words apart."""
        return np.sum([[_characters(text) for text in column] for column in dataset.texts], axis=0)

    @abstractmethod
    def groups(self, dataset: "Dataset") -> tuple[np.ndarray, list[str]]:
        """A group [n] for each instance by its target, and the groups' names: what a page shows and filters
        by. The data set may lack its texts.
        """

    @abstractmethod
    def dynamics(self, epochs: Sequence[np.ndarray], dataset: "Dataset") -> Iterator[dict[str, np.ndarray]]:
        """For each epoch the columns of the training dynamics, from what was recorded in all, [n, width] per
        epoch: p_true and correct, [n] each, and the kind's own.
        """

    def taken(
        self, outputs: np.ndarray, rows: np.ndarray, dataset: "Dataset", words: np.ndarray | None
    ) -> np.ndarray:
        """What is recorded, [m, width], of the instances `rows` [m], from the outputs of a loop that is not
        ours. `words` says which word each token is the first of, for kinds with tokens. Raises DataError.
        """
        if outputs.shape != (len(rows), self.width(dataset)):
            raise DataError(
                f"these are not outputs of the kind '{self.name}'",
                got=f"shape {list(outputs.shape)}",
                expected=f"shape {[len(rows), self.width(dataset)]}",
            )
        return outputs

    def suggestions(
        self, logits: np.ndarray | None, own: dict[str, np.ndarray], dataset: "Dataset"
    ) -> Suggestions:
        """The given labels in words, and the likeliest ones by the mean over epochs of what `logits` [epochs,
        n, classes] make of each class, where the dynamics have them. `own` [epochs, n] is what else the kind
        records.
        """
        given = self.in_words(dataset.labels, dataset)
        if logits is None:
            return Suggestions(given, [""] * len(dataset))
        probabilities = mean_probabilities(logits)
        likeliest = probabilities.argmax(1)
        words = self.in_words(likeliest, dataset)
        agrees = likeliest == dataset.labels
        return Suggestions(
            given, ["" if same else word for same, word in zip(agrees, words, strict=True)], probabilities
        )

    def in_words(self, targets: np.ndarray, dataset: "Dataset") -> list[str]:
        """Targets of the instances of `dataset`, in its order, as a reader would write them."""
        if dataset.label_names and targets.ndim == 1 and np.issubdtype(targets.dtype, np.integer):
            return [dataset.label_names[target] for target in targets]
        return [json.dumps(target, ensure_ascii=False, default=np.ndarray.tolist) for target in targets]

    def readable(self, label: str, texts: Sequence) -> str:
        """A label in words of the instance with these texts, as a page shows it."""
        return label

    def label_form(self, spec: dict) -> str:
        """What the label of a correction looks like."""
        return "a label as the source spells it"

    def corrected(
        self, labels: dict[int, str], records: pa.Table, spec: dict, name: str
    ) -> dict[int, dict[str, str] | None]:
        """By row of a source what its columns have to hold for the row to have this label, which is in words
        or as the source spells it; None where there is no such label.
        """
        return {row: {spec["label"]: label} for row, label in labels.items()}

    def tokenize(self, dataset: "Dataset", tokenizer_file: str | Path, max_length: int) -> "Tokens":
        """The tokens of a data set, by the tokenizer in a file `tokenizer.json`."""
        from ..models.tokens import tokenize

        return tokenize(dataset.texts, tokenizer_file, max_length)

    @abstractmethod
    def predictions(self, outputs: np.ndarray, dataset: "Dataset") -> np.ndarray:
        """Predictions [n], as the metrics take them, from what a model gave, [n, prediction_width]."""

    def completed(
        self,
        predictions: np.ndarray,
        model,
        tokens: "Tokens",
        folder: Path,
        spec: dict,
        batch_tokens: int,
        autocast,
    ) -> np.ndarray:
        """The predictions of an evaluation by its `spec`, with what the model itself can add: nothing."""
        return predictions

    def prediction_columns(self, outputs: np.ndarray) -> dict[str, pa.Array]:
        """What an evaluation keeps of a model's outputs beside the predictions."""
        return {f"logit_{index}": finite_or_null(column) for index, column in enumerate(outputs.T)}

    def numbered(self, values: np.ndarray, numbers: dict[str, int]) -> np.ndarray:
        """Targets or predictions [n] for an archive without texts: of a kind whose metrics compare words,
        `numbers`, which grow, in place of these; of all others as they are.
        """
        return values

    def shown(self, texts: Sequence[list], labels: np.ndarray, label_names: Sequence[str]) -> list[list[str]]:
        """The columns of texts as a page shows them, lists with one text in each line."""
        return [[text if isinstance(text, str) else "\n".join(text) for text in column] for column in texts]

    def marked(self, labels: np.ndarray) -> tuple[int, np.ndarray] | None:
        """What a page marks in the texts: the column, and of each instance the first character and the one
        behind the last, [n, 2], equal where there is nothing to mark.
        """
        return None

    def beside(
        self, texts: Sequence[list], labels: np.ndarray, own: dict[str, np.ndarray]
    ) -> dict[str, list[str]]:
        """What a page shows of each instance beside its texts [n], by name; `own` [epochs, n] is what the
        kind records beside p_true and correct.
        """
        return {}

    def usage(self, text: Sequence[str], encoder_decoder: bool = False) -> str:
        """Python that uses a saved model, with a decoder beside its encoder or without, on texts of these
        columns.
        """
        example = '"a text"' if len(text) == 1 else '{"text": "a text", "text_pair": "another text"}'
        return (
            "from transformers import pipeline\n\n"
            f'classify = pipeline("{self.pipeline}", "path/of/this/folder")\n'
            f"classify({example})"
        )

    # The half that needs torch.

    @abstractmethod
    def load(self, folder: str | Path, label_names: Sequence[str], own_kernels: bool):
        """The model in a folder with a head for this kind, weights in float32."""

    def collate(self, tokens: "Tokens", rows: np.ndarray, config, device, width: int) -> Batch:
        """The instances `rows` as a padded batch on `device`."""
        import torch

        from ..models.inputs import model_inputs

        features = tokens.features_of(rows)
        counts = None
        if tokens.features is not None:
            counts = torch.from_numpy(np.diff(tokens.features)[rows]).to(device)
        inputs, aligned = model_inputs(tokens, features, config, device)
        return Batch(inputs, counts, width, aligned)

    def outputs(self, model, batch: Batch) -> "torch.Tensor":
        """What the model's forward pass gives, float32."""
        return model(**batch.inputs).logits.float()

    def compared(self, targets: "torch.Tensor", batch: Batch):
        """What the losses of a batch are told beside the outputs: the targets, or what lies beside the
        tokens.
        """
        return targets

    def losses(self, outputs: "torch.Tensor", targets: "torch.Tensor") -> "torch.Tensor":
        """One loss per instance, [b]: cross-entropy of the outputs as logits."""
        from torch.nn.functional import cross_entropy

        return cross_entropy(outputs, targets, reduction="none")

    def recorded(self, outputs: "torch.Tensor", targets: "torch.Tensor", width: int) -> "torch.Tensor":
        """What the dynamics are made from, [b, width]: the outputs."""
        return outputs

    def finish(self, model, dataset: "Dataset"):
        """What is to be saved of a model that was trained on this data set: the model itself."""
        return model

    def predicted(self, outputs: "torch.Tensor", batch: Batch) -> "torch.Tensor":
        """What `predictions` are made from, [b, batch.width]: the outputs."""
        return outputs


def _characters(text: str | list[str]) -> int:
    return len(text) if isinstance(text, str) else sum(map(len, text))


def mean_probabilities(logits: np.ndarray) -> np.ndarray:
    """Mean over epochs of the softmax: logits [epochs, n, classes] -> float64 [n, classes]; 0 for a choice
    that an instance lacks.
    """
    total = np.zeros(logits.shape[1:])
    for epoch in logits:
        exponential = np.exp(
            np.nan_to_num(epoch.astype(np.float64), nan=-np.inf) - np.nanmax(epoch, -1)[:, None]
        )
        total += exponential / exponential.sum(-1, keepdims=True)
    return total / len(logits)


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
