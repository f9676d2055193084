"""`ftft transfer`: which scores of a small model's losses select what a large model's losses select too."""

import argparse
from pathlib import Path

from ..cartography.transfer import read_losses, transfer
from ..data.dataset import require
from ..errors import DataError
from ..results.rendering import Rendering, to_markdown
from .parts import read_rows


def transfer_table(chosen: argparse.Namespace) -> None:
    """Write the table of overlaps, and its figure beside it, and print the pair of the first and last model.

    Raises DataError for files without losses or responses.
    """
    from ..results.figures.transfer import plot

    words = _words(chosen.responses) if chosen.responses else None
    rows = []
    names = [path.stem.removeprefix("trajectories_") for path in chosen.losses]
    if len(set(names)) < len(names):
        raise DataError(
            "two files of losses have one name", got=", ".join(names), expected="names that differ"
        )
    for name, path in zip(names, chosen.losses, strict=True):
        rows += transfer(name, *read_losses(path), chosen.fraction, words)
    folder = chosen.output.parent
    folder.mkdir(parents=True, exist_ok=True)
    plot(
        rows,
        {"csv": chosen.output, **{form: chosen.output.with_suffix(f".{form}") for form in ("svg", "png")}},
    )
    print(summary(rows))
    print(f"wrote {chosen.output}, and the figure beside it")


def summary(rows: list[dict]) -> str:
    """The rows of the first reference and the last main model, as Markdown."""
    first, last = rows[0]["reference"], rows[-1]["main"]
    shown = [row for row in rows if (row["reference"], row["main"]) == (first, last)]
    names = list(dict.fromkeys(row["data"] for row in shown))
    measured = list(dict.fromkeys(row["data"] for row in shown if "words" in row))
    lines = []
    for score in dict.fromkeys(row["score"] for row in shown):
        own = {row["data"]: row for row in shown if row["score"] == score}
        shares = [f"{own[name]['overlap']:.2f} ({own[name]['correlation']:+.2f})" for name in names]
        lines.append([score.replace("_", " "), *shares, *(_length(own[name]) for name in measured)])
    caption = (
        f"Overlap of the selections of {first} and {last} (in brackets: Spearman's correlation); "
        f"two random ones share {rows[0]['chance']:.2f}."
    )
    header = ["Score", *names, *(f"Length, {name}" for name in measured)]
    return to_markdown(Rendering(caption, header, lines, notes=[])).strip()


def _length(row: dict) -> str:
    return f"{row['length_correlation']:+.2f}, {row['words']:.0f} words of {row['words_of_all']:.0f}"


def _words(paths: list[Path]) -> dict[str, int]:
    """By uid, the words of its response."""
    found = {}
    for path in paths:
        records, _ = read_rows(str(path), None)
        require(records, ["uid", "response"], path.name, "name files with the responses of these rows")
        pairs = zip(records["uid"].to_pylist(), records["response"].to_pylist(), strict=True)
        found |= {uid: len((response or "").split()) for uid, response in pairs}
    return found
