"""The rules as a module of others' workflows: from the package, from a repository, by snakedeploy."""

import os
import re
import shutil
import subprocess
import sys

import pytest
import yaml

TRIGGERS = ("--rerun-triggers", "mtime", "params", "input")
PACKED = ("Snakefile", "rules", "workflow", "config", "envs", "profiles", "LICENSE")
SNAKEDEPLOY = "snakedeploy==0.17.1"
LEDGER = "ftft/results/runs/reviews/small/all/full/seed0/ledger.json"
IDENTITY = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.org")


@pytest.fixture(scope="module")
def documented(root):
    """The lines in docs/library.md."""
    text = (root / "docs" / "library.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```snakemake\n(.*?)```", text, re.DOTALL)
    return block


@pytest.fixture
def folder(tiny_config, tmp_path):
    """A folder with data, a configuration, and nothing of the workflow."""
    rows = [f"{thing}{mood},the {thing} is {mood},{mood}" for thing in range(40) for mood in ("good", "bad")]
    (tmp_path / "reviews.csv").write_text("\n".join(["uid,text,label", *rows]))
    source = {"source": "file", "path": "reviews.csv"}
    datasets = {"train": source | {"share": [0, 0.7]}, "validation": source | {"share": [0.7, 1]}}
    task = {"labels": ["bad", "good"], "uid": "uid", "train": "train", "validation": "validation"}
    tiny = {key: tiny_config[key] for key in ("seeds", "training", "checks", "runtime")}
    models = {"small": tiny_config["models"]["small"]}
    config = {
        **tiny,
        "runtime": {**tiny["runtime"], "trackers": ["tensorboard"]},
        "tasks": {"reviews": {**task, "evaluate": ["validation"], "datasets": datasets}},
        "models": models,
        "early_stopping": {"monitors": ["id"]},
        "tables": {"methods": {"task": "reviews", "rows": [{"method": "ERM", "main": "small"}]}},
    }
    (tmp_path / "reviews.yaml").write_text(yaml.safe_dump(config))
    return tmp_path


@pytest.fixture
def snakemake(root, folder):
    def call(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "snakemake", "--cores", "1", *TRIGGERS, *arguments],
            cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
            env={**os.environ, "PYTHONPATH": str(root / "src")},
        )  # fmt: skip

    return call


def test_the_documented_lines_plan_under_their_own_names(documented, folder, snakemake):
    (folder / "Snakefile").write_text(documented)
    planned = snakemake("--dry-run")
    assert planned.returncode == 0, planned.stdout
    assert re.search(r"^ftft_train_reference +1$", planned.stdout, re.M)
    assert re.search(r"^first_map +1$", planned.stdout, re.M)


@pytest.fixture
def repository(root, folder):
    """The workflow as a repository with a version, below a name that snakedeploy takes for its host's."""
    place = folder / ".repository" / "github.com" / "somebody" / "ftft"
    place.mkdir(parents=True)
    for name in PACKED:
        source = root / name
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, place / name)
    for command in (
        ["init", "--quiet"],
        ["add", "."],
        [*IDENTITY, "commit", "--quiet", "-m", "all"],
        ["tag", "v1"],
    ):
        subprocess.run(["git", *command], cwd=place, check=True)
    return place


@pytest.mark.long
def test_rules_from_a_repository_leave_all_that_they_make_below_the_prefix(
    repository, documented, folder, snakemake
):
    packed = f'gitfile("{repository}", path="workflow/Snakefile", tag="v1")'
    (folder / "Snakefile").write_text(documented.replace("str(SNAKEFILE)", packed))
    run = snakemake("--", LEDGER)
    assert run.returncode == 0, run.stdout
    assert (folder / LEDGER).exists()
    assert list(folder.glob("ftft/results/scratch/tokens/*"))
    assert list(folder.glob("ftft/results/tracking/reviews/small/all/full/seed0/**/events*"))
    left = {path.name for path in folder.iterdir()} - {".snakemake", ".repository"}
    assert left == {"Snakefile", "reviews.csv", "reviews.yaml", "ftft"}


def test_the_folder_that_actions_run_in_plans_the_smallest_configuration(root):
    planned = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "1", "--directory", ".test", "--dry-run",
         "--snakefile", "workflow/Snakefile"],
        cwd=root, text=True, capture_output=True, check=True,
    )  # fmt: skip
    assert re.search(r"^train_main +[1-9]", planned.stdout, re.M)


@pytest.mark.release
def test_snakedeploy_deploys_a_version_that_runs(repository, folder, snakemake, empty_environment):
    empty_environment("pip", "install", "--quiet", SNAKEDEPLOY)
    deployed = folder / "deployed"
    source = ("deploy-workflow", repository.as_uri(), str(deployed), "--tag", "v1")
    empty_environment("snakedeploy", *source)
    assert {path.name for path in deployed.iterdir()} == {"config", "LICENSE", "profiles", "workflow"}
    snakefile = deployed / "workflow" / "Snakefile"
    hosted = 'github("somebody/ftft", path="workflow/Snakefile", tag="v1")'
    assert hosted in snakefile.read_text()
    # The same from this disk.
    local = hosted.replace('github("somebody/ftft"', f'gitfile("{repository}"')
    snakefile.write_text(snakefile.read_text().replace(hosted, local))
    checked = snakemake(
        "--directory", str(deployed), "--snakefile", str(snakefile), "--", "results/checks/demo.json"
    )
    assert checked.returncode == 0, checked.stdout
    assert (deployed / "results/checks/demo.json").exists()
