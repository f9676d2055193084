"""The configuration: typed, defaults filled in, all faults reported at once.

`resolve` makes a `Configuration` from what Snakemake has read. `Configuration.dump()` is plain data that jobs
get as `snakemake.config`; `Configuration.model_validate` makes the same object of it again.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import ValidationError

from ...data.formats import format_of
from ...errors import ConfigError
from ...paper.roles import Roles
from .. import registry
from .base import typed
from .checks import cross_check, misplaced
from .configuration import LENGTH_TABLE, Configuration
from .errors import faults_of
from .files import check_file, unholdable
from .models import Model, Recipe
from .tables import (
    DEFAULT_SELECTOR,
    MATCHED,
    METHODS,
    Finetune,
    Mixture,
    Row,
    Table,
    matched_name,
)
from .tasks import Dataset, Task

__all__ = [
    "DEFAULT_SELECTOR",
    "LENGTH_TABLE",
    "METHODS",
    "Configuration",
    "Dataset",
    "Finetune",
    "Model",
    "Recipe",
    "Row",
    "Table",
    "Task",
    "check_file",
    "resolve",
]


Selecting = TypeVar("Selecting", Row, Finetune)


def resolve(
    config: dict, *, command_line: Mapping[str, Any] | None = None, configfiles: Sequence[str] = ()
) -> Configuration:
    """The configuration of `config`, as Snakemake read it, with all defaults filled in.

    command_line: what Snakemake has from `--config`, where numbers are text; configfiles: the files behind
    `config`, for the record. Raises ConfigError that lists every fault with its place, what it got, what was
    expected.
    """
    faults, complete = set(unholdable(config)), None
    if not faults:
        try:
            given = Configuration.model_validate(typed(config, dict(command_line or {})))
        except ValidationError as error:
            faults = set(faults_of(error, Configuration))
        else:
            complete = _completed(given, configfiles)
            faults = set(misplaced(given)) | set(cross_check(complete))
    if faults or complete is None:
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        listing = "\n".join(f"  - {fault}" for fault in sorted(faults))
        raise ConfigError(
            f"The configuration has {count}:\n{listing}",
            fix="correct the keys named above; config/README.md describes each of them",
        )
    return _with_monitors(complete)


def _completed(given: Configuration, configfiles: Sequence[str]) -> Configuration:
    """`given` with all that follows from it: the paper's tables, whole recipes, formats by suffix."""
    models = {
        name: model.model_copy(update={"training": given.training.overridden(model.training)})
        for name, model in given.models.items()
    }
    roles = Roles.of(given.tasks, given.models)
    tables = {**given.tables, **_tables(roles, given), **_length_tables(given)}
    overlap = given.figures.overlap
    if overlap is None:
        overlap = {name: tuple(group) for name, group in roles.overlap(list(models)).items()}
    return given.model_copy(
        update={
            "models": models,
            "tasks": {name: _with_formats(task) for name, task in given.tasks.items()},
            "tables": {
                name: _with_baselines(_with_selectors(table), given) for name, table in tables.items()
            },
            "selections": {**_matched(given), **given.selections},
            "finetune": {
                name: _with_selector(entry).model_copy(update={"seeds": entry.seeds or given.seeds[:1]})
                for name, entry in given.finetune.items()
            },
            "figures": given.figures.model_copy(update={"overlap": overlap}),
            "runtime": given.runtime.model_copy(update={"configfiles": tuple(configfiles)}),
        }
    )


def _matched(given: Configuration) -> dict[str, Mixture]:
    """The controls of what `finetune` selects by, where they are not there by default or given."""
    chosen = {entry.selector for entry in given.finetune.values() if entry.model and entry.selector}
    selectors = chosen & set(registry.SELECTORS)
    names = {matched_name(given.selections, selector): selector for selector in sorted(selectors)}
    return {
        name: Mixture.model_validate({"mixture": MATCHED, "selector": selector})
        for name, selector in names.items()
        if name not in (None, MATCHED)
    }


def _tables(roles: Roles, given: Configuration) -> dict[str, Table]:
    return {
        name: Table.model_validate(table)
        for name, table in roles.tables().items()
        if name not in given.tables
    }


def _length_tables(given: Configuration) -> dict[str, Table]:
    """The tables behind the figures of score against training length (paper, section 5)."""
    tables = {}
    for task, lengths in given.figures.training_length.items():
        transfers = ({"method": "DM", "reference": name} for name in lengths.references)
        rows = [
            {**method, "main": lengths.main, **length}
            for method in ({"method": "ERM"}, *transfers)
            for length in (*({"steps": steps} for steps in lengths.steps), {})
        ]
        title = f"Score against training length ({task})"
        tables[LENGTH_TABLE + task] = Table.model_validate({"task": task, "title": title, "rows": rows})
    return tables


def _with_selectors(table: Table) -> Table:
    return table.model_copy(update={"rows": tuple(map(_with_selector, table.rows))})


def _with_selector(entry: Selecting) -> Selecting:
    """A row, or a model to take home, with the selector that goes without saying."""
    lacks = entry.model and not entry.selector
    return entry.model_copy(update={"selector": DEFAULT_SELECTOR}) if lacks else entry


def _with_baselines(table: Table, given: Configuration) -> Table:
    task = given.tasks.get(table.task)
    return table.with_baselines(registry.KINDS[task.kind].baselines) if task else table


def _with_monitors(config: Configuration) -> Configuration:
    """Every row that stops early once per monitor."""
    tables = {}
    for table_name, table in config.tables.items():
        rows = [
            shown
            for row in table.rows
            for shown in (
                [row.model_copy(update={"monitor": name}) for name in config.early_stopping.monitors]
                if row.stops
                else [row]
            )
        ]
        tables[table_name] = table.model_copy(update={"rows": tuple(rows)})
    return config.model_copy(update={"tables": tables})


def _with_formats(task: Task) -> Task:
    datasets = {}
    for name, dataset in task.datasets.items():
        form = format_of(dataset.path or "")
        if dataset.source == "file" and form and not dataset.format:
            dataset = dataset.model_copy(update={"format": form})
        datasets[name] = dataset
    return task.model_copy(update={"datasets": datasets})
