"""Full runs read early: where any patience would have stopped them, what it keeps and costs. No training."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from ..artifacts import read_json, read_parquet
from ..statistics.costs import computed_millions, method_cost
from ..statistics.exclusions import exclusions, run_key
from ..training.stopping import monitored_score, read_early
from .notes import exclusion_notes, execution_notes
from .rendering import Rendering, write_outputs

COLUMNS = ("task", "main", "supervision", "monitor", "patience", "stop", "kept", "planned")
COLUMNS += ("score", "last_score", "cost", "runs")


def write_patience(
    spec: dict, trajectory_files: Iterable[Path], ledger_files: Iterable[Path], outputs: dict[str, Path]
) -> None:
    """Write a row per full run (means over seeds), monitor and patience.

    `spec` holds `runs` (task, model, supervision, reference or None, seed; one trajectory and one ledger
    each, reference runs included), `rules` (by task and monitor: metric and monitored sets), `cost_of` by
    task, `parameters_m`. Failed runs are left out.
    """
    ledgers = list(map(read_json, ledger_files))
    excluded = _excluded(spec, ledgers)
    readings = []
    for run, trajectory, ledger in zip(spec["runs"], trajectory_files, ledgers, strict=True):
        if run_key(ledger["run"]) in excluded.get(run["task"], {}):
            continue
        entries = read_parquet(trajectory)[0].to_pylist()
        readings += [
            {**run, "monitor": monitor, **reading, "ledger": ledger}
            for monitor, rule in spec["rules"][run["task"]].items()
            for reading in read_every_patience(entries, rule)
        ]
    table = summarise(pd.DataFrame(readings), spec)
    notes = [note for reasons in excluded.values() for note in exclusion_notes(reasons)]
    write_outputs(outputs, table, _render(table, [*notes, *execution_notes(ledgers)]))


def _excluded(spec: dict, ledgers: list[dict]) -> dict[str, dict]:
    """By task and run, why it is left out."""
    found = {}
    for task, rules in spec["rules"].items():
        own = [
            (run, ledger) for run, ledger in zip(spec["runs"], ledgers, strict=True) if run["task"] == task
        ]
        references = {run["supervision"]: run["reference"] for run, _ in own if run["reference"]}
        failure_metric = next(iter(rules.values()))["metric"]
        found[task] = exclusions([ledger for _, ledger in own], references, failure_metric)
    return found


def read_every_patience(trajectory: list[dict], rule: dict) -> list[dict]:
    """Apply every patience to a full run's trajectory.

    One entry per patience from 1 to the number of checkpoints: stop and kept checkpoint, the
    monitored score at the kept and at the last checkpoint.
    """
    checkpoints = sorted({entry["checkpoint"] for entry in trajectory})
    scores = [
        monitored_score([entry for entry in trajectory if entry["checkpoint"] == checkpoint], rule)
        for checkpoint in checkpoints
    ]
    readings = []
    for patience in range(1, len(scores) + 1):
        stopping = read_early(scores, patience)
        readings.append(
            {
                "patience": patience,
                "stop": stopping.checkpoint,
                "kept": stopping.best_checkpoint,
                "score": stopping.best_score,
                "last_score": scores[-1],
            }
        )
    return readings


def summarise(readings: pd.DataFrame, spec: dict) -> pd.DataFrame:
    """Means over seeds: stop and kept checkpoint, planned checkpoints, scores, cost (reference included)."""
    if readings.empty:
        return pd.DataFrame(columns=COLUMNS)
    rows = []
    parameters_of = {
        task: computed_millions(dict(zip(own["model"], own["ledger"], strict=True)), spec["parameters_m"])
        for task, own in readings.groupby("task")
    }
    keys = ["task", "model", "supervision", "monitor", "patience"]
    for (task, model, supervision, monitor, patience), group in readings.groupby(keys, sort=False):
        parameters = parameters_of[task]
        planned = group["ledger"].map(lambda ledger: ledger["outcome"]["planned_checkpoints"])
        # A checkpoint after the last whole interval counts as the last.
        stop, kept = group["stop"].clip(upper=planned), group["kept"].clip(upper=planned)
        share = (stop / planned).mean()
        # Runs on all data and on random supervisions have no reference.
        reference = parameters.get(group["reference"].iloc[0], 0.0)
        unit = parameters[spec["cost_of"][task]]
        rows.append(
            {
                "task": task,
                "main": model,
                "supervision": supervision,
                "monitor": monitor,
                "patience": patience,
                "stop": stop.mean(),
                "kept": kept.mean(),
                "planned": planned.mean(),
                "score": group["score"].mean(),
                "last_score": group["last_score"].mean(),
                "cost": round(method_cost(parameters[model], unit, share, reference), 2),
                "runs": len(group),
            }
        )
    return pd.DataFrame(rows)


def _render(table: pd.DataFrame, notes: list[str]) -> Rendering:
    lines = [
        [
            row.main,
            row.supervision,
            row.monitor,
            str(row.patience),
            f"{row.stop:.2f}",
            f"{row.kept:.2f}",
            f"{row.planned:.0f}",
            f"{100 * row.score:.2f}",
            f"{100 * row.last_score:.2f}",
            f"{row.cost:.2f}",
            str(row.runs),
        ]
        for row in table.itertuples()
    ]
    return Rendering(
        "Full runs read early: the checkpoint at which each patience stops, the one it keeps, the monitored "
        "development score there and at the end (percent), the cost with the reference. Means over seeds.",
        [
            "Main",
            "Trained on",
            "Monitor",
            "Patience",
            "Stop",
            "Kept",
            "Planned",
            "Score",
            "At the end",
            "Cost",
            "Runs",
        ],
        lines,
        list(table["task"]),
        notes,
        names=3,
    )
