"""The table that `snakemake compare` adds to a model that is taken home: did FTFT pay on these data?"""

from . import registry
from .config import Configuration, Row, Table
from .config.tables import RANDOM, matched_name
from .plan import finetune_row

PREFIX = "compare-"


def compare_name(task: str) -> str:
    """The name of a task's table of comparison."""
    return PREFIX + task


def compare_table(config: Configuration, task: str) -> Table:
    """FTFT as `finetune` makes it, beside what it has to beat: rows of the same main model and length.

    ERM, a random share and a balanced one need no reference. The matched random rows are left out where the
    selection asks no model, takes every row, or is one of the configuration's own, which no control can start
    from.
    """
    ftft = finetune_row(config, task)
    all_rows = ftft.selector is not None and config.takes_all_rows(ftft.selector)
    shares = {} if all_rows else {"fraction": ftft.fraction}
    free = {"method": "DM", "main": ftft.main, "reference": RANDOM, **shares, "selector": None}
    selected = {**free, "reference": ftft.reference, "selector": ftft.selector}
    rows = [{"method": "ERM", "main": ftft.main}, free, {**free, "selector": "balanced"}]
    matched = matched_name(config.selections, ftft.selector) if ftft.model and ftft.selector else None
    if matched:
        rows.append({**selected, "selector": matched})
    if selected not in rows:
        rows.append(selected)
    made = [
        Row.model_validate({key: value for key, value in row.items() if value is not None}) for row in rows
    ]
    title = f"FTFT beside what it has to beat: {task}"
    table = Table.model_validate({"task": task, "title": title, "rows": (*made, ftft)})
    return table.with_baselines(registry.KINDS[config.tasks[task].kind].baselines)


def table_of(config: Configuration, name: str) -> Table:
    """The table of this name; raises KeyError where there is none."""
    task = name.removeprefix(PREFIX)
    if name not in config.tables and name.startswith(PREFIX) and task in config.finetune:
        return compare_table(config, task)
    return config.tables[name]
