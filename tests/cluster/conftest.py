"""Workflows to run through schedulers; `make test-cluster` puts their plugins on the path."""

import importlib.util
import subprocess

import pytest
from calls import Workflow
from slurm import Slurm, install


@pytest.fixture(scope="session")
def another(root, tmp_path_factory, tiny_config):
    """Make one more workflow of the tiny configuration with changes to some of its sections."""

    def make(**changes: dict):
        config = {
            name: {**section, **changes.get(name, {})}
            for name, section in tiny_config.items()
            if isinstance(section, dict)
        }
        return Workflow(root, tmp_path_factory.mktemp("workflow"), {**tiny_config, **config})

    return make


@pytest.fixture(scope="session")
def has_slurm() -> None:
    """SLURM's programs and snakemake's plugin, and a machine that lets its daemons run, or why not."""
    if importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        pytest.skip("no snakemake-executor-plugin-slurm: make test-cluster")
    if reason := install():
        pytest.skip(f"no SLURM: {reason}")
    try:
        with Slurm(nodes=1) as slurm:
            alive = slurm.run("srun", "echo", "alive").strip() == "alive"
    except (OSError, TimeoutError, subprocess.SubprocessError) as error:
        pytest.skip(f"no SLURM: its daemons do not come up here: {error}")
    if not alive:
        pytest.skip("no SLURM: its daemons run nothing here")
