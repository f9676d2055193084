"""From the data to its issues, to corrections, and back: what is made, and what is made again."""

import csv
import json

import pytest

from ftft.cli import main
from ftft.data.dataset import Dataset

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def searched(finished, tmp_path_factory):
    """A copy of the finished workflow, with its lists of issues."""
    workflow = finished.copy(tmp_path_factory.mktemp("searched"))
    assert workflow.planned(target="issues") == {"collect_issues": 1}
    run = workflow.snakemake("--", "issues")
    assert run.returncode == 0, run.stdout
    return workflow


@pytest.fixture
def issues(searched):
    """The rows of the task's list."""
    with open(searched.folder / "results/issues/demo.csv", newline="") as file:
        return list(csv.DictReader(file))


def correct(workflow, dataset, text):
    (workflow.folder / "corrections.csv").write_text(text)
    entry = {"corrections": "corrections.csv"}
    workflow.edit(lambda config: config["tasks"]["demo"]["datasets"][dataset].update(entry))


def test_issues_are_listed_and_shown(searched, issues, capsys):
    assert [*issues[0]][:3] == ["uid", "premise", "hypothesis"]
    assert all(row["given"] != row["suggested"] for row in issues[:5])
    assert main(["issues", "demo", "--results", str(searched.folder / "results"), "--first", "2"]) == 0
    shown = capsys.readouterr().out
    assert f"1. {issues[0]['uid']}: {issues[0]['given']} -> {issues[0]['suggested']}" in shown


def test_a_corrected_evaluation_set_retrains_nothing(searched, issues):
    uid = Dataset.load(searched.folder / "results/data/demo/r1_test.parquet").uids[0]
    correct(searched, "r1_test", f"uid,label\n{uid},\n")
    planned = searched.planned()
    searched.restore()
    assert planned["prepare_data"] == planned["check_data"] == planned["write_table"] == 1
    assert not {"train_reference", "train_main", "build_data_map"} & set(planned)


def test_a_suggestion_becomes_a_label(searched, issues):
    worst = issues[0]
    correct(searched, "train", f"uid,label\n{worst['uid']},{worst['suggested']}\n{issues[1]['uid']},\n")
    planned = searched.planned()
    assert planned["train_reference"] == 2 and planned["prepare_data"] == 1
    run = searched.snakemake("--", "results/checks/demo.json")
    searched.restore()
    assert run.returncode == 0, run.stdout
    report = json.loads((searched.folder / "results/checks/demo.json").read_text())
    step = {"step": "corrections", "rows": 199, "corrected": 1, "dropped": 1}
    assert report["train"]["steps"][-1] == step
    dataset = Dataset.load(searched.folder / "results/data/demo/train.parquet")
    assert issues[1]["uid"] not in dataset.uids
    label = dataset.labels[list(dataset.uids).index(worst["uid"])]
    assert dataset.label_names[label] == worst["suggested"]
