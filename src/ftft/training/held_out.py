"""What a trained model gives for instances that it was not trained on."""

import numpy as np
import torch
from torch import nn

from ..tasks.prediction import token_batches
from .feed import Feed, TrainingData


@torch.inference_mode()
def outputs_of(model: nn.Module, data: TrainingData, batch_tokens: int, autocast) -> np.ndarray:
    """What is recorded, [m, width] float32, of the instances of `data.supervision`, in evaluation mode.

    `autocast` makes the context of the forward pass; a batch holds at most `batch_tokens` padded tokens, of
    which a kind may use a share, or one instance.
    """
    device = next(model.parameters()).device
    feed, kind = Feed(data, model.config, device), data.kind
    model.eval()
    recorded = torch.empty((len(data.supervision), feed.width), device=device)
    lengths = data.tokens.total_lengths[data.supervision.rows]
    for positions in token_batches(kind, lengths, batch_tokens):
        batch = feed.batch(positions)
        with autocast():
            outputs = kind.outputs(model, batch)
        given = kind.recorded(outputs, feed.compared(positions, batch), feed.width)
        recorded[torch.from_numpy(positions).to(device)] = given.float()
    return recorded.cpu().numpy()
