import re
import tomllib
from importlib.metadata import requires
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = sorted(ROOT.glob("envs/*.yaml"))


def pins_of(lines):
    pins = {}
    for line in lines:
        name, version = re.fullmatch(r"([\w.-]+)==(\S+)", line).groups()
        assert canonicalize_name(name) not in pins
        pins[canonicalize_name(name)] = version
    return pins


def lock():
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    return pins_of(line for line in lines if line and not line.startswith("#"))


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def minimum_versions():
    groups = [project()["dependencies"], *project()["optional-dependencies"].values()]
    requirements = [Requirement(line) for group in groups for line in group]
    return [requirement for requirement in requirements if requirement.name != project()["name"]]


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=[path.stem for path in ENVIRONMENTS])
def test_an_environment_pins_what_the_lock_pins(path):
    dependencies = yaml.safe_load(path.read_text())["dependencies"]
    python, _, pip = dependencies
    pins = pins_of(pip["pip"])
    assert pins == {name: lock().get(name) for name in pins}
    assert python.removeprefix("python=") == project()["requires-python"].removeprefix(">=")


def test_the_lock_holds_what_its_packages_need():
    missing = {
        f"{name} needs {requirement}"
        for name in lock()
        for requirement in map(Requirement, requires(name) or [])
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if canonicalize_name(requirement.name) not in {*lock(), "setuptools"}
    }
    assert missing == set()


@pytest.mark.parametrize("requirement", minimum_versions(), ids=str)
def test_the_lock_admits_what_the_package_asks_for(requirement):
    assert requirement.specifier.contains(lock()[canonicalize_name(requirement.name)])
