"""Seconds and joules of a training, over all the processes that had a part in it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from .energy import EnergyMeter


class Meter:
    """Measures `seconds` and `joules` from its making to `stop`, less the pauses."""

    def __init__(self, device: torch.device):
        self.seconds = 0.0
        self._energy = EnergyMeter(device)
        self._joules_before = 0.0
        self._since = time.perf_counter()

    @property
    def joules(self) -> float | None:
        """The energy of the device up to the last `stop`, pause or state; None where nothing reports it."""
        joules = self._energy.joules
        return None if joules is None else self._joules_before + joules

    @property
    def scope(self) -> str | None:
        """What the joules are of."""
        return self._energy.scope

    def update(self) -> None:
        """Call this at every step."""
        self._energy.update()

    def stop(self) -> None:
        """Count up to here."""
        now = time.perf_counter()
        self.seconds += now - self._since
        self._since = now
        self._energy.stop()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave out what is done inside."""
        self.stop()
        with self._energy.paused():
            yield
        self._since = time.perf_counter()

    def state(self) -> dict:
        """What was measured so far."""
        self.stop()
        return {"seconds": self.seconds, "joules": self.joules}

    def restore(self, state: dict) -> None:
        """Count on from the `state` of a process before this one."""
        self.seconds, self._joules_before = state["seconds"], state["joules"] or 0.0
