"""The slice of the configuration that each rule reads: what an edit must change for the rule to run again."""

from pathlib import Path

from ..paper import roles as paper
from .fingerprint import folder_hash
from .plan import (
    BUDGET_NAME,
    LENGTH_TABLE,
    Selection,
    all_reference_runs,
    baseline,
    candidates,
    cost_unit,
    curve_runs,
    development_sets,
    erm_models,
    finetune_row,
    full_runs,
    judged_tasks,
    mixture,
    overlap_runs,
    preflight_runs,
    row_budget,
    row_selection,
    table_tasks,
    task_cost_unit,
    task_reference_runs,
    used_datasets,
)

REPORT = Path(__file__).parents[3] / "workflow" / "report"
MAP_PAGE, MODEL_CARD, PREFLIGHT_PAGE = (REPORT / name for name in ("map_page", "model_card", "preflight"))


def dataset_slice(config: dict, task: str, dataset: str) -> dict:
    """What defines a prepared data set."""
    entry = config["tasks"][task]
    columns = {key: entry[key] for key in ("text", "label", "uid")}
    alone = {} if dataset in (entry["train"], entry["validation"]) else {"evaluated_only": True}
    return {**columns, **entry["datasets"][dataset], "labels": entry["labels"], **alone}


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
    recipe = config["models"][model]["training"]
    name = BUDGET_NAME.fullmatch(budget)
    if name["steps"]:
        recipe = {key: value for key, value in recipe.items() if key != "epochs"}
        recipe["steps"] = int(name["steps"])
    return {
        "recipe": recipe,
        "labels": entry["labels"],
        "development": development_sets(entry),
        "early_stopping": stop_rule(config, task, name["monitor"]) if name["monitor"] else None,
    }


def stop_rule(config: dict, task: str, monitor: str) -> dict:
    """Patience in checkpoints, and the score that is monitored."""
    patience = config["early_stopping"]["patience"]
    return {"patience": patience, **monitored(config, task, monitor)}


def monitored(config: dict, task: str, monitor: str) -> dict:
    """The score that a monitor watches: the mean of the task's metric over development sets."""
    entry = config["tasks"][task]
    sets = entry["dev"] if monitor == "ood" else [entry["validation"]]
    return {"metric": entry["metric"], "monitored": sets}


def map_slice(config: dict) -> dict:
    """What defines a data map beside its training dynamics: nothing that is configured."""
    return {}


def further_scores_slice(config: dict) -> dict:
    """What defines the further scores beside the training dynamics."""
    return {"el2n_epochs": config["selection"]["el2n_epochs"]}


def selection_slice(config: dict, selection: str) -> dict:
    """What defines a selection beside its data map."""
    chosen = Selection.parse(selection)
    if chosen.reference is None:
        return {"fraction": chosen.fraction}
    own = mixture(chosen.region, config)
    how = own or {"region": chosen.region, "rule": config["selection"]["rule"]}
    return {"fraction": chosen.fraction, **how}


def evaluation_slice(config: dict, task: str, model: str) -> dict:
    """What defines the predictions of a run."""
    entry = config["tasks"][task]
    return {
        "datasets": entry["evaluate"],
        **{key: config["models"][model]["training"][key] for key in ("max_length", "precision")},
    }


def scores_slice(config: dict, table: str) -> dict:
    """What defines the scores behind a table."""
    task = config["tasks"][config["tables"][table]["task"]]
    return {"failure_metric": task["metric"], "validation": task["validation"]}


def comparisons_slice(config: dict, table: str) -> dict:
    """What defines the comparisons of a table's rows with ERM."""
    entry = config["tables"][table]
    task = config["tasks"][entry["task"]]
    return {
        "metric": _metric(config, table),
        "failure_metric": task["metric"],
        "datasets": task["evaluate"],
        "rows": [_row(row, config) for row in entry["rows"]],
        "baselines": [_row(baseline(row), config) for row in entry["rows"]],
        **config["statistics"],
    }


def table_slice(config: dict, table: str) -> dict:
    """What defines a table beside its scores, comparisons and ledgers."""
    entry = config["tables"][table]
    return {
        "task": entry["task"],
        "title": entry.get("title", table),
        "metric": _metric(config, table),
        "datasets": config["tasks"][entry["task"]]["evaluate"],
        "cost_of": cost_unit(entry),
        "parameters_m": _parameters(config),
        "seeds": config["seeds"],
        "left_out": entry.get("left_out", []),
        "confidence": config["statistics"]["confidence"],
        "rows": [_row(row, config) for row in entry["rows"]],
    }


def _metric(config: dict, table: str) -> str:
    entry = config["tables"][table]
    return entry.get("metric", config["tasks"][entry["task"]]["metric"])


def _row(row: dict, config: dict) -> dict:
    return {**row, "selection": row_selection(row, config), "budget": row_budget(row)}


def model_costs_slice(config: dict) -> dict:
    """What defines Table 3 beside the ledgers."""
    return {
        "models": {task: erm_models(config, task) for task in table_tasks(config)},
        "cost_of": {task: task_cost_unit(config, task) for task in table_tasks(config)},
        "parameters_m": _parameters(config),
        "seeds": config["seeds"],
    }


def easy_share_slice(config: dict) -> dict:
    """What defines Table 4 beside the data maps."""
    return {
        "runs": [
            {"task": run.task, "model": run.model, "seed": run.seed} for run in all_reference_runs(config)
        ],
        "published": paper.published_easy_shares(config),
        "failure_metric": {task: config["tasks"][task]["metric"] for task in table_tasks(config)},
        "seeds": config["seeds"],
    }


def preflight_slice(config: dict, task: str) -> dict:
    """What defines a task's preflight beside the data maps, the ledgers and the encoders."""
    entry = config["tasks"][task]
    published = paper.easy_shares_by_effect("50")
    role = entry.get("stands_for", task)
    compared = [role] if role in published else list(published)
    pairs = list(candidates(config, task))
    return {
        "task": task,
        "metric": entry["metric"],
        "pairs": pairs,
        "runs": [(run.model, run.seed) for run in preflight_runs(config, task)],
        "fraction": config["selection"]["fraction"],
        "rule": config["selection"]["rule"],
        "parameters_m": {
            model: config["models"][model].get("parameters_m") for pair in pairs for model in pair
        },
        "published": published,
        "compared": compared,
        "consumed_shares": [share for name in compared for share in paper.consumed_shares(name)],
        "template": folder_hash(PREFLIGHT_PAGE),
    }


def verdicts_slice(config: dict) -> dict:
    """What defines the comparison of the verdicts with what the transfers did."""
    fraction = config["selection"]["fraction"]
    return {
        "transfers": [
            {
                "task": task,
                "main": main,
                "reference": reference,
                "selection": Selection(reference, "ambiguous", fraction).name,
            }
            for task in judged_tasks(config)
            for main, reference in candidates(config, task)
        ],
        "random": Selection(None, None, fraction).name,
        "tasks": {
            task: {key: config["tasks"][task][key] for key in ("metric", "validation", "evaluate")}
            for task in judged_tasks(config)
        },
        "margin": paper.MARGIN,
    }


def finetuned_slice(config: dict, task: str) -> dict:
    """What defines a model that is taken home, beside its runs and their evaluations."""
    entry, row = config["tasks"][task], finetune_row(config, task)
    models = [row["main"], row["reference"]]
    keys = ("labels", "text", "metric", "train", "validation", "dev")
    return {
        "task": task,
        "main": row["main"],
        "reference": row["reference"],
        "selection": row_selection(row, config),
        "license": config["finetune"][task]["license"],
        "seeds": config["finetune"][task]["seeds"],
        **{key: entry[key] for key in keys},
        "datasets": entry["evaluate"],
        "recipe": config["models"][row["main"]]["training"],
        "main_source": encoder_slice(config, row["main"]),
        "reference_source": encoder_slice(config, row["reference"]),
        "parameters_m": {name: config["models"][name].get("parameters_m") for name in models},
        "template": folder_hash(MODEL_CARD),
        **config["statistics"],
    }


def patience_slice(config: dict) -> dict:
    """What defines the reading of full runs at every patience."""
    rules = {}
    for task in table_tasks(config):
        monitors = ["ood", "id"] if config["tasks"][task]["dev"] else ["id"]
        rules[task] = {monitor: monitored(config, task, monitor) for monitor in monitors}
    return {
        "runs": [{**vars(run), "reference": run.reference} for run in full_runs(config)],
        "rules": rules,
        "cost_of": {task: task_cost_unit(config, task) for task in table_tasks(config)},
        "parameters_m": _parameters(config),
    }


def claims_slice(config: dict) -> dict:
    """What defines the verdicts on the paper's claims."""
    claims = paper.claims(config)
    for test in (test for claim in claims for test in claim["tests"]):
        test |= {side: _row(test[side], config) for side in ("left", "right")}
    tasks = dict.fromkeys(claim["task"] for claim in claims)
    keys = ("metric", "validation", "evaluate")
    return {
        "claims": claims,
        "tasks": {task: {key: config["tasks"][task][key] for key in keys} for task in tasks},
        **config["statistics"],
    }


def overlap_slice(config: dict, task: str, group: str) -> dict:
    """What defines an overlap figure beside its selections."""
    fraction = config["selection"]["fraction"]
    return {
        "title": f"Overlap of ambiguous subsets ({100 * fraction:g} %): {task}, {group}",
        "runs": [(run.model, run.seed) for run in overlap_runs(config, task, group)],
        "fraction": fraction,
        "failure_metric": config["tasks"][task]["metric"],
    }


def true_class_slice(config: dict, task: str) -> dict:
    """What defines the figure of the true class's probability."""
    return {
        "title": f"Probability of the true class over training: {task}",
        "runs": [(run.model, run.seed) for run in task_reference_runs(config, task)],
        "hard_fraction": config["figures"]["hard_fraction"],
        "failure_metric": config["tasks"][task]["metric"],
    }


def data_map_figure_slice(config: dict, task: str, model: str, seed: str) -> dict:
    """What defines the figure of a data map."""
    fraction = config["selection"]["fraction"]
    return {"title": f"Data map of {model}, seed {seed}: {task}", "fraction": fraction}


def map_page_slice(config: dict, task: str, model: str, seed: str) -> dict:
    """What defines the page of a data map beside the map, its dynamics and its data."""
    figure = data_map_figure_slice(config, task, model, seed)
    return {**figure, "text": config["tasks"][task]["text"], "template": folder_hash(MAP_PAGE)}


def training_length_slice(config: dict, task: str) -> dict:
    """What defines the figure of scores against training length."""
    rows = config["tables"][LENGTH_TABLE + task]["rows"]
    return {
        "title": f"Score against training length: {rows[0]['main']}, {task}",
        "rows": [_row(row, config) for row in rows],
        "metric": _metric(config, LENGTH_TABLE + task),
        "datasets": config["tasks"][task]["evaluate"],
    }


def learning_curves_slice(config: dict, task: str) -> dict:
    """What defines the figure of learning curves."""
    return {
        "title": f"Learning curves: {task}",
        "runs": list(curve_runs(config, task)),
        "rule": stop_rule(config, task, config["early_stopping"]["monitors"][0]),
        "failure_metric": config["tasks"][task]["metric"],
    }


def _parameters(config: dict) -> dict:
    return {name: model.get("parameters_m") for name, model in config["models"].items()}
