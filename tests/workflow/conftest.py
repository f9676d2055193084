"""Small runs of the workflow that tests share."""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from workflows import Workflow


@pytest.fixture(scope="session")
def another(root, tmp_path_factory, tiny_config):
    """Make one more workflow of the tiny configuration, nothing run yet."""
    return lambda: Workflow(root, tmp_path_factory.mktemp("workflow"), tiny_config)


@pytest.fixture(scope="session")
def finished(root, tiny_config, tmp_path_factory, worker_id) -> Workflow:
    """The tiny configuration, run to the end once; every process of pytest-xdist has a copy of its own."""
    base = tmp_path_factory.getbasetemp()
    shared = (base if worker_id == "master" else base.parent) / "finished"
    with open(shared.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not shared.with_suffix(".done").exists():
            shutil.rmtree(shared, ignore_errors=True)
            run = Workflow(root, shared, tiny_config).snakemake("--", "paper")
            assert run.returncode == 0, run.stdout
            shared.with_suffix(".done").touch()
    folder = tmp_path_factory.mktemp("finished") / "copy"
    shutil.copytree(shared, folder)
    return Workflow(root, folder, tiny_config)


@pytest.fixture
def workflow(finished):
    """The finished workflow, to be edited and dry-run; its sources are restored afterwards."""
    yield finished
    finished.restore()


@pytest.fixture
def copied(finished, tmp_path) -> Workflow:
    """A copy of the finished workflow, with results and records of its own to be spoilt."""
    return finished.copy(tmp_path / "copied")


@pytest.fixture
def fresh(another) -> Workflow:
    """The tiny configuration, nothing run yet."""
    return another()


@pytest.fixture
def empty_environment(tmp_path):
    """A Python that has nothing but pip: call a command with it, and get what it says."""
    home = tmp_path / ".environment"
    subprocess.run([sys.executable, "-m", "venv", home], check=True)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["PATH"] = f"{home / 'bin'}{os.pathsep}{environment['PATH']}"

    def call(*command: str, cwd: Path = tmp_path) -> str:
        done = subprocess.run(
            command, cwd=cwd, env=environment, text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        return done.stdout

    return call
