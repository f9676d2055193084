"""Calls of snakemake, to be ended with all that they started."""

import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]


def load(name: str, path: Path):
    """The module at `path`, wherever the script or test that asks for it starts."""
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


Workflow = load("workflows", TESTS / "workflows.py").Workflow
contents = load("workflow_faults", TESTS / "workflow" / "test_faults.py").contents


class Call:
    """A call of snakemake that is ended, with what it started, when the block is left."""

    def __init__(self, workflow, *arguments: str, environment: dict | None = None):
        self.folder = workflow.folder
        self.log = workflow.folder / "call.log"
        with open(self.log, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "snakemake", *arguments],
                cwd=self.folder,
                env=environment or os.environ,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self) -> "Call":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)

    def succeeds(self, seconds: float) -> None:
        """Wait for its end; fail with its output unless it is a success within `seconds`."""
        try:
            code = self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            code = f"still running after {seconds} s"
        assert code == 0, f"{code}\n{self.log.read_text()}"
