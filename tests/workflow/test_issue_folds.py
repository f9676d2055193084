"""Issues out of sample: what `issues.folds` plans, what it leaves, and what an edit makes again."""

import csv
import json

import numpy as np
import pytest

from ftft.artifacts import read_parquet, to_numpy
from ftft.cartography.dynamics import load_dynamics
from ftft.cartography.folds import split
from ftft.cli import main
from ftft.data.dataset import Dataset

pytestmark = pytest.mark.long

FOLDS = 3


@pytest.fixture(scope="module")
def folded(another):
    """The tiny configuration with three folds, its list of issues made."""
    workflow = another()
    workflow.pristine_config = {**workflow.pristine_config, "issues": {"folds": FOLDS}}
    workflow.restore()
    planned = workflow.planned(target="issues")
    assert "train_reference" not in planned
    assert (planned["train_fold"], planned["gather_folds"], planned["find_issues"]) == (FOLDS, 1, 1)
    run = workflow.snakemake("--", "issues")
    assert run.returncode == 0, run.stdout
    return workflow


def test_every_row_is_judged_by_the_model_that_lacked_it(folded):
    results = folded.folder / "results"
    dataset = Dataset.load(results / "data/demo/train.parquet")
    dynamics = load_dynamics(results / f"folds/demo/small/{FOLDS}/seed0.parquet", dataset)
    assert dynamics.logits.shape == (1, len(dataset), 3)
    for number in range(1, FOLDS + 1):
        folder = results / f"runs/demo/small/without-{number}of{FOLDS}/full/seed0"
        table, _ = read_parquet(folder / "held_out.parquet")
        rows = to_numpy(table["row"])
        assert rows.tolist() == split(dataset, f"{number}of{FOLDS}")[1].tolist()
        np.testing.assert_array_equal(to_numpy(table["output_1"]), dynamics.logits[0, rows, 1])
        ledger = json.loads((folder / "ledger.json").read_text())
        assert ledger["outcome"]["training_instances"] == len(dataset) - len(rows)
        assert [path.name for path in sorted(folder.iterdir())] == ["held_out.parquet", "ledger.json"]


def test_the_list_says_that_it_is_out_of_sample_and_what_it_cost(folded, capsys):
    issues = folded.folder / "results/issues"
    with open(issues / "demo.csv", newline="") as file:
        assert all("not trained on this row" in row["reason"] for row in csv.DictReader(file))
    further = json.loads((issues / "demo.json").read_text())["runs"][0]["further_trainings"]
    assert further["number"] == FOLDS and further["seconds"] > 0 and further["flops"] > 0
    assert main(["issues", "--results", str(folded.folder / "results"), "--first", "1"]) == 0
    assert "out of sample, by 3 further trainings" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("issues", "expected"),
    [
        ({"folds": 3}, {}),
        ({"folds": 3, "scores": ["aum"]}, {"find_issues": 1, "collect_issues": 1}),
        ({"folds": 2}, {"train_fold": 2, "gather_folds": 1, "find_issues": 1, "collect_issues": 1}),
        ({}, {"train_reference": 1, "find_issues": 1, "collect_issues": 1}),
    ],
)
def test_an_edit_makes_again_what_it_defines(folded, issues, expected):
    folded.edit(lambda config: config.update(issues=issues))
    planned = folded.planned(target="issues")
    folded.restore()
    assert planned == expected
