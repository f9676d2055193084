import re
import tomllib
from importlib.metadata import PackageNotFoundError, requires
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


def lock(name="requirements.lock"):
    lines = (ROOT / name).read_text().splitlines()
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


# Used of mermaidx is its mermaid.js alone, and of a packaged model its weights.
UNUSED = {"novasvg", "quickjs-ng", "termaid", "sentence-transformers"}


def needed_by(name, extras=frozenset()):
    """What an installed package needs, by itself and for these extras of it: name and extras of each."""
    for requirement in map(Requirement, requires(name) or []):
        asked = ({"extra": extra} for extra in ("", *extras))
        if requirement.marker is None or any(map(requirement.marker.evaluate, asked)):
            yield canonicalize_name(requirement.name), frozenset(requirement.extras)


@pytest.mark.parametrize(
    "name", ["requirements.lock", "requirements-docs.lock", "requirements-examples.lock"]
)
def test_a_lock_holds_what_its_packages_need_for_their_extras_too(name):
    held = {**lock(), **lock(name)}
    asked = [(package, frozenset(), "the lock") for package in lock(name)]
    seen, missing = set(), set()
    while asked:
        package, extras, by = asked.pop()
        if (package, extras) in seen or package in UNUSED | {"setuptools"}:
            continue
        seen.add((package, extras))
        if package not in held:
            missing.add(f"{by} needs {package}")
            continue
        try:
            asked += [(needed, more, package) for needed, more in needed_by(package, extras)]
        except PackageNotFoundError:
            pytest.skip(f"{name} is not installed: {package}")
    assert missing == set()


@pytest.mark.parametrize("requirement", minimum_versions(), ids=str)
def test_the_lock_admits_what_the_package_asks_for(requirement):
    assert requirement.specifier.contains(lock()[canonicalize_name(requirement.name)])
