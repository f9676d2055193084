"""The cost column reproduces every figure that the paper prints (Tables 1, 2, 3, 5 and 6)."""

import csv
from collections import Counter

import pytest

from ftft.paper import roles as paper
from ftft.paper.costs import printed_cost

SEEDS = 4
with open(paper.PAPER / "costs.csv", encoding="utf-8") as file:
    PUBLISHED = list(csv.DictReader(file))
MILLIONS = paper.read("tables")["models"]


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: " ".join(list(row.values())[:4]))
def test_a_printed_cost_is_reproduced(row):
    consumed = float(row["consumed_checkpoints"] or 0) / SEEDS
    share = consumed / float(row["planned_checkpoints"]) if consumed else 1.0
    unit = MILLIONS[paper.read("tables")["cost_of"]]
    cost = printed_cost(MILLIONS[row["main"]], unit, share, MILLIONS.get(row["reference"], 0.0))
    assert f"{cost:.2f}" == row["cost"]


def test_every_printed_cost_is_there():
    counts = {"table1": 15, "table2": 21, "table3": 9, "table5": 15, "table6": 23}
    assert Counter(row["table"] for row in PUBLISHED) == counts


@pytest.mark.parametrize("table", paper.SCORE_TABLES)
def test_the_rows_of_a_table_are_those_whose_costs_were_printed(table):
    entry = paper.read("tables")["tables"][table]
    rows = [*entry["rows"], *entry.get("more_rows", [])]
    shown = [(row["method"], row["main"], row.get("reference", "")) for row in rows]
    assert shown == [
        (row["method"], row["main"], row["reference"]) for row in PUBLISHED if row["table"] == table
    ]


def test_early_stopping_consumed_quarter_checkpoints_as_four_seeds_do():
    stopped = [row for row in PUBLISHED if row["consumed_checkpoints"]]
    assert [int(row["consumed_checkpoints"]) for row in stopped] == [32, 18, 22, 21, 25, 23, 28, 26]
    assert {row["method"] for row in stopped} == {"ERM(ES)", "FTFT"}
