"""Energy of a run from the counters of its device: NVML on NVIDIA GPUs, RAPL on CPUs."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch

POWERCAP = Path("/sys/class/powercap")
# The smallest RAPL counters start anew every 65 kJ, which is 164 seconds at 400 W.
READING_INTERVAL = 30.0


class Counter(NamedTuple):
    """Microjoules since some moment, modulo `limit`. `read` raises OSError where it may not or cannot."""

    read: Callable[[], int]
    limit: int


class EnergyMeter:
    """What the device consumes from the making of the meter to `stop`, less the pauses.

    On a GPU: its whole board, without the CPU. On a CPU: all packages, with whatever else they
    compute, without memory modules. The counters move every 0.001 to 0.1 seconds.
    """

    def __init__(self, device: torch.device, powercap: Path = POWERCAP):
        self._scope, self._counters = _find_counters(device, powercap)
        self._microjoules = 0
        self._start()

    @property
    def scope(self) -> str | None:
        """What the joules are of; None where nothing reports them."""
        return self._scope if self._counters else None

    @property
    def joules(self) -> float | None:
        """The energy so far; None where nothing reports it."""
        return self._microjoules / 1e6 if self._counters else None

    def update(self) -> None:
        """Call this at every step: counters have to be read before they have gone round once."""
        if time.monotonic() >= self._due:
            self.stop()
            self._start()

    def stop(self) -> None:
        """Count up to here."""
        before, self._last = self._last, self._read()
        for counter, last, now in zip(self._counters, before, self._last, strict=False):
            self._microjoules += (now - last) % counter.limit

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave out what is done inside."""
        self.stop()
        yield
        self._start()

    def _start(self) -> None:
        self._last = self._read()
        self._due = time.monotonic() + READING_INTERVAL

    def _read(self) -> list[int]:
        try:
            return [counter.read() for counter in self._counters]
        except (OSError, ValueError):
            self._counters = []
            return []


def _find_counters(device: torch.device, powercap: Path) -> tuple[str | None, list[Counter]]:
    if device.type == "cuda":
        return _gpu_counter(device)
    if device.type == "cpu":
        return _package_counters(powercap)
    return None, []


def _gpu_counter(device: torch.device) -> tuple[str | None, list[Counter]]:
    try:
        import pynvml
    except ImportError:
        return None, []
    try:
        pynvml.nvmlInit()
        # NVML numbers the devices of the machine, torch those of CUDA_VISIBLE_DEVICES.
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
        scope = f"GPU {pynvml.nvmlDeviceGetIndex(handle)}, whole board"
    except pynvml.NVMLError:
        return None, []

    def read() -> int:
        try:
            return 1000 * pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
        except pynvml.NVMLError as error:
            raise OSError(str(error)) from error

    return scope, [Counter(read, 1000 * 2**64)]


def _package_counters(powercap: Path) -> tuple[str | None, list[Counter]]:
    packages = {}
    try:
        for zone in sorted(powercap.glob("*rapl*:*")):
            # Cores, graphics and memory are zones too, psys holds the packages, and rapl-mmio repeats them.
            name = (zone / "name").read_text().strip()
            if name.startswith("package"):
                packages[name] = Counter(
                    lambda file=zone / "energy_uj": int(file.read_text()),
                    int((zone / "max_energy_range_uj").read_text()),
                )
    except (OSError, ValueError):
        return None, []
    number = "CPU package" if len(packages) == 1 else f"{len(packages)} CPU packages"
    return f"{number}, shared with other processes", list(packages.values())
