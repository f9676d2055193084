"""The paper's tables and figures, in a configuration's own names for the paper's tasks and models."""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import yaml

PAPER = Path(__file__).parent
# Tables 3 and 4 are about models, not methods: they have rules of their own.
SCORE_TABLES = ("table1", "table2", "table5", "table6")
# Of a claim's comparisons, the share that must hold; "most" is more than half.
NEEDED = {"all": 1.0, "most": 0.5000001, "often": 0.25}
# Over which costs.csv sums the checkpoints that runs consumed.
SEEDS = 4
# What "comparable" allows, as a share of 1.
MARGIN = 0.02
# Transfers from these fail for both main models, those from all other references succeed (section 4.3).
INEFFECTIVE = ("bert-tiny", "electra-small")


@lru_cache
def read(name: str) -> dict:
    """One of the files of this folder."""
    return yaml.safe_load((PAPER / f"{name}.yaml").read_text(encoding="utf-8"))


class Player(Protocol):
    """A task or a model of a configuration, which may stand for one of the paper's."""

    @property
    def stands_for(self) -> str | None:
        """The paper's name for what it plays the part of; None where it stands for its own name."""


@dataclass(frozen=True)
class Roles:
    """A configuration's names of the paper's tasks and models, by the paper's, and who plays itself."""

    tasks: Mapping[str, str]
    models: Mapping[str, str]
    themselves: frozenset[str]

    @classmethod
    def of(cls, tasks: Mapping[str, Player], models: Mapping[str, Player]) -> "Roles":
        """The roles that the tasks and models of a configuration play."""
        played = [
            {entry.stands_for or name: name for name, entry in entries.items()} for entries in (tasks, models)
        ]
        own = (name for name, entry in (*tasks.items(), *models.items()) if entry.stands_for is None)
        return cls(*played, frozenset(own))

    def tables(self) -> dict[str, dict]:
        """The paper's score tables: task, title, rows, left_out (rows whose models are absent), cost_of.

        A table without rows, or without its task, is not there.
        """
        paper, tables = read("tables"), {}
        for name in SCORE_TABLES:
            table = paper["tables"][name]
            rows = [*table["rows"], *table.get("more_rows", [])]
            kept = [row for row in rows if _names(row) <= set(self.models)]
            if table["task"] not in self.tasks or not kept:
                continue
            task = self.tasks[table["task"]]
            tables[name] = {
                "task": task,
                "title": table["title"] + ("" if task == table["task"] else f", here {task}"),
                "rows": [self.translated(row) for row in kept],
                "left_out": [describe(row) for row in rows if row not in kept],
            }
            if paper["cost_of"] in self.models:
                tables[name]["cost_of"] = self.models[paper["cost_of"]]
        return tables

    def overlap(self, models: Iterable[str]) -> dict[str, list[str]]:
        """The groups of the overlap figure: the paper's that have two members at least, else all `models`."""
        groups = {
            name: [self.models[role] for role in group if role in self.models]
            for name, group in read("tables")["overlap"].items()
        }
        complete = {name: group for name, group in groups.items() if len(group) > 1}
        return complete or {"references": list(models)}

    def translated(self, row: dict) -> dict:
        """A row of the paper in the names of the configuration."""
        return {
            key: self.models.get(value, value) if key in ("main", "reference") else value
            for key, value in row.items()
        }

    def published_easy_shares(self) -> dict[str, dict[str, dict[str, float]]]:
        """Table 4: percent by task, model and rate in percent.

        Only for tasks and models that go by the paper's name and stand in for nothing.
        """
        printed = {row.pop("model"): row for row in _rows("easy_share")}
        shares: dict = {}
        for model in printed.keys() & self.models.keys() & self.themselves:
            for column, value in printed[model].items():
                task, rate = column.split("_")
                if task in self.tasks.keys() & self.themselves:
                    shares.setdefault(task, {}).setdefault(model, {})[rate] = float(value)
        return shares

    def claims(self, lengths: Mapping[str, list[int]]) -> list[dict]:
        """The paper's claims, task by task, each with the comparisons that decide it.

        lengths: by task, the shorter training lengths that are run. Entries: claim, text, section, task,
        need, tests (name, left and right row, relation, sets, margin) and missing: what is lacking.
        """
        return [
            {
                "claim": claim,
                "text": entry["text"],
                "section": entry["section"],
                "task": self.tasks[role],
                "need": NEEDED[entry["need"]],
                **self._comparisons(entry["tests"], self.tasks[role], lengths.get(self.tasks[role], [])),
            }
            for role in read("tables")["tasks"]
            for claim, entry in read("claims")["claims"].items()
            if role in self.tasks and role in entry["tasks"]
        ]

    def _comparisons(self, tests: list[dict], task: str, lengths: list[int]) -> dict:
        """The comparisons of a claim's `tests` that there are models for, and what is lacking."""
        methods = read("claims")["methods"]
        comparisons, missing = [], set()
        for test in tests:
            if "lengths" in test and not lengths:
                missing.add(f"figures.training_length.{task}")
            for pair in ((left, test["right"]) for left in test["left"]):
                absent = {role for name in pair for role in _names(methods[name])} - set(self.models)
                missing |= {f"a model that stands for {role}" for role in absent}
                if not absent:
                    rows = [self.translated(methods[name]) for name in pair]
                    comparisons += _by_length(pair, rows, test, lengths)
        return {"tests": comparisons, "missing": sorted(missing)}


def _names(row: dict) -> set[str]:
    return {row[key] for key in ("main", "reference") if key in row} - {"random"}


def describe(row: dict) -> str:
    """A row of the paper in words."""
    return f"{row['method']} {row['main']}" + (f" ({row['reference']})" if "reference" in row else "")


def easy_shares_by_effect(rate: str) -> dict[str, dict[str, dict[str, float]]]:
    """Table 4 at one rate: percent by task, by `effective` or `ineffective`, and by reference."""
    shares = {task: {"effective": {}, "ineffective": {}} for task in read("tables")["tasks"]}
    for row in _rows("easy_share"):
        effect = "ineffective" if row["model"] in INEFFECTIVE else "effective"
        for task in shares:
            shares[task][effect][row["model"]] = float(row[f"{task}_{rate}"])
    return shares


def consumed_shares(task: str) -> list[float]:
    """Of its planned checkpoints, the share that the main model of each FTFT row of a task trained for."""
    tables = read("tables")["tables"]
    return [
        int(row["consumed_checkpoints"]) / (SEEDS * int(row["planned_checkpoints"]))
        for row in _rows("costs")
        if row["method"] == "FTFT" and tables[row["table"]]["task"] == task
    ]


def _rows(name: str) -> list[dict[str, str]]:
    with open(PAPER / f"{name}.csv", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _by_length(pair: tuple[str, str], rows: list[dict], test: dict, lengths: list[int]) -> list[dict]:
    """One comparison, or one for every shorter training length where the test asks for them."""
    (left, right), (left_row, right_row) = pair, rows
    common = {"relation": test["relation"], "sets": test["sets"], "margin": test.get("margin", MARGIN)}
    if "lengths" not in test:
        return [{"name": f"{left} - {right}", "left": left_row, "right": right_row, **common}]
    to_the_end = test["lengths"][1] == "full"
    return [
        {
            "name": f"{left} ({steps} steps) - {right}" + (" (full length)" if to_the_end else ""),
            "left": {**left_row, "steps": steps},
            "right": right_row if to_the_end else {**right_row, "steps": steps},
            **common,
        }
        for steps in lengths
    ]
