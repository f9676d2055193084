"""A published table that anybody can check: its predictions and ledgers in a folder, without texts.

`python -m ftft.results.archive FOLDER` makes the table from these again, and says whether it is the same.
"""

import argparse
import csv
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..artifacts import read_json, read_parquet, write_json, write_parquet, write_text
from ..errors import ArtifactError, FtftError
from ..statistics.comparisons import compare_rows
from ..statistics.exclusions import run_key
from ..statistics.scores import Evaluation, collect_scores
from .tables import Supervising, write_table

PREDICTIONS, RUNS, TABLE, COMPARISONS = "predictions.parquet", "runs.json", "table", "comparisons.csv"
# The columns beside those of runs, which are called by a number.
EXAMPLE = ("dataset", "uid", "label")


def write_archive(
    specs: dict,
    evaluations: Iterable[Path],
    ledgers: Iterable[Path],
    supervising: Supervising,
    folder: Path,
) -> None:
    """Write a table's per-example predictions, the ledgers of its runs, and the table as these give it.

    `specs` holds what defines the `scores`, the `comparisons` and the `table`, as the rules that make these
    read it; `evaluations` has a file per run and data set; `ledgers` those of the table's runs, of their
    reference runs and of the unit of cost; `supervising` as `tables.load_supervising` gives it.
    predictions.parquet: dataset, uid, label, and one column of predictions per run, called by its place in
    the list `runs` of runs.json. Raises ArtifactError for predictions that are no class indices, and where
    the runs of a data set are not of the same examples.
    """
    runs = list({run_key(ledger["run"]): ledger for ledger in map(read_json, ledgers)}.values())
    places = {run_key(ledger["run"]): place for place, ledger in enumerate(runs)}
    datasets: dict[str, Evaluation] = {}
    columns: dict[str, dict[int, np.ndarray]] = {}
    for evaluation in map(Evaluation, evaluations):
        evaluation.require_examples_of(datasets.setdefault(evaluation.dataset, evaluation))
        place = places[run_key(evaluation.run)]
        columns.setdefault(evaluation.dataset, {})[place] = _indices(evaluation)
    predicted = sorted({place for found in columns.values() for place in found})
    parts = [
        pa.table(
            {
                "dataset": pa.array([name] * len(first.targets)).dictionary_encode(),
                "uid": first.uids,
                "label": pa.array(first.targets, pa.int16()),
                **{str(place): _column(columns[name].get(place), len(first.targets)) for place in predicted},
            }
        )
        for name, first in datasets.items()
    ]
    about = {name: {"kind": first.kind, "labels": first.labels} for name, first in datasets.items()}
    write_parquet(folder / PREDICTIONS, pa.concat_tables(parts), {"datasets": about}, compression_level=19)
    write_json(folder / RUNS, {"specs": specs, "runs": runs, "supervising": _listed(supervising)})
    recompute(folder, folder)


def _indices(evaluation: Evaluation) -> np.ndarray:
    if not np.issubdtype(evaluation.predictions.dtype, np.integer):
        raise ArtifactError(
            f"the predictions of {evaluation.path} cannot be archived",
            got=f"values of type {evaluation.predictions.dtype}, for {evaluation.kind}",
            expected="class indices: anything else may hold texts",
        )
    return evaluation.predictions


def _column(predictions: np.ndarray | None, length: int) -> pa.Array:
    """A run's predictions of one data set; empty where the run was not evaluated on it."""
    return pa.nulls(length, pa.int16()) if predictions is None else pa.array(predictions, pa.int16())


def _listed(supervising: Supervising) -> list[dict]:
    return [
        {"supervision": name, "seed": seed, **taken} for (name, seed), taken in sorted(supervising.items())
    ]


def recompute(archive: Path, folder: Path) -> None:
    """Write table.csv, table.md and comparisons.csv into `folder`, from what else is in `archive`."""
    kept = read_json(archive / RUNS)
    specs = kept["specs"]
    supervising = {
        (entry.pop("supervision"), entry.pop("seed")): entry for entry in map(dict, kept["supervising"])
    }
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        evaluations = list(_unpacked(archive / PREDICTIONS, kept["runs"], work))
        ledgers = [work / f"ledger-{place}.json" for place in range(len(kept["runs"]))]
        for path, ledger in zip(ledgers, kept["runs"], strict=True):
            write_json(path, ledger)
        collect_scores(specs["scores"], evaluations, ledgers, work / "scores.parquet")
        compare_rows(
            specs["comparisons"], evaluations, ledgers, work / "comparisons.parquet", work / COMPARISONS
        )
        outputs = {form: work / f"{TABLE}.{form}" for form in ("csv", "md", "tex")}
        sources = work / "scores.parquet", work / "comparisons.parquet", ledgers
        write_table(specs["table"], *sources, supervising, {**outputs, "costs": work / "costs.csv"})
        for path in (outputs["csv"], outputs["md"], work / COMPARISONS):
            write_text(folder / path.name, path.read_text(encoding="utf-8"))


def _unpacked(file: Path, runs: list[dict], folder: Path) -> Iterator[Path]:
    """Write an evaluation file per run and data set, as the evaluation of a run leaves them."""
    table, metadata = read_parquet(file)
    datasets = table["dataset"].to_numpy()
    for number, (dataset, about) in enumerate(metadata["datasets"].items()):
        examples = table.filter(datasets == dataset)
        for place in (name for name in table.column_names if name not in EXAMPLE):
            if examples[place].null_count:
                continue
            path = folder / f"evaluation-{number}-{place}.parquet"
            columns = {"uid": examples["uid"], "label": examples["label"], "prediction": examples[place]}
            of = {"run": runs[int(place)]["run"], "dataset": dataset, **about}
            write_parquet(path, pa.table(columns), of)
            yield path


def differences(archive: Path) -> list[str]:
    """Where the published table and comparisons of an archive are not what its predictions give, in words."""
    found = []
    with tempfile.TemporaryDirectory() as name:
        recompute(archive, Path(name))
        for file in (f"{TABLE}.csv", COMPARISONS):
            published, again = _cells(archive / file), _cells(Path(name) / file)
            found += [
                f"{file}, line {line + 1}, {column}: {published.get((line, column))} is published, "
                f"{again.get((line, column))} follows"
                for line, column in dict.fromkeys([*published, *again])
                if published.get((line, column)) != again.get((line, column))
            ]
    return found


def _cells(file: Path) -> dict[tuple[int, str], str]:
    with open(file, encoding="utf-8", newline="") as lines:
        return {
            (number, column): value
            for number, row in enumerate(csv.DictReader(lines), start=1)
            for column, value in row.items()
        }


def main(arguments: list[str] | None = None) -> int:
    """Recompute the table of an archive; returns the exit code: 1 where it is not the published one."""
    parser = argparse.ArgumentParser(
        "python -m ftft.results.archive", description="Recompute a published table."
    )
    parser.add_argument("archive", metavar="FOLDER", type=Path, help=f"a folder with {PREDICTIONS}")
    chosen = parser.parse_args(arguments)
    try:
        found = differences(chosen.archive)
    except FtftError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print("\n".join(found) or f"{chosen.archive}: the table follows from the predictions")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
