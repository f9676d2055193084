"""Overlap of selections across models and seeds, as a heat map (paper, sections 4.1 and 4.2, Figure 1)."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ...artifacts import read_json, read_parquet
from ...cartography.overlap import overlap_matrix
from ...tasks.metrics import has_failed
from .style import (
    LUMINANCE,
    SEQUENTIAL,
    SMALL_SIZE,
    empty_figure,
    failed_note,
    look,
    new_figure,
    save,
    text_width,
)

# Inches.
LARGEST_CELL, LARGEST_MATRIX, NARROWEST = 0.5, 8.4, 3.6
SEED_LABEL, AXIS_LABEL, COLOUR_BAR, TICK_DISTANCE = 0.15, 0.35, 1.4, 0.25
# Points.
LARGEST_NUMBER, SMALLEST_NUMBER = 7.5, 5.0
# The colours reach at least this far to both sides of the chance level.
AROUND_CHANCE = 0.04
GREY_NOTE = "Light grey: a selection and itself."
MEAN_NOTE = "Mean over pairs of seeds; on the diagonal, of different seeds."
MOST_MODELS_BY_SEED = 4
COLUMNS = ("model_a", "seed_a", "model_b", "seed_b", "overlap", "chance")


def plot(
    spec: dict, selection_files: Iterable[Path], ledger_files: Iterable[Path], outputs: dict[str, Path]
) -> None:
    """Draw how far selections overlap and save it.

    `spec` holds `title`, `fraction`, `failure_metric` and `runs`: the reference runs (model, seed), one
    selection and one ledger each. Many models are averaged over seeds.
    """
    selections, failed = {}, []
    for (model, seed), selection, ledger in zip(spec["runs"], selection_files, ledger_files, strict=True):
        if has_failed(read_json(ledger)["outcome"], spec["failure_metric"]):
            failed.append(f"{model}, seed {seed}")
        else:
            selections[model, seed] = read_parquet(selection)[0]["row"].to_numpy()
    frame = overlap_frame(selections, spec["fraction"])
    if frame["model_a"].nunique() > MOST_MODELS_BY_SEED:
        frame = average_over_seeds(frame)
    save(draw(frame, spec["title"], failed), frame, outputs)


def overlap_frame(selections: Mapping[tuple[str, int], Sequence[int]], chance: float) -> pd.DataFrame:
    """Overlap of all pairs of selections, which are the rows chosen by (model, seed).

    Columns: model_a, seed_a, model_b, seed_b, overlap, chance; models in the order given, seeds ascending.
    `chance` is the selected fraction q of the data, which independent selections share on average.
    """
    models = list(dict.fromkeys(model for model, _ in selections))
    if not models:
        return pd.DataFrame(columns=COLUMNS)
    runs = sorted(selections, key=lambda run: (models.index(run[0]), run[1]))
    matrix = overlap_matrix(selections[run] for run in runs)
    rows = [(*runs[a], *runs[b], matrix[a, b], chance) for a in range(len(runs)) for b in range(len(runs))]
    return pd.DataFrame(rows, columns=COLUMNS)


def average_over_seeds(frame: pd.DataFrame) -> pd.DataFrame:
    """Mean overlap of two models over all pairs of their seeds; of one model, over pairs of different seeds.

    Columns: model_a, model_b, overlap, pairs, chance. A model with a single seed has no pair with
    itself: its overlap is empty.
    """
    same = frame["model_a"] == frame["model_b"]
    pairs = frame.assign(overlap=frame["overlap"].where(~same | (frame["seed_a"] < frame["seed_b"])))
    groups = pairs.groupby(["model_a", "model_b"], sort=False)
    return groups.agg(
        overlap=("overlap", "mean"), pairs=("overlap", "count"), chance=("chance", "first")
    ).reset_index()


@look()
def draw(frame: pd.DataFrame, title: str, left_out: Sequence[str] = ()) -> Figure:
    """Draw the result of `overlap_frame` or of `average_over_seeds`.

    `left_out` names failed runs that the frame lacks.
    """
    if frame.empty:
        return empty_figure(title, left_out)
    chance = frame["chance"].iloc[0]
    by_seed = "seed_a" in frame
    names = frame[["model_a", "seed_a"] if by_seed else ["model_a"]].drop_duplicates().to_numpy()
    values = frame["overlap"].to_numpy().reshape(len(names), len(names))
    notes = [
        f"Shared fraction of two selections; {chance:.2f} is expected by chance.",
        GREY_NOTE if by_seed else MEAN_NOTE,
        *failed_note(left_out),
    ]
    cell = min(LARGEST_CELL, LARGEST_MATRIX / len(names))
    figure, axes, bar_axes = _lay_out(names, cell, title, notes)
    grey = np.eye(len(names), dtype=bool) if by_seed else np.isnan(values)
    low, high = min([chance - AROUND_CHANCE, *values[~grey]]), max([chance + AROUND_CHANCE, *values[~grey]])
    coloured = np.ma.array(values, mask=grey)
    mesh = axes.pcolormesh(coloured, cmap=SEQUENTIAL, vmin=low, vmax=high, edgecolors="white", linewidth=0.3)
    axes.invert_yaxis()
    _label_rows_and_columns(axes, names, cell)
    _write_numbers(axes, values, grey | (mesh.to_rgba(coloured)[..., :3] @ LUMINANCE > 0.5), cell)
    _add_colour_bar(figure, bar_axes, mesh, chance)
    return figure


def _blocks(names: np.ndarray) -> list[tuple[int, int]]:
    """First row and end of each model's rows."""
    starts = [place for place in range(len(names)) if place == 0 or names[place, 0] != names[place - 1, 0]]
    return list(pairwise([*starts, len(names)]))


def _stands_upright(names: np.ndarray, cell: float) -> bool:
    """Whether a model's name is wider than its columns."""
    return any(
        text_width(names[start, 0], SMALL_SIZE) + 0.05 > cell * (end - start) for start, end in _blocks(names)
    )


def _lay_out(names: np.ndarray, cell: float, title: str, notes: list[str]) -> tuple[Figure, Axes, Axes]:
    """A figure with axes for the matrix, whose cells are squares, and for the colour bar at its right."""
    label = max(text_width(name, SMALL_SIZE) for name in names[:, 0])
    around = SEED_LABEL * (names.shape[1] - 1) + AXIS_LABEL
    side = cell * len(names)
    left = label + around
    below = around + (label if _stands_upright(names, cell) else 0.1)
    width, height = max(left + side + COLOUR_BAR, NARROWEST), side + below + 0.1
    figure = new_figure(width, height, title, notes)
    figure.set_layout_engine("none")
    whole = figure.get_figheight()
    axes = figure.add_axes((left / width, below / whole, side / width, side / whole), facecolor="0.9")
    bar_axes = figure.add_axes(((left + side + 0.2) / width, below / whole, 0.18 / width, side / whole))
    for one in (axes, bar_axes):
        one.grid(False)
        one.spines[:].set_visible(False)
    return figure, axes, bar_axes


def _label_rows_and_columns(axes: Axes, names: np.ndarray, cell: float) -> None:
    """Models once per block of rows, with a line between blocks; seeds, where there are some, at each row."""
    blocks, by_seed = _blocks(names), names.shape[1] > 1
    for axis in (axes.xaxis, axes.yaxis):
        axis.remove_overlapping_locs = False
        axis.set_ticks([(start + end) / 2 for start, end in blocks], [names[start, 0] for start, _ in blocks])
        axis.set_tick_params(length=0, pad=3 + 72 * SEED_LABEL * by_seed)
        if by_seed:
            axis.set_ticks(np.arange(len(names)) + 0.5, [f"{seed}" for seed in names[:, 1]], minor=True)
            axis.set_tick_params(which="minor", length=0, pad=3)
    if _stands_upright(names, cell):
        axes.tick_params(axis="x", which="major", rotation=90)
    name = "model, seed" if by_seed else "model"
    axes.set(xlabel=name, ylabel=name)
    for start, _ in blocks[1:] if by_seed else ():
        axes.axhline(start, color="white", linewidth=2)
        axes.axvline(start, color="white", linewidth=2)


def _write_numbers(axes: Axes, values: np.ndarray, light: np.ndarray, cell: float) -> None:
    size = min(LARGEST_NUMBER, 0.75 * cell / text_width("0.00", 1))
    if size < SMALLEST_NUMBER:
        return
    for (row, column), value in np.ndenumerate(values):
        axes.text(
            column + 0.5,
            row + 0.5,
            "–" if np.isnan(value) else f"{value:.2f}",
            size=size,
            color="black" if light[row, column] else "white",
            ha="center",
            va="center",
        )


def _add_colour_bar(figure: Figure, axes: Axes, mesh: QuadMesh, chance: float) -> None:
    bar = figure.colorbar(mesh, cax=axes, label="shared fraction")
    bar.outline.set_visible(False)
    low, high = mesh.get_clim()
    apart = TICK_DISTANCE * (high - low) / (axes.get_position().height * figure.get_figheight())
    plain = [
        tick
        for tick in MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(low, high)
        if low <= tick <= high and abs(tick - chance) > apart
    ]
    bar.set_ticks([*plain, chance], labels=[*(f"{tick:.2f}" for tick in plain), f"{chance:.2f} chance"])
    axes.axhline(chance, color="white", linewidth=2.4)
    axes.axhline(chance, color="black", linewidth=1)
