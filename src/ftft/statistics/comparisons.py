"""Comparisons of methods: which differences between scores are more than chance (see `bootstrap`)."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import ArtifactError
from ..results.rendering import write_csv
from .bootstrap import Difference, difference, holm, resample_scores
from .scores import has_failed, read_evaluation

# A method's runs: model, supervision, budget.
Method = tuple[str, str, str]
IDENTITY = ("method", "main", "reference", "supervision", "budget")


class Contest:
    """The bootstrap scores of all methods of one task on all its evaluation sets, failed runs left out."""

    def __init__(
        self,
        evaluations: Iterable[Path],
        ledgers: Iterable[Path],
        metric: str,
        failure_metric: str,
        resamples: int,
    ):
        examples: dict[str, pd.DataFrame] = {}
        predictions: dict[str, dict[Method, dict[int, np.ndarray]]] = {}
        classes = 0
        for evaluation, ledger in zip(evaluations, ledgers, strict=True):
            table, metadata, outcome = read_evaluation(evaluation, ledger)
            run, classes = metadata["run"], len(metadata["labels"])
            if has_failed(outcome, failure_metric):
                continue
            method = (run["model"], run["supervision"], run["budget"])
            for dataset, part in table.to_pandas().groupby("dataset", sort=False):
                part = part.reset_index(drop=True)
                if not examples.setdefault(dataset, part[["uid", "label"]]).equals(part[["uid", "label"]]):
                    raise ArtifactError(
                        f"the evaluations of data set '{dataset}' are not of the same examples",
                        got=f"another order, uid or label in {evaluation}",
                        fix="delete the evaluations and let snakemake make them again",
                    )
                runs = predictions.setdefault(dataset, {}).setdefault(method, {})
                runs[run["seed"]] = part["prediction"].to_numpy("int64")
        self._replicates = {
            dataset: resample_scores(
                dataset, examples[dataset]["label"].to_numpy("int64"), methods, classes, metric, resamples
            )
            for dataset, methods in predictions.items()
        }

    def difference(
        self, left: Method, right: Method, datasets: Sequence[str], confidence: float
    ) -> Difference | None:
        """Mean score of `left` minus that of `right` over data sets and common seeds.

        None where they have no good run of one seed in common.
        """
        found = [self._replicates.get(dataset, {}) for dataset in datasets]
        if not all(left in methods and right in methods for methods in found):
            return None
        pairs = [[methods[method] for methods in found] for method in (left, right)]
        compared = difference(*pairs, confidence)
        return compared if compared.seeds else None


def compare_rows(spec: dict, evaluations: Iterable[Path], ledgers: Iterable[Path], output: Path) -> None:
    """Compare every row of a table with its baseline, on every evaluation set; write CSV.

    Columns: row (position in the table), method, main, reference, supervision, budget, dataset,
    difference (row minus ERM), low, high, p_value, p_holm (over the rows of one data set), seeds.
    A row that is its own baseline, or without a good run, is left out.
    """
    contest = Contest(evaluations, ledgers, spec["metric"], spec["failure_metric"], spec["resamples"])
    compared = []
    for position, (row, baseline) in enumerate(zip(spec["rows"], spec["baselines"], strict=True)):
        if method_of(row) == method_of(baseline):
            continue
        names = {key: row.get(key, "-") for key in IDENTITY}
        for dataset in spec["datasets"]:
            result = contest.difference(method_of(row), method_of(baseline), [dataset], spec["confidence"])
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
    columns = ["row", *IDENTITY, "dataset", "difference", "low", "high", "p_value", "seeds"]
    frame = pd.DataFrame(compared, columns=columns)
    adjusted = frame.groupby("dataset")["p_value"].transform(lambda values: holm(values.tolist()))
    frame.insert(columns.index("seeds"), "p_holm", adjusted)
    write_csv(output, frame)


def method_of(row: dict) -> Method:
    """The runs behind a row with its `supervision` and `budget`."""
    return row["main"], row["supervision"], row["budget"]
