"""GPUs of one machine, each leased to one job at a time: Snakemake counts GPUs, but does not assign them."""

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

from ..errors import TrainingError

VISIBLE = "CUDA_VISIBLE_DEVICES"
DRIVER = Path("/proc/driver/nvidia/gpus")
DEVICES = Path("/dev")
AMD_NODES = Path("/sys/class/kfd/kfd/topology/nodes")
# Not TMPDIR, which users and jobs set for themselves: all jobs of a machine have to look at one place.
LOCKS = Path("/tmp")
POLL_SECONDS = 0.5
QUERY_SECONDS = 20


def visible_devices() -> list[str]:
    """The devices that this process may use: those of CUDA_VISIBLE_DEVICES, else all of the machine."""
    if VISIBLE in os.environ:
        return [name.strip() for name in os.environ[VISIBLE].split(",") if name.strip()]
    return [str(number) for number in range(_count_devices())]


def _count_devices() -> int:
    """How many GPUs the machine shows, without torch, which must not look before a lease is taken."""
    for count in (_driver_entries, _device_files, _listed_devices, _amd_devices):
        if number := count():
            return number
    return 0


def _driver_entries() -> int:
    return len(list(DRIVER.iterdir())) if DRIVER.is_dir() else 0


def _device_files() -> int:
    """Device files of GPUs, which containers have where they lack the driver's folder."""
    return len(list(DEVICES.glob("nvidia[0-9]*")))


def _listed_devices() -> int:
    """What nvidia-smi lists: under WSL there is neither the driver's folder nor a device file."""
    try:
        listing = subprocess.run(
            ["nvidia-smi", "--list-gpus"], capture_output=True, text=True, timeout=QUERY_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return sum(line.startswith("GPU ") for line in listing.stdout.splitlines())


def _amd_devices() -> int:
    """Nodes of ROCm's kernel driver that are GPUs: those of processors have no SIMD units."""
    count = 0
    for properties in AMD_NODES.glob("*/properties"):
        try:
            lines = dict(line.split() for line in properties.read_text().splitlines())
        except (OSError, ValueError):
            continue
        count += lines.get("simd_count", "0") != "0"
    return count


def lease(count: int) -> list[str]:
    """Let this process see `count` of its GPUs that no other has leased, and wait while there are too few.

    A lease is a lock on a file: it ends with the process, however that ends. It has to be taken before torch
    looks for devices. A process that sees no more GPUs than it asks for, as a cluster's job, keeps what it
    has. Raises TrainingError where another user's lock file cannot be opened.
    """
    devices = visible_devices()
    if len(devices) <= count:
        return devices
    locks = _take(devices, count)
    if locks is None:
        print(f"waiting for {count} of the GPUs {', '.join(devices)}: other jobs hold them", file=sys.stderr)
        while (locks := _take(devices, count)) is None:
            time.sleep(POLL_SECONDS)
    os.environ[VISIBLE] = ",".join(locks)
    return list(locks)


def _take(devices: list[str], count: int) -> dict[str, int] | None:
    """Locks on `count` devices by name, or None and no lock where fewer are free."""
    locks: dict[str, int] = {}
    for device in devices:
        if len(locks) == count:
            break
        lock = _open(LOCKS / f"ftft-gpu-{device.replace('/', '-')}.lock")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
        else:
            locks[device] = lock
    if len(locks) == count:
        return locks
    for lock in locks.values():
        os.close(lock)
    return None


def _open(path: Path) -> int:
    """A lock file of whatever user, for reading: a lock needs no more, and in /tmp (sticky,
    fs.protected_regular) others' files may be opened in no other way."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        while True:
            try:
                return os.open(path, flags)
            except FileNotFoundError:
                # A umask would take the others' right to read, if only for a moment.
                umask = os.umask(0)
                try:
                    return os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o444)
                except FileExistsError:
                    continue
                finally:
                    os.umask(umask)
    except OSError as error:
        raise TrainingError(
            "the lock of a GPU cannot be opened",
            got=str(error),
            fix=f"remove {path}, or let everybody read it; or name this job's GPUs in {VISIBLE}",
        ) from error
