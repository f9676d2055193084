"""Memory of a training: how many tokens it takes at once, and what the C library keeps of freed memory.

Batches of many lengths leave holes of many sizes, so that a training may come to hold twice what it uses.
"""

import ctypes
import resource

import torch

# Giving back costs time, as the kernel has to clear every page that is wanted again: of MiniLM on rows of up
# to 300 tokens an eighth at 512 MB, and nothing that could be measured at 768.
KEPT_MB = 768
# A GPU wants many tokens at once; a core is as fast with these, and needs less memory. Of a training, which
# keeps what every layer made of them, it takes fewer.
GPU_EVALUATION_TOKENS = 16_384
CPU_TOKENS = 3072
CPU_TRAINED_TOKENS = 2048


def evaluation_tokens(runtime: dict, device: torch.device) -> int:
    """Padded tokens of a forward pass when sets are scored: as `runtime` says, else what suits the device."""
    suits = CPU_TOKENS if device.type == "cpu" else GPU_EVALUATION_TOKENS
    return runtime.get("evaluation_batch_tokens") or suits


def trained_tokens(runtime: dict, device: torch.device) -> int | None:
    """Padded tokens that a training takes at once; None for no bound, as on a GPU and where `runtime` has a
    `micro_batch_size`.
    """
    return CPU_TRAINED_TOKENS if device.type == "cpu" and not runtime.get("micro_batch_size") else None


class FreedMemory:
    """Gives the memory that this process has freed back to the system, where it is more than `kept_mb`."""

    def __init__(self, kept_mb: float = KEPT_MB) -> None:
        self._kept = kept_mb
        # glibc has it; other libraries give memory back by themselves.
        self._trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        self._needed = _resident_mb() if self._trim else 0.0

    def give_back(self) -> None:
        """Call this where little is in use: between two steps."""
        if self._trim is None:
            return
        held = _resident_mb()
        self._needed = min(self._needed, held)
        if held - self._needed > self._kept:
            self._trim(0)
            self._needed = _resident_mb()


def _resident_mb() -> float:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20
