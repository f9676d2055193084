"""The page of a task's verdict at equal compute, without code: the answer, the figure, the numbers."""

import base64
from collections.abc import Sequence
from html import escape

import pandas as pd

from ..places import REPORT
from ..statistics.verdicts import Lead
from ..tasks.metrics import metric as named_metric
from .texts import plain
from .web_page import fill, table

# Names of methods and models are cut; a sentence of several of them is not.
SENTENCE = 4000
TEMPLATES = REPORT / "verdict"


def page(spec: dict, verdict: dict, points: pd.DataFrame, leads: Sequence[Lead], drawing: bytes) -> str:
    """The whole page; `verdict` and `spec` as in `results.verdicts`, `drawing` is the figure as SVG."""
    return fill(
        TEMPLATES,
        images=True,
        title=escape(plain(spec["title"])),
        verdict=_paragraphs(verdict["sentences"]),
        figure=base64.b64encode(drawing).decode(),
        described=escape(_described(points)),
        leads=_leads(leads),
        left_out=_paragraphs(verdict["left_out"]),
        metric=escape(named_metric(spec["metric"]).label),
        definition=escape(named_metric(spec["metric"]).definition),
        where=escape(spec["sets"]["name"]),
        datasets=escape(plain(", ".join(spec["sets"]["datasets"]))),
        confidence=f"{100 * spec['confidence']:g}",
        comparisons=str(len(leads)),
    )


def _paragraphs(sentences: Sequence[str]) -> str:
    return "\n".join(f'<p dir="auto">{escape(plain(text, SENTENCE))}.</p>' for text in sentences)


def _described(points: pd.DataFrame) -> str:
    ends = points.groupby("method", sort=False).tail(1)
    told = "; ".join(f"{row.method}: {100 * row.score:.1f} at {row.cost:.0f} %" for row in ends.itertuples())
    return f"Scores at the end of every method. {plain(told)}"


def _end(value: float) -> str:
    """An end of an interval in points; one beyond 100 says only that it is."""
    points = 100 * value
    return f"{points:+.2f}" if abs(points) <= 100 else "&lt; -100" if points < 0 else "&gt; +100"


def _leads(leads: Sequence[Lead]) -> str:
    lines = []
    for lead in leads:
        found = lead.difference
        cells = [
            f"{lead.budget:.0f}\u00a0%",
            f"{100 * found.value:+.2f}",
            f"{_end(found.low)} to {_end(found.high)}" if found.seeds else "–",
            str(found.seeds),
            "yes" if lead.shown else "not shown",
        ]
        method, rival = (escape(plain(name)) for name in (lead.method, lead.rival))
        row = "".join(f"<td>{cell}</td>" for cell in cells)
        lines.append(f'<tr><th scope="row" dir="auto">{method}</th><td dir="auto">{rival}</td>{row}</tr>')
    header = ("Method", "Closest to it", "Compute", "Difference", "Interval", "Seeds", "Above all")
    return table(header, lines)
