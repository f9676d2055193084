"""From a table's cell to the runs, logs, configuration and command that made it."""

import shlex
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from ..artifacts import write_json
from ..statistics.scores import load_scores, of_method


def write_provenance(
    spec: dict,
    scores_file: Path,
    configfiles: list[str],
    files_of: Callable[[dict], dict],
    output: Path,
) -> None:
    """List, for every row of a table, its runs: files, scores by data set, how to make them again.

    `files_of` gives the files of a run (task, model, supervision, budget, seed) by kind, `evaluations` among
    them. A run's ledger holds the slice of the configuration, the data's hash and the library versions.
    """
    scores = load_scores(scores_file)
    scores = scores[scores["metric"] == spec["metric"]]
    rows = []
    for row in spec["rows"]:
        run = {"task": spec["task"], "model": row["main"]}
        run |= {"supervision": row["supervision"], "budget": row["budget"]}
        runs = [_trace({**run, "seed": seed}, scores, configfiles, files_of) for seed in spec["seeds"]]
        rows.append({**row, "runs": runs})
    write_json(output, {"configfiles": configfiles, "rows": rows, "scores": str(scores_file)})


def _trace(run: dict, scores: pd.DataFrame, configfiles: list[str], files_of: Callable) -> dict:
    own = of_method(scores, run["model"], run["supervision"], run["budget"])
    own = own[own["seed"] == run["seed"]]
    files = files_of(run)
    evaluations = files["evaluations"]
    targets = evaluations.values() if isinstance(evaluations, dict) else evaluations
    options = ["--configfile", *configfiles] if configfiles else []
    return {
        "seed": run["seed"],
        "failed": bool(own["failed"].any()),
        "reason": next(iter(own["reason"]), ""),
        "scores": dict(zip(own["dataset"], own["value"], strict=True)),
        "files": files,
        "command": shlex.join(["snakemake", "--cores", "1", *options, "--", *targets]),
    }
