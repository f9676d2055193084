"""Batches of tokens as models take them."""

import numpy as np
import torch

from .tokens import Tokens


def model_inputs(
    tokens: Tokens, rows: np.ndarray, model_config, device: torch.device
) -> dict[str, torch.Tensor]:
    """The features `rows` as a padded batch for the model, on `device`."""
    on_gpu = device.type == "cuda"
    # On a GPU few shapes, so that memory and kernels chosen by shape are used again.
    arrays = tokens.padded(rows, model_config.pad_token_id or 0, round_width=on_gpu)
    if getattr(model_config, "type_vocab_size", 0) < 2:
        del arrays["token_type_ids"]
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    if on_gpu:
        return {name: tensor.pin_memory().to(device, non_blocking=True) for name, tensor in tensors.items()}
    return tensors
