"""The slice of the configuration that each rule reads: what an edit must change for the rule to run again."""

from ..paper import roles as paper
from ..places import REPORT
from ..results.recorded import recorded_transfers
from ..tasks import base
from . import registry
from .compare import table_of
from .config import Configuration, Row, Task
from .contents import content_of_file, content_of_folder, version_of_package
from .fingerprint import folder_hash
from .names import BUDGET_NAME, Supervision
from .plan import (
    all_reference_runs,
    baseline,
    candidates,
    claims,
    erm_models,
    files_of,
    finetune_row,
    full_runs,
    gain_parts,
    issue_runs,
    preflight_runs,
    references_of,
    row_budget,
    row_runs,
    row_supervision,
    table_runs,
    table_tasks,
    task_cost_unit,
    trained_reference,
)

MAP_PAGE, MODEL_CARD = REPORT / "map_page", REPORT / "model_card"
LOOK, PREFLIGHT_PAGE = REPORT / "page", REPORT / "preflight"


def dataset_slice(config: Configuration, task: str, dataset: str) -> dict:
    """What defines a prepared data set."""
    entry = config.tasks[task]
    own = entry.datasets[dataset].dump()
    content = {"content": content_of_file(own["path"])} if "path" in own else {}
    if "corrections" in own:
        content["corrections_content"] = content_of_file(own["corrections"])
    evaluated_only = dataset not in (entry.train, *entry.development_sets)
    given = entry.dump("kind", *registry.KIND_KEYS)
    return {
        **own,
        **content,
        **entry.columns_of(dataset),
        **given,
        "lists": registry.KINDS[entry.kind].lists({**entry.columns_of(dataset), **given}),
        "evaluated_only": evaluated_only,
    }


def download_slice(config: Configuration, task: str, dataset: str) -> dict:
    """What names a data set on the hub."""
    entry = config.tasks[task].datasets[dataset]
    origin = registry.DATA_SOURCES[entry.source]
    return entry.dump("source", *origin.required, *origin.optional)


def check_slice(config: Configuration, task: str) -> dict:
    """What defines the checks of a task's data."""
    entry = config.tasks[task]
    return {
        "train": entry.train,
        "datasets": entry.used_datasets,
        **config.checks.dump("leakage", "near_duplicates"),
    }


def lengths_slice(config: Configuration, task: str, model: str) -> dict:
    """What defines how many rows of a task's data a model would cut."""
    datasets = config.tasks[task].used_datasets
    return {"datasets": datasets, **config.models[model].training.dump("max_length")}


def encoder_slice(config: Configuration, task: str, model: str) -> dict:
    """What defines a model's starting point, and the head that is to fit on it."""
    keys = ("source", "id", "revision", "path", "package", "keep_layers", "architecture", "tokenizer")
    entry, kind = config.models[model], registry.KINDS[config.tasks[task].kind]
    chosen = entry.dump(*keys, "separator")
    if entry.adapter and entry.adapter.targets:
        chosen["targets"] = list(entry.adapter.targets)
    if kind.head != base.Kind.head:
        chosen["head"] = kind.head
    if entry.source == "folder":
        chosen["content"] = content_of_folder(entry.path)
    elif entry.source == "package":
        chosen["version"] = version_of_package(entry.package)
    return {**chosen, "max_length": entry.training.max_length}


def training_slice(config: Configuration, task: str, model: str, budget: str) -> dict:
    """What defines a training run beside its data, supervision and seed."""
    entry = config.tasks[task]
    recipe = config.models[model].training.dump()
    name = BUDGET_NAME.fullmatch(budget)
    if name["steps"]:
        recipe = {key: value for key, value in recipe.items() if key != "epochs"}
        recipe["steps"] = int(name["steps"])
    return {
        "recipe": recipe,
        **config.models[model].dump("adapter"),
        **entry.dump("kind", "labels", *registry.KINDS[entry.kind].optional),
        "metrics": recorded_metrics(entry),
        "development": entry.development_sets,
        "early_stopping": stop_rule(config, task, name["monitor"]) if name["monitor"] else None,
    }


def recorded_metrics(task: Task) -> list[str]:
    """The metrics of every checkpoint: those of the kind of task, and the task's own."""
    return sorted({task.metric, *registry.KINDS[task.kind].metrics})


def reference_slice(config: Configuration, task: str, model: str) -> dict:
    """What defines a reference run beside its data and seed."""
    return training_slice(config, task, model, budget="full")


def fold_slice(config: Configuration, task: str, model: str, fold: str) -> dict:
    """What defines the training of a fold: that of the reference, with as many passes over the fewer rows,
    scored once, at its end, on the validation set alone.
    """
    count = int(fold.split("of")[1])
    slice_ = reference_slice(config, task, model)
    recipe = {key: value for key, value in slice_["recipe"].items() if key != "checkpoint_every"}
    if "steps" in recipe:
        recipe["steps"] = max(1, round(recipe["steps"] * (count - 1) / count))
    else:
        recipe["epochs"] = recipe["epochs"] * (count - 1) / count
    validation = [config.tasks[task].validation]
    return {**slice_, "recipe": {**recipe, "checkpoints": 1}, "development": validation}


def stop_rule(config: Configuration, task: str, monitor: str) -> dict:
    """Patience in checkpoints, and the score that is monitored."""
    return {"patience": config.early_stopping.patience, **monitored(config, task, monitor)}


def monitored(config: Configuration, task: str, monitor: str) -> dict:
    """The score that a monitor watches: the mean of the task's metric over development sets."""
    entry = config.tasks[task]
    sets = list(entry.dev) if monitor == "ood" else [entry.validation]
    return {"metric": entry.metric, "monitored": sets}


def map_slice(config: Configuration) -> dict:
    """What defines a data map beside its training dynamics: nothing that is configured."""
    return {}


def score_slice(config: Configuration, score: str) -> dict:
    """What defines a further score beside the training dynamics: its settings."""
    return (
        {"epochs": list(config.selection.el2n_epochs)} if "epochs" in registry.SCORES[score].settings else {}
    )


def before_slice(config: Configuration, task: str, model: str) -> dict:
    """What defines the pass before training, beside model and data."""
    return config.models[model].training.dump("max_length", "precision")


def supervision_slice(config: Configuration, supervision: str) -> dict:
    """What defines a supervision beside its data map: `fraction`, `selector`, `settings`, `rule`."""
    chosen = Supervision.parse(supervision)
    selector, settings = config.selector_of(chosen.selector) if chosen.selector else ("random", {})
    # The rule is how a share of one score is cut.
    by_score = chosen.reference is not None and not settings
    rule = config.selection.rule if by_score else "exact"
    return {"fraction": chosen.fraction, "selector": selector, "settings": settings, "rule": rule}


def further_scores(config: Configuration, supervision: str) -> list[str]:
    """The scores that a supervision goes by and its reference's data map lacks."""
    chosen = Supervision.parse(supervision)
    if chosen.reference is None:
        return []
    return [name for name in config.scores_of(chosen.selector) if name not in registry.MAP_SCORES]


def signals_read(config: Configuration, supervision: str) -> tuple[str, ...]:
    """What a supervision is made from of its reference's training dynamics, beside their map and scores."""
    chosen = Supervision.parse(supervision)
    return config.signals_of(chosen.selector) if chosen.reference else ()


def evaluation_slice(config: Configuration, task: str, model: str) -> dict:
    """What defines the predictions of a run."""
    entry = config.tasks[task]
    return {
        "kind": entry.kind,
        **entry.dump(*registry.EVALUATION_KEYS),
        **config.models[model].training.dump("max_length", "precision"),
    }


def scores_slice(config: Configuration, table: str) -> dict:
    """What defines the scores behind a table."""
    entry = table_of(config, table)
    runs = table_runs(entry, config)
    return {
        "failure_metric": config.tasks[entry.task].metric,
        "references": references_of(runs, config),
    }


def comparisons_slice(config: Configuration, table: str) -> dict:
    """What defines the comparisons of a table's rows with ERM."""
    entry = table_of(config, table)
    task = config.tasks[entry.task]
    return {
        "metric": metric_of(config, table),
        "failure_metric": task.metric,
        "datasets": list(task.evaluate),
        "rows": [row_entries(row, config) for row in entry.rows],
        "baselines": [row_entries(baseline(row), config) for row in entry.rows],
        **config.statistics.dump(),
    }


def gains_slice(config: Configuration, table: str) -> dict:
    """What defines how the gains of a table's selections are split."""
    entry = table_of(config, table)
    task = config.tasks[entry.task]
    outside = [name for name in task.evaluate if name != task.validation]
    sets = {"in distribution": [task.validation] if task.validation in task.evaluate else []}
    sets["out of distribution" if task.dev else "on the test sets"] = outside
    return {
        "metric": metric_of(config, table),
        "failure_metric": task.metric,
        "rows": [row_entries(row, config) for row in entry.rows],
        "parts": gain_parts(entry, config),
        "sets": {name: found for name, found in sets.items() if found},
        **config.statistics.dump(),
    }


def table_slice(config: Configuration, table: str) -> dict:
    """What defines a table beside its scores, comparisons and ledgers."""
    entry = table_of(config, table)
    return {
        "task": entry.task,
        "title": entry.title or table,
        "metric": metric_of(config, table),
        "datasets": list(config.tasks[entry.task].evaluate),
        "cost_of": entry.cost_unit,
        "parameters_m": _parameters(config),
        "seeds": list(config.seeds),
        "left_out": list(entry.left_out),
        "confidence": config.statistics.confidence,
        "rows": [row_entries(row, config) for row in entry.rows],
        # By row and seed, for the record of where a table's cells come from.
        "files": [[files_of(run, config) for run in row_runs(row, entry.task, config)] for row in entry.rows],
    }


def metric_of(config: Configuration, table: str) -> str:
    """The score that a table shows."""
    entry = table_of(config, table)
    return entry.metric or config.tasks[entry.task].metric


def row_entries(row: Row, config: Configuration) -> dict:
    """A row of a table as plain data, with what it trains on and for how long.

    trained: False where the row asks its reference before its training alone; absent elsewhere.
    """
    supervision = row_supervision(row, config)
    untrained = row.model and not trained_reference(supervision, config)
    told = {"trained": False} if untrained else {}
    return {**row.dump(), "supervision": supervision, "budget": row_budget(row), **told}


def model_costs_slice(config: Configuration) -> dict:
    """What defines Table 3 beside the ledgers."""
    return {
        "models": {task: erm_models(config, task) for task in table_tasks(config)},
        "cost_of": {task: task_cost_unit(config, task) for task in table_tasks(config)},
        "parameters_m": _parameters(config),
        "seeds": list(config.seeds),
    }


def easy_share_slice(config: Configuration) -> dict:
    """What defines Table 4 beside the data maps."""
    return {
        "runs": [
            {"task": run.task, "model": run.model, "seed": run.seed} for run in all_reference_runs(config)
        ],
        "published": paper.Roles.of(config.tasks, config.models).published_easy_shares(),
        "failure_metric": {task: config.tasks[task].metric for task in table_tasks(config)},
        "seeds": list(config.seeds),
    }


def preflight_slice(config: Configuration, task: str) -> dict:
    """What defines a task's preflight beside the data maps, the ledgers and the encoders."""
    entry = config.tasks[task]
    published = paper.easy_shares_by_effect("50")
    role = entry.stands_for or task
    compared = [role] if role in published else list(published)
    pairs = list(candidates(config, task))
    return {
        "task": task,
        "metric": entry.metric,
        "pairs": pairs,
        "runs": [(run.model, run.seed) for run in preflight_runs(config, task)],
        **config.selection.dump("fraction", "rule"),
        "parameters_m": {model: config.models[model].parameters_m for pair in pairs for model in pair},
        "published": published,
        "recorded": recorded_transfers(),
        "compared": compared,
        "consumed_shares": [share for name in compared for share in paper.consumed_shares(name)],
        "template": folder_hash(LOOK, PREFLIGHT_PAGE),
    }


def finetuned_slice(config: Configuration, task: str) -> dict:
    """What defines a model that is taken home, beside its runs and their evaluations."""
    entry, chosen, row = config.tasks[task], config.finetune[task], finetune_row(config, task)
    return {
        "task": task,
        **row_entries(row, config),
        "license": chosen.license,
        "seeds": list(chosen.seeds or ()),
        **entry.dump("kind", "labels", "text", "metric", "train", "validation", "dev"),
        "datasets": list(entry.evaluate),
        "recipe": config.models[chosen.main].training.dump(),
        **config.models[chosen.main].dump("adapter"),
        "main_source": encoder_slice(config, task, chosen.main),
        "reference_source": encoder_slice(config, task, chosen.model) if chosen.model else None,
        "parameters_m": {
            name: config.models[name].parameters_m for name in (chosen.main, chosen.model) if name
        },
        "template": folder_hash(MODEL_CARD),
        **config.statistics.dump(),
    }


def patience_slice(config: Configuration) -> dict:
    """What defines the reading of full runs at every patience."""
    rules = {}
    for task in table_tasks(config):
        monitors = ["ood", "id"] if config.tasks[task].dev else ["id"]
        rules[task] = {monitor: monitored(config, task, monitor) for monitor in monitors}
    return {
        "runs": [
            {**vars(run), "reference": trained_reference(run.supervision, config)}
            for run in full_runs(config)
        ],
        "rules": rules,
        "cost_of": {task: task_cost_unit(config, task) for task in table_tasks(config)},
        "parameters_m": _parameters(config),
    }


def claims_slice(config: Configuration) -> dict:
    """What defines the verdicts on the paper's claims."""
    decided = claims(config)
    for test in (test for claim in decided for test in claim["tests"]):
        test |= {side: row_entries(test[side], config) for side in ("left", "right")}
    tasks = dict.fromkeys(claim["task"] for claim in decided)
    return {
        "claims": decided,
        "tasks": {task: config.tasks[task].dump("metric", "validation", "evaluate") for task in tasks},
        **config.statistics.dump(),
    }


def issues_slice(config: Configuration, task: str) -> dict:
    """What defines a run's list of issues beside its dynamics and its data."""
    settings, scores = {}, config.issue_scores(task)
    for name in scores:
        settings |= score_slice(config, name)
    entry = config.tasks[task]
    return {
        "scores": list(scores),
        **config.issues.dump("folds"),
        "settings": settings,
        "train": entry.train,
        "text": list(entry.text),
    }


def task_issues_slice(config: Configuration, task: str) -> dict:
    """What defines the list of issues of all runs of a task beside the runs' own."""
    runs = [(run.model, run.seed) for run in issue_runs(config, task)]
    return {"runs": runs, "text": list(config.tasks[task].text)}


def _parameters(config: Configuration) -> dict:
    return {name: model.parameters_m for name, model in config.models.items()}
