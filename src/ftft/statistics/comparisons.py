"""Comparisons of methods: which differences between scores are more than chance (see `bootstrap`)."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Self

import pandas as pd
import pyarrow as pa

from ..artifacts import read_json, read_parquet, write_parquet
from .bootstrap import Difference, difference, holm, resample_scores
from .exclusions import exclusions, references_of_rows, run_key
from .frames import write_csv
from .scores import Evaluation, ledger_of

# A method's runs: model, supervision, budget.
Method = tuple[str, str, str]
IDENTITY = ("method", "main", "reference", "supervision", "budget")
SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        *((name, pa.string()) for name in (*IDENTITY, "dataset")),
        *((name, pa.float64()) for name in ("difference", "low", "high", "p_value", "p_holm")),
        ("seeds", pa.int64()),
    ]
)


class BootstrapComparison:
    """The bootstrap scores of all methods of one task on all its evaluation sets, failed runs left out.

    There is an evaluation per run and data set; `ledgers` are those of the runs and of their reference runs;
    `references` is by supervision the model of its reference (see `exclusions`).
    """

    def __init__(
        self,
        evaluations: Iterable[Evaluation],
        ledgers: Iterable[dict],
        references: Mapping[str, str],
        metric: str,
        failure_metric: str,
        resamples: int,
    ):
        by_run = {run_key(ledger["run"]): ledger for ledger in ledgers}
        excluded = exclusions(by_run.values(), references, failure_metric)
        first: dict[str, Evaluation] = {}
        predictions: dict = {}
        for evaluation in evaluations:
            ledger_of(evaluation, by_run)
            key = run_key(evaluation.run)
            if key in excluded:
                continue
            *method, seed = key
            evaluation.require_examples_of(first.setdefault(evaluation.dataset, evaluation))
            runs = predictions.setdefault(evaluation.dataset, {}).setdefault(tuple(method), {})
            runs[seed] = evaluation.predictions
        self._replicates = {
            dataset: resample_scores(
                dataset, first[dataset].targets, methods, first[dataset].labels, metric, resamples
            )
            for dataset, methods in predictions.items()
        }

    @classmethod
    def of_files(cls, spec: Mapping, evaluations: Iterable[Path], ledgers: Iterable[Path]) -> Self:
        """Those of the files behind a table, by a `spec` as `compare_rows` reads it."""
        return cls(
            map(Evaluation, evaluations),
            map(read_json, ledgers),
            references_of_rows([*spec["rows"], *spec.get("baselines", ())]),
            spec["metric"],
            spec["failure_metric"],
            spec["resamples"],
        )

    def difference(
        self, left: Method, right: Method, datasets: Sequence[str], confidence: float
    ) -> Difference | None:
        """Mean score of `left` minus that of `right` over data sets and common seeds.

        None where they have no good run of one seed in common.
        """
        found = [self._replicates.get(dataset, {}) for dataset in datasets]
        if not datasets or not all(left in methods and right in methods for methods in found):
            return None
        pairs = [[methods[method] for methods in found] for method in (left, right)]
        compared = difference(*pairs, confidence)
        return compared if compared.seeds else None


def compare_rows(
    spec: dict, evaluations: Iterable[Path], ledgers: Iterable[Path], output: Path, view: Path
) -> None:
    """Compare every row of a table with its baseline, on every evaluation set; write Parquet and a CSV view.

    Columns: row (position in the table), method, main, reference, supervision, budget, dataset,
    difference (row minus ERM), low, high, p_value, p_holm (over the whole table), seeds (common ones). With
    one common seed there is an interval over examples and no p-value. A row that is its own baseline, or
    without a good run, is left out.
    """
    rows, baselines = spec["rows"], spec["baselines"]
    comparison = BootstrapComparison.of_files(spec, evaluations, ledgers)
    compared = []
    for position, (row, baseline) in enumerate(zip(rows, baselines, strict=True)):
        if method_of(row) == method_of(baseline):
            continue
        names = {key: row.get(key, "-") for key in IDENTITY}
        for dataset in spec["datasets"]:
            result = comparison.difference(method_of(row), method_of(baseline), [dataset], spec["confidence"])
            if result is not None:
                compared.append(
                    {
                        "row": position,
                        **names,
                        "dataset": dataset,
                        "difference": result.value,
                        "low": result.low,
                        "high": result.high,
                        "p_value": result.p_value,
                        "seeds": result.seeds,
                    }
                )
    for entry, adjusted in zip(compared, holm([entry["p_value"] for entry in compared]), strict=True):
        entry["p_holm"] = float(adjusted)
    table = pa.Table.from_pylist(compared, SCHEMA)
    write_parquet(output, table, {})
    write_csv(view, table.to_pandas())


def load_comparisons(path: str | Path) -> pd.DataFrame:
    """Read what `compare_rows` wrote."""
    table, _ = read_parquet(path)
    return table.to_pandas()


def method_of(row: dict) -> Method:
    """The runs behind a row with its `supervision` and `budget`."""
    return row["main"], row["supervision"], row["budget"]
