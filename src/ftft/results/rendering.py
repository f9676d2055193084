"""Tables for readers: Markdown and LaTeX from cells of text."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from ..artifacts import write_text

METRIC_NAMES = {"accuracy": "accuracy", "macro_f1": "macro-F1"}
LATEX = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {"±": r"$\pm$", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}
    | {"−": "$-$", "≥": r"$\geq$", "†": r"$\dagger$"}
)
# Mark-up of Markdown, HTML and GitHub's formulas; not an underscore within a word, a star after one,
# or a backslash before a letter.
MARKDOWN = re.compile(r"\\(?=[!-/:-@[-`{-~])|[<`$]|\*(?=\S)|&(?=#|\w+;)|\](?=\()|(?<!\w)_|_(?!\w)")


@dataclass(frozen=True)
class Rendering:
    """A table as text.

    `sections` holds one title per line, shown where it changes; the first `names` columns are
    left-aligned in LaTeX; `notes` follow the table.
    """

    caption: str
    header: list[str]
    lines: list[list[str]]
    sections: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    names: int = 1

    def titled_lines(self) -> list[tuple[str | None, list[str]]]:
        """Every line with the section title to print above it, if any."""
        titled, current = [], ""
        for title, line in zip(self.sections or [""] * len(self.lines), self.lines, strict=True):
            titled.append((title if title and title != current else None, line))
            current = title
        return titled


def write_outputs(outputs: dict[str, Path], frame: pd.DataFrame, rendering: Rendering) -> None:
    """Write `frame` as CSV and its rendering as Markdown and LaTeX."""
    write_csv(outputs["csv"], frame)
    write_text(outputs["md"], to_markdown(rendering))
    write_text(outputs["tex"], to_latex(rendering))


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    """Write `frame` with four decimals."""
    write_text(path, frame.to_csv(index=False, float_format="%.4f", lineterminator="\n"))


def to_markdown(table: Rendering) -> str:
    """The table as GitHub Markdown, section titles as rows."""
    out = [
        _markdown(table.caption),
        "",
        _row(map(_cell, table.header)),
        _row(["---"] * len(table.header)),
    ]
    for title, line in table.titled_lines():
        if title:
            out.append(_row([f"*{_cell(title)}*", *[""] * (len(table.header) - 1)]))
        out.append(_row(map(_cell, line)))
    if table.notes:
        out += ["", *(f"- {_markdown(note)}" for note in table.notes)]
    return "\n".join(out) + "\n"


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(text: str) -> str:
    return _markdown(text).replace("|", "\\|")


def _markdown(text: str) -> str:
    return MARKDOWN.sub(r"\\\g<0>", text)


def to_latex(table: Rendering) -> str:
    """The table as a LaTeX `table` environment for the booktabs package."""
    width = len(table.header)
    body = []
    for title, line in table.titled_lines():
        if title:
            body += [r"\midrule", rf"\multicolumn{{{width}}}{{l}}{{\textit{{{_latex(title)}}}}} \\"]
        body.append(_latex_row(line))
    caption = " ".join([table.caption, *(f"{note.rstrip('.')}." for note in table.notes)])
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_latex(caption)}}}",
            rf"\begin{{tabular}}{{{'l' * table.names}{'r' * (width - table.names)}}}",
            r"\toprule",
            _latex_row(table.header),
            *([] if body and body[0] == r"\midrule" else [r"\midrule"]),
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _latex_row(cells: list[str]) -> str:
    return " & ".join(map(_latex, cells)) + r" \\"


def _latex(text: str) -> str:
    return text.translate(LATEX)
