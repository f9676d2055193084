"""`ftft issues`: the labels that are probably wrong, worst first, for a terminal."""

import argparse
import csv
from pathlib import Path

from ..artifacts import read_json
from ..errors import ArtifactError
from ..results.texts import plain

# What stands beside the texts in a list of issues.
BESIDE = ("uid", "given", "suggested", "agree", "score", "probability", "reason")


def issues(chosen: argparse.Namespace) -> None:
    """Print the first issues of one task or of all; raises ArtifactError where there is no list."""
    folder = chosen.results / "issues"
    paths = sorted(folder.glob("*.csv")) if chosen.task is None else [folder / f"{chosen.task}.csv"]
    if not paths or not paths[0].is_file():
        raise ArtifactError(
            f"there is no list of issues {paths[0] if paths else f'in {folder}'}",
            fix="make it: ftft run issues",
        )
    for path in paths:
        _show(path, chosen.first)


def _show(path: Path, first: int) -> None:
    summary = read_json(path.with_suffix(".json"))
    rows = _rows(path, summary["listed"])[: max(0, first)]
    print(f"{plain(path.stem)}: {_expected(summary)}; {summary['listed']} are listed in {plain(path)}\n")
    for place, row in enumerate(rows, 1):
        label = f"{plain(row['given'])} -> {plain(row['suggested']) or '?'}"
        print(f"{place}. {plain(row['uid'])}: {label} ({_beside(row)})")
        for name in (name for name in row if name not in BESIDE):
            print(f"   {plain(name)}: {plain(row[name])}")
        print(f"   {plain(row['reason'], 1000)}\n")


def _rows(path: Path, listed: int) -> list[dict[str, str]]:
    """The rows of a list; raises ArtifactError for a file that is damaged or lacks some."""
    # A text may be longer than the csv module takes by default.
    csv.field_size_limit(2**31 - 1)
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
        if len(rows) != listed:
            raise ValueError(f"{len(rows)} rows of {listed}")
        for row in rows:
            if None in row or None in row.values() or not row.keys() >= set(BESIDE):
                raise ValueError("a row has too many or too few cells")
            float(row["probability"] or 0)
    except (OSError, ValueError, csv.Error) as error:
        raise ArtifactError(
            f"{path} cannot be read",
            got=next(iter(str(error).splitlines()), ""),
            expected="the list as the workflow left it",
            fix="delete it and make it again: ftft run issues",
        ) from error
    return rows


def _expected(summary: dict) -> str:
    instances = summary["instances"]
    shares = [run["share"] for run in summary["runs"] if run["share"] is not None]
    if not shares:
        return f"{instances} labels"
    low, high = (f"{100 * share:.1f}" for share in (min(shares), max(shares)))
    among = f"{low} %" if low == high else f"{low} to {high} %"
    return f"{among} of {instances} labels at most are expected to be wrong"


def _beside(row: dict[str, str]) -> str:
    known = f"wrong with probability {float(row['probability']):.2f}, " if row["probability"] else ""
    return f"{known}listed by {row['agree']} runs"
