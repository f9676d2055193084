"""Batches of tokens as models take them."""

import numpy as np
import torch

from .tokens import Tokens


def model_inputs(
    tokens: Tokens, rows: np.ndarray, model_config, device: torch.device
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """The features `rows` as a padded batch for the model, and what is aligned with its tokens, on
    `device`.
    """
    on_gpu = device.type == "cuda"
    # On a GPU few shapes, so that memory and kernels chosen by shape are used again.
    arrays = tokens.padded(rows, model_config.pad_token_id or 0, round_width=on_gpu)
    if getattr(model_config, "type_vocab_size", 0) < 2:
        del arrays["token_type_ids"]
    return tuple(
        {name: _moved(torch.from_numpy(array), device) for name, array in found.items()}
        for found in (arrays, tokens.padded_aligned(rows, arrays["input_ids"].shape[1]))
    )


def _moved(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor
