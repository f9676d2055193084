"""GPUs of one machine, lent to one job at a time: Snakemake counts them and says nothing of which."""

import fcntl
import os
import sys
import tempfile
import time
from pathlib import Path

VISIBLE = "CUDA_VISIBLE_DEVICES"
DRIVER = Path("/proc/driver/nvidia/gpus")
LOCKS = Path(tempfile.gettempdir()) / "ftft-gpus"
POLL_SECONDS = 0.5


def visible_devices() -> list[str]:
    """The devices that this process may use: those of CUDA_VISIBLE_DEVICES, else all of the machine."""
    if VISIBLE in os.environ:
        return [name.strip() for name in os.environ[VISIBLE].split(",") if name.strip()]
    return [str(number) for number, _ in enumerate(DRIVER.iterdir())] if DRIVER.is_dir() else []


def lease(count: int) -> list[str]:
    """Let this process see `count` of its GPUs that no other has leased, and wait while there are too few.

    A lease is a lock on a file: it ends with the process, however that ends. To be called before torch looks
    for devices. A process that has no more GPUs than it asks for, as a cluster's jobs, keeps what it has.
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
    LOCKS.mkdir(mode=0o1777, exist_ok=True)
    locks: dict[str, int] = {}
    for device in devices:
        if len(locks) == count:
            break
        lock = os.open(LOCKS / device.replace("/", "-"), os.O_RDWR | os.O_CREAT, 0o666)
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
