"""`snakemake download` fetches what the hub has to give; what follows needs neither hub nor cache."""

import shutil

import pandas as pd
import pytest

from ftft.data import demo

pytestmark = pytest.mark.long

COMMIT = "0123456789abcdef0123456789abcdef01234567"
EVALUATION = "results/evaluations/demo/small/all/full/seed0/validation.parquet"
# The split on the hub and the number of rows.
FROM_HUB = {"train": ("train", 200), "r1_test": ("test", 40)}


def from_hub(config: dict) -> None:
    """Take the training set, one evaluation set and one encoder from the hub."""
    datasets = config["tasks"]["demo"]["datasets"]
    for name, (split, _) in FROM_HUB.items():
        datasets[name] = {"source": "hub", "id": "org/rows", "revision": COMMIT, "split": split}
    config["models"]["small"] = {"source": "hub", "id": "org/encoder", "revision": COMMIT}


@pytest.fixture(scope="module")
def hub(another, tmp_path_factory):
    """A hub client's home with one data set and one encoder: a scratch encoder of the tiny configuration."""
    workflow = another()
    encoder = workflow.folder / "results" / "encoders" / "demo" / "small"
    run = workflow.snakemake("--", str((encoder / "config.json").relative_to(workflow.folder)))
    assert run.returncode == 0, run.stdout
    home = tmp_path_factory.mktemp("hub")
    for repository in ("datasets--org--rows", "models--org--encoder"):
        (home / "hub" / repository / "refs").mkdir(parents=True)
        (home / "hub" / repository / "refs" / "main").write_text(COMMIT)
    shutil.copytree(encoder, home / "hub" / "models--org--encoder" / "snapshots" / COMMIT)
    rows = home / "hub" / "datasets--org--rows" / "snapshots" / COMMIT
    rows.mkdir(parents=True)
    for name, (split, count) in FROM_HUB.items():
        pd.DataFrame(demo.generate(name, count)).to_csv(rows / f"{split}.csv", index=False)
    return home


@pytest.fixture
def offline(fresh, hub, tmp_path, monkeypatch):
    """A workflow with sources on the hub, which is out of reach; what was fetched once is in `home`."""
    fresh.edit(from_hub)
    home = tmp_path / "home"
    shutil.copytree(hub, home)
    monkeypatch.setenv("HF_HOME", str(home))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return fresh, home


def test_what_is_downloaded_serves_all_that_follows(offline):
    workflow, home = offline
    assert workflow.planned(target="download") == {"download_data": 2, "prepare_encoder": 1}
    download = workflow.snakemake("--", "download")
    assert download.returncode == 0, download.stdout
    shutil.rmtree(home)
    assert "download_data" not in workflow.planned(target=EVALUATION)
    run = workflow.snakemake("--", EVALUATION)
    assert run.returncode == 0, run.stdout

    # What is kept of the rows is no reason to fetch them again, and one set is no other.
    prepared = "results/data/demo/train.parquet"
    workflow.edit(lambda config: config["tasks"]["demo"]["datasets"]["train"].update(max_rows=100))
    assert workflow.planned(target=prepared) == {"prepare_data": 1}
    downloads = workflow.folder / "results/downloads/demo"
    shutil.copyfile(downloads / "r1_test.parquet", downloads / "train.parquet")
    assert workflow.planned(target=prepared) == {"download_data": 1, "prepare_data": 1}


def test_without_hub_sources_there_is_nothing_to_download(fresh):
    assert fresh.planned(target="download") == {}


def test_a_download_that_fails_says_what_to_do(offline):
    workflow, home = offline
    shutil.rmtree(home)
    run = workflow.snakemake("--keep-going", "--", "download")
    assert run.returncode == 1
    assert "the encoder 'org/encoder' cannot be had from the hub" in run.stdout
    assert "data set 'train' cannot be fetched from the hub" in run.stdout
