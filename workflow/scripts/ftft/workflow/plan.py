"""What a table needs: runs, selections, and the slice of the configuration that each of them reads.

Everything here is names and plain data, quick to import: Snakemake calls it while it reads the rules.
"""

import re
from dataclasses import dataclass

from ..errors import ConfigError

METHODS = {
    # method: (trains on a selection, budget)
    "ERM": (False, "full"),
    "ERM(ES)": (False, "stopped"),
    "DM": (True, "full"),
    "FTFT": (True, "stopped"),
}
ALL_DATA = "full"
REGIONS = ("ambiguous", "hard-to-learn", "easy")
SELECTION_NAME = re.compile(
    rf"(?:random|(?P<reference>.+)-(?P<region>{'|'.join(REGIONS)}))-(?P<percent>\d+(?:\.\d+)?)"
)


@dataclass(frozen=True)
class Selection:
    """A subset of the training data: `reference` and `region` are None for a random one."""

    reference: str | None
    region: str | None
    fraction: float

    @property
    def name(self) -> str:
        percent = f"{100 * self.fraction:.10f}".rstrip("0").rstrip(".")
        return f"{self.reference}-{self.region}-{percent}" if self.reference else f"random-{percent}"

    @classmethod
    def parse(cls, name: str) -> "Selection":
        """The selection that `name` spells, e.g. `small-ambiguous-33`; raises ConfigError."""
        match = SELECTION_NAME.fullmatch(name)
        if not match or not 0 < float(match["percent"]) <= 100:
            raise ConfigError(
                f"'{name}' is not the name of a selection",
                expected="random-PERCENT or REFERENCE-REGION-PERCENT, as in small-ambiguous-33",
            )
        return cls(match["reference"], match["region"], float(match["percent"]) / 100)


@dataclass(frozen=True)
class Run:
    """One training run: a model on all data (`full`) or on a selection, to the end or stopped early."""

    task: str
    model: str
    selection: str
    budget: str
    seed: int

    @property
    def path(self) -> str:
        return f"{self.task}/{self.model}/{self.selection}/{self.budget}/seed{self.seed}"


def row_selection(row: dict, config: dict) -> str:
    """The name of what a table's row trains on."""
    if not METHODS[row["method"]][0]:
        return ALL_DATA
    fraction = row.get("fraction", config["selection"]["fraction"])
    if row["reference"] == "random":
        return Selection(None, None, fraction).name
    return Selection(row["reference"], row["region"], fraction).name


def row_runs(row: dict, task: str, config: dict) -> list[Run]:
    """The main runs behind a table's row, one per seed."""
    selection, budget = row_selection(row, config), METHODS[row["method"]][1]
    return [Run(task, row["main"], selection, budget, seed) for seed in config["seeds"]]


def reference_runs(row: dict, task: str, config: dict) -> list[Run]:
    """The reference runs behind a table's row, one per seed; none for ERM and random selections."""
    if row.get("reference", "random") == "random":
        return []
    return [Run(task, row["reference"], ALL_DATA, "full", seed) for seed in config["seeds"]]


def table_runs(table: dict, config: dict) -> list[Run]:
    """The main runs that a table shows, each once, in the order of its rows."""
    runs = (run for row in table["rows"] for run in row_runs(row, table["task"], config))
    return list(dict.fromkeys(runs))


def cost_runs(table: dict, config: dict) -> list[Run]:
    """Every run whose cost a table counts: main runs, their references, and the unit of cost."""
    task = table["task"]
    unit = {"method": "ERM", "main": cost_unit(table)}
    rows = [*table["rows"], unit]
    runs = [run for row in rows for run in (*row_runs(row, task, config), *reference_runs(row, task, config))]
    return list(dict.fromkeys(runs))


def cost_unit(table: dict) -> str:
    """The model whose ERM run costs 100: as configured, else the main model of the last row."""
    return table.get("cost_of", table["rows"][-1]["main"])


def development_sets(task: dict) -> list[str]:
    """The data sets scored at every checkpoint: the in-distribution one first."""
    return [task["validation"], *(name for name in task["dev"] if name != task["validation"])]


def used_datasets(task: dict) -> list[str]:
    """The data sets that a task reads: training, development, evaluation, each once."""
    return list(dict.fromkeys([task["train"], *development_sets(task), *task["evaluate"]]))


def dataset_slice(config: dict, task: str, dataset: str) -> dict:
    """What defines a prepared data set."""
    entry = config["tasks"][task]
    columns = {key: entry[key] for key in ("text", "label", "uid")}
    return {**columns, **entry["datasets"][dataset], "labels": entry["labels"]}


def check_slice(config: dict, task: str) -> dict:
    """What defines the checks of a task's data."""
    entry = config["tasks"][task]
    return {"train": entry["train"], "datasets": used_datasets(entry), **config["checks"]}


def encoder_slice(config: dict, model: str) -> dict:
    """What defines a model's starting point."""
    keys = ("source", "id", "revision", "path", "package", "keep_layers", "architecture", "tokenizer")
    entry = config["models"][model]
    chosen = {key: entry[key] for key in keys if key in entry}
    return {**chosen, "max_length": entry["training"]["max_length"]}


def training_slice(config: dict, task: str, model: str, budget: str) -> dict:
    """What defines a training run beside its data, selection and seed."""
    entry = config["tasks"][task]
    return {
        "recipe": config["models"][model]["training"],
        "labels": entry["labels"],
        "development": development_sets(entry),
        "early_stopping": early_stopping(config, task) if budget == "stopped" else None,
    }


def early_stopping(config: dict, task: str) -> dict:
    """Patience in checkpoints, and the score that is monitored: the mean over development sets."""
    entry, rule = config["tasks"][task], config["early_stopping"]
    monitored = entry["dev"] if rule["monitor"] == "ood" else [entry["validation"]]
    return {"patience": rule["patience"], "metric": entry["metric"], "monitored": monitored}


def map_slice(config: dict) -> dict:
    """What defines a data map beside its training dynamics: nothing that is configured."""
    return {}


def selection_slice(config: dict, selection: str) -> dict:
    """What defines a selection beside its data map."""
    chosen = Selection.parse(selection)
    if chosen.reference is None:
        return {"fraction": chosen.fraction}
    return {"region": chosen.region, "fraction": chosen.fraction, "rule": config["selection"]["rule"]}


def evaluation_slice(config: dict, task: str, model: str) -> dict:
    """What defines the predictions of a run."""
    entry = config["tasks"][task]
    return {
        "datasets": entry["evaluate"],
        "max_length": config["models"][model]["training"]["max_length"],
    }


def scores_slice(config: dict, table: str) -> dict:
    """What defines the scores behind a table."""
    task = config["tasks"][config["tables"][table]["task"]]
    return {"failure_metric": task["metric"], "validation": task["validation"]}


def table_slice(config: dict, table: str) -> dict:
    """What defines a table beside its scores and ledgers."""
    entry = config["tables"][table]
    task = entry["task"]
    return {
        "title": entry.get("title", table),
        "metric": entry.get("metric", config["tasks"][task]["metric"]),
        "datasets": config["tasks"][task]["evaluate"],
        "cost_of": cost_unit(entry),
        "parameters_m": {name: model.get("parameters_m") for name, model in config["models"].items()},
        "seeds": config["seeds"],
        "rows": [
            {**row, "selection": row_selection(row, config), "budget": METHODS[row["method"]][1]}
            for row in entry["rows"]
        ],
    }
