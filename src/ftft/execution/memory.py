"""Freed memory that the C library keeps: what lies between other allocations stays with the process.

Batches of many lengths leave holes of many sizes, so that a training may come to hold twice what it uses.
"""

import ctypes
import resource

# Giving back costs time, as the kernel has to clear every page that is wanted again: at 256 MB, steps of
# MiniLM on 8 rows of up to 300 tokens took a sixth more CPU time.
KEPT_MB = 1024


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
