"""Seconds, joules, memory and work of a training, over all the processes that had a part in it.

Energy comes from the counters of the device: NVML on NVIDIA GPUs, RAPL on CPUs. A GPU's is that of its whole
board, without the CPU; a CPU's is that of all packages, with whatever else they compute, without memory.
"""

import platform
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch

from ..models.flops import Workload

POWERCAP = Path("/sys/class/powercap")
# The smallest RAPL counters start anew every 65 kJ, which is 164 seconds at 400 W.
READING_INTERVAL = 30.0
LARGEST_WATTS = 2000
# Machine, device, joules.
Reading = tuple[str, str | None, float | None]


class Counter(NamedTuple):
    """Microjoules of `device` since some moment, modulo `limit`. `read` raises OSError where it cannot."""

    device: str
    read: Callable[[], int]
    limit: int


class Meter:
    """Measures `seconds`, and `joules` where something reports them, from its making to `stop`.

    Pauses do not count. A training that goes on takes up the `state` of the process before it.
    """

    def __init__(self, device: torch.device, powercap: Path = POWERCAP):
        self.seconds = 0.0
        self._counters = find_counters(device, powercap)
        self._microjoules = 0.0
        self._start()

    @property
    def joules(self) -> float | None:
        """The energy up to the last `stop`, pause or state; None where nothing reports it."""
        return self._microjoules / 1e6 if self._counters else None

    @property
    def reading(self) -> Reading:
        """The machine, the devices that were measured, and their joules; for `total_energy`."""
        return platform.node(), ", ".join(counter.device for counter in self._counters), self.joules

    def update(self) -> None:
        """Call this at every step: counters have to be read before they have gone round once."""
        if time.monotonic() - self._read_at >= READING_INTERVAL:
            self.stop()

    def stop(self) -> None:
        """Count up to here."""
        before, then, since = self._values, self._read_at, self._since
        self._start()
        self.seconds += self._since - since
        elapsed = self._read_at - then
        if any(elapsed * LARGEST_WATTS * 1e6 > counter.limit for counter in self._counters):
            self._counters = []  # A process that was halted so long cannot know how often they went round.
        for counter, last, now in zip(self._counters, before, self._values, strict=False):
            self._microjoules += (now - last) % counter.limit

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave out what is done inside."""
        self.stop()
        yield
        self._start()

    def state(self) -> dict:
        """What was measured so far."""
        self.stop()
        return {"seconds": self.seconds, "joules": self.joules}

    def restore(self, state: dict) -> None:
        """Count on from the `state` of a process before this one; energy is known if it was known there."""
        self.seconds, joules = state["seconds"], state["joules"]
        self._microjoules = 0.0 if joules is None else joules * 1e6
        if joules is None:
            self._counters = []

    def _start(self) -> None:
        try:
            self._values = [counter.read() for counter in self._counters]
        except (OSError, ValueError):
            self._counters = self._values = []
        self._since, self._read_at = time.perf_counter(), time.monotonic()


def find_counters(device: torch.device, powercap: Path = POWERCAP) -> list[Counter]:
    """The energy counters of a device; none where it has none or they may not be read."""
    if device.type == "cuda":
        return _gpu_counter(device)
    return _package_counters(powercap) if device.type == "cpu" else []


def _gpu_counter(device: torch.device) -> list[Counter]:
    try:
        import pynvml

        pynvml.nvmlInit()
        # NVML numbers the devices of the machine, torch those of CUDA_VISIBLE_DEVICES.
        uuid = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
        handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
    except ImportError:
        return []
    except pynvml.NVMLError:
        return []

    def read() -> int:
        try:
            return 1000 * pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
        except pynvml.NVMLError as error:
            raise OSError(str(error)) from error

    return [Counter(uuid, read, 1000 * 2**64)]


def _package_counters(powercap: Path) -> list[Counter]:
    packages = {}
    try:
        for zone in sorted(powercap.glob("*rapl*:*")):
            # Cores, graphics and memory are zones too, psys holds the packages, and rapl-mmio repeats them.
            name = (zone / "name").read_text().strip()
            if name.startswith("package"):
                limit = int((zone / "max_energy_range_uj").read_text())
                packages[name] = Counter(name, lambda file=zone / "energy_uj": int(file.read_text()), limit)
    except (OSError, ValueError):
        return []
    return list(packages.values())


def total_energy(readings: list[Reading]) -> float | None:
    """Joules that the devices of several meters consumed; None where one reports nothing.

    Devices that meters have in common, as the processors of a machine, count once.
    """
    joules = {(machine, devices): joules for machine, devices, joules in readings}
    return None if None in joules.values() else sum(joules.values())


def total_work(states: list[dict[str, int]]) -> Workload:
    """What several processes have computed, from the states of their workloads."""
    sums = {name: sum(state[name] for state in states) for name in states[0]}
    return Workload(**{**sums, "longest": max(state["longest"] for state in states)})


def peak_memory(device: torch.device) -> float:
    """Megabytes: of a GPU what its tensors took, else the process's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
