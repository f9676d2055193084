"""Leases of pretended GPUs."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ftft.execution import devices
from ftft.execution.devices import VISIBLE, lease, visible_devices

HOLD = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from ftft.execution import devices
devices.LOCKS = Path(sys.argv[2])
held = devices.lease(int(sys.argv[3]))
assert devices.visible_devices() == held
print(",".join(held), flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def four(monkeypatch, tmp_path):
    monkeypatch.setattr(devices, "LOCKS", tmp_path / "locks")
    monkeypatch.setenv(VISIBLE, "0, 1,GPU-2,MIG-3")


@pytest.fixture
def holder(tmp_path):
    """Start a process that leases some devices; its first line names them."""
    started = []

    def start(count=1):
        scripts = Path(devices.__file__).parents[2]
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, scripts, tmp_path / "locks", str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_devices_are_those_of_the_environment_or_of_the_driver(monkeypatch, tmp_path):
    assert visible_devices() == ["0", "1", "GPU-2", "MIG-3"]
    monkeypatch.setenv(VISIBLE, "")
    assert visible_devices() == []
    monkeypatch.delenv(VISIBLE)
    monkeypatch.setattr(devices, "DRIVER", tmp_path / "absent")
    assert visible_devices() == []
    for name in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / "gpus" / name).mkdir(parents=True)
    monkeypatch.setattr(devices, "DRIVER", tmp_path / "gpus")
    assert visible_devices() == ["0", "1"]


def test_four_jobs_hold_four_devices_and_the_fifth_waits(holder):
    processes = [holder() for _ in range(4)]
    assert sorted(process.stdout.readline().strip() for process in processes) == ["0", "1", "GPU-2", "MIG-3"]
    fifth = holder()
    assert "waiting for 1 of the GPUs 0, 1, GPU-2, MIG-3" in fifth.stdout.readline()
    processes[2].send_signal(signal.SIGKILL)
    freed = fifth.stdout.readline().strip()
    assert freed in {"0", "1", "GPU-2", "MIG-3"}


def test_a_job_may_hold_two(holder):
    held = [holder(2).stdout.readline().strip().split(",") for _ in range(2)]
    assert sorted(held[0] + held[1]) == ["0", "1", "GPU-2", "MIG-3"]


def test_no_device_is_kept_while_too_few_are_free(holder):
    assert len(holder(3).stdout.readline().split(",")) == 3
    assert holder(2).stdout.readline().startswith("waiting for 2 of the GPUs")
    # The waiting job tries the last one now and then, for a moment.
    lucky = holder().stdout
    assert any(line.strip() in {"0", "1", "GPU-2", "MIG-3"} for line in lucky)


@pytest.mark.parametrize("visible", ["", "0", "0,1"])
def test_what_a_scheduler_gave_is_kept(monkeypatch, visible):
    monkeypatch.setenv(VISIBLE, visible)
    for _ in range(2):
        assert lease(2) == visible_devices()
        assert os.environ[VISIBLE] == visible
