"""Leases of pretended GPUs."""

import os
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from ftft.errors import TrainingError
from ftft.execution import devices
from ftft.execution.devices import VISIBLE, lease, visible_devices

HOLD = """
import os, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from ftft.execution import devices
# Not before: the other user may have no right to read this Python.
if user := int(sys.argv[4]):
    os.setgid(user)
    os.setuid(user)
os.umask(int(sys.argv[5], 8))
devices.LOCKS = Path(sys.argv[2])
held = devices.lease(int(sys.argv[3]))
assert devices.visible_devices() == held
print(",".join(held), flush=True)
sys.stdin.read()
"""
FOUR = {"0", "1", "GPU-2", "MIG-3"}


@pytest.fixture
def locks():
    """A folder that all users may write to, as /tmp."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o1777)
        yield Path(folder)


@pytest.fixture(autouse=True)
def four(monkeypatch, locks):
    monkeypatch.setattr(devices, "LOCKS", locks)
    monkeypatch.setenv(VISIBLE, "0, 1,GPU-2,MIG-3")


@pytest.fixture
def holder(locks):
    """Start a process that leases some devices; its first line names them."""
    started = []

    def start(count=1, user=0, umask="022"):
        source = Path(devices.__file__).parents[2]
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, source, locks, str(count), str(user), umask],
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


def no_devices(monkeypatch, tmp_path):
    monkeypatch.delenv(VISIBLE)
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("DRIVER", "DEVICES", "AMD_NODES"):
        monkeypatch.setattr(devices, name, tmp_path / "absent")


def test_devices_are_those_of_the_environment(monkeypatch, tmp_path):
    assert visible_devices() == ["0", "1", "GPU-2", "MIG-3"]
    monkeypatch.setenv(VISIBLE, "")
    assert visible_devices() == []
    no_devices(monkeypatch, tmp_path)
    assert visible_devices() == []


def by_driver(folder, monkeypatch):
    for name in ("0000:01:00.0", "0000:02:00.0"):
        (folder / "gpus" / name).mkdir(parents=True)
    monkeypatch.setattr(devices, "DRIVER", folder / "gpus")


def by_files(folder, monkeypatch):
    for name in ("nvidia1", "nvidia3", "nvidiactl", "nvidia-uvm"):
        (folder / name).touch()
    monkeypatch.setattr(devices, "DEVICES", folder)


def by_listing(folder, monkeypatch):
    script = folder / "nvidia-smi"
    script.write_text(
        "#!/bin/sh\necho 'GPU 0: A (UUID: GPU-1)'\necho '  MIG 1g.5gb: x'\necho 'GPU 1: A (x)'\n"
    )
    script.chmod(0o755)


def by_rocm(folder, monkeypatch):
    for number, units in enumerate((0, 304, 304)):
        (folder / str(number)).mkdir()
        (folder / str(number) / "properties").write_text(f"cpu_cores_count 8\nsimd_count {units}\n")
    monkeypatch.setattr(devices, "AMD_NODES", folder)


@pytest.mark.parametrize("way", [by_driver, by_files, by_listing, by_rocm])
def test_devices_are_counted_where_the_environment_is_silent(monkeypatch, tmp_path, way):
    no_devices(monkeypatch, tmp_path)
    way(tmp_path, monkeypatch)
    assert visible_devices() == ["0", "1"]


def test_a_listing_that_fails_lists_nothing(monkeypatch, tmp_path):
    no_devices(monkeypatch, tmp_path)
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\nsleep 20\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setattr(devices, "QUERY_SECONDS", 0.1)
    assert visible_devices() == []


def test_four_jobs_hold_four_devices_and_the_fifth_waits(holder):
    processes = [holder() for _ in range(4)]
    assert {process.stdout.readline().strip() for process in processes} == FOUR
    fifth = holder()
    assert "waiting for 1 of the GPUs 0, 1, GPU-2, MIG-3" in fifth.stdout.readline()
    processes[2].send_signal(signal.SIGKILL)
    assert fifth.stdout.readline().strip() in FOUR


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to be other users")
@pytest.mark.parametrize("umask", ["022", "077"])
def test_jobs_of_several_users_hold_different_devices(holder, locks, umask):
    processes = [holder(user=user, umask=umask) for user in (1001, 1002, 1001, 1002)]
    assert {process.stdout.readline().strip() for process in processes} == FOUR
    assert {path.stat().st_uid for path in locks.iterdir()} <= {1001, 1002}
    assert {stat.S_IMODE(path.stat().st_mode) for path in locks.iterdir()} == {0o444}
    fifth = holder(user=1003)
    assert "waiting for 1 of the GPUs" in fifth.stdout.readline()


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to be another user")
def test_a_lock_that_another_user_has_closed_is_named(holder, locks):
    for name in FOUR:
        (locks / f"ftft-gpu-{name}.lock").touch(mode=0)
    said = holder(user=1001).communicate()[0]
    assert "TrainingError: the lock of a GPU cannot be opened" in said and "CUDA_VISIBLE_DEVICES" in said


def test_a_link_in_the_place_of_a_lock_is_not_followed(locks, tmp_path):
    (locks / "ftft-gpu-0.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TrainingError, match="the lock of a GPU cannot be opened"):
        lease(1)
    assert not (tmp_path / "elsewhere").exists()


def test_a_pipe_in_the_place_of_a_lock_blocks_nobody(holder, locks):
    os.mkfifo(locks / "ftft-gpu-0.lock")
    assert holder().stdout.readline().strip() in FOUR


def test_a_job_may_hold_two(holder):
    held = [holder(2).stdout.readline().strip().split(",") for _ in range(2)]
    assert {*held[0], *held[1]} == FOUR


def test_no_device_is_kept_while_too_few_are_free(holder):
    assert len(holder(3).stdout.readline().split(",")) == 3
    assert holder(2).stdout.readline().startswith("waiting for 2 of the GPUs")
    # The waiting job tries the last one now and then, for a moment.
    lucky = holder().stdout
    assert any(line.strip() in FOUR for line in lucky)


@pytest.mark.parametrize("visible", ["", "0", "0,1"])
def test_what_a_scheduler_gave_is_kept(monkeypatch, visible):
    monkeypatch.setenv(VISIBLE, visible)
    for _ in range(2):
        assert lease(2) == visible_devices()
        assert os.environ[VISIBLE] == visible
