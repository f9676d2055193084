"""Shared by all tests: the repository, the real data where there are some, and small runs of the workflow."""

import os
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
REAL_DATA = Path(os.environ.get("FTFT_REAL_DATA", ROOT.parent / "shared" / "data"))
sys.path.insert(0, str(ROOT / "src"))
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# Several tests run at a time; two threads for so small a product cost more than they gain.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items):
    if REAL_DATA.is_dir():
        return
    absent = pytest.mark.skip(reason=f"no real data in {REAL_DATA}: set FTFT_REAL_DATA")
    for item in items:
        if "real_data" in item.keywords:
            item.add_marker(absent)


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def real_data() -> Path:
    return REAL_DATA


@pytest.fixture(scope="session")
def tiny_config(root) -> dict:
    return yaml.safe_load((root / "tests" / "config" / "tiny.yaml").read_text())


@pytest.fixture
def empty_inputs(tmp_path, monkeypatch):
    """Work in a folder where the data files and encoders that this configuration names exist, empty."""
    home = tmp_path / "repository"
    home.mkdir()
    monkeypatch.chdir(home)

    def make(config: dict) -> None:
        for model in config["models"].values():
            (home / model["path"]).mkdir(parents=True)
        for dataset in next(iter(config["tasks"].values()))["datasets"].values():
            (home / dataset["path"]).parent.mkdir(parents=True, exist_ok=True)
            (home / dataset["path"]).touch()

    return make
