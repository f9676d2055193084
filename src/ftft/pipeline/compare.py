"""The table that `snakemake compare` adds to a model that is taken home: did FTFT pay on these data?"""

from . import registry
from .config import Configuration, Row, Table
from .config.tables import matched_name
from .plan import finetune_row

PREFIX = "compare-"


def compare_name(task: str) -> str:
    """The name of a task's table of comparison."""
    return PREFIX + task


def compare_table(config: Configuration, task: str) -> Table:
    """FTFT as `finetune` makes it, beside what it has to beat: rows of the same main model and length.

    ERM, a random share and a balanced one need no reference. The matched random rows are left out where the
    selection takes every row, or is one of the configuration's own, which no control can start from.
    """
    ftft = finetune_row(config, task)
    shares = {} if config.takes_all_rows(ftft.selector) else {"fraction": ftft.fraction}
    free = {"method": "DM", "main": ftft.main, "reference": "random", **shares}
    selected = {"method": "DM", "main": ftft.main, "reference": ftft.reference, **shares}
    rows = [{"method": "ERM", "main": ftft.main}, free, {**free, "selector": "balanced"}]
    if matched := matched_name(config.selections, ftft.selector):
        rows.append({**selected, "selector": matched})
    rows.append({**selected, "selector": ftft.selector})
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
