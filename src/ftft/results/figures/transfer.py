"""Overlap of what a small and a large model's losses select, by score: `cartography.transfer`."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from .style import COLOURS, CONTEXT, look, new_figure, save

# Inches.
WIDTH, LINE_HEIGHT, LABELS = 2.4, 0.24, 1.9


def plot(rows: list[dict], outputs: dict[str, Path]) -> None:
    """Draw the rows of `cartography.transfer.transfer` and save figure and data."""
    frame = pd.DataFrame(rows)
    save(draw(frame), frame, outputs)


@look()
def draw(frame: pd.DataFrame) -> Figure:
    """A panel per data set, a line per score, a dot per pair of models; the least alike pair stands out."""
    names = list(frame["data"].unique())
    scores = list(frame["score"].unique())
    reference, main = frame["reference"].iloc[0], frame["main"].iloc[-1]
    notes = [
        "A dot is a pair of models: the smaller one selects rows for the larger one. The filled dot is "
        f"{reference} for {main}, first and last in the file. Dashed: what two random selections share.",
    ]
    figure = new_figure(
        LABELS + WIDTH * len(names),
        (len(scores) + 2) * LINE_HEIGHT,
        "What a small model selects, and a large one too",
        notes,
    )
    panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    for axes, name in zip(panels, names, strict=True):
        own = frame[frame["data"] == name]
        heights = own["score"].map(scores.index)
        axes.axvline(own["chance"].iloc[0], color="0.4", linestyle="--", linewidth=0.8)
        axes.plot(own["overlap"], heights, "o", color=CONTEXT, markersize=3)
        far = (own["reference"] == reference) & (own["main"] == main)
        axes.plot(own["overlap"][far], heights[far], "o", color=COLOURS[1])
        axes.set_title(name)
        axes.set_xlabel("overlap")
        axes.set_xlim(0, 1)
    panels[0].set_yticks(range(len(scores)), [score.replace("_", " ") for score in scores])
    panels[0].invert_yaxis()
    return figure
