"""Tokens and predictions of whole data sets, for any kind of task."""

import hashlib
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..data.dataset import Dataset
from ..errors import ModelError
from ..models.tokens import Tokens, budget_batches, cached_tokens
from .base import Kind


def encode(kind: Kind, dataset: Dataset, encoder: str | Path, max_length: int, cache: str | Path) -> Tokens:
    """The tokens of a data set by the tokenizer in the folder `encoder`, made once
    (`models.tokens.cached_tokens`).
    """
    tokenizer = Path(encoder) / "tokenizer.json"
    # What the cache takes for the maker is this function, not the kind's own.
    code = hashlib.sha256(Path(inspect.getfile(type(kind))).read_bytes()).hexdigest()
    origin = {"data": dataset.content_hash, "kind": kind.name, "made_by": code, "max_length": max_length}
    return cached_tokens(lambda: kind.tokenize(dataset, tokenizer, max_length), origin, tokenizer, cache)


def token_folder(runtime: dict) -> Path:
    """Where the tokens of data sets are kept."""
    return Path(runtime["scratch"]) / "tokens"


def told_tokens(
    kind: Kind, dataset: Dataset, name: str, encoder: str | Path, max_length: int, runtime: dict
) -> Tokens:
    """The tokens of `encode`, with a warning that calls the data set `name` where rows were cut."""
    tokens = encode(kind, dataset, encoder, max_length, token_folder(runtime))
    tokens.cut.tell(name, max_length)
    return tokens


def token_batches(kind: Kind, lengths: np.ndarray, batch_tokens: int) -> list[np.ndarray]:
    """The places of each forward pass over instances of these lengths [n]: at most `batch_tokens` padded
    tokens, of which a kind may use a share, or one instance.
    """
    return list(budget_batches(lengths, int(batch_tokens * kind.evaluation_share)))


# Not in inference mode: weights that a sharded model gathers there could not be trained afterwards.
@torch.no_grad()
def predict_outputs(
    kind: Kind,
    model: nn.Module,
    tokens: Tokens,
    width: int,
    batch_tokens: int,
    autocast: Callable,
    batches: Sequence[np.ndarray] | None = None,
) -> np.ndarray:
    """What the model predicts in evaluation mode, [n, width] float32, of all instances in data order.

    It is what `Kind.predictions` takes; of a kind with logits, these.

    `autocast` makes the context of the forward pass; `batches` are by default `token_batches`, and
    rows in none of them get 0. The model's mode is left as it was. Raises ModelError where an output is not
    finite.
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    outputs = torch.zeros((len(tokens), width), device=device)
    for rows in token_batches(kind, tokens.total_lengths, batch_tokens) if batches is None else batches:
        with autocast():
            batch = kind.collate(tokens, rows, model.config, device, width)
            predicted = kind.predicted(kind.outputs(model, batch), batch)
        outputs[torch.from_numpy(rows).to(device)] = predicted.float()
    model.train(was_training)
    result = outputs.cpu().numpy()
    if not np.isfinite(result).all():
        row = np.argwhere(~np.isfinite(result))[0][0]
        raise ModelError(
            "the model's predictions are not finite",
            got=f"logits {result[row].tolist()} for the instance in row {row}",
            expected="finite logits",
            fix="lower the learning rate, or set training.precision: float32",
        )
    return result
