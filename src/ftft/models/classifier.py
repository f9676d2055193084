"""The encoder with its classification head: loading, precision, prediction."""

import os
from pathlib import Path

# Everything after the preparation of encoders reads local folders only.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import torch
import transformers
from torch import nn
from transformers import AutoModelForSequenceClassification

from ..errors import ModelError
from .fast import speed_up
from .tokens import Tokens, budget_batches

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


def load_classifier(folder: str | Path, label_names: list[str], fast: bool = True) -> nn.Module:
    """Load an encoder's folder with a classification head for `label_names`, weights in float32.

    With `fast`, it runs our own code for its architecture (`fast.py`), otherwise that of transformers.
    A head that the folder lacks is drawn from torch's global generator: seed it first.
    Raises ModelError where the folder cannot be loaded.
    """
    names = dict(enumerate(label_names))
    try:
        model = AutoModelForSequenceClassification.from_pretrained(
            folder,
            num_labels=len(names),
            id2label=names,
            label2id={name: index for index, name in names.items()},
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
        )
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"the encoder in {folder} cannot be loaded",
            got=str(error).strip().splitlines()[0],
            fix="delete the folder and let snakemake make it again",
        ) from error
    _keep_head_in_float32(model, len(names))
    return speed_up(model) if fast else model


def _keep_head_in_float32(model: nn.Module, classes: int) -> None:
    # Logits rounded to bfloat16 move p_true by up to 0.005; the last layer costs nothing in float32.
    heads = [
        layer for layer in model.modules() if isinstance(layer, nn.Linear) and layer.out_features == classes
    ]
    plain = heads[-1].forward

    def forward(inputs: torch.Tensor) -> torch.Tensor:
        with torch.autocast(inputs.device.type, enabled=False):
            return plain(inputs.float())

    heads[-1].forward = forward


def parameter_counts(model: nn.Module) -> dict[str, int]:
    """Trainable parameters in all, and without input embeddings."""
    total = sum(parameter.numel() for parameter in model.parameters())
    return {"total": total, "without_embeddings": total - model.get_input_embeddings().weight.numel()}


def model_inputs(
    tokens: Tokens, rows: np.ndarray, model_config, device: torch.device
) -> dict[str, torch.Tensor]:
    """The padded batch `rows` as the model takes it, on `device`."""
    on_gpu = device.type == "cuda"
    # On a GPU few shapes, so that memory and kernels chosen by shape are used again.
    arrays = tokens.padded(rows, model_config.pad_token_id or 0, round_width=on_gpu)
    if getattr(model_config, "type_vocab_size", 0) < 2:
        del arrays["token_type_ids"]
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    if on_gpu:
        return {name: tensor.pin_memory().to(device, non_blocking=True) for name, tensor in tensors.items()}
    return tensors


@torch.inference_mode()
def predict_logits(model: nn.Module, tokens: Tokens, batch_tokens: int, autocast) -> np.ndarray:
    """Evaluation-mode logits [n, classes] float32 of all instances, in data order.

    `autocast` makes the context of the forward pass. The model's mode is left as it was.
    Raises ModelError where a logit is not finite.
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    logits = torch.empty((len(tokens), model.config.num_labels), device=device)
    for rows in budget_batches(tokens.lengths, batch_tokens):
        with autocast():
            output = model(**model_inputs(tokens, rows, model.config, device)).logits
        logits[torch.from_numpy(rows).to(device)] = output.float()
    model.train(was_training)
    result = logits.cpu().numpy()
    if not np.isfinite(result).all():
        row = np.argwhere(~np.isfinite(result))[0][0]
        raise ModelError(
            "the model's predictions are not finite",
            got=f"logits {result[row].tolist()} for the instance in row {row}",
            expected="finite logits",
            fix="lower the learning rate, or set training.precision: float32",
        )
    return result
