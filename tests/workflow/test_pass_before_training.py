"""What is planned for scores from the pass before training, and what it comes to."""

import csv

import pytest
from test_kinds import WRITERS, task
from workflows import Workflow

from ftft.artifacts import read_json

SCORED = "results/maps/generation/small/seed0.{score}.parquet"


TABLE, VERDICT = "results/tables/by-loss.csv", "results/verdicts/by-loss.html"
CARD = "results/finetuned/generation/README.md"
MAIN = "results/runs/generation/large/small-high_loss_before-33/full/seed0/ledger.json"


@pytest.fixture(scope="module")
def workflow(root, tiny_config, tmp_path_factory):
    """One row, of a selection by the pass before training; nothing was run yet."""
    workflow = Workflow(root, tmp_path_factory.mktemp("before"), tiny_config)
    tokenizer = {"kind": "wordpiece", "vocab_size": 400}
    scratch = {"source": "scratch", "tokenizer": tokenizer}
    row = {"main": "large", "reference": "small"}
    workflow.write_config(
        {
            **tiny_config,
            "tasks": {"generation": task("generation", workflow.folder)},
            "models": {size: {**scratch, "architecture": own} for size, own in WRITERS.items()},
            "tables": {
                "by-loss": {
                    "task": "generation",
                    "rows": [{"method": "DM", "selector": "high_loss_before", **row}],
                    "baselines": False,
                }
            },
            "finetune": {"generation": {"selector": "high_loss_before", **row}},
            "figures": {},
        }
    )
    return workflow


@pytest.fixture
def planned(workflow):
    """Jobs by rule that a target needs."""
    return lambda target: workflow.planned(target=target)


@pytest.mark.parametrize("score", ["ifd", "loss_before_training"])
def test_a_score_from_before_training_asks_for_no_training(planned, score):
    found = planned(SCORED.format(score=score))
    assert found["look_before_training"] == found["score_instances"] == 1
    assert not [rule for rule in found if rule.startswith("train")]


def test_a_score_of_the_training_asks_for_it(planned):
    found = planned(SCORED.format(score="learning_percentage"))
    assert found["train_reference"] == 1 and "look_before_training" not in found


def test_a_selection_by_the_pass_alone_plans_no_training_of_its_reference(planned):
    found = planned(MAIN)
    assert found["look_before_training"] == found["make_supervision"] == found["train_main"] == 1
    assert not {"train_reference", "build_data_map"} & set(found)


def test_a_model_taken_home_by_it_plans_no_reference_run(planned):
    found = planned("finetune")
    assert found["look_before_training"] == found["train_main"] == found["write_finetuned"] == 1
    assert not {"train_reference", "build_data_map"} & set(found)


@pytest.mark.parametrize("target", [TABLE, VERDICT, "paper"])
def test_what_reads_its_runs_asks_for_the_pass_and_for_erm_of_the_main_model_alone(planned, target):
    found = planned(target)
    assert found["look_before_training"] == found["train_main"] == found["train_reference"] == 1
    assert "build_data_map" not in found


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.long
def test_its_costs_are_those_of_the_pass(workflow):
    run = workflow.snakemake("--", TABLE, VERDICT, CARD)
    assert run.returncode == 0, run.stdout
    results = workflow.folder / "results"
    assert not (results / "runs/generation/small").exists()
    assert not list((results / "maps/generation/small").glob("seed0.json"))
    parts = {row["part"]: row for row in rows_of(results / "tables/by-loss.costs.csv")}
    assert list(parts) == ["supervision", "main"]
    before = read_json(results / "before/generation/small.json")
    assert float(parts["supervision"]["flops"]) == before["flops"] > 0
    assert float(parts["supervision"]["seconds"]) > before["seconds"]
    (row,) = rows_of(workflow.folder / TABLE)
    # By parameters and checkpoints it is the main run alone, which goes to its end.
    assert (float(row["cost"]), row["runs"], row["failed"]) == (100, "1", "0")
    assert "was asked before any training how likely each response is" in (workflow.folder / CARD).read_text()
    judged = rows_of(results / "figures/verdicts/by-loss.csv")
    assert {row["method"] for row in judged} == {"ERM", "high_loss_before of small"}
