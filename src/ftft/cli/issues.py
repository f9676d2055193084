"""`ftft issues`: the labels that are probably wrong, worst first, for a terminal."""

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path

from ..artifacts import read_json
from ..errors import ArtifactError
from ..results.texts import plain

# What stands beside the texts in a list of issues.
BESIDE = ("uid", "given", "suggested", "agree", "score", "probability", "reason")


def issues(chosen: argparse.Namespace) -> None:
    """Print the first issues of one task or of all; raises ArtifactError where there is no list."""
    if chosen.unfinished:
        _unfinished(chosen)
        return
    folder = chosen.results / "issues"
    paths = sorted(folder.glob("*.csv")) if chosen.task is None else [folder / f"{chosen.task}.csv"]
    if not paths or not paths[0].is_file():
        raise ArtifactError(
            f"there is no list of issues {paths[0] if paths else f'in {folder}'}",
            fix="make it: ftft run issues",
        )
    for path in paths:
        _show(path, chosen.first)


def _unfinished(chosen: argparse.Namespace) -> None:
    """Print the first issues by each reference run that is not at its end."""
    from ..cartography.dynamics import all_unfinished_dynamics
    from ..results.issues import issues_so_far

    scratch = chosen.scratch or chosen.results / "scratch"
    paths = all_unfinished_dynamics(scratch, chosen.task)
    if not paths:
        raise ArtifactError(
            f"no reference run that still trains has written an epoch to {scratch / 'dynamics'}",
            fix="wait for its first epoch (ftft status --watch); for runs that have ended: ftft issues",
        )
    for path in paths:
        frame, about = issues_so_far(path, chosen.results)
        of = f" of {about['planned']:g}" if about["planned"] else ""
        run = plain("{task}, {model}, seed {seed}".format(**about["run"]))
        share = (
            ""
            if about["share_range"] is None
            else f"; {_percent(about['share_range'])} are expected to be wrong"
        )
        print(f"{run}, after {about['epochs']}{of} epochs: {len(frame)} labels look wrong{share}\n")
        shown = frame.head(max(0, chosen.first)).fillna("").astype(str).to_dict("records")
        for place, row in enumerate(shown, 1):
            _print(place, row, _certainty(row).rstrip(", "))


def _show(path: Path, first: int) -> None:
    summary = read_json(path.with_suffix(".json"))
    rows = _rows(path, summary["listed"])[: max(0, first)]
    listed = f"{summary['listed']} are listed in {plain(path)}"
    print(f"{plain(path.stem)}: {_expected(summary)}; {listed}{_cost(summary)}\n")
    for place, row in enumerate(rows, 1):
        _print(place, row, f"{_certainty(row)}listed by {row['agree']} runs")


def _print(place: int, row: dict[str, str], certainty: str) -> None:
    label = f"{plain(row['given'])} -> {plain(row['suggested']) or '?'}"
    print(f"{place}. {plain(row['uid'])}: {label}{f' ({certainty})' if certainty else ''}")
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
    ends = [end for run in summary["runs"] if run["share_range"] for end in run["share_range"]]
    return f"{_percent(shares)} of {instances} labels are expected to be wrong (range {_percent(ends)})"


def _percent(shares: Sequence[float]) -> str:
    low, high = (f"{100 * share:.1f}" for share in (min(shares), max(shares)))
    return f"{low} %" if low == high else f"{low} to {high} %"


def _cost(summary: dict) -> str:
    """What the list cost beside the reference runs, where it did."""
    further = [run["further_trainings"] for run in summary["runs"]]
    number, seconds = (sum(one[name] for one in further) for name in ("number", "seconds"))
    return f"; out of sample, by {number} further trainings of {seconds:.0f} seconds in all" if number else ""


def _certainty(row: dict[str, str]) -> str:
    return f"wrong with probability {float(row['probability']):.2f}, " if row["probability"] else ""
