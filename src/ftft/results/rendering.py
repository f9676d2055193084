"""Tables for readers: Markdown and LaTeX from cells of text.

tabulate and pandas do not escape Markdown; pandas' LaTeX needs jinja2 in every environment and knows no
titles between rows.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from ..artifacts import write_text
from ..statistics.frames import write_csv
from .texts import latex, markdown, paragraph


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


def to_markdown(table: Rendering) -> str:
    """The table as GitHub Markdown, section titles as rows."""
    out = [
        paragraph(table.caption),
        "",
        _row(map(markdown, table.header)),
        _row(["---"] * len(table.header)),
    ]
    for title, line in table.titled_lines():
        if title:
            out.append(_row([f"*{markdown(title)}*", *[""] * (len(table.header) - 1)]))
        out.append(_row(markdown(cell, 10_000) for cell in line))
    if table.notes:
        out += ["", *(f"- {paragraph(note)}" for note in table.notes)]
    return "\n".join(out) + "\n"


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def to_latex(table: Rendering) -> str:
    """The table as a LaTeX `table` environment for the booktabs package."""
    width = len(table.header)
    body = []
    for title, line in table.titled_lines():
        if title:
            body += [r"\midrule", rf"\multicolumn{{{width}}}{{l}}{{\textit{{{latex(title)}}}}} \\"]
        body.append(_latex_row(line))
    caption = " ".join([table.caption, *(f"{note.rstrip('.')}." for note in table.notes)])
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{latex(caption)}}}",
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
    return " & ".join(map(latex, cells)) + r" \\"
