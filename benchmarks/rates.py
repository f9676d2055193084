"""The rate of matrix products, against which a training's use of the machine is counted."""

import torch

from .harness import interleave


def matrix_rate(device: torch.device, dtype: torch.dtype, size: int) -> float:
    """Operations per second of CPU time, or of wall time on a GPU: the best of five products."""
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    on_gpu = device.type == "cuda"

    def product() -> float:
        torch.matmul(left, right)
        if on_gpu:
            torch.cuda.synchronize(device)
        return 2.0 * size**3

    runs = interleave({"product": product}, 5)["product"]
    return max(run.units / (run.wall if on_gpu else run.cpu) for run in runs)


def operations(parameters: int, tokens: float) -> float:
    """Operations of training: 6 per parameter, embeddings left out, and token (Kaplan et al. 2020)."""
    return 6.0 * parameters * tokens
