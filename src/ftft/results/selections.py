"""What the selections of a table hold beside all rows: how many rows, how long ones, and of which labels."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from ..cartography.supervision import Supervision
from ..data.dataset import Dataset
from ..tasks.base import kind_of
from .rendering import Rendering, write_outputs

# Markdown and LaTeX show so many groups of labels, the largest; the CSV has all.
MOST_GROUPS = 10
LABEL = "label: "
NAMES = ("selector", "reference", "supervision")
COLUMNS = (*NAMES, "runs", "rows", "length")


def write_selections(
    spec: dict, train_file: Path, supervision_files: Iterable[Path], outputs: dict[str, Path]
) -> None:
    """Write a row for all training rows and one per selection of a table, means over seeds.

    `spec` holds the table's `title`, and `selections`: a supervision file each, with its `supervision`,
    `selector`, `reference` and `seed`.
    """
    dataset = Dataset.load(train_file)
    loaded = [Supervision.load(path, dataset) for path in supervision_files]
    table = build_selections(spec["selections"], loaded, dataset)
    write_outputs(outputs, table, _render(table, spec["title"]))


def build_selections(
    selections: list[dict], supervisions: list[Supervision], dataset: Dataset
) -> pd.DataFrame:
    """One line for all rows, then one per supervision.

    Columns: `NAMES`, runs, rows (their number), length (the mean, in percent of that of all rows), and
    `label: NAME` for each group of labels, in percent of the rows. A row counts as much as it weighs in the
    training.
    """
    kind = kind_of(dataset.kind)
    groups, names = kind.groups(dataset)
    parts, columns = np.eye(len(names))[np.asarray(groups)], [LABEL + name for name in names]
    lengths = kind.lengths(dataset)
    everything = Supervision.of(np.arange(len(dataset)))
    held = [{"selector": "all", "reference": "-", "supervision": "all", "seed": 0}, *selections]
    frame = pd.DataFrame(
        {
            **{name: entry[name] for name in NAMES},
            "rows": len(own),
            "length": 100 * np.average(lengths[own.rows], weights=own.weights) / lengths.mean(),
            **dict(zip(columns, 100 * np.average(parts[own.rows], 0, own.weights), strict=True)),
        }
        for entry, own in zip(held, [everything, *supervisions], strict=True)
    )
    grouped = frame.groupby(list(NAMES), sort=False)
    means = grouped.mean().assign(runs=grouped.size()).reset_index()
    return means[[*COLUMNS, *columns]]


def _render(table: pd.DataFrame, title: str) -> Rendering:
    groups = [name for name in table.columns if name not in COLUMNS]
    everything = table.iloc[0]
    largest = sorted(groups, key=lambda name: -everything[name])[:MOST_GROUPS]
    shown = [name for name in groups if name in largest]
    lines = [
        [row["selector"], row["reference"], f"{row['rows']:.0f}", f"{row['length']:.0f}"]
        + [f"{row[name]:.1f}" for name in shown]
        + [str(row["runs"])]
        for _, row in table.iterrows()
    ]
    notes = ["Length: the mean, in percent of that of all rows; labels: percent of the rows"]
    notes.append("A row counts as often as its weight in the training says")
    if len(shown) < len(groups):
        notes.append(f"The {MOST_GROUPS} largest of {len(groups)} groups of labels; the CSV has all")
    return Rendering(
        f"What the selections hold: {title}.",
        ["Selection", "Reference", "Rows", "Length", *(name.removeprefix(LABEL) for name in shown), "Seeds"],
        lines,
        notes=notes,
        names=2,
    )
