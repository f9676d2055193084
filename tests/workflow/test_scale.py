"""Thousands of jobs are planned in seconds, and reading the rules loads nothing that only jobs need."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.planning import planning_folders

HEAVY = {"torch", "transformers", "tokenizers", "accelerate", "datasets", "pandas", "matplotlib"}
# What python -X importtime says of each module that is loaded.
IMPORT = re.compile(r"^import time:\s+\d+ \|\s+\d+ \|\s+([\w.]+)$", re.MULTILINE)


def plan(folder: Path, target: str, seconds: float) -> tuple[int, set[str]]:
    """The number of jobs that a dry run plans, and the modules that it loads."""
    dry = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "snakemake", "--dry-run", "--cores", "1", "--", target],
        cwd=folder,
        text=True,
        capture_output=True,
        timeout=seconds,
        check=True,
    )
    jobs = int(re.search(r"^total\s+(\d+)", dry.stdout, re.MULTILINE).group(1))
    return jobs, set(IMPORT.findall(dry.stderr))


# Ten thousand jobs take 33 s of one CPU, nine tenths of them Snakemake's own.
@pytest.mark.parametrize(
    ("small", "at_least", "seconds"),
    [(True, 100, 60), pytest.param(False, 10_000, 240, marks=pytest.mark.slow)],
    ids=["some jobs", "ten thousand jobs"],
)
def test_jobs_are_planned_without_a_heavy_import(tmp_path, small, at_least, seconds):
    folder, target = planning_folders(tmp_path / "plans", small)["models x seeds x fractions"]
    jobs, loaded = plan(folder, target, seconds)
    assert jobs >= at_least
    assert {"snakemake.workflow", "ftft.pipeline.plan"} <= loaded
    assert loaded & HEAVY == set()
