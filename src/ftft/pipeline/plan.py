"""What tables and figures need: names, selections, training runs.

Everything here is names and plain data, quick to import: Snakemake calls it while it reads the rules.
"""

import re
from dataclasses import dataclass, replace

from ..errors import ConfigError

METHODS = {
    # method: (trains on a selection, stops early)
    "ERM": (False, False),
    "ERM(ES)": (False, True),
    "DM": (True, False),
    "FTFT": (True, True),
}
ALL_DATA = "full"
FULL_LENGTH = "full"
BUDGET_NAME = re.compile(r"full|stopped-(?P<monitor>ood|id)|steps-(?P<steps>[1-9]\d*)")
LENGTH_TABLE = "training-length-"
# The columns of a table that say what its rows cost; results/costs.py defines them.
COSTS = ("cost", "cost_by_steps", "cost_by_flops", "cost_by_seconds")
# By the data map, and by the further scores of the same training dynamics.
MAP_REGIONS = ("ambiguous", "hard-to-learn", "easy")
REGIONS = (*MAP_REGIONS, "forgetting", "aum", "el2n", "entropy", "threshold")
# A configuration's own selections have names without a dash, so that the reference's name ends before them.
SELECTION_NAME = re.compile(
    rf"(?:random|(?P<reference>.+?)-(?P<region>{'|'.join(REGIONS)}|[A-Za-z0-9_.]+))-(?P<percent>\d+(?:\.\d+)?)"
)
# Selections that mix, by kind: their settings and what these are where a configuration is silent.
MIXTURES = {
    "class_balanced": {},
    "with_easy": {"easy": 0.1},
    "coverage_centric": {"pruned": 0.1, "strata": 50},
    "with_copies": {"copies": 1, "base": 1.0},
}


@dataclass(frozen=True)
class Selection:
    """A subset of the training data: `reference` and `region` are None for a random one.

    `region` is one of `REGIONS`, or the name of one of the configuration's own selections.
    """

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
    """One training run: a model on all data (`full`) or on a selection, with a budget.

    Budgets: `full` (to the end), `stopped-ood` and `stopped-id` (stopped early, by that monitor),
    `steps-N` (planned for N steps, with a schedule of its own).
    """

    task: str
    model: str
    selection: str
    budget: str
    seed: int

    @property
    def path(self) -> str:
        return f"{self.task}/{self.model}/{self.selection}/{self.budget}/seed{self.seed}"

    @property
    def reference(self) -> str | None:
        """The model whose data map the run's instances come from."""
        return None if self.selection == ALL_DATA else Selection.parse(self.selection).reference

    def files(self) -> dict[str, str]:
        """What the run left, and what it was made from, by kind."""
        files = {
            "model": f"results/runs/{self.path}/model/",
            "ledger": f"results/runs/{self.path}/ledger.json",
            "trajectory": f"results/runs/{self.path}/trajectory.parquet",
            "log": f"logs/train/{self.path}.log",
            "evaluation": f"results/evaluations/{self.path}.parquet",
        }
        if self.selection == ALL_DATA:
            return files
        selection = f"results/selections/{self.task}/{self.selection}/seed{self.seed}"
        files |= {"selection": f"{selection}.parquet", "selection_ledger": f"{selection}.json"}
        if self.reference:
            files["data_map"] = f"results/maps/{self.task}/{self.reference}/seed{self.seed}.parquet"
            run = Run(self.task, self.reference, ALL_DATA, FULL_LENGTH, self.seed)
            files["reference"] = f"results/runs/{run.path}/ledger.json"
        return files


def row_selection(row: dict, config: dict) -> str:
    """The name of what a table's row trains on."""
    if not METHODS[row["method"]][0]:
        return ALL_DATA
    fraction = row.get("fraction", config["selection"]["fraction"])
    if row["reference"] == "random":
        return Selection(None, None, fraction).name
    return Selection(row["reference"], row["region"], fraction).name


def mixture(region: str, config: dict) -> dict | None:
    """The settings of the configuration's own selection of this name, complete; None for a region."""
    own = config["selections"].get(region)
    return own and {"region": "ambiguous", **MIXTURES[own["mixture"]], **own}


def scored_by(region: str, config: dict) -> str:
    """The region whose score a selection goes by: its own, or that of the configuration's selection."""
    return (mixture(region, config) or {"region": region})["region"]


def row_budget(row: dict) -> str:
    """The name of how long a table's row trains."""
    if METHODS[row["method"]][1]:
        return f"stopped-{row['monitor']}"
    return f"steps-{row['steps']}" if "steps" in row else FULL_LENGTH


def row_runs(row: dict, task: str, config: dict) -> list[Run]:
    """The main runs behind a table's row, one per seed."""
    selection, budget = row_selection(row, config), row_budget(row)
    return [Run(task, row["main"], selection, budget, seed) for seed in config["seeds"]]


def finetune_row(config: dict, task: str) -> dict:
    """What `finetune` makes for a task, as a table's row."""
    entry = config["finetune"][task]
    chosen = {key: entry[key] for key in ("main", "reference", "region", "fraction") if key in entry}
    return {"method": "FTFT", **chosen, "monitor": "ood" if config["tasks"][task]["dev"] else "id"}


def finetune_runs(config: dict, task: str) -> list[Run]:
    """The runs that `finetune` chooses its model from, one per seed."""
    entry = config["finetune"][task]
    return row_runs(finetune_row(config, task), task, {**config, "seeds": entry["seeds"]})


def finetune_references(config: dict, task: str) -> list[Run]:
    """The reference runs of `finetune_runs`."""
    runs = finetune_runs(config, task)
    return [Run(task, run.reference, ALL_DATA, FULL_LENGTH, run.seed) for run in runs]


def baseline(row: dict) -> dict:
    """The row that a row is compared with: ERM of its main model, at the same planned length."""
    return {"method": "ERM", "main": row["main"], **({"steps": row["steps"]} if "steps" in row else {})}


def reference_runs(row: dict, task: str, config: dict) -> list[Run]:
    """The reference runs behind a table's row, one per seed; none for ERM and random selections."""
    if row.get("reference", "random") == "random":
        return []
    return row_runs({"method": "ERM", "main": row["reference"]}, task, config)


def table_runs(table: dict, config: dict) -> list[Run]:
    """The main runs that a table shows and those it compares them with, each once."""
    rows = [*table["rows"], *map(baseline, table["rows"])]
    return _once(run for row in rows for run in row_runs(row, table["task"], config))


def table_reference_runs(table: dict, config: dict) -> list[Run]:
    """The reference runs behind a table, each once."""
    return _once(run for row in table["rows"] for run in reference_runs(row, table["task"], config))


def cost_runs(table: dict, config: dict) -> list[Run]:
    """Every run whose cost a table counts: main runs, their references, and the unit of cost."""
    # A shorter run is measured against the full length of its own model.
    whole = {cost_unit(table), *(row["main"] for row in table["rows"] if "steps" in row)}
    units = [{"method": "ERM", "main": model} for model in sorted(whole)]
    runs = (run for row in units for run in row_runs(row, table["task"], config))
    return _once([*table_runs(table, config), *table_reference_runs(table, config), *runs])


def cost_unit(table: dict) -> str:
    """The model whose ERM run costs 100: as configured, else the main model of the last row."""
    return table.get("cost_of", table["rows"][-1]["main"])


def table_tasks(config: dict) -> list[str]:
    """The tasks that have tables, by name."""
    return [task for task in sorted(config["tasks"]) if tables_of(config, task)]


def working_tasks(config: dict) -> list[str]:
    """The tasks that have tables, or a model to be fine-tuned, by name."""
    return sorted({*table_tasks(config), *config["finetune"]})


def tables_of(config: dict, task: str) -> list[dict]:
    """The tables of a task by name, those of training lengths excepted."""
    return [
        table
        for name, table in sorted(config["tables"].items())
        if table["task"] == task and not name.startswith(LENGTH_TABLE)
    ]


def task_cost_unit(config: dict, task: str) -> str:
    """The unit of cost of a task's tables: that of the first."""
    return cost_unit(tables_of(config, task)[0])


def erm_models(config: dict, task: str) -> list[str]:
    """The models that a task's tables fine-tune on all data, in the order of their rows."""
    runs = [run for table in tables_of(config, task) for run in cost_runs(table, config)]
    return _once(run.model for run in runs if (run.selection, run.budget) == (ALL_DATA, FULL_LENGTH))


def erm_runs(config: dict, task: str) -> list[Run]:
    """The ERM runs of `erm_models`, seed by seed."""
    rows = [{"method": "ERM", "main": model} for model in erm_models(config, task)]
    return [run for row in rows for run in row_runs(row, task, config)]


def task_reference_runs(config: dict, task: str) -> list[Run]:
    """The reference runs behind a task's tables, each once."""
    return _once(run for table in tables_of(config, task) for run in table_reference_runs(table, config))


def all_reference_runs(config: dict) -> list[Run]:
    """The reference runs behind all tables, task by task."""
    return [run for task in table_tasks(config) for run in task_reference_runs(config, task)]


def all_erm_runs(config: dict) -> list[Run]:
    """The ERM runs behind all tables, task by task."""
    return [run for task in table_tasks(config) for run in erm_runs(config, task)]


def full_runs(config: dict) -> list[Run]:
    """The runs of all tables that went to the end, task by task."""
    tables = [table for task in table_tasks(config) for table in tables_of(config, task)]
    runs = _once(run for table in tables for run in cost_runs(table, config))
    return [run for run in runs if run.budget == FULL_LENGTH]


def curve_runs(config: dict, task: str) -> dict[tuple[str, int], Run]:
    """By label and seed, the runs behind the learning curves of all rows that stop early.

    The run to the end that a stop cuts short, if a table has it; else the stopped run itself.
    """
    tables = tables_of(config, task)
    trained = {run for table in tables for run in table_runs(table, config)}
    chosen = {}
    for row in (row for table in tables for row in table["rows"] if METHODS[row["method"]][1]):
        for run in row_runs(row, task, config):
            to_the_end = replace(run, budget=FULL_LENGTH)
            method = f"DM, {row['reference']}" if "reference" in row else "ERM"
            label = f"{row['main']}: {method}"
            chosen.setdefault((label, run.seed), to_the_end if to_the_end in trained else run)
    return chosen


def overlap_groups(config: dict, task: str) -> dict[str, list[str]]:
    """Whose selections an overlap figure compares, by figure: at least two selections each."""
    present = {run.model for run in task_reference_runs(config, task)}
    groups = {
        name: [model for model in models if model in present]
        for name, models in config["figures"]["overlap"].items()
    }
    return {name: models for name, models in groups.items() if len(models) * len(config["seeds"]) > 1}


def overlap_runs(config: dict, task: str, group: str) -> list[Run]:
    """The reference runs whose selections an overlap figure compares."""
    rows = [{"method": "ERM", "main": model} for model in overlap_groups(config, task)[group]]
    return [run for row in rows for run in row_runs(row, task, config)]


def overlap_selections(config: dict, task: str, group: str) -> list[str]:
    """The selections that an overlap figure compares, one per run of `overlap_runs`."""
    models = overlap_groups(config, task)[group]
    rows = [{"method": "DM", "main": model, "reference": model, "region": "ambiguous"} for model in models]
    return [run.files()["selection"] for row in rows for run in row_runs(row, task, config)]


def candidates(config: dict, task: str) -> dict[tuple[str, str], list[int]]:
    """By main and reference model, the seeds of the reference runs that tell what a transfer promises.

    Those of the task's tables and of `finetune`; no model is a candidate for itself.
    """
    wanted = [(row, config["seeds"]) for table in tables_of(config, task) for row in table["rows"]]
    if task in config["finetune"]:
        wanted.append((config["finetune"][task], config["finetune"][task]["seeds"]))
    pairs: dict = {}
    for row, seeds in wanted:
        pair = row["main"], row.get("reference", "random")
        if pair[1] not in ("random", pair[0]):
            pairs[pair] = _once([*pairs.get(pair, []), *seeds])
    return pairs


def preflight_tasks(config: dict) -> list[str]:
    """The tasks that have candidates, by name."""
    return [task for task in sorted(config["tasks"]) if candidates(config, task)]


def judged_tasks(config: dict) -> list[str]:
    """The tasks whose tables show what became of candidates, by name."""
    return [task for task in table_tasks(config) if candidates(config, task)]


def preflight_runs(config: dict, task: str) -> list[Run]:
    """The reference runs behind a task's preflight, each once."""
    return _once(
        Run(task, reference, ALL_DATA, FULL_LENGTH, seed)
        for (_, reference), seeds in candidates(config, task).items()
        for seed in seeds
    )


def length_run(config: dict, task: str) -> Run:
    """A run of the length that the runs of the figure of training lengths are shorter than."""
    row = {"method": "ERM", "main": config["figures"]["training_length"][task]["main"]}
    return row_runs(row, task, config)[0]


def development_sets(task: dict) -> list[str]:
    """The data sets scored at every checkpoint: the in-distribution one first."""
    return [task["validation"], *(name for name in task["dev"] if name != task["validation"])]


def used_datasets(task: dict) -> list[str]:
    """The data sets that a task reads: training, development, evaluation, each once."""
    return _once([task["train"], *development_sets(task), *task["evaluate"]])


def _once(items) -> list:
    return list(dict.fromkeys(items))
