"""The data map: variability against confidence, coloured by correctness.

Swayamdipta et al. (2020), Figure 1.
"""

from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure

from ...cartography.datamap import DataMap
from ...cartography.selection import select_region
from ...data.dataset import uid_hash
from .style import SEQUENTIAL, look, new_figure, save

MOST_POINTS = 25_000
MOST_LEVELS = 7
BINS = 25
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
BARS = {"color": "0.6", "edgecolor": "white", "linewidth": 0.3}
BORDER = {"color": "black", "linewidth": 0.8, "linestyle": (0, (4, 2))}


def plot(spec: dict, map_file: Path, outputs: dict[str, Path]) -> None:
    """Draw a data map and save it; `spec` holds `title` and the `fraction` of its regions."""
    data_map, _ = DataMap.load(map_file)
    frame = map_frame(data_map, spec["fraction"])
    save(draw(frame, spec["title"]), frame, outputs)


def map_frame(data_map: DataMap, fraction: float) -> pd.DataFrame:
    """What a figure shows of a data map: all instances, or those 25,000 whose uids hash lowest.

    Columns: uid, variability, confidence, correctness; the same in every row: ambiguous_from and
    hard_to_learn_to, the least variability and the largest confidence in these regions at rate
    `fraction` of all instances, fraction, and instances, the number of all.
    """
    uids = data_map.uids
    by_hash = sorted(range(len(uids)), key=lambda row: (uid_hash(uids[row]), uids[row]))
    rows = np.sort(by_hash[:MOST_POINTS])
    columns = {name: getattr(data_map, name)[rows] for name in ("variability", "confidence", "correctness")}
    return pd.DataFrame(
        {
            "uid": [uids[row] for row in rows],
            **columns,
            "ambiguous_from": data_map.variability[select_region(data_map, "ambiguous", fraction)].min(),
            "hard_to_learn_to": data_map.confidence[select_region(data_map, "hard-to-learn", fraction)].max(),
            "fraction": fraction,
            "instances": len(uids),
        }
    )


@look()
def draw(frame: pd.DataFrame, title: str) -> Figure:
    """Draw the result of `map_frame`: the map, and a histogram of each of its three scores."""
    first = frame.iloc[0]
    vertical, horizontal = first["ambiguous_from"], first["hard_to_learn_to"]
    share = f"{100 * first['fraction']:g} %"
    shown = f"{len(frame):,} instances"
    if len(frame) < first["instances"]:
        shown = f"{len(frame):,} of {first['instances']:,} instances, sampled by a hash of their uids"
    notes = [
        f"{shown}.",
        f"Ambiguous ({share}): variability at least {vertical:.3f}.",
        f"Hard-to-learn ({share}): confidence at most {horizontal:.3f}.",
    ]
    figure = new_figure(6.4, 5.0, title, notes)
    grid = figure.add_gridspec(2, 2, width_ratios=(3.2, 1.5), height_ratios=(1, 3))
    points = figure.add_subplot(grid[1, 0])
    above = figure.add_subplot(grid[0, 0], sharex=points)
    beside = figure.add_subplot(grid[1, 1], sharey=points)
    corner = figure.add_subplot(grid[0, 1])

    levels = _levels(frame["correctness"])
    rounded = not levels.equals(frame["correctness"])
    weights = np.full(len(frame), 100 / len(frame))
    draw_points(points, frame)
    above.hist(frame["variability"], np.linspace(0, 0.5, BINS + 1), weights=weights, **BARS)
    beside.hist(
        frame["confidence"], np.linspace(0, 1, BINS + 1), weights=weights, orientation="horizontal", **BARS
    )
    _draw_levels(corner, levels, _colours())
    corner.set(title="correctness, up to" if rounded else "correctness", ylabel="instances (%)")
    above.set(ylabel="instances (%)")
    beside.set(xlabel="instances (%)")
    above.tick_params(labelbottom=False)
    beside.tick_params(labelleft=False)
    _draw_borders(points, above, beside, vertical, horizontal)
    return figure


def _colours() -> Colormap:
    """The sequential map without its lightest part, which is lost on white."""
    colours = matplotlib.colormaps[SEQUENTIAL](np.linspace(0, 0.85, 256))
    return LinearSegmentedColormap.from_list("correctness", colours)


def _levels(correctness: pd.Series) -> pd.Series:
    """Correctness itself where it takes few values (epochs + 1), else rounded up to fifths: 0 stays apart."""
    if correctness.nunique() <= MOST_LEVELS:
        return correctness
    return np.ceil((5 * correctness).round(6)) / 5


def draw_points(axes: Axes, frame: pd.DataFrame) -> None:
    """Draw the instances of `map_frame`: variability against confidence, colour and marker by correctness."""
    levels, colours = _levels(frame["correctness"]), _colours()
    # The rarest level comes last, so that the others do not hide it.
    for place, (level, _) in enumerate(levels.value_counts().items()):
        part = frame[levels == level]
        marker = MARKERS[sorted(levels.unique()).index(level)]
        axes.scatter(
            part["variability"],
            part["confidence"],
            s=6,
            marker=marker,
            color=colours(level),
            alpha=0.6,
            linewidth=0,
            zorder=2 + place / 100,
            rasterized=True,
            clip_on=False,
        )
    axes.set(
        xlim=(0, 0.5),
        ylim=(0, 1),
        xlabel="variability",
        ylabel="confidence (mean probability of the true class)",
    )


def _draw_levels(axes: Axes, levels: pd.Series, colours: Colormap) -> None:
    """Histogram of correctness and key to the points at once."""
    shares = 100 * levels.value_counts(normalize=True).sort_index()
    top = shares.max()
    for place, (level, share) in enumerate(shares.items()):
        axes.bar(place, share, color=colours(level), width=0.75)
        axes.plot(place, share + 0.14 * top, marker=MARKERS[place], color=colours(level), markersize=5)
    axes.set_xticks(range(len(shares)), [f"{level:.2g}" for level in shares.index])
    axes.set_ylim(0, 1.28 * top)
    axes.grid(False, axis="x")


def _draw_borders(points: Axes, above: Axes, beside: Axes, vertical: float, horizontal: float) -> None:
    """The regions' borders across the map and its margins, named outside of both."""
    for axes in (points, above):
        axes.axvline(vertical, **BORDER)
    for axes in (points, beside):
        axes.axhline(horizontal, **BORDER)
    top, right = above.get_xaxis_transform(), beside.get_yaxis_transform()
    points_off = {"textcoords": "offset points"}
    side = "left" if vertical < 0.35 else "right"
    above.annotate("ambiguous →", (vertical, 1), (0, 6), top, ha=side, **points_off)
    side = "top" if horizontal > 0.3 else "bottom"
    beside.annotate("← hard-to-learn", (1, horizontal), (3, 0), right, rotation=90, va=side, **points_off)
