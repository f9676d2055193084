"""The types that the package ships hold, in its own code and in that of whoever uses it."""

import subprocess
import sys
from pathlib import Path

import ftft

REPOSITORY = Path(__file__).parents[2]
PROGRAM = """
import ftft

recorder = ftft.DynamicsRecorder()
dynamics: ftft.Dynamics = recorder.dynamics()
data_map: ftft.DataMap = ftft.DataMap.of(dynamics)
share: float = ftft.overlap([1, 2], [2, 3])
wrong: int = ftft.DataMap.of(dynamics)
"""


def checked(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mypy", "--config-file", str(REPOSITORY / "pyproject.toml"), *arguments]
    return subprocess.run(command, cwd=REPOSITORY, check=False, text=True, capture_output=True)


def test_the_modules_of_the_public_names_have_no_wrong_type():
    names = ["ftft", "ftft.plot", *(f"ftft.{module}" for module in ftft.MODULES)]
    found = checked(*(part for name in names for part in ("-m", name)))
    assert found.returncode == 0, found.stdout + found.stderr


def test_a_users_program_is_held_against_the_types_that_are_shipped(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    found = checked(str(program))
    lines = [line for line in found.stdout.splitlines() if ": error:" in line]
    assert len(lines) == 1 and f"program.py:{len(PROGRAM.splitlines())}" in lines[0], found.stdout
