"""The look that all figures share, their layout, and their files."""

import math
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import matplotlib.style
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.textpath import text_to_path

from ...artifacts import write_text
from ...replacing import replacing

# Okabe and Ito (2008) without yellow, which is too light for lines on white.
COLOURS = ("#000000", "#D55E00", "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*")
LINES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)))
CONTEXT = "0.8"
SEQUENTIAL = "cividis"
# Shares of red, green and blue in what grey printing leaves (ITU-R BT.601).
LUMINANCE = (0.299, 0.587, 0.114)

TITLE_SIZE, TEXT_SIZE, SMALL_SIZE = 10, 8, 7
LINE_SPACING = 1.25
MARGIN = 0.08
PANEL_WIDTH, PANEL_HEIGHT, PANEL_TITLE = 2.2, 1.9, 1.7
MOST_COLUMNS = 4
# Inches beside the longest text of a legend; line distance in units of its size.
LEGEND_HANDLE, LEGEND_SPACING = 0.65, 1.75
LOOK = {
    "font.family": "DejaVu Sans",
    "font.size": TEXT_SIZE,
    "text.parse_math": False,
    "axes.titlesize": TEXT_SIZE,
    "axes.titlelocation": "left",
    "axes.labelsize": TEXT_SIZE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.use_locale": False,
    "grid.color": "0.92",
    "grid.linewidth": 0.6,
    "xtick.labelsize": SMALL_SIZE,
    "ytick.labelsize": SMALL_SIZE,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.3,
    "lines.markersize": 4.5,
    "legend.fontsize": SMALL_SIZE,
    "legend.title_fontsize": SMALL_SIZE,
    "legend.frameon": False,
    "legend.handlelength": 3.5,
    "figure.dpi": 200,
    "savefig.dpi": 200,
    "svg.fonttype": "path",
    "svg.hashsalt": "ftft",
}


def look() -> AbstractContextManager:
    """The settings that a figure is drawn and saved with, whatever the user's own; also a decorator."""
    return matplotlib.style.context(["default", LOOK])


def save(figure: Figure, frame: pd.DataFrame, outputs: dict[str, str | Path]) -> None:
    """Write the figure (`svg`, `png`) and the data that it shows (`csv`), same bytes for same data."""
    with look():
        for form, metadata in (("svg", {"Date": None}), ("png", {"Software": None})):
            with replacing(outputs[form]) as temporary:
                figure.savefig(temporary, format=form, metadata=metadata)
    write_text(outputs["csv"], frame.to_csv(index=False, lineterminator="\n"))


def series(index: int) -> dict:
    """Colour, line and marker of a figure's series number `index`; line and marker tell 60 of them apart."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "linestyle": LINES[index % len(LINES)],
        "marker": MARKERS[index % len(MARKERS)],
    }


def text_width(text: str, size: float = TEXT_SIZE, weight: str = "normal") -> float:
    """Width of one line of text in inches, `size` in points."""
    font = FontProperties(family=LOOK["font.family"], size=size, weight=weight)
    return text_to_path.get_text_width_height_descent(text, font, ismath=False)[0] / 72


def wrap(text: str, width: float, size: float = TEXT_SIZE, weight: str = "normal") -> str:
    """Break text into lines of at most `width` inches, after spaces, hyphens and underscores."""
    lines = [""]
    for piece in re.split(r"(?<=[\s_-])", text):
        if lines[-1] and text_width((lines[-1] + piece).rstrip(), size, weight) > width:
            lines.append("")
        lines[-1] += piece
    return "\n".join(line.rstrip() for line in lines)


def new_figure(width: float, height: float, title: str, notes: Sequence[str], beside: float = 0.0) -> Figure:
    """A figure with `width` x `height` inches for its axes, under a title and a paragraph of notes.

    `beside` inches are left free at the right of the axes.
    """
    whole_width = width + beside
    room = whole_width - 2 * MARGIN
    title = wrap(title, room, TITLE_SIZE, "bold")
    paragraph = wrap(" ".join(notes), room, SMALL_SIZE)
    title_height = (1 + title.count("\n")) * LINE_SPACING * TITLE_SIZE / 72
    notes_height = (1 + paragraph.count("\n")) * LINE_SPACING * SMALL_SIZE / 72
    whole_height = height + title_height + notes_height + 2 * MARGIN
    layout = ConstrainedLayoutEngine(rect=(0, 0, width / whole_width, height / whole_height))
    figure = Figure((whole_width, whole_height), layout=layout)
    FigureCanvasAgg(figure)
    left, top = MARGIN / whole_width, 1 - MARGIN / whole_height
    place = {"va": "top", "linespacing": LINE_SPACING}
    figure.text(left, top, title, size=TITLE_SIZE, weight="bold", **place)
    top -= title_height / whole_height
    figure.text(left, top, paragraph, size=SMALL_SIZE, color="0.3", **place)
    return figure


def panels(
    count: int,
    title: str,
    notes: Sequence[str],
    handles: Sequence[Line2D],
    legend_title: str = "",
    share_y: bool = True,
) -> tuple[Figure, list[Axes]]:
    """A figure of `count` small panels with one x axis, and a legend of `handles` at their right."""
    columns = math.ceil(count / math.ceil(count / MOST_COLUMNS))
    rows = math.ceil(count / columns)
    entries = [legend_title, *(handle.get_label() for handle in handles)]
    beside = LEGEND_HANDLE + max(text_width(entry, SMALL_SIZE) for entry in entries)
    height = max(rows * PANEL_HEIGHT, (1 + len(entries)) * LEGEND_SPACING * SMALL_SIZE / 72)
    figure = new_figure(columns * PANEL_WIDTH, height, title, notes, beside)
    grid = figure.subplots(rows, columns, sharex=True, sharey=share_y, squeeze=False).flatten()
    for spare in grid[count:]:
        spare.remove()
    for axes in grid[max(0, count - columns) : count]:
        axes.tick_params(labelbottom=True)
    _, _, right, top = figure.get_layout_engine().get()["rect"]
    legend = figure.legend(
        handles=handles,
        title=legend_title,
        alignment="left",
        loc="upper left",
        bbox_to_anchor=(right, top),
        labelspacing=0.5,
        borderaxespad=0,
    )
    legend.set_in_layout(False)
    return figure, list(grid[:count])


def label_panels(axes: Sequence[Axes], titles: Sequence[str], x: str, y: str) -> None:
    """Give each panel its title; name the x axis under the lowest of each column, the y axis at the left."""
    columns = axes[0].get_gridspec().ncols
    for place, (panel, title) in enumerate(zip(axes, titles, strict=True)):
        panel.set_title(wrap(title, PANEL_TITLE))
        if place + columns >= len(axes):
            panel.set_xlabel(x)
        if place % columns == 0:
            panel.set_ylabel(y)


def failed_note(names: Sequence[str]) -> list[str]:
    """What a figure says of the runs that it leaves out."""
    return [f"Failed runs left out: {'; '.join(names)}."] if names else []


def empty_figure(title: str, left_out: Sequence[str] = ()) -> Figure:
    """A figure of runs that all failed: its title, and which they are."""
    figure = new_figure(6.4, 0.4, title, ["There is no run to show.", *failed_note(left_out)])
    figure.set_layout_engine("none")
    return figure
