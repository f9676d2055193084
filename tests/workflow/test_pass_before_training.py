"""What is planned for scores from the pass before training."""

import pytest
from test_kinds import WRITERS, task
from workflows import Workflow

SCORED = "results/maps/generation/small/seed0.{score}.parquet"


@pytest.fixture(scope="module")
def planned(root, tiny_config, tmp_path_factory):
    """Jobs by rule that a target needs where nothing was run yet."""
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
                }
            },
            "finetune": {},
            "figures": {},
        }
    )
    return lambda target: workflow.planned(target=target)


@pytest.mark.parametrize("score", ["ifd", "loss_before_training"])
def test_a_score_from_before_training_asks_for_no_training(planned, score):
    found = planned(SCORED.format(score=score))
    assert found["look_before_training"] == found["score_instances"] == 1
    assert not [rule for rule in found if rule.startswith("train")]


def test_a_score_of_the_training_asks_for_it(planned):
    found = planned(SCORED.format(score="learning_percentage"))
    assert found["train_reference"] == 1 and "look_before_training" not in found


def test_a_verdict_reads_what_the_passes_took(planned):
    # The reference's pass is counted once, whichever of its rows goes by it.
    assert planned("results/verdicts/by-loss.html")["look_before_training"] == 1
