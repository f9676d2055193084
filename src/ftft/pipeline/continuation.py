"""Runs to the end that go on from where a run of the same training stopped early, and their order."""

from dataclasses import replace

from . import plan
from .compare import compare_table
from .config import Configuration
from .names import BUDGET_NAME, FULL_LENGTH, Run


def continuations(config: Configuration) -> dict[Run, list[Run]]:
    """By run to the end that the tables or `compare` need, the stopped runs of the same training, if any."""
    tables = [*config.tables.values(), *(compare_table(config, task) for task in config.finetune)]
    runs = [run for table in tables for run in plan.cost_runs(table, config)]
    ended: dict = {run: [] for run in runs if run.budget == FULL_LENGTH}
    for run in dict.fromkeys(runs):
        to_the_end = replace(run, budget=FULL_LENGTH)
        if BUDGET_NAME.fullmatch(run.budget)["monitor"] and to_the_end in ended:
            ended[to_the_end].append(run)
    return {run: stopped for run, stopped in ended.items() if stopped}


def gone_on_from(config: Configuration) -> list[str]:
    """The stopped runs that a run to the end goes on from."""
    return [run.path for stopped in continuations(config).values() for run in stopped]


def priorities(config: Configuration) -> dict[str, float]:
    """Between 0 and 1, by run: one training after the other, its stopped runs first and then the end.

    So a training's state is on disk only as long as nothing else is trained.
    """
    order = continuations(config)
    ranks = {}
    for place, (run, stopped) in enumerate(order.items()):
        rank = 1 - (place + 1) / (len(order) + 1)
        ranks[run.path] = rank
        ranks |= {other.path: rank + 0.5 / (len(order) + 1) for other in stopped}
    return ranks
