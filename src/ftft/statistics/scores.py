"""Scores in long form: one row per run, data set and metric, with the run's provenance."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pyarrow as pa

from ..artifacts import read_json, read_parquet, write_parquet
from ..errors import ArtifactError
from ..tasks.metrics import majority_score, score


def collect_scores(spec: dict, evaluations: Iterable[Path], ledgers: Iterable[Path], output: Path) -> None:
    """Score every run's predictions and write one table.

    Columns: task, model, supervision, budget, seed, dataset, metric, value, majority (the score of
    the most frequent label), instances, failed.
    """
    rows = []
    for evaluation, ledger in zip(evaluations, ledgers, strict=True):
        rows += _score_run(*read_evaluation(evaluation, ledger), spec["failure_metric"])
    write_parquet(output, pa.Table.from_pylist(rows), {})


def read_evaluation(evaluation: Path, ledger_file: Path) -> tuple[pa.Table, dict, dict]:
    """The predictions of a run with their metadata, and its ledger.

    Raises ArtifactError where the two are not of the same run.
    """
    table, metadata = read_parquet(evaluation, ["dataset", "uid", "label", "prediction"])
    ledger = read_json(ledger_file)
    if metadata["run"] != ledger["run"]:
        raise ArtifactError(
            f"{evaluation} and {ledger_file} are not of the same run",
            got=f"{metadata['run']} and {ledger['run']}",
            fix="delete the one that is not where it belongs and let snakemake make it again",
        )
    return table, metadata, ledger


def _score_run(table: pa.Table, metadata: dict, ledger: dict, failure_metric: str) -> list[dict]:
    failed = has_failed(ledger, failure_metric)
    classes = len(metadata["labels"])
    rows = []
    predictions = table.to_pandas()
    for dataset, part in predictions.groupby("dataset", sort=False):
        labels = part["label"].to_numpy("int64")
        majority = majority_score(labels, classes)
        for metric, value in score(labels, part["prediction"].to_numpy("int64"), classes).items():
            rows.append(
                {
                    **metadata["run"],
                    "dataset": dataset,
                    "metric": metric,
                    "value": value,
                    "majority": majority[metric],
                    "instances": len(part),
                    "failed": failed,
                }
            )
    return rows


def has_failed(ledger: dict, metric: str) -> bool:
    """Whether a run ended no better in distribution than the most frequent label (paper, Appendix A.1)."""
    outcome = ledger["outcome"]
    return outcome["validation"][metric] <= outcome["majority"][metric]


def of_method(scores: pd.DataFrame, main: str, supervision: str, budget: str) -> pd.DataFrame:
    """The scores of the runs behind a table's row."""
    return scores[
        (scores["model"] == main) & (scores["supervision"] == supervision) & (scores["budget"] == budget)
    ]


def load_scores(path: str | Path) -> pd.DataFrame:
    """Read what `collect_scores` wrote."""
    table, _ = read_parquet(path)
    return table.to_pandas()
