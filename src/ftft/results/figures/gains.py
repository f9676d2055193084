"""The gain of selections over random rows, split into what labels, lengths and training dynamics give."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from ...statistics.gains import load_gains
from ...tasks.metrics import metric as named_metric
from .style import COLOURS, empty_figure, look, new_figure, save

# Inches.
WIDTH, LINE_HEIGHT, LABELS = 4.2, 0.22, 2.6
OFFSET = 0.18


def plot(spec: dict, gains_file: Path, outputs: dict[str, Path]) -> None:
    """Draw the result of `statistics.gains.split_gains` and save it; `spec` holds `title` and `metric`."""
    gains = load_gains(gains_file)
    save(draw(gains, spec["title"], spec["metric"]), gains, outputs)


@look()
def draw(gains: pd.DataFrame, title: str, metric: str) -> Figure:
    """A line per selection and part of its gain, a mark with its interval per group of data sets."""
    if gains.empty:
        return empty_figure(title)
    lines = list(gains[["row", "part"]].drop_duplicates().itertuples(index=False, name=None))
    sets = list(gains["sets"].unique())
    notes = ["Mean differences; all intervals hold at once. The parts of a selection add up to its gain."]
    figure = new_figure(WIDTH + LABELS, (len(lines) + 1) * LINE_HEIGHT + 0.6, title, notes)
    axes = figure.subplots()
    axes.axvline(0, color="0.6", linewidth=0.8, zorder=1)
    for number, name in enumerate(sets):
        part = gains[gains["sets"] == name]
        heights = [
            lines.index(line) + OFFSET * (number - (len(sets) - 1) / 2)
            for line in part[["row", "part"]].itertuples(index=False, name=None)
        ]
        spans = [100 * (part["difference"] - part["low"]), 100 * (part["high"] - part["difference"])]
        axes.errorbar(
            100 * part["difference"],
            heights,
            xerr=spans,
            fmt="o",
            color=COLOURS[number],
            capsize=1.5,
            elinewidth=0.8,
            label=name,
        )
    first = gains.drop_duplicates("row").set_index("row")
    labels = [f"{first.loc[row, 'selector']} of {first.loc[row, 'reference']}: {part}" for row, part in lines]
    axes.set_yticks(range(len(lines)), labels)
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.set_xlabel(f"points of {named_metric(metric).label}")
    figure.legend(loc="outside lower center", ncols=len(sets))
    return figure
