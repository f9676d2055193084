"""A published table that anybody can check: its predictions and ledgers in a folder, without texts.

`ftft archive` makes it. `python -m ftft.results.archive FOLDER` makes the table from these again, and says
whether it is the same; with `--against` it compares all rows with one of them instead, paired as ever.
"""

import argparse
import csv
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from ..artifacts import read_json, read_parquet, write_json, write_parquet, write_text
from ..data.dataset import target_column
from ..errors import ArtifactError, FtftError
from ..statistics.comparisons import BootstrapComparison, compare_rows, load_comparisons
from ..statistics.exclusions import RunKey, run_key
from ..statistics.gains import split_gains
from ..statistics.scores import Evaluation, collect_scores
from ..tasks.base import kind_of
from ..tasks.metrics import metric
from .rendering import Rendering, to_markdown
from .tables import Supervising, row_label, write_table

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

    `specs` holds what defines the `scores`, the `comparisons`, the `gains` (None where the table has no
    controls that split them) and the `table`, as the rules that make these read it; `evaluations` has a file
    per run and data set; `ledgers` those of the table's runs, of their reference runs and of the unit of
    cost; `supervising` as `tables.load_supervising` gives it.
    predictions.parquet: dataset, uid, label, and one column of predictions per run, called by its place in
    the list `runs` of runs.json. Answers have numbers in place of their words, the same in all of them.
    Raises ArtifactError for predictions that may hold texts, for a metric that needs the words of these, and
    where the runs of a data set are not of the same examples.
    """
    _require_by_words(specs["comparisons"]["metric"])
    runs = list({run_key(ledger["run"]): ledger for ledger in map(read_json, ledgers)}.values())
    places = {run_key(ledger["run"]): place for place, ledger in enumerate(runs)}
    datasets: dict[str, Evaluation] = {}
    columns: dict[str, dict[int, pa.Array]] = {}
    numbers: dict[str, int] = {}
    for evaluation in map(Evaluation, evaluations):
        evaluation.require_examples_of(datasets.setdefault(evaluation.dataset, evaluation))
        place = places[run_key(evaluation.run)]
        columns.setdefault(evaluation.dataset, {})[place] = without_texts(evaluation, numbers)
    predicted = sorted({place for found in columns.values() for place in found})
    form = next(iter(next(iter(columns.values())).values())).type
    parts = [
        pa.table(
            {
                "dataset": pa.array([name] * len(first.targets)).dictionary_encode(),
                "uid": first.uids,
                "label": target_column(kind_of(first.kind).numbered(first.targets, numbers)),
                **{
                    str(place): columns[name].get(place, pa.nulls(len(first.targets), form))
                    for place in predicted
                },
            }
        )
        for name, first in datasets.items()
    ]
    about = {name: {"kind": first.kind, "labels": first.labels} for name, first in datasets.items()}
    write_parquet(folder / PREDICTIONS, pa.concat_tables(parts), {"datasets": about}, compression_level=19)
    write_json(folder / RUNS, {"specs": specs, "runs": runs, "supervising": _listed(supervising)})
    recompute(folder, folder)


def without_texts(evaluation: Evaluation, numbers: dict[str, int]) -> pa.Array:
    """The predictions of an evaluation as a column, with `numbers` in place of words as the kind of task has
    it; raises ArtifactError where they may hold texts.
    """
    found = target_column(kind_of(evaluation.kind).numbered(evaluation.predictions, numbers))
    if not _are_numbers(found):
        raise ArtifactError(
            f"the predictions of {evaluation.path} cannot be archived",
            got=f"values of type {found.type}, for {evaluation.kind}",
            expected="class indices, truth values or numbers: anything else may hold texts",
        )
    return found


def _require_by_words(name: str) -> None:
    if not metric(name).by_words:
        raise ArtifactError(
            f"a table of {metric(name).label} cannot be archived",
            got=f"the metric {name}, which needs the texts",
            expected="a metric that is the same where texts have a number in place of each word",
        )


def _are_numbers(values: pa.Array) -> bool:
    if pa.types.is_struct(values.type):
        return all(map(_are_numbers, values.flatten()))
    if pa.types.is_list(values.type):
        return _are_numbers(values.flatten())
    if pa.types.is_string(values.type):
        return pc.all(pc.match_substring_regex(values, "^[0-9 ]*$")).as_py() is not False
    return pa.types.is_primitive(values.type)


def _listed(supervising: Supervising) -> list[dict]:
    return [
        {"supervision": name, "seed": seed, **taken} for (name, seed), taken in sorted(supervising.items())
    ]


def recompute(archive: Path, folder: Path) -> None:
    """Write table.csv, table.md and comparisons.csv into `folder`, from what else is in `archive`."""
    specs = read_json(archive / RUNS)["specs"]
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        runs = unpack(archive, work)
        evaluations, ledgers = list(runs.evaluations.values()), list(runs.ledgers.values())
        collect_scores(specs["scores"], evaluations, ledgers, work / "scores.parquet")
        compare_rows(
            specs["comparisons"], evaluations, ledgers, work / "comparisons.parquet", work / COMPARISONS
        )
        gains = None
        if specs["gains"]:
            gains = work / "gains.parquet"
            split_gains(specs["gains"], evaluations, ledgers, gains, work / "gains.csv")
        outputs = {form: work / f"{TABLE}.{form}" for form in ("csv", "md", "tex")}
        sources = work / "scores.parquet", work / "comparisons.parquet", ledgers
        outputs["costs"] = work / "costs.csv"
        write_table(specs["table"], *sources, runs.supervising, outputs, gains)
        for path in (outputs["csv"], outputs["md"], work / COMPARISONS):
            write_text(folder / path.name, path.read_text(encoding="utf-8"))


def compare_with(archive: Path, baseline: int) -> str:
    """The rows of an archive's table, each compared with the row `baseline`, counted from 1, as Markdown.

    Intervals and p-values are those of `statistics.comparisons`, with Holm's correction over what is shown.
    Raises ArtifactError where there is no such row.
    """
    spec = read_json(archive / RUNS)["specs"]["comparisons"]
    rows = spec["rows"]
    if not 1 <= baseline <= len(rows):
        raise ArtifactError(
            f"the table of {archive} has no such row", got=baseline, expected=f"a row from 1 to {len(rows)}"
        )
    against = {**spec, "baselines": [rows[baseline - 1]] * len(rows)}
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        runs = unpack(archive, work)
        outputs = work / "comparisons.parquet", work / COMPARISONS
        compare_rows(against, runs.evaluations.values(), runs.ledgers.values(), *outputs)
        compared = load_comparisons(work / "comparisons.parquet")
    lines = [
        [f"{found.row + 1}: {_title(rows[found.row])}", found.dataset]
        + [f"{100 * value:+.2f}" for value in (found.difference, found.low, found.high)]
        + [*("-" if value != value else f"{value:.3f}" for value in (found.p_value, found.p_holm))]
        + [str(found.seeds)]
        for found in compared.itertuples()
    ]
    share = f"{100 * spec['confidence']:g} %"
    return to_markdown(
        Rendering(
            f"Points of {metric(spec['metric']).label} above row {baseline}: {_title(rows[baseline - 1])}. "
            f"Intervals hold {share}.",
            ["Row", "Data set", "Difference", "Low", "High", "p", "p (Holm)", "Seeds"],
            lines,
            names=2,
        )
    )


def load_comparison(archive: Path) -> BootstrapComparison:
    """The bootstrap scores of an archive's methods, on all its data sets."""
    spec = read_json(archive / RUNS)["specs"]["comparisons"]
    with tempfile.TemporaryDirectory() as name:
        runs = unpack(archive, Path(name))
        return BootstrapComparison.of_files(spec, runs.evaluations.values(), runs.ledgers.values())


def _title(row: dict) -> str:
    reference = f", {row['reference']}" if "reference" in row else ""
    return f"{row_label(row)}, {row['main']}{reference}"


class Unpacked(NamedTuple):
    """An archive's runs as the files that they were archived from.

    evaluations: by run and data set; ledgers: by run; supervising: as `tables.load_supervising` gives it.
    """

    evaluations: dict[tuple[RunKey, str], Path]
    ledgers: dict[RunKey, Path]
    supervising: Supervising


def unpack(archive: Path, folder: Path) -> Unpacked:
    """Write the evaluations and ledgers of an archive's runs into `folder`, as a workflow leaves them."""
    kept = read_json(archive / RUNS)
    runs = [ledger["run"] for ledger in kept["runs"]]
    ledgers = {run_key(run): folder / f"ledger-{place}.json" for place, run in enumerate(runs)}
    for path, ledger in zip(ledgers.values(), kept["runs"], strict=True):
        write_json(path, ledger)
    supervising = {
        (entry.pop("supervision"), entry.pop("seed")): entry for entry in map(dict, kept["supervising"])
    }
    return Unpacked(_unpacked(archive / PREDICTIONS, runs, folder), ledgers, supervising)


def _unpacked(file: Path, runs: list[dict], folder: Path) -> dict[tuple[RunKey, str], Path]:
    table, metadata = read_parquet(file)
    datasets = table["dataset"].to_numpy()
    written = {}
    for number, (dataset, about) in enumerate(metadata["datasets"].items()):
        examples = table.filter(datasets == dataset)
        for place in (name for name in table.column_names if name not in EXAMPLE):
            if examples[place].null_count:
                continue
            run, path = runs[int(place)], folder / f"evaluation-{number}-{place}.parquet"
            columns = {"uid": examples["uid"], "label": examples["label"], "prediction": examples[place]}
            write_parquet(path, pa.table(columns), {"run": run, "dataset": dataset, **about})
            written[run_key(run), dataset] = path
    return written


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
    """Check the table of an archive, or compare its rows; returns the exit code: 1 for another table."""
    parser = argparse.ArgumentParser(
        "python -m ftft.results.archive", description="Recompute a published table."
    )
    parser.add_argument("archive", metavar="FOLDER", type=Path, help=f"a folder with {PREDICTIONS}")
    parser.add_argument("--against", metavar="ROW", type=int, help="compare all rows with this one, from 1")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.against is not None:
            print(compare_with(chosen.archive, chosen.against), end="")
            return 0
        found = differences(chosen.archive)
    except FtftError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print("\n".join(found) or f"{chosen.archive}: the table follows from the predictions")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
