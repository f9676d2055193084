"""From a table's cell to the runs, logs, configuration and command that made it."""

import shlex
from pathlib import Path

import pandas as pd

from ..artifacts import write_json
from ..statistics.scores import load_scores, of_method


def write_provenance(spec: dict, scores_file: Path, configfiles: list[str], output: Path) -> None:
    """List, for every row of a table, its runs: files, scores by data set, how to make them again.

    `spec` holds the `rows` of the table and their `files`, by row and seed, and the `datasets` on which runs
    are evaluated. A run's ledger holds the slice of
    the configuration, the data's hash and the library versions.
    """
    scores = load_scores(scores_file)
    scores = scores[scores["metric"] == spec["metric"]]
    rows = []
    for row, files in zip(spec["rows"], spec["files"], strict=True):
        own = of_method(scores, row["main"], row["supervision"], row["budget"])
        runs = [
            _trace(seed, own, files_of_run, spec["datasets"], configfiles)
            for seed, files_of_run in zip(spec["seeds"], files, strict=True)
        ]
        rows.append({**row, "runs": runs})
    write_json(output, {"configfiles": configfiles, "rows": rows, "scores": str(scores_file)})


def _trace(seed: int, scores: pd.DataFrame, files: dict, datasets: list[str], configfiles: list[str]) -> dict:
    own = scores[scores["seed"] == seed]
    options = ["--configfile", *configfiles] if configfiles else []
    targets = [f"{files['evaluations']}{dataset}.parquet" for dataset in datasets]
    command = ["snakemake", "--cores", "1", *options, "--", *targets]
    return {
        "seed": seed,
        "failed": bool(own["failed"].any()),
        "reason": next(iter(own["reason"]), ""),
        "scores": dict(zip(own["dataset"], own["value"], strict=True)),
        "files": files,
        "command": shlex.join(command),
    }
