"""Scores in long form: one row per run, data set and metric, with what tells whether they count."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pyarrow as pa

from ..artifacts import read_json, read_parquet, write_parquet
from ..data.dataset import target_column, targets_of_column
from ..errors import ArtifactError
from ..tasks.metrics import floors, metric, metric_names, scores
from .exclusions import exclusions, run_key

SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("task", "model", "supervision", "budget")),
        ("seed", pa.int64()),
        *((name, pa.string()) for name in ("dataset", "metric")),
        *((name, pa.float64()) for name in ("value", "floor")),
        ("instances", pa.int64()),
        ("failed", pa.bool_()),
        ("reason", pa.string()),
        ("chose", pa.bool_()),
    ]
)


class Evaluation:
    """One run's predictions of one data set: `run`, `dataset`, `kind`, `labels`, and arrays [n] of `uids`,
    `targets` and `predictions`."""

    def __init__(self, path: str | Path):
        table, metadata = read_parquet(path, ["uid", "label", "prediction"])
        self.path, self.uids = path, table["uid"]
        self.run, self.dataset = metadata["run"], metadata["dataset"]
        self.kind, self.labels = metadata["kind"], metadata["labels"]
        self.targets, self.predictions = (targets_of_column(table[name]) for name in ("label", "prediction"))

    def require_examples_of(self, other: "Evaluation") -> None:
        """Raise ArtifactError unless both hold predictions of the same examples in the same order."""
        if not (self.uids.equals(other.uids) and target_column(self.targets) == target_column(other.targets)):
            raise ArtifactError(
                f"the evaluations of data set '{self.dataset}' are not of the same examples",
                got=f"another order, uid or label in {self.path} than in {other.path}",
                fix="delete both and let snakemake make them again",
            )


def collect_scores(spec: dict, evaluations: Iterable[Path], ledgers: Iterable[Path], output: Path) -> None:
    """Score every run's predictions of every data set and write one table.

    `spec` holds the `failure_metric` and, by supervision, its model under `references`; `evaluations` has a
    file per run and data set, `ledgers` those of the runs and of their reference runs.

    Columns: task, model, supervision, budget, seed, dataset, metric (`name.part` for a part of one), value,
    floor (the score of the trivial answer, empty for parts), instances, failed (whether the run or its
    reference learnt nothing), reason (in words, else empty), chose (whether the data set chose the run's
    checkpoint).
    """
    by_run = load_run_ledgers(ledgers)
    excluded = exclusions(by_run.values(), spec["references"], spec["failure_metric"])
    rows = []
    for evaluation in map(Evaluation, evaluations):
        names = metric_names(evaluation.kind)
        floor = floors(names, evaluation.targets, evaluation.labels)
        sides = evaluation.targets, evaluation.predictions, evaluation.labels
        found = scores(names, *sides)
        parts = {
            f"{name}.{part}": value for name in names for part, value in metric(name).parts(*sides).items()
        }
        key = run_key(evaluation.run)
        ledger = ledger_of(evaluation, by_run)
        rows += [
            {
                **evaluation.run,
                "dataset": evaluation.dataset,
                "metric": name,
                "value": value,
                "floor": floor.get(name),
                "instances": len(evaluation.targets),
                "failed": key in excluded,
                "reason": excluded.get(key, ""),
                "chose": evaluation.dataset in choosing_sets(ledger),
            }
            for name, value in {**found, **parts}.items()
        ]
    write_parquet(output, pa.Table.from_pylist(rows, SCHEMA), {})


def load_run_ledgers(files: Iterable[Path]) -> dict[tuple, dict]:
    """Ledgers of one task's runs, by model, supervision, budget and seed."""
    return {run_key(ledger["run"]): ledger for ledger in map(read_json, files)}


def ledger_of(evaluation: Evaluation, ledgers: dict[tuple, dict]) -> dict:
    """The ledger of the run that an evaluation is of; raises ArtifactError where there is none."""
    ledger = ledgers.get(run_key(evaluation.run))
    if ledger is None or ledger["run"] != evaluation.run:
        raise ArtifactError(
            f"{evaluation.path} is of a run without a ledger here",
            got=evaluation.run,
            fix="delete it and let snakemake make it again",
        )
    return ledger


def choosing_sets(ledger: dict) -> list[str]:
    """The data sets whose scores chose the checkpoint that a run kept; none for a run to its end."""
    rule = ledger["spec"]["early_stopping"]
    return rule["monitored"] if rule else []


def of_method(scores: pd.DataFrame, main: str, supervision: str, budget: str) -> pd.DataFrame:
    """The scores of the runs behind a table's row."""
    return scores[
        (scores["model"] == main) & (scores["supervision"] == supervision) & (scores["budget"] == budget)
    ]


def load_scores(path: str | Path) -> pd.DataFrame:
    """Read what `collect_scores` wrote."""
    table, _ = read_parquet(path)
    return table.to_pandas()
