"""Every shipped profile plans the same jobs, and the locks hold what its plugins need."""

import re
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROFILES = sorted(path.parent.name for path in ROOT.glob("profiles/*/profile.yaml"))
pytestmark = pytest.mark.cluster


@pytest.mark.parametrize("profile", PROFILES)
def test_a_dry_run_plans_the_table(another, profile):
    workflow = another(runtime={"device": "auto"})
    command = ["--dry-run", "--profile", f"profiles/{profile}", "--", "results/tables/table1.csv"]
    run = subprocess.run(
        [sys.executable, "-m", "snakemake", *(["--cores", "1"] if profile == "default" else []), *command],
        cwd=workflow.folder,
        text=True,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.search(r"^total\s+36$", run.stdout, re.MULTILINE)


@pytest.mark.parametrize("profile", PROFILES)
def test_the_usage_line_stands_in_the_profile(profile):
    if profile != "default":
        text = (ROOT / "profiles" / profile / "profile.yaml").read_text()
        assert text.startswith(f"# snakemake --profile profiles/{profile} results/tables/table1.csv\n")


def pins(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text().split()
    return {canonicalize_name(package): version for package, version in (line.split("==") for line in lines)}


@pytest.mark.parametrize("lock", ["requirements-slurm.lock", "requirements-kubernetes.lock"])
def test_the_locks_hold_what_the_plugins_need(lock):
    held = pins("requirements.lock") | pins(lock)
    missing = {
        f"{name} needs {requirement}"
        for name in pins(lock)
        for requirement in map(Requirement, requires(name) or [])
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if not requirement.specifier.contains(held.get(canonicalize_name(requirement.name), "0"))
    }
    assert missing == set()
