"""What is judged at equal compute: the methods of a task's tables, and what each of them has to beat."""

from ..places import REPORT
from . import registry
from .compare import compare_name, table_of
from .config import Configuration, Row
from .config.tables import matched_name
from .fingerprint import folder_hash
from .names import FULL_LENGTH, Run
from .parameters import LOOK, further_scores, row_entries
from .plan import (
    erm,
    is_longest,
    reference_runs,
    row_budget,
    row_runs,
    row_supervision,
    table_tasks,
    tables_of,
)

VERDICT_PAGE = REPORT / "verdict"


def verdict_names(config: Configuration) -> list[str]:
    """The verdicts that there may be: of all tables of a task by its name, of a table, of a comparison."""
    return list(dict.fromkeys([*table_tasks(config), *config.tables, *map(compare_name, config.finetune)]))


def task_of(config: Configuration, name: str) -> str:
    """The task that a verdict is on."""
    return name if name in table_tasks(config) else table_of(config, name).task


def judged_rows(config: Configuration, name: str) -> list[Row]:
    """The rows whose runs are read at their checkpoints, each main model's ERM first.

    Of a selection that is trained to its end, the run that stops early is left out: it is the same run.
    """
    task = task_of(config, name)
    tables = tables_of(config, task) if name == task else [table_of(config, name)]
    rows = [row for table in tables for row in table.rows]
    mains = dict.fromkeys([*(table.cost_unit for table in tables), *(row.main for row in rows)])
    chosen = {}
    for row in sorted([*map(erm, mains), *rows], key=lambda row: row.stops):
        key = row.main, row_supervision(row, config)
        if not row.stops or (*key, FULL_LENGTH) not in chosen:
            chosen.setdefault((*key, row_budget(row)), row)
    return list(chosen.values())


def verdict_runs(config: Configuration, name: str) -> list[Run]:
    """The main runs behind a verdict."""
    task = task_of(config, name)
    return [run for row in judged_rows(config, name) for run in row_runs(row, task, config)]


def verdict_references(config: Configuration, name: str) -> list[Run]:
    """The reference runs behind a verdict, each once."""
    task = task_of(config, name)
    found = (run for row in judged_rows(config, name) for run in reference_runs(row, task, config))
    return list(dict.fromkeys(found))


def looked_at(config: Configuration, name: str) -> list[str]:
    """The reference models whose passes before training a judged method goes by, each once."""
    rows = judged_rows(config, name)
    return list(dict.fromkeys(row.model for row in rows if _looks(row, config)))


def _looks(row: Row, config: Configuration) -> bool:
    """Whether a row goes by its reference's pass before training."""
    supervision = row_supervision(row, config)
    return bool(row.model) and registry.goes_by_the_untrained(further_scores(config, supervision))


def verdict_slice(config: Configuration, verdict: str) -> dict:
    """What defines a verdict beside the runs, their predictions and data maps.

    methods: what `parameters.row_entries` says of a row, its `name`, whether it is `free` of a reference,
    whether it `looks` at one before training,
    the names of its `rivals` (none: it is not judged), and of those rows that it would have to beat and the
    tables lack.
    """
    task = task_of(config, verdict)
    entry, rows = config.tasks[task], judged_rows(config, verdict)
    names = [_name(row, rows[0].main) for row in rows]
    where = "out of distribution" if entry.dev else "in distribution"
    return {
        "title": f"Did it pay? {task}, at equal compute",
        "unit": rows[0].main,
        "metric": entry.metric,
        "failure_metric": entry.metric,
        "sets": {"name": where, "datasets": list(entry.dev) or [entry.validation]},
        "methods": [
            {
                **row_entries(row, config),
                "name": name,
                "free": not row.model,
                "looks": _looks(row, config),
                **_opponents(row, dict(zip(names, rows, strict=True)), config),
            }
            for name, row in zip(names, rows, strict=True)
        ],
        "template": folder_hash(LOOK, VERDICT_PAGE),
        **config.statistics.dump(),
    }


def _name(row: Row, main: str) -> str:
    """A method as sentences and figures call it, where `main` is the main model of most."""
    if not row.selects:
        name = "ERM" + (" stopped early" if row.stops else "")
    elif not row.model:
        name = f"{row.selector or 'random'} rows"
    else:
        name = f"{row.selector} of {row.reference}"
    share = f", {100 * row.fraction:g} %" if row.fraction else ""
    steps = f", {row.steps} steps" if row.steps else ""
    return name + share + steps + ("" if row.main == main else f" for {row.main}")


def _opponents(row: Row, rows: dict[str, Row], config: Configuration) -> dict[str, list[str]]:
    """The names of the rows that a row has to beat, and what of them there is not."""
    registered = config.selector_of(row.selector)[0] if row.selector else None
    own = {name: other for name, other in rows.items() if other.main == row.main and other is not row}
    # The longest run of a selection, read at its checkpoints, speaks for shorter ones.
    longest = is_longest(row, rows.values(), config)
    if not row.selects or not longest or registered in registry.MATCHED_SELECTORS:
        return {"rivals": [], "lacks": []}
    rivals = [name for name, other in own.items() if not other.selects]
    if not row.model and not row.selector:
        return {"rivals": rivals, "lacks": []}
    free = {name: other for name, other in own.items() if other.selects and not other.model}
    chance = [name for name, other in free.items() if not other.selector]
    lacks = [] if chance else ["random rows"]
    if not row.model:
        return {"rivals": [*rivals, *chance], "lacks": lacks}
    control = matched_name(config.selections, row.selector)
    matched = [
        name
        for name, other in own.items()
        if (other.model, other.selector, other.fraction, other.steps)
        == (row.model, control, row.fraction, row.steps)
    ]
    if not matched and not config.takes_all_rows(row.selector):
        lacks.append(f"random rows matched to {row.selector}")
    return {"rivals": [*rivals, *free, *matched], "lacks": lacks}
