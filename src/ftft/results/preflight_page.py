"""The page of a task's preflight, without code: references in order, easy shares, numbers."""

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd

from ..artifacts import write_text
from ..places import REPORT
from ..statistics.frames import write_csv
from ..tasks.metrics import metric as named_metric
from . import web_page
from .attribution import Attribution, attribute, class_table, traits, with_attribution
from .easy_share import RATES
from .preflight import RATE, Reference, build_preflight, findings, mean, measure, parameter_count
from .recorded import foretold, hit_rates
from .standings import standings
from .texts import plain

TEMPLATES = REPORT / "preflight"
SHAPES = {
    "run": '<line class="run" x1="{x}" x2="{x}" y1="4" y2="22">{title}</line>',
    "own": '<svg x="{x}" y="13"><path class="own" d="M0-7 7 0 0 7-7 0z">{title}</path></svg>',
    "effective": '<circle class="effective" cx="{x}" cy="13" r="5">{title}</circle>',
    "ineffective": '<circle class="ineffective" cx="{x}" cy="13" r="5">{title}</circle>',
}


def write_preflight(
    spec: dict,
    map_files: Iterable[Path],
    ledger_files: Iterable[Path],
    dynamics_files: Iterable[Path],
    train_file: Path,
    encoders: dict[str, Path],
    outputs: dict[str, Path],
) -> None:
    """Write what is known of a task's candidates as CSV, by class as another, and as a page.

    `spec` as for `preflight.build_preflight`, with `task`, `parameters_m` by model and `recorded`, past
    transfers. `encoders` are the folders of the models, where their parameters are to be counted.
    """
    ledger_files = list(ledger_files)
    references = measure(spec, map_files, ledger_files)
    counted = {model: parameter_count(folder) for model, folder in encoders.items()}
    found = attribute(spec, dynamics_files, ledger_files, train_file)
    table = with_attribution(build_preflight(spec, references, counted or spec["parameters_m"]), found)
    write_csv(outputs["csv"], table)
    write_csv(outputs["classes"], class_table(found))
    write_text(outputs["page"], page(spec, references, table, found))


def page(
    spec: dict, references: dict[str, Reference], table: pd.DataFrame, found: dict[str, Attribution]
) -> str:
    """The whole page; `table` is that of `attribution.with_attribution`."""
    return web_page.fill(
        TEMPLATES,
        task=escape(plain(spec["task"])),
        references=_cards(spec, references, table, found),
        standings=_standings(found),
        classes=_classes(class_table(found)),
        record=_record(spec["recorded"]),
        verdict="Verdicts" if foretold(spec["recorded"], 0.0) else "No verdict",
        strips=strips(spec["published"], references),
        numbers=_numbers(references, spec["metric"]),
        definition=escape(named_metric(spec["metric"]).definition),
        rate=f"{100 * RATE:.0f}",
        independent=f"{100 * (1 - RATE) ** 2:.0f}",
        fraction=f"{100 * spec['fraction']:g}",
        earliest=f"{100 * min(spec['consumed_shares']):.0f}",
    )


def _cards(
    spec: dict, references: dict[str, Reference], table: pd.DataFrame, attributions: dict[str, Attribution]
) -> str:
    """A card per reference in the order of the table, with what FTFT from it costs each main model."""
    cards = []
    for name, rows in table.groupby("reference", sort=False):
        label = named_metric(spec["metric"]).label
        row = rows.iloc[0].to_dict()
        found = findings(name, references, row, spec["fraction"], label)
        found += traits(attributions[name], row, len(references))
        if len(references[name].scores):
            found += foretold(spec["recorded"], references[name].easy_share)
        costs = "".join(
            f'<p class="quiet"><span dir="auto">{escape(plain(row.main))}</span>: {row.cost_note}.</p>'
            for row in rows.itertuples()
        )
        sentences = "".join(f"<p>{escape(text[0].upper() + text[1:])}.</p>" for text in found)
        cards.append(f'<li><h3 dir="auto">{escape(plain(name))}</h3><div>{sentences}{costs}</div></li>')
    return "\n".join(cards)


def strips(published: dict, references: dict[str, Reference]) -> str:
    """A strip for each task of the paper and each reference: easy shares in percent, all on one axis."""
    marks = {
        f"Paper, {task.upper()}": [
            (effect, share, model) for effect, models in groups.items() for model, share in models.items()
        ]
        for task, groups in published.items()
    }
    for model, reference in references.items():
        runs = [("run", share, "one run") for share in reference.easy[RATE]]
        marks[plain(model)] = [*runs, ("own", reference.easy_share, "mean")] if runs else []
    # At the rate q at most 1 - q are easy.
    most = 100 * (1 - RATE)
    least = 10 * (min((share for strip in marks.values() for _, share, _ in strip), default=0) // 10)

    def place(share: float) -> float:
        return 100 * (share - least) / (most - least)

    lines = []
    for name, strip in marks.items():
        described = ", ".join(f"{title} {share:.2f} %" for _, share, title in strip) or "no run"
        shapes = "".join(
            _mark(effect, place(share), f"{title}: {share:.2f} %") for effect, share, title in strip
        )
        lines.append(
            f'<div class="strip"><span dir="auto">{escape(name)}</span><svg role="img" '
            f'aria-label="{escape(described)}">{shapes or _text(50, "no run")}</svg></div>'
        )
    ticks = "".join(_text(place(tick), f"{tick:.0f} %") for tick in np.arange(least, most + 1, 10))
    return "\n".join([*lines, f'<div class="strip"><span></span><svg aria-hidden="true">{ticks}</svg></div>'])


def _standings(found: dict[str, Attribution]) -> str:
    shares = {name: {epochs: mean(easy) for epochs, easy in own.easy.items()} for name, own in found.items()}
    frame = standings(shares)
    lines = [
        f'<tr><th scope="row" dir="auto">{escape(plain(name))}</th>'
        + "".join(f"<td>{cell}</td>" for cell in cells)
        + "</tr>"
        for name, *cells in frame.itertuples()
    ]
    return web_page.table(("Reference", *(name.capitalize() for name in frame.columns)), lines)


def _classes(table: pd.DataFrame) -> str:
    lines = [
        f'<tr><th scope="row" dir="auto">{escape(plain(row.reference))}</th>'
        f'<td dir="auto">{escape(plain(name))}</td><td>{row.easy_50:.2f}</td><td>{row.excess:+.2f}</td>'
        f"<td>{row.runs}</td></tr>"
        for row, name in zip(table.itertuples(), table["class"], strict=True)
    ]
    return web_page.table(("Reference", "Class", "Easy", "Over independent halves", "Runs"), lines)


def _record(recorded: Sequence[dict]) -> str:
    lines = []
    for rate in hit_rates(recorded):
        cells = [
            f"{rate['constant']} of {rate['transfers']}",
            f"{rate['threshold']} of {rate['transfers']}",
            f"{rate['bands']} of {rate['judged']} ({rate['constant_judged']})",
        ]
        row = "".join(f"<td>{cell}</td>" for cell in cells)
        lines.append(f'<tr><th scope="row">{rate["outcome"]}</th>{row}</tr>')
    names = (
        "Outcome",
        "One constant answer",
        "Threshold of easy shares",
        "Bands of the paper (constant there)",
    )
    return web_page.table(names, lines)


def _mark(kind: str, x: float, title: str) -> str:
    return SHAPES[kind].format(x=f"{x:.2f}%", title=f"<title>{escape(title)}</title>")


def _text(x: float, text: str) -> str:
    return f'<text x="{x:.2f}%" y="17">{text}</text>'


def _numbers(references: dict[str, Reference], metric: str) -> str:
    names = [
        "Reference",
        *(f"Easy, {100 * rate:.0f}\u00a0%" for rate in RATES),
        f"ID {named_metric(metric).label}",
        "Trivial answer",
        "Shared by own runs",
        "Shared with others",
        "Runs",
    ]
    lines = []
    for model, found in references.items():
        runs = f"{len(found.scores)}" + (f" ({found.failed} failed)" if found.failed else "")
        cells = [
            *(_spread(found.easy[rate]) for rate in RATES),
            _spread(100 * found.scores),
            *(
                _spread(np.array([100 * share]))
                for share in (found.floor, found.between_seeds, found.with_others)
            ),
            runs,
        ]
        row = "".join(f"<td>{cell}</td>" for cell in cells)
        lines.append(f'<tr><th scope="row" dir="auto">{escape(plain(model))}</th>{row}</tr>')
    return web_page.table(names, lines)


def _spread(values: np.ndarray) -> str:
    if not len(values) or np.isnan(values).any():
        return "–"
    return f"{values.mean():.2f}" + (f" ± {np.std(values, ddof=1):.2f}" if len(values) > 1 else "")
