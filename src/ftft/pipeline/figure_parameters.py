"""The slices of the configuration that figures, pages and descriptions are made by; see `parameters`."""

from . import registry
from .compare import table_of
from .config import LENGTH_TABLE, Configuration
from .fingerprint import folder_hash
from .parameters import MAP_PAGE, metric_of, row_entries, stop_rule
from .plan import curve_runs, overlap_runs, references_of, selecting_runs, task_reference_runs


def gains_figure_slice(config: Configuration, table: str) -> dict:
    """What defines the figure of a table's gains."""
    entry = table_of(config, table)
    return {"title": f"Gains over random rows: {entry.title or table}", "metric": metric_of(config, table)}


def selections_slice(config: Configuration, table: str) -> dict:
    """What defines the description of a table's selections beside the files of these and the training set."""
    entry = table_of(config, table)
    return {
        "title": entry.title or table,
        "selections": [
            {
                "supervision": run.supervision,
                "selector": row.selector or "random",
                "reference": row.model or "-",
                "seed": run.seed,
            }
            for row, run in selecting_runs(entry, config)
        ],
    }


def overlap_slice(config: Configuration, task: str, group: str) -> dict:
    """What defines an overlap figure beside its selections."""
    fraction = config.selection.fraction
    return {
        "title": f"Overlap of ambiguous subsets ({100 * fraction:g} %): {task}, {group}",
        "runs": [(run.model, run.seed) for run in overlap_runs(config, task, group)],
        "fraction": fraction,
        "failure_metric": config.tasks[task].metric,
    }


def true_class_slice(config: Configuration, task: str) -> dict:
    """What defines the figure of the true class's probability."""
    return {
        "title": f"Probability of the true class over training: {task}",
        "runs": [(run.model, run.seed) for run in task_reference_runs(config, task)],
        "hard_fraction": config.figures.hard_fraction,
        "failure_metric": config.tasks[task].metric,
    }


def data_map_figure_slice(config: Configuration, task: str, model: str, seed: str) -> dict:
    """What defines the figure of a data map."""
    fraction = config.selection.fraction
    return {"title": f"Data map of {model}, seed {seed}: {task}", "fraction": fraction}


def map_page_slice(config: Configuration, task: str, model: str, seed: str) -> dict:
    """What defines the page of a data map beside the map, its dynamics and its data."""
    figure = data_map_figure_slice(config, task, model, seed)
    entry = config.tasks[task]
    names = registry.KINDS[entry.kind].text_names(entry.dump("text", *registry.KIND_KEYS))
    return {**figure, "text": names, "template": folder_hash(MAP_PAGE)}


def training_length_slice(config: Configuration, task: str) -> dict:
    """What defines the figure of scores against training length."""
    rows = config.tables[LENGTH_TABLE + task].rows
    return {
        "title": f"Score against training length: {rows[0].main}, {task}",
        "rows": [row_entries(row, config) for row in rows],
        "metric": metric_of(config, LENGTH_TABLE + task),
        "datasets": list(config.tasks[task].evaluate),
    }


def learning_curves_slice(config: Configuration, task: str) -> dict:
    """What defines the figure of learning curves."""
    runs = curve_runs(config, task)
    return {
        "title": f"Learning curves: {task}",
        "runs": list(runs),
        "references": references_of(runs.values(), config),
        "rule": stop_rule(config, task, config.early_stopping.monitors[0]),
        "failure_metric": config.tasks[task].metric,
    }
