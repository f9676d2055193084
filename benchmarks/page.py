"""docs/benchmarks.md: a view of the sections' JSON files."""

from pathlib import Path

from .harness import Spread
from .report import Goal, Row, Table, load

# In the order of the page; a section is the module of its name, with `run(options) -> list[Table]`.
SECTIONS = {
    "input": "Input: batches from token ids",
    "training": "Training steps",
    "generation": "Training steps of a language model",
    "memory": "Peak memory",
    "dynamics": "Recording training dynamics",
    "deberta": "DeBERTa's attention",
    "evaluation": "Evaluation",
    "data_map": "Data map and selection",
    "repeats": "Near duplicates",
    "workflow": "Workflow: start-up and planning",
    "command": "The command ftft",
    "gpu": "Training on a GPU",
}
METHOD = """\
# Benchmarks

Every stage beside its peers, on one machine at one time. `make bench` runs all sections;
`python -m benchmarks SECTION` runs one and renews this page, a view of the JSON files in `docs/benchmarks/`.

Variants of a section run in turns, in shuffled order: in one process after a warm-up of each, or in fresh
processes. A ratio is taken between two variants inside one repeat; shown are the median over the repeats and,
in brackets, the smallest and the largest. A ratio of 2 is twice the work per second. CPU seconds are those of
all threads; on a machine with other work they are steadier than wall time. A goal is about the ratio per CPU
second where there is one. Goals were set before the measurements; "no" is a goal that was not reached.
"""


def page(folder: Path) -> str:
    """The page of all sections saved in `folder`, in Markdown."""
    parts = [METHOD]
    for name, title in SECTIONS.items():
        parts.append(f"## {title}\n")
        path = folder / f"{name}.json"
        parts.append(section(*load(path)) if path.exists() else f"Not run: `python -m benchmarks {name}`.\n")
    return "\n".join(parts)


def section(tables: list[Table], about: dict) -> str:
    """One section: where and how it was run, then its tables."""
    host, versions = about["machine"], about["versions"]
    lines = [
        f"`{about['command']}`, {about['date']}. {host['cpu']}, {host['cores']} cores"
        f" ({', '.join(host['flags']) or 'no vector extensions noted'}), {host['memory_gb']} GB,"
        f" {about['threads']} thread(s), load {' / '.join(map(str, host['load']))} at the start.",
        ", ".join(f"{name} {number}" for name, number in versions.items()) + ".",
        "",
    ]
    for table in tables:
        lines += [f"### {table.title}", "", *(f"{note}\n" for note in table.notes), *_table(table.rows), ""]
    return "\n".join(lines)


def _table(rows: list[Row]) -> list[str]:
    if not rows:
        return []
    columns = {
        "variant": lambda row: row.variant,
        "against": lambda row: row.against or "",
        "ratio per CPU second": lambda row: ratio_text(row.cpu),
        "ratio per wall second": lambda row: ratio_text(row.wall),
        "measured": lambda row: value_text(row.value, row.unit),
        "goal": lambda row: goal_text(row.goal, "x" if row.cpu or row.wall else row.unit),
        "reached": reached_text,
        "limited by": lambda row: row.limit,
    }
    cells = {name: [text(row) for row in rows] for name, text in columns.items()}
    shown = {name: texts for name, texts in cells.items() if name == "variant" or any(texts)}
    lines = [tuple(shown), tuple("---" for _ in shown), *zip(*shown.values(), strict=True)]
    return [f"| {' | '.join(line)} |" for line in lines]


def ratio_text(spread: Spread | None) -> str:
    """Median [low..high], as ratios."""
    return _with_range(spread, "x") if spread else ""


def value_text(spread: Spread | None, unit: str) -> str:
    """Median [low..high] with its unit."""
    return f"{_with_range(spread, '')} {unit}" if spread else ""


def goal_text(goal: Goal | None, unit: str) -> str:
    """The goal in the row's unit."""
    if goal is None:
        return ""
    text = f"{number(goal.value)}{unit if unit == 'x' else ' ' + unit}"
    return f"at most {text}" if goal.at_most else text


def reached_text(row: Row) -> str:
    """Whether the row's median reaches its goal; nothing where it has none."""
    if row.goal is None:
        return ""
    return "yes" if row.goal.reached(row.measured) else "no"


def number(value: float) -> str:
    """Three significant digits, thousands separated."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _with_range(spread: Spread, after: str) -> str:
    median = f"{number(spread.median)}{after}"
    one = spread.low == spread.high
    return median if one else f"{median} [{number(spread.low)}..{number(spread.high)}]"
