"""Workflows to run through schedulers; `make test-cluster` puts their plugins on the path."""

import importlib.util

import pytest
import yaml
from calls import Workflow
from slurm import install


@pytest.fixture(scope="session")
def tiny_config(root) -> dict:
    return yaml.safe_load((root / "tests" / "config" / "tiny.yaml").read_text())


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
    """SLURM's programs and snakemake's plugin, or a reason why there are none."""
    if importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        pytest.skip("no snakemake-executor-plugin-slurm: make test-cluster")
    if reason := install():
        pytest.skip(f"no SLURM: {reason}")
