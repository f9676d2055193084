"""What no type sees: names that lead nowhere, absent files, sections that contradict each other."""

import codecs
import os
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from ...data.formats import endings
from ...tasks.metrics import metric, metric_names
from .. import registry
from ..names import COSTS, Supervision
from .base import Number, Part, Whole
from .configuration import LENGTH_TABLE, Configuration
from .epochs import told_too_few
from .errors import faults_of, nearest
from .models import ALTERNATIVES, LOW_WEIGHTS, Recipe
from .tables import Finetune, Mixture, Row, Table
from .tasks import Dataset, Task

RESERVED_NAMES = ("all", "full", "random")
# Written by rules of their own.
RESERVED_TABLES = ("table3", "table4", "claims", "patience")
RESERVED_TABLE_ENDS = (".costs", ".provenance")
TABLE_COLUMNS = (
    "section", "method", "main", "reference", "selector", "supervision", "budget", "runs", "failed",
    *COSTS,
)  # fmt: skip
# Any one of its packages makes a tracker work; the first is the smallest.
TRACKER_PACKAGES = {
    "tensorboard": ("tensorboardX", "tensorboard"),
    "wandb": ("wandb",),
    "trackio": ("trackio",),
}


def misplaced(given: Configuration) -> Iterator[str]:
    """What would be overlooked in a configuration as it was given: keys and names without effect."""
    yield from _two_lengths("training", given.training)
    for name, model in given.models.items():
        yield from _keys_of_source(f"models.{name}", registry.MODEL_SOURCES, model)
        yield from _two_lengths(f"models.{name}.training", model.training)
    for task_name, task in given.tasks.items():
        for name, dataset in task.datasets.items():
            yield from _keys_of_source(f"tasks.{task_name}.datasets.{name}", registry.DATA_SOURCES, dataset)
        yield from _alike(f"tasks.{task_name}.datasets", task.datasets)
    sections = {"models": given.models, "tasks": given.tasks, "tables": given.tables}
    for section, entries in {**sections, "figures.overlap": given.figures.overlap or {}}.items():
        yield from _alike(section, entries)
    for name, table in given.tables.items():
        if name.startswith(LENGTH_TABLE) or name in RESERVED_TABLES or name.endswith(RESERVED_TABLE_ENDS):
            yield f"tables: the name '{name}' is reserved"
        yield from _made(f"tables.{name}", table, "left_out")
        for index, row in enumerate(table.rows):
            yield from _made(f"tables.{name}.rows[{index}]", row, "monitor")
    yield from _made("runtime", given.runtime, "configfiles")


def _made(place: str, section: Part, key: str) -> Iterator[str]:
    if key in section.model_fields_set:
        yield f"{place}: unknown key '{key}'; it is set by the workflow"


def _two_lengths(place: str, recipe: Recipe) -> Iterator[str]:
    for one, other, _ in ALTERNATIVES:
        if {one, other} <= recipe.model_fields_set:
            yield f"{place}: got both '{one}' and '{other}', expected one of them"


def _keys_of_source(place: str, sources: Any, entry: Any) -> Iterator[str]:
    """Keys that a source needs and has not, and those that only other sources take."""
    own = sources[entry.source]
    taken = (*own.required, *own.optional)
    for key in own.required:
        if getattr(entry, key) is None:
            yield f"{place}: source '{entry.source}' needs the key '{key}'"
    foreign = {key for source in sources.values() for key in (*source.required, *source.optional)} - set(
        taken
    )
    for key in sorted(foreign & entry.model_fields_set):
        yield f"{place}.{key}: source '{entry.source}' takes no such key; it takes {', '.join(taken)}"


def _alike(section: str, names: Iterable[str]) -> Iterator[str]:
    """Names that are the same file's where case does not count."""
    folded: dict[str, str] = {}
    for name in names:
        if (other := folded.setdefault(name.lower(), name)) != name:
            yield f"{section}: the names '{other}' and '{name}' are one file where case does not count"


def cross_check(config: Configuration) -> Iterator[str]:
    """The faults of a complete configuration."""
    for section, entries in (("models", config.models), ("tasks", config.tasks)):
        for name in sorted(set(RESERVED_NAMES) & set(entries)):
            yield f"{section}: the name '{name}' is reserved"
        yield from _roles(section, entries)
    for name, model in config.models.items():
        if model.source == "folder":
            yield from _path(f"models.{name}.path", model.path, folder=True)
    for name, task in config.tasks.items():
        yield from _task(f"tasks.{name}", task)
        shown = any(table.task == name for table in config.tables.values())
        if shown and "ood" in config.early_stopping.monitors and not task.dev:
            yield (
                f"tasks.{name}.dev: early_stopping.monitors has 'ood' but there is no development "
                "set; name some, or set early_stopping.monitors: [id]"
            )
    yield from _fraction("selection.fraction", config.selection.fraction)
    for name, entry in config.selections.items():
        yield from _mixture(name, entry)
    yield from _issues(config)
    yield from _weights_of_processes(config)
    for name in config.runtime.trackers:
        packages = TRACKER_PACKAGES[name]
        if not any(map(find_spec, packages)):
            yield f"runtime.trackers: '{name}' is not installed; pip install {packages[0]}"
    if not config.tables and not config.finetune:
        yield (
            "tables: there is nothing to make; name rows under tables, or a model under finetune, or say by "
            "stands_for which tasks and models of the paper yours stand for, to get the paper's tables"
        )
    for name, entry in config.finetune.items():
        yield from _finetune(f"finetune.{name}", name, entry, config)
    for name, table in config.tables.items():
        length = name.removeprefix(LENGTH_TABLE)
        place = f"tables.{name}" if length == name else f"figures.training_length.{length}"
        yield from _table(place, table, config)
    for figure, models in (config.figures.overlap or {}).items():
        for name in models:
            yield from _named(f"figures.overlap.{figure}", "model", name, config.models)
    yield from told_too_few(config)


def _weights_of_processes(config: Configuration) -> Iterator[str]:
    """Weights in bfloat16 where several processes would train them; one fault for what all models share."""
    kept = [
        f"models.{name}.training"
        for name, model in config.models.items()
        if model.training.precision == LOW_WEIGHTS and config.runtime.processes > 1
    ]
    shared = kept and config.training.precision == LOW_WEIGHTS
    for place in ["training"] if shared else kept:
        yield (
            f"{place}.precision: got '{LOW_WEIGHTS}', which one process trains, but runtime.processes is "
            f"{config.runtime.processes}; set that to 1, or take bfloat16 here, with runtime.sharding: fsdp2 "
            "to save memory"
        )


def _issues(config: Configuration) -> Iterator[str]:
    """Scores for issues that a task's kind does not give, or that a single epoch, as of folds, does not."""
    for name in config.issues.scores or ():
        if config.issues.folds and registry.SCORES[name].epochs > 1:
            single = [one for one in registry.ISSUE_SCORES if registry.SCORES[one].epochs == 1]
            yield (
                f"issues.scores: '{name}' compares epochs, of which folds give one; with issues.folds take "
                f"from {', '.join(single)}"
            )
        for task, entry in config.tasks.items():
            if missing := registry.needs_of(name) - registry.KINDS[entry.kind].signals:
                yield (
                    f"issues.scores: '{name}' needs {', '.join(sorted(missing))}, which tasks.{task} of the "
                    f"kind '{entry.kind}' does not give"
                )


def _roles(section: str, entries: dict) -> Iterator[str]:
    players: dict[str, str] = {}
    for name, entry in entries.items():
        role = entry.stands_for or name
        if role in players:
            yield f"{section}.{name}.stands_for: '{role}' is already played by '{players[role]}'"
        players.setdefault(role, name)


def _path(place: str, path: str | None, folder: bool = False) -> Iterator[str]:
    if path is None:
        return
    sort = "folder" if folder else "file"
    if not (os.path.isdir(path) if folder else os.path.isfile(path)):
        yield f"{place}: there is no {sort} '{_cut(path)}' (relative paths start from {Path.cwd()})"
    elif not os.access(path, os.R_OK):
        yield f"{place}: the {sort} '{path}' may not be read"
    if "{" in path or "}" in path:
        yield f"{place}: Snakemake reads the braces in '{_cut(path)}' as a wildcard; rename the {sort}"


def _cut(path: str) -> str:
    return path if len(path) < 300 else f"{path[:300]}..."


def _task(place: str, task: Task) -> Iterator[str]:
    used = {
        "train": [task.train],
        "validation": [task.validation],
        "dev": task.dev,
        "evaluate": task.evaluate,
    }
    for key, names in used.items():
        for name in names:
            if name not in task.datasets:
                yield f"{place}.{key}: there is no data set '{name}'{nearest(name, task.datasets)}"
            elif key != "train" and name == task.train:
                yield f"{place}.{key}: '{name}' is the training set"
    kind = registry.KINDS[task.kind]
    fitting = [name for name in metric_names(task.kind) if metric(name).monitored]
    if task.metric not in fitting:
        yield (
            f"{place}.metric: got '{task.metric}', expected one that fits the kind '{task.kind}': "
            + ", ".join(fitting)
        )
    for key in (*registry.KIND_KEYS, *registry.EVALUATION_KEYS):
        given = getattr(task, key) is not None
        if key in kind.required and not given:
            yield f"{place}: kind '{task.kind}' needs the key '{key}'"
        if key not in (*kind.required, *kind.optional, *kind.evaluated) and given:
            yield f"{place}.{key}: kind '{task.kind}' takes no such key"
    if task.labels and len(task.labels) < kind.fewest_labels:
        yield (f"{place}.labels: got {list(task.labels)}, expected at least {kind.fewest_labels} entries")
    if len(task.text) < kind.fewest_texts:
        yield f"{place}.text: got {list(task.text)}, expected two columns for the kind '{task.kind}'"
    if len(task.text) > kind.text_columns:
        yield f"{place}.text: got {list(task.text)}, expected one column for the kind '{task.kind}'"
    if task.label_columns and len(task.label_columns) != len(task.labels or ()):
        yield (
            f"{place}.label_columns: got {len(task.label_columns)} columns, expected one for each of the "
            f"{len(task.labels or ())} labels"
        )
    for name, dataset in task.datasets.items():
        yield from _dataset(f"{place}.datasets.{name}", name, dataset, task, place)


def _dataset(where: str, name: str, dataset: Dataset, task: Task, place: str) -> Iterator[str]:
    if name in TABLE_COLUMNS or name.endswith("_std"):
        yield f"{where}: the name '{name}' is a column of the tables"
    if registry.DATA_SOURCES[dataset.source].reads_path and dataset.path:
        yield from _path(f"{where}.path", dataset.path, folder=dataset.format == "saved")
    yield from _path(f"{where}.corrections", dataset.corrections)
    if dataset.source == "file":
        yield from _form(where, dataset)
    splits = registry.DATA_SOURCES[dataset.source].splits
    if splits and dataset.split is not None and dataset.split not in splits:
        yield f"{where}.split: got {dataset.split!r}, expected one of: {', '.join(splits)}"
    if dataset.text is not None and len(dataset.text) != len(task.text):
        yield f"{where}.text: got {list(dataset.text)}, expected as many columns as in {place}.text"
    columns = task.columns_of(name)
    one_column = registry.KINDS[task.kind].one_column and columns["text"] == [columns["label"]]
    if columns["label"] in [*columns["text"], columns["uid"]] and not one_column:
        yield f"{where}: the column '{columns['label']}' is the label and a text or uid too; name another"
    low, high = dataset.share or (0, 1)
    if low >= high:
        yield f"{where}.share: got [{low:g}, {high:g}], expected the smaller number first"
    named = registry.KINDS[task.kind].label_names({"labels": task.labels or ()})
    for value, label in (dataset.label_names or {}).items():
        if label not in named:
            yield f"{where}.label_names[{value}]: '{label}' is none of the labels of {place}"


def _form(where: str, dataset: Dataset) -> Iterator[str]:
    """Whether a file's format is known, and has a use for the keys that say how to read it."""
    if dataset.path is not None and dataset.format is None:
        yield (
            f"{where}.path: cannot tell the format of '{_cut(dataset.path)}'; "
            f"name it by the key 'format', or let it end in one of {endings()}"
        )
    for key in ("delimiter", "columns", "quoting", "encoding"):
        takers = [name for name, form in registry.FORMATS.items() if key in form.keys]
        if getattr(dataset, key) is not None and dataset.format and dataset.format not in takers:
            others = f"{' and '.join(takers)} may have it"
            yield f"{where}.{key}: format '{dataset.format}' takes no such key; {others}"
    if dataset.encoding is not None:
        try:
            codecs.lookup(dataset.encoding)
        except (LookupError, ValueError):
            yield (
                f"{where}.encoding: Python knows no encoding '{dataset.encoding[:80]}'; "
                "write, for example, utf-8, utf-16 or cp1252"
            )


def _named(place: str, what: str, name: str | None, known: Iterable[str]) -> Iterator[str]:
    if name is not None and name not in known:
        yield f"{place}: there is no {what} '{name}'{nearest(name, known)}"


def _table(place: str, table: Table, config: Configuration) -> Iterator[str]:
    yield from _named(f"{place}.task", "task", table.task, config.tasks)
    yield from _named(f"{place}.cost_of", "model", table.cost_of, config.models)
    if table.metric and table.task in config.tasks:
        yield from _shown_metric(f"{place}.metric", table.metric, config.tasks[table.task])
    for index, row in enumerate(table.rows):
        yield from _row(f"{place}.rows[{index}]", row, table, config)


def _shown_metric(place: str, name: str, task: Task) -> Iterator[str]:
    fitting = [known for known in metric_names(task.kind) if metric(known).in_tables]
    if name not in fitting:
        yield f"{place}: got '{name}', expected one that fits the kind '{task.kind}': {', '.join(fitting)}"
    elif not metric(name).monitored and task.max_new_tokens is None:
        yield f"{place}: '{name}' needs generated texts; set max_new_tokens of the task"


def _row(place: str, row: Row, table: Table, config: Configuration) -> Iterator[str]:
    yield from _named(f"{place}.main", "model", row.main, config.models)
    yield from _named(f"{place}.reference", "model", row.model, config.models)
    yield from _fraction(f"{place}.fraction", row.fraction)
    if row.stops and row.steps:
        yield f"{place}: {row.method} keeps the full length's schedule and takes no steps"
    if row.selects and not row.reference:
        yield f"{place}: {row.method} needs a reference: a model's name, or random"
    if not row.selects:
        for key in ("reference", "fraction"):
            if getattr(row, key) is not None:
                yield f"{place}: {row.method} trains on all data and takes no {key}"
    if row.selects:
        yield from _selection(place, row, table.task, config)
    elif row.selector is not None:
        yield f"{place}.selector: it goes by a reference model; remove it, or name a model under reference"


def _selection(place: str, entry: Row | Finetune, task: str, config: Configuration) -> Iterator[str]:
    if entry.selector is None:
        return
    free = registry.selectors(reference=False)
    if entry.model:
        yield from _selector(f"{place}.selector", entry.selector, entry.model, task, config)
    elif entry.selector not in free:
        others = f"{', '.join(free)} need none"
        yield f"{place}.selector: it goes by a reference model; {others}, or name a model under reference"
    yield from _share(f"{place}.fraction", entry.fraction, entry.selector, config)


def _finetune(place: str, task: str, entry: Finetune, config: Configuration) -> Iterator[str]:
    yield from _named(place, "task", task, config.tasks)
    yield from _named(f"{place}.main", "model", entry.main, config.models)
    yield from _named(f"{place}.reference", "model", entry.model, config.models)
    yield from _fraction(f"{place}.fraction", entry.fraction)
    yield from _selection(place, entry, task, config)


def _selector(place: str, selector: str, reference: str, task: str, config: Configuration) -> Iterator[str]:
    """Whether a selector of a reference model exists, has a name of its own, and gets what it goes by."""
    known = [*registry.selectors(reference=True), *config.selections]
    if selector not in known:
        yield f"{place}: got {selector!r}, expected a selector or one of selections{nearest(selector, known)}"
        return
    read_back = Supervision.parse(Supervision(reference, selector, 0.5).name)
    if (read_back.reference, read_back.selector) != (reference, selector):
        yield (
            f"{place}: '{reference}-{selector}' could also be read as '{read_back.selector}' of "
            f"'{read_back.reference or 'random'}'; rename the selection"
        )
    kind = config.tasks[task].kind if task in config.tasks else "classification"
    needs = {signal for score in config.scores_of(selector) for signal in registry.needs_of(score)}
    needs |= registry.beyond_every_kind(config.signals_of(selector))
    missing = needs - registry.KINDS[kind].signals
    if missing:
        yield (
            f"{place}: '{selector}' needs {', '.join(sorted(missing))}, which tasks of the kind '{kind}' "
            f"do not record; take another selector"
        )


def _share(place: str, fraction: float | None, selector: str, config: Configuration) -> Iterator[str]:
    known = selector in registry.SELECTORS or selector in config.selections
    if fraction is not None and known and config.takes_all_rows(selector):
        yield f"{place}: '{selector}' takes every row and no fraction; remove it"


def _mixture(name: str, entry: Mixture) -> Iterator[str]:
    if name in registry.SELECTORS:
        yield f"selections: the name '{name}' is that of a selector"
    declared = registry.SELECTORS[entry.mixture].settings
    takes = f"takes {', '.join(declared)}" if declared else "takes no settings"
    for key, value in (entry.model_extra or {}).items():
        if key not in declared:
            yield f"selections.{name}.{key}: the mixture {entry.mixture} {takes}"
            continue
        _, limits = registry.SETTINGS.get(key, ("", {}))
        kind = Annotated[Whole if isinstance(declared[key], int) else Number, Field(**limits)]
        try:
            TypeAdapter(kind).validate_python(value)
        except ValidationError as error:
            yield from faults_of(error, Mixture, ("selections", name, key))


def _fraction(place: str, fraction: float | None) -> Iterator[str]:
    if fraction is not None and Supervision(None, None, fraction).name == "random-0":
        yield f"{place}: got {fraction}, too small for a selection of any data"
