"""From a table's cell to the runs, logs, configuration and command that made it."""

import shlex
from pathlib import Path

import pandas as pd

from ..artifacts import write_json
from ..pipeline.plan import Run
from ..statistics.scores import load_scores, of_method


def write_provenance(spec: dict, scores_file: Path, configfiles: list[str], output: Path) -> None:
    """List, for every row of a table, its runs: files, scores by data set, how to make them again.

    A run's ledger holds the slice of the configuration, the data's hash and the library versions.
    """
    scores = load_scores(scores_file)
    scores = scores[scores["metric"] == spec["metric"]]
    rows = []
    for row in spec["rows"]:
        runs = [
            Run(spec["task"], row["main"], row["selection"], row["budget"], seed) for seed in spec["seeds"]
        ]
        rows.append({**row, "runs": [_trace(run, scores, configfiles) for run in runs]})
    write_json(output, {"configfiles": configfiles, "rows": rows, "scores": str(scores_file)})


def _trace(run: Run, scores: pd.DataFrame, configfiles: list[str]) -> dict:
    own = of_method(scores, run.model, run.selection, run.budget)
    own = own[own["seed"] == run.seed]
    files = run.files()
    options = ["--configfile", *configfiles] if configfiles else []
    command = ["snakemake", "--cores", "1", *options, "--", files["evaluation"]]
    return {
        "seed": run.seed,
        "failed": bool(own["failed"].any()),
        "scores": dict(zip(own["dataset"], own["value"], strict=True)),
        "files": files,
        "command": shlex.join(command),
    }
