"""What a device computes in."""

import torch


def supports_bfloat16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16 itself rather than emulating it."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    capabilities = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
