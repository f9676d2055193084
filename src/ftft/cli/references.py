"""`ftft references`: how the reference models of a task rank so far, while they train."""

import argparse

import numpy as np

from ..artifacts import read_parquet
from ..cartography.datamap import MINIMUM_EPOCHS
from ..cartography.dynamics import all_unfinished_dynamics, load_numbered
from ..errors import ArtifactError
from ..results.preflight import RATE
from ..results.standings import easy_by_epoch, standings
from ..results.texts import plain


def references(chosen: argparse.Namespace) -> None:
    """Print for each task the easy shares of its reference runs after each epoch, and their places.

    Raises ArtifactError where no run has come so far that it has a map.
    """
    tasks = _runs(chosen)
    if not tasks:
        raise ArtifactError(
            f"no reference run has left {MINIMUM_EPOCHS} epochs to look at in {chosen.results}",
            fix="wait for its second epoch (ftft status --watch), or start one: ftft preflight",
        )
    for task, models in tasks.items():
        print(
            f"{plain(task)}: percent of easy instances (q = {100 * RATE:g} %) on the map of the first epochs,"
        )
        print("and in brackets the place among the references that have come as far\n")
        shares = {plain(model): _mean(runs) for model, runs in models.items()}
        print(standings(shares).to_string(), end="\n\n")


def _runs(chosen: argparse.Namespace) -> dict[str, dict[str, list[dict[int, float]]]]:
    """By task and reference, for each of its runs the easy share by number of epochs."""
    unfinished = all_unfinished_dynamics(chosen.scratch or chosen.results / "scratch", chosen.task)
    ended = (chosen.results / "runs").glob(f"{chosen.task or '*'}/*/all/full/seed*/dynamics.parquet")
    found: dict = {}
    for path in [*sorted(ended), *unfinished]:
        run = read_parquet(path, ["row"])[1]["run"]
        if shares := easy_by_epoch(load_numbered(path)):
            found.setdefault(run["task"], {}).setdefault(run["model"], {})[run["seed"]] = shares
    return {name: {model: [*runs.values()] for model, runs in own.items()} for name, own in found.items()}


def _mean(runs: list[dict[int, float]]) -> dict[int, float]:
    """By number of epochs, the mean of the runs that have come as far."""
    epochs = sorted({epochs for own in runs for epochs in own})
    return {number: float(np.mean([own[number] for own in runs if number in own])) for number in epochs}
