"""What tables and figures need: supervisions, training runs, in a configuration's names.

Snakemake calls it while it reads the rules, so that it is quick to import.
"""

from collections.abc import Iterable
from dataclasses import replace
from math import inf

from ..paper.roles import Roles
from . import registry
from .config import DEFAULT_SELECTOR, LENGTH_TABLE, Configuration, Row, Table
from .names import ALL_DATA, FULL_LENGTH, Run, Supervision


def row_supervision(row: Row, config: Configuration) -> str:
    """The name of what a table's row trains on."""
    if not row.selects:
        return ALL_DATA
    if row.selector and config.takes_all_rows(row.selector):
        return Supervision(row.model, row.selector, 1.0).name
    return Supervision(row.model, row.selector, row.fraction or config.selection.fraction).name


def row_budget(row: Row) -> str:
    """The name of how long a table's row trains."""
    if row.stops:
        return f"stopped-{row.monitor}"
    return f"steps-{row.steps}" if row.steps else FULL_LENGTH


def is_longest(row: Row, rows: Iterable[Row], config: Configuration) -> bool:
    """Whether none of `rows` trains the same model longer on the same supervision, to its end."""
    own = row.main, row_supervision(row, config)
    lengths = [
        other.steps or inf
        for other in rows
        if not other.stops and (other.main, row_supervision(other, config)) == own
    ]
    return (row.steps or inf) >= max(lengths, default=inf)


def row_runs(row: Row, task: str, config: Configuration, seeds: Iterable[int] | None = None) -> list[Run]:
    """The main runs behind a table's row, one per seed."""
    supervision, budget = row_supervision(row, config), row_budget(row)
    return [Run(task, row.main, supervision, budget, seed) for seed in seeds or config.seeds]


def erm(model: str, steps: int | None = None) -> Row:
    """The row of a model that trains on all data to the end, or for so many steps."""
    return Row.model_validate({"method": "ERM", "main": model, **({"steps": steps} if steps else {})})


def finetune_row(config: Configuration, task: str) -> Row:
    """What `finetune` makes for a task, as a table's row."""
    chosen = config.finetune[task].dump("main", "reference", "selector", "fraction")
    monitor = "ood" if config.tasks[task].dev else "id"
    return Row.model_validate({"method": "FTFT", **chosen, "monitor": monitor})


def finetune_runs(config: Configuration, task: str) -> list[Run]:
    """The runs that `finetune` chooses its model from, one per seed."""
    return row_runs(finetune_row(config, task), task, config, config.finetune[task].seeds)


def finetune_references(config: Configuration, task: str) -> list[Run]:
    """The reference runs of `finetune_runs`; none where no trained model selects."""
    runs = finetune_runs(config, task)
    return with_references(runs, config)[len(runs) :]


def baseline(row: Row) -> Row:
    """The row that a row is compared with: ERM of its main model, at the same planned length."""
    return erm(row.main, row.steps)


def trained_reference(supervision: str, config: Configuration) -> str | None:
    """The model whose training a supervision goes by; None where it asks no model, or one before its training
    alone.
    """
    if supervision == ALL_DATA:
        return None
    chosen = Supervision.parse(supervision)
    return chosen.reference if chosen.reference and config.needs_training(chosen.selector) else None


def reference_runs(row: Row, task: str, config: Configuration) -> list[Run]:
    """The reference runs behind a table's row, one per seed; none where no trained model selects."""
    model = trained_reference(row_supervision(row, config), config)
    return row_runs(erm(model), task, config) if model else []


def reference_run(run: Run, config: Configuration) -> Run | None:
    """The reference run that a main run rests on."""
    model = trained_reference(run.supervision, config)
    return Run(run.task, model, ALL_DATA, FULL_LENGTH, run.seed) if model else None


def with_references(runs: Iterable[Run], config: Configuration) -> list[Run]:
    """Runs and the reference runs that they rest on, each once."""
    runs = list(runs)
    return _once([*runs, *filter(None, (reference_run(run, config) for run in runs))])


def references_of(runs: Iterable[Run], config: Configuration) -> dict[str, str]:
    """By supervision, the model whose training it goes by; supervisions without one are absent."""
    found = {run.supervision: trained_reference(run.supervision, config) for run in runs}
    return {supervision: model for supervision, model in found.items() if model}


def files_of(run: Run, config: Configuration) -> dict[str, str]:
    """What a run left, and what it was made from, by kind."""
    files = run.files()
    if reference := reference_run(run, config):
        files["data_map"] = f"results/maps/{reference.task}/{reference.model}/seed{reference.seed}.parquet"
        files["reference"] = reference.files()["ledger"]
    return files


def gain_parts(table: Table, config: Configuration) -> list[dict]:
    """What the gain of a table's selections over a random share is split into, as far as it has the controls.

    Each part is the difference of the rows at two positions, `left` and `right`, and belongs to the selection
    at `row`. Only runs of the same main model, share and length are compared, and of a selection the longest.
    """
    parts = []
    for position, row in enumerate(table.rows):
        if row.method != "DM" or not row.model or not is_longest(row, table.rows, config):
            continue
        name = config.selector_of(row.selector)[0]
        if name in registry.MATCHED_SELECTORS or config.takes_all_rows(row.selector):
            continue
        alike = {
            place: other
            for place, other in enumerate(table.rows)
            if other.method == "DM"
            and (other.main, other.fraction, other.steps) == (row.main, row.fraction, row.steps)
        }
        free = {other.selector or "random": place for place, other in alike.items() if not other.model}
        matched = {}
        for place, other in alike.items():
            if other.model == row.model:
                control, of = config.selector_of(other.selector)
                if control in registry.MATCHED_SELECTORS and of["selector"] == row.selector:
                    matched[control] = place
        if "matched_random" not in matched:
            continue
        chain = [free.get("random"), matched.get("matched_labels"), matched["matched_random"], position]
        names = list(registry.GAIN_PARTS)
        if chain[1] is None:
            chain, names = [chain[0], *chain[2:]], [" and ".join(names[:2]), names[2]]
        steps = zip(names, chain[1:], chain, strict=False)
        parts += [
            {"row": position, "part": part, "left": left, "right": right}
            for part, left, right in steps
            if right is not None
        ]
        parts += [
            {"row": position, "part": f"over {control}", "left": position, "right": place}
            for control, place in free.items()
        ]
    return parts


def table_runs(table: Table, config: Configuration) -> list[Run]:
    """The main runs that a table shows and those it compares them with, each once."""
    rows = [*table.rows, *map(baseline, table.rows)]
    return _once(run for row in rows for run in row_runs(row, table.task, config))


def table_reference_runs(table: Table, config: Configuration) -> list[Run]:
    """The reference runs behind a table, each once."""
    return _once(run for row in table.rows for run in reference_runs(row, table.task, config))


def selecting_runs(table: Table, config: Configuration) -> list[tuple[Row, Run]]:
    """The rows of a table that select, and a run of each supervision and seed among them."""
    found = {}
    for row in table.rows:
        for run in row_runs(row, table.task, config):
            if run.supervision != ALL_DATA:
                found.setdefault((run.supervision, run.seed), (row, run))
    return list(found.values())


def cost_runs(table: Table, config: Configuration) -> list[Run]:
    """Every run whose cost a table counts: main runs, their references, and the unit of cost."""
    # A shorter run is measured against the full length of its own model.
    whole = {table.cost_unit, *(row.main for row in table.rows if row.steps)}
    runs = (run for model in sorted(whole) for run in row_runs(erm(model), table.task, config))
    return _once([*table_runs(table, config), *table_reference_runs(table, config), *runs])


def table_tasks(config: Configuration) -> list[str]:
    """The tasks that have tables, by name."""
    return [task for task in sorted(config.tasks) if tables_of(config, task)]


def working_tasks(config: Configuration) -> list[str]:
    """The tasks that have tables, or a model to be fine-tuned, by name."""
    return sorted({*table_tasks(config), *config.finetune})


def task_models(config: Configuration, task: str) -> list[str]:
    """The models that a task's tables or its fine-tuning train, or ask before any training, by name."""
    rows = [row for table in tables_of(config, task) for row in table.rows]
    rows += [finetune_row(config, task)] if task in config.finetune else []
    units = {table.cost_unit for table in tables_of(config, task)}
    return sorted({*units, *(row.main for row in rows), *(row.model for row in rows if row.model)})


def tables_of(config: Configuration, task: str) -> list[Table]:
    """The tables of a task by name, those of training lengths excepted."""
    return [
        table
        for name, table in sorted(config.tables.items())
        if table.task == task and not name.startswith(LENGTH_TABLE)
    ]


def task_cost_unit(config: Configuration, task: str) -> str:
    """The unit of cost of a task's tables: that of the first."""
    return tables_of(config, task)[0].cost_unit


def erm_models(config: Configuration, task: str) -> list[str]:
    """The models that a task's tables fine-tune on all data, in the order of their rows."""
    runs = [run for table in tables_of(config, task) for run in cost_runs(table, config)]
    return _once(run.model for run in runs if (run.supervision, run.budget) == (ALL_DATA, FULL_LENGTH))


def erm_runs(config: Configuration, task: str) -> list[Run]:
    """The ERM runs of `erm_models`, seed by seed."""
    return [run for model in erm_models(config, task) for run in row_runs(erm(model), task, config)]


def task_reference_runs(config: Configuration, task: str) -> list[Run]:
    """The reference runs behind a task's tables, each once."""
    return _once(run for table in tables_of(config, task) for run in table_reference_runs(table, config))


def all_reference_runs(config: Configuration) -> list[Run]:
    """The reference runs behind all tables, task by task."""
    return [run for task in table_tasks(config) for run in task_reference_runs(config, task)]


def all_erm_runs(config: Configuration) -> list[Run]:
    """The ERM runs behind all tables, task by task."""
    return [run for task in table_tasks(config) for run in erm_runs(config, task)]


def full_runs(config: Configuration) -> list[Run]:
    """The runs of all tables that went to the end, task by task."""
    tables = [table for task in table_tasks(config) for table in tables_of(config, task)]
    runs = _once(run for table in tables for run in cost_runs(table, config))
    return [run for run in runs if run.budget == FULL_LENGTH]


def curve_runs(config: Configuration, task: str) -> dict[tuple[str, int], Run]:
    """By label and seed, the runs behind the learning curves of all rows that stop early.

    The run to the end that a stop cuts short, if a table has it; else the stopped run itself.
    """
    tables = tables_of(config, task)
    trained = {run for table in tables for run in table_runs(table, config)}
    chosen = {}
    for row in (row for table in tables for row in table.rows if row.stops):
        for run in row_runs(row, task, config):
            to_the_end = replace(run, budget=FULL_LENGTH)
            method = f"DM, {row.reference}" if row.reference else "ERM"
            label = f"{row.main}: {method}"
            chosen.setdefault((label, run.seed), to_the_end if to_the_end in trained else run)
    return chosen


def overlap_groups(config: Configuration, task: str) -> dict[str, list[str]]:
    """Whose selections an overlap figure compares, by figure: at least two selections each."""
    present = {run.model for run in task_reference_runs(config, task)}
    groups = {
        name: [model for model in models if model in present]
        for name, models in config.figures.overlap.items()
    }
    return {name: models for name, models in groups.items() if len(models) * len(config.seeds) > 1}


def overlap_runs(config: Configuration, task: str, group: str) -> list[Run]:
    """The reference runs whose selections an overlap figure compares."""
    models = overlap_groups(config, task)[group]
    return [run for model in models for run in row_runs(erm(model), task, config)]


def overlap_supervisions(config: Configuration, task: str, group: str) -> list[str]:
    """The files of the selections that an overlap figure compares, one per run of `overlap_runs`."""
    models = overlap_groups(config, task)[group]
    rows = [Row(method="DM", main=model, reference=model, selector=DEFAULT_SELECTOR) for model in models]
    return [run.files()["supervision"] for row in rows for run in row_runs(row, task, config)]


def candidates(config: Configuration, task: str) -> dict[tuple[str, str], list[int]]:
    """By main and reference model, the seeds of the reference runs that tell what a transfer promises.

    Those of the task's tables and of `finetune`; no model is a candidate for itself.
    """
    wanted = [(row, config.seeds) for table in tables_of(config, task) for row in table.rows]
    if entry := config.finetune.get(task):
        wanted.append((finetune_row(config, task), entry.seeds or ()))
    pairs: dict = {}
    for row, seeds in wanted:
        reference = trained_reference(row_supervision(row, config), config)
        if reference not in (None, row.main):
            pairs[row.main, reference] = _once([*pairs.get((row.main, reference), []), *seeds])
    return pairs


def preflight_tasks(config: Configuration) -> list[str]:
    """The tasks that have candidates, by name."""
    return [task for task in sorted(config.tasks) if candidates(config, task)]


def preflight_runs(config: Configuration, task: str) -> list[Run]:
    """The reference runs behind a task's preflight, each once."""
    return _once(
        Run(task, reference, ALL_DATA, FULL_LENGTH, seed)
        for (_, reference), seeds in candidates(config, task).items()
        for seed in seeds
    )


def issue_runs(config: Configuration, task: str) -> list[Run]:
    """The reference runs that say which labels are probably wrong; where there are none, all ERM runs; where
    there are none either, runs on all rows of `finetune`'s reference, or else of its main model.
    """
    entry = config.finetune.get(task)
    references = finetune_references(config, task) if entry else []
    found = _once([*task_reference_runs(config, task), *references]) or erm_runs(config, task)
    if found or entry is None:
        return found
    return row_runs(erm(entry.model or entry.main), task, config, entry.seeds)


def length_run(config: Configuration, task: str) -> Run:
    """A run of the length that the runs of the figure of training lengths are shorter than."""
    return row_runs(erm(config.figures.training_length[task].main), task, config)[0]


def claims(config: Configuration) -> list[dict]:
    """The paper's claims for the tasks of `config` (`paper.roles`), their rows as `Row`."""
    roles = Roles.of(config.tasks, config.models)
    lengths = {task: list(entry.steps) for task, entry in config.figures.training_length.items()}
    claims = roles.claims(lengths)
    for test in (test for claim in claims for test in claim["tests"]):
        test |= {side: _completed(test[side], config) for side in ("left", "right")}
    return claims


def claim_runs(config: Configuration) -> list[Run]:
    """The runs that decide the claims, each once."""
    return _once(
        run
        for claim in claims(config)
        for test in claim["tests"]
        for side in ("left", "right")
        for run in row_runs(test[side], claim["task"], config)
    )


def _completed(entries: dict, config: Configuration) -> Row:
    row = Row.model_validate(entries)
    selector = {"selector": DEFAULT_SELECTOR} if row.model else {}
    monitor = {"monitor": config.early_stopping.monitors[0]} if row.stops else {}
    return row.model_copy(update={**selector, **monitor})


def _once(items) -> list:
    return list(dict.fromkeys(items))
