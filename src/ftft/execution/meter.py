"""Seconds, joules, memory and work of a training, over all the processes that had a part in it."""

import platform
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ..models.flops import Workload
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

    @property
    def reading(self) -> tuple[str, str | None, float | None]:
        """The machine, what the joules are of, and how many; for `total_energy`."""
        return platform.node(), self.scope, self.joules

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


def total_energy(readings: list[tuple[str, str | None, float | None]]) -> tuple[float | None, str | None]:
    """Joules that the devices of several meters consumed, and what they are of; (None, None) where one
    reports nothing. Devices that meters have in common, as the processors of a machine, count once."""
    joules = {(machine, scope): joules for machine, scope, joules in readings}
    if None in joules.values():
        return None, None
    return sum(joules.values()), "; ".join(sorted({scope for _, scope in joules}))


def total_work(states: list[dict[str, int]]) -> Workload:
    """What several processes have computed, from the states of their workloads."""
    sums = {name: sum(state[name] for state in states) for name in states[0]}
    return Workload(**{**sums, "widest": max(state["widest"] for state in states)})


def peak_memory(device: torch.device) -> float:
    """Megabytes: of a GPU what its tensors took, else the process's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
