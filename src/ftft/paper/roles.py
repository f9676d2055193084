"""The paper's tables and figures, in a configuration's own names for the paper's tasks and models."""

import csv
from functools import lru_cache
from pathlib import Path

import yaml

from ..pipeline.plan import METHODS, Run, row_runs

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


def roles(entries: dict) -> dict[str, str]:
    """By the paper's name for a task or model, the configuration's name of what stands for it."""
    return {entry.get("stands_for", name): name for name, entry in entries.items()}


def add_tables(config: dict) -> None:
    """Define the paper's score tables for the tasks and models of `config`, where it has none by that name.

    A row whose models are absent is left out and listed under `left_out`; a table without rows, or
    without its task, is not defined.
    """
    paper = read("tables")
    tasks, models = roles(config["tasks"]), roles(config["models"])
    for name in SCORE_TABLES:
        table = paper["tables"][name]
        rows = [*table["rows"], *table.get("more_rows", [])]
        kept = [row for row in rows if _names(row) <= set(models)]
        if name in config["tables"] or table["task"] not in tasks or not kept:
            continue
        task = tasks[table["task"]]
        config["tables"][name] = {
            "task": task,
            "title": table["title"] + ("" if task == table["task"] else f", here {task}"),
            "rows": [translate(row, models) for row in kept],
            "left_out": [describe(row) for row in rows if row not in kept],
        }
        if paper["cost_of"] in models:
            config["tables"][name]["cost_of"] = models[paper["cost_of"]]


def add_overlap(config: dict) -> None:
    """Define the groups of the overlap figure where `config` has none: the paper's, else all models."""
    if "overlap" in config["figures"]:
        return
    models = roles(config["models"])
    groups = {
        name: [models[role] for role in group if role in models]
        for name, group in read("tables")["overlap"].items()
    }
    complete = {name: group for name, group in groups.items() if len(group) > 1}
    config["figures"]["overlap"] = complete or {"references": list(config["models"])}


def _names(row: dict) -> set[str]:
    return {row[key] for key in ("main", "reference") if key in row} - {"random"}


def translate(row: dict, models: dict[str, str]) -> dict:
    """A row of the paper in the names of a configuration; `models` is keyed by the paper's names."""
    return {
        key: models.get(value, value) if key in ("main", "reference") else value for key, value in row.items()
    }


def describe(row: dict) -> str:
    """A row of the paper in words."""
    return f"{row['method']} {row['main']}" + (f" ({row['reference']})" if "reference" in row else "")


def published_easy_shares(config: dict) -> dict[str, dict[str, dict[str, float]]]:
    """Table 4: percent by task, model and rate in percent.

    Only for tasks and models that go by the paper's name and stand in for nothing.
    """

    def own(section: str) -> set[str]:
        return {name for name, entry in config[section].items() if "stands_for" not in entry}

    printed = {row.pop("model"): row for row in _rows("easy_share")}
    shares: dict = {}
    for model in own("models") & set(printed):
        for column, value in printed[model].items():
            task, rate = column.split("_")
            if task in own("tasks"):
                shares.setdefault(task, {}).setdefault(model, {})[rate] = float(value)
    return shares


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


def claims(config: dict) -> list[dict]:
    """The paper's claims for the tasks of `config`, task by task, each with the comparisons that decide it.

    Entries: claim, text, section, task, need, tests (name, left and right row, relation, sets, margin)
    and missing: what the configuration lacks to decide it.
    """
    tasks = roles(config["tasks"])
    return [
        {
            "claim": claim,
            "text": entry["text"],
            "section": entry["section"],
            "task": tasks[role],
            "need": NEEDED[entry["need"]],
            **_comparisons(entry["tests"], tasks[role], config),
        }
        for role in read("tables")["tasks"]
        for claim, entry in read("claims")["claims"].items()
        if role in tasks and role in entry["tasks"]
    ]


def claim_runs(config: dict) -> list[Run]:
    """The runs that decide the claims, each once."""
    rows = [
        (test[side], claim["task"])
        for claim in claims(config)
        for test in claim["tests"]
        for side in ("left", "right")
    ]
    return list(dict.fromkeys(run for row, task in rows for run in row_runs(row, task, config)))


def _comparisons(tests: list[dict], task: str, config: dict) -> dict:
    """The comparisons of a claim's `tests` that the configuration has models for, and what it lacks."""
    methods, models = read("claims")["methods"], roles(config["models"])
    lengths = config["figures"]["training_length"].get(task, {}).get("steps", [])
    comparisons, missing = [], set()
    for test in tests:
        if "lengths" in test and not lengths:
            missing.add(f"figures.training_length.{task}")
        for pair in ((left, test["right"]) for left in test["left"]):
            absent = {role for name in pair for role in _names(methods[name])} - set(models)
            missing |= {f"a model that stands for {role}" for role in absent}
            if not absent:
                rows = [_completed(translate(methods[name], models), config) for name in pair]
                comparisons += _by_length(pair, rows, test, lengths)
    return {"tests": comparisons, "missing": sorted(missing)}


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


def _completed(row: dict, config: dict) -> dict:
    row = {"region": "ambiguous", **row}
    return {**row, "monitor": config["early_stopping"]["monitors"][0]} if METHODS[row["method"]][1] else row
