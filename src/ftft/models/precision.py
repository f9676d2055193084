"""What a device computes in, and what a model's weights are kept in."""

import torch
from torch import nn

from .adapters import POOLER

# A precision: computed in bfloat16, with the pretrained matrices kept in it too.
LOW_WEIGHTS = "bfloat16_weights"


def supports_bfloat16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16 itself rather than emulating it."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    capabilities = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def lower_weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """Keep the matrices of a model's pretrained part in bfloat16, in place; returns, of those that are
    trained, the float32 ones by name: the masters that an optimiser changes.

    Vectors (biases, norms), a new head with its pooler and an adapter's factors stay in float32: they are
    small.
    """
    pretrained, head = model.base_model, model.get_output_embeddings()
    own = {*pretrained.parameters(), *(head.parameters() if head is not None else ())}
    masters = {}
    for name, parameter in model.named_parameters():
        parts = name.split(".")
        if parameter.dim() > 1 and parameter in own and not {POOLER, "lora_A", "lora_B"} & {*parts}:
            if parameter.requires_grad:
                masters[name] = nn.Parameter(parameter.data)
            parameter.data = parameter.data.bfloat16()
    return masters
