"""Score against compute: every method read at its checkpoints, all that it needs included."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ...tasks.metrics import metric as named_metric
from .style import COLOURS, empty_figure, label_panels, look, panels, save

__all__ = ["draw", "save"]
OTHER = {"color": "0.8", "zorder": 1.5, "linewidth": 0.8}


@look()
def draw(points: pd.DataFrame, title: str, metric: str, where: str) -> Figure:
    """Draw the result of `results.verdicts.point_table`, a panel per method with the others behind it."""
    if points.empty:
        return empty_figure(title)
    names = list(points["method"].unique())
    notes = [
        "Mean over seeds and development sets at every checkpoint; its interval over seeds and examples.",
        "Compute: FLOPs of reference, map, training and development passes so far, ERM to its end being 100.",
    ]
    own = {"color": COLOURS[2], "marker": "o"}
    handles = [Line2D([], [], label="mean", **own), Line2D([], [], label="other methods", **OTHER)]
    figure, axes = panels(len(names), title, notes, handles)
    for panel, name in zip(axes, names, strict=True):
        for other, part in points.groupby("method", sort=False):
            if other != name:
                panel.plot(part["cost"], 100 * part["score"], **OTHER)
        part = points[points["method"] == name]
        panel.fill_between(
            part["cost"], 100 * part["low"].clip(0), 100 * part["high"].clip(upper=1), color="0.9"
        )
        panel.plot(part["cost"], 100 * part["score"], **own)
    lowest, highest = points["score"].min(), points["score"].max()
    room = max(0.05, (highest - lowest) / 4)
    axes[0].set_xlim(left=0)
    axes[0].set_ylim(100 * (lowest - room), 100 * (highest + room))
    label_panels(axes, names, "compute (% of ERM)", f"{where}\n{named_metric(metric).label} (%)")
    return figure
