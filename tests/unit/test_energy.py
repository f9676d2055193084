"""Energy meters on a made-up NVML and a made-up powercap tree."""

import builtins
import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch

from ftft.execution import meter as meters
from ftft.execution.meter import Meter

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
UUID = "5fa3c1d2-0000-0000-0000-000000000001"


class Zone:
    """A powercap zone whose counter the test turns on."""

    def __init__(self, root, folder, name, limit=1_000_000):
        self.folder = root / folder
        self.folder.mkdir()
        self.folder.joinpath("name").write_text(f"{name}\n")
        self.folder.joinpath("max_energy_range_uj").write_text(f"{limit}\n")
        self.limit, self.value = limit, 0
        self.consume(limit // 2)

    def consume(self, microjoules):
        self.value = (self.value + microjoules) % self.limit
        self.folder.joinpath("energy_uj").write_text(f"{self.value}\n")


@pytest.fixture(autouse=True)
def small_counters(monkeypatch):
    """Let counters of a joule be read in time, as real ones of many kilojoules are."""
    monkeypatch.setattr(meters, "LARGEST_WATTS", 0.01)


@pytest.fixture
def package(tmp_path):
    return Zone(tmp_path, "intel-rapl:0", "package-0")


def test_packages_are_added_and_their_parts_left_out(tmp_path, package):
    zones = [
        package,
        Zone(tmp_path, "intel-rapl:1", "package-1"),
        Zone(tmp_path, "intel-rapl:0:0", "core"),
        Zone(tmp_path, "intel-rapl:0:1", "dram"),
        Zone(tmp_path, "intel-rapl:2", "psys"),
        Zone(tmp_path, "intel-rapl-mmio:0", "package-0"),
    ]
    meter = Meter(CPU, tmp_path)
    for exponent, zone in enumerate(zones):
        zone.consume(10**exponent)
    meter.stop()
    assert meter.joules == 11e-6
    assert meter.reading[1:] == ("package-0, package-1", 11e-6)


def test_a_counter_may_start_anew(tmp_path, package):
    meter = Meter(CPU, tmp_path)
    package.consume(900_000)
    meter.stop()
    assert package.value == 400_000
    assert meter.joules == 0.9
    assert meter.reading[1] == "package-0"


def test_updates_catch_a_counter_that_starts_anew_many_times(tmp_path, package, monkeypatch):
    now = 0.0
    monkeypatch.setattr(meters, "time", SimpleNamespace(monotonic=lambda: now, perf_counter=lambda: now))
    meter = Meter(CPU, tmp_path)
    for _ in range(10):
        now += meters.READING_INTERVAL
        package.consume(700_000)
        meter.update()
    meter.stop()
    assert meter.joules == 7.0


def test_a_process_that_was_halted_for_long_knows_of_no_energy(tmp_path, package, monkeypatch):
    now = 0.0
    monkeypatch.setattr(meters, "time", SimpleNamespace(monotonic=lambda: now, perf_counter=lambda: now))
    meter = Meter(CPU, tmp_path)
    now += 101.0
    package.consume(700_000)
    meter.update()
    assert meter.joules is None and meter.seconds == 101.0


def test_a_training_that_goes_on_adds_up(tmp_path, package):
    first, second, third = (Meter(CPU, tmp_path) for _ in range(3))
    package.consume(100)
    second.restore(first.state())
    package.consume(10)
    assert second.state()["joules"] == pytest.approx(210e-6)
    assert second.seconds > first.seconds
    # What the first process could not measure is not known afterwards either.
    third.restore({"seconds": 5.0, "joules": None})
    third.stop()
    assert third.joules is None and third.seconds >= 5.0


def test_updates_read_now_and_then_only(tmp_path, package, monkeypatch):
    meter = Meter(CPU, tmp_path)
    monkeypatch.setattr(Meter, "_start", None)
    for _ in range(1000):
        meter.update()


def test_nothing_counts_before_the_meter_in_a_pause_or_after_the_stop(tmp_path, package):
    package.consume(100)
    meter = Meter(CPU, tmp_path)
    package.consume(10)
    with meter.paused():
        package.consume(1000)
    package.consume(1)
    meter.stop()
    package.consume(10_000)
    assert meter.joules == 11e-6


@pytest.mark.parametrize("folder", ["nothing_here", "."])
def test_a_machine_without_counters_has_no_energy(tmp_path, folder):
    meter = Meter(CPU, tmp_path / folder)
    meter.update()
    meter.stop()
    assert meter.reading[1:] == ("", None)


@pytest.mark.parametrize("file", ["name", "energy_uj", "max_energy_range_uj"])
@pytest.mark.parametrize("moment", ["from the outset", "later"])
def test_a_counter_that_may_not_be_read_has_no_energy(tmp_path, package, monkeypatch, file, moment):
    def deny():
        original = meters.Path.read_text

        def read_text(path):
            if path.name == file:
                raise PermissionError(path)
            return original(path)

        monkeypatch.setattr(meters.Path, "read_text", read_text)

    if moment == "from the outset":
        deny()
    meter = Meter(CPU, tmp_path)
    package.consume(5)
    deny()
    meter.stop()
    readable = moment == "later" and file != "energy_uj"
    assert meter.joules == (5e-6 if readable else None)


def test_one_package_of_two_is_not_given_for_both(tmp_path, package):
    second = Zone(tmp_path, "intel-rapl:1", "package-1")
    meter = Meter(CPU, tmp_path)
    second.folder.joinpath("energy_uj").unlink()
    meter.stop()
    assert meter.reading[1:] == ("", None)


class NVMLError(Exception):
    """As in pynvml."""


@pytest.fixture
def nvml(monkeypatch):
    """An NVML of two boards, of which torch sees the second as its first."""
    module = ModuleType("pynvml")
    boards = {"GPU-00000000-0000-0000-0000-000000000000": 0, f"GPU-{UUID}": 1}
    module.millijoules = [10, 20]
    module.NVMLError = NVMLError

    def handle(uuid):
        if uuid not in boards:
            raise NVMLError("Not Found")
        return boards[uuid]

    module.nvmlInit = lambda: None
    module.nvmlDeviceGetHandleByUUID = handle
    module.nvmlDeviceGetTotalEnergyConsumption = lambda handle: module.millijoules[handle]
    monkeypatch.setitem(sys.modules, "pynvml", module)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid=UUID))
    return module


def test_the_gpu_is_found_by_its_uuid(nvml, tmp_path, package):
    meter = Meter(GPU, tmp_path)
    nvml.millijoules[:] = [10_000, 2_520]
    package.consume(99)
    meter.stop()
    assert meter.reading[1:] == (f"GPU-{UUID}", 2.5)


def fail(*arguments):
    raise NVMLError("Not Supported")


@pytest.mark.parametrize(
    "function", ["nvmlInit", "nvmlDeviceGetHandleByUUID", "nvmlDeviceGetTotalEnergyConsumption"]
)
@pytest.mark.parametrize("moment", ["from the outset", "later"])
def test_faults_of_nvml_leave_no_energy(nvml, monkeypatch, function, moment):
    if moment == "from the outset":
        monkeypatch.setattr(nvml, function, fail)
    meter = Meter(GPU)
    nvml.millijoules[1] += 1
    monkeypatch.setattr(nvml, function, fail)
    meter.stop()
    readable = moment == "later" and function != "nvmlDeviceGetTotalEnergyConsumption"
    assert meter.joules == (0.001 if readable else None)


def test_part_of_a_gpu_has_no_energy_of_its_own(nvml, monkeypatch):
    part = SimpleNamespace(uuid="11111111-0000-0000-0000-000000000001")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: part)
    assert Meter(GPU).joules is None


def test_nvml_is_optional(nvml, monkeypatch):
    original = builtins.__import__

    def without_nvml(name, *arguments, **keywords):
        if name == "pynvml":
            raise ModuleNotFoundError(name)
        return original(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without_nvml)
    assert Meter(GPU).joules is None


def test_other_devices_report_nothing():
    assert Meter(torch.device("meta")).joules is None
