"""Runs to the end go on from stopped ones: which, and when."""

import pytest

from ftft.pipeline.config import resolve
from ftft.pipeline.continuation import continuations, gone_on_from, priorities

ERM = {"method": "ERM", "main": "large"}
ERM_ES = {"method": "ERM(ES)", "main": "large"}
DM = {"method": "DM", "main": "large", "reference": "small"}
FTFT = {"method": "FTFT", "main": "large", "reference": "small"}


@pytest.fixture
def configured(tiny):
    def configure(*rows, seeds=(0,), monitors=("ood",)):
        tiny["tables"]["table1"]["rows"] = list(rows)
        tiny["seeds"] = list(seeds)
        tiny["early_stopping"] = {"monitors": list(monitors)}
        return resolve(tiny)

    return configure


@pytest.mark.parametrize(
    ("rows", "stopped"),
    [
        ([ERM], []),
        ([ERM_ES], ["all/stopped-ood"]),
        ([FTFT], []),
        ([FTFT, DM], ["small-ambiguous-33/stopped-ood"]),
        ([FTFT, {**DM, "selector": "easy"}], []),
        ([FTFT, {**DM, "fraction": 0.5}], []),
    ],
)
def test_a_stopped_run_is_gone_on_from_where_the_same_is_trained_to_the_end(configured, rows, stopped):
    assert gone_on_from(configured(*rows)) == [f"demo/large/{run}/seed0" for run in stopped]


def test_compare_goes_on_from_what_finetune_made(configured, tiny):
    tiny["finetune"] = {"demo": {"main": "large", "reference": "small", "seeds": [0]}}
    assert gone_on_from(configured(ERM)) == ["demo/large/small-ambiguous-33/stopped-ood/seed0"]


def test_each_training_follows_at_once_on_those_that_it_goes_on_from(configured):
    config = configured(ERM_ES, FTFT, DM, seeds=(0, 1, 2), monitors=("ood", "id"))
    ranks = priorities(config)
    order = sorted(ranks, key=ranks.get, reverse=True)
    blocks = [
        [*(stopped.path for stopped in before), run.path] for run, before in continuations(config).items()
    ]
    assert order == [path for block in blocks for path in block]
    assert [len(block) for block in blocks] == [3] * 6
    assert all(0 < rank < 1 for rank in ranks.values())
