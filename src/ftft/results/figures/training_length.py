"""Score against training length: separate runs per length, each with its own schedule (paper, section 5)."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, StrMethodFormatter
from matplotlib.transforms import Affine2D

from ...artifacts import read_json
from ...statistics.scores import load_scores, of_method
from ...tasks.metrics import metric as named_metric
from .style import failed_note, label_panels, look, panels, save, series

# Series stand side by side at one length, within this share of the x axis, to tell their whiskers apart.
SPREAD = 0.03
FULL_LENGTH = {"color": "0.5", "linewidth": 0.8}


def plot(spec: dict, scores_file: Path, ledger_file: Path, outputs: dict[str, Path]) -> None:
    """Draw scores against training length and save it.

    `spec` holds `title`, `metric`, `datasets` and the `rows` of the table of training lengths, whose
    scores are given; the ledger is that of a run of full length.
    """
    full_length = read_json(ledger_file)["outcome"]["planned_steps"]
    scores = load_scores(scores_file)
    scores = scores[scores["metric"] == spec["metric"]]
    parts = []
    for row in spec["rows"]:
        own = of_method(scores, row["main"], row["supervision"], row["budget"])
        value = own["value"].mask(own["failed"])
        names = {"method": row["method"], "reference": row.get("reference")}
        steps = row.get("steps", full_length)
        parts.append(own[["seed", "dataset"]].assign(value=value, steps=steps, **names))
    frame = training_length_frame(pd.concat(parts).sort_values("dataset", key=_order(spec), kind="stable"))
    save(draw(frame, spec["title"], spec["metric"], full_length), frame, outputs)


def _order(spec: dict) -> Callable[[pd.Series], pd.Series]:
    return lambda names: names.map(spec["datasets"].index)


def training_length_frame(runs: pd.DataFrame) -> pd.DataFrame:
    """Mean and deviation over seeds of runs: method, reference, steps, seed, dataset, value (0 to 1).

    A value that is not a number is a failed run's. Columns: dataset, method, reference ("-" without one),
    steps, mean, std (divisor runs - 1, empty for a single run), runs, failed; data sets, methods and
    references in the order of `runs`, steps ascending.
    """
    keys = ["dataset", "method", "reference"]
    runs = runs.assign(reference=runs["reference"].fillna("-"))
    groups = runs.groupby([*keys, "steps"], sort=False)["value"]
    frame = groups.agg(mean="mean", std="std", runs="count", failed=lambda values: int(values.isna().sum()))
    frame = frame.reset_index()
    frame["series"] = frame.groupby(keys, sort=False).ngroup()
    return frame.sort_values(["series", "steps"], ignore_index=True).drop(columns="series")


@look()
def draw(frame: pd.DataFrame, title: str, metric: str, full_length: int) -> Figure:
    """Draw the result of `training_length_frame`, a panel per data set; `full_length` is ERM's, in steps."""
    names = [*(frame["method"] + np.where(frame["reference"] == "-", "", ": " + frame["reference"]))]
    frame = frame.assign(label=names)
    labels, datasets = frame["label"].unique(), frame["dataset"].unique()
    failed = frame.loc[frame["failed"] > 0].drop_duplicates(["label", "steps"])
    notes = [
        "Every point is a run of its own, with its own learning rate schedule.",
        *(["Mean ± standard deviation over seeds."] if frame["runs"].max() > 1 else []),
        *failed_note([f"{row.label}, {row.steps:,} steps ({row.failed})" for row in failed.itertuples()]),
    ]
    handles = [Line2D([], [], label=label, **series(index)) for index, label in enumerate(labels)]
    handles.append(Line2D([], [], label=f"full length, {full_length:,} steps", **FULL_LENGTH))
    figure, axes = panels(len(datasets), title, notes, handles, "method: reference", share_y=False)
    longest = 1.06 * max(full_length, frame["steps"].max())
    offsets = longest * SPREAD * (np.arange(len(labels)) - (len(labels) - 1) / 2) / len(labels)
    for panel, dataset in zip(axes, datasets, strict=True):
        panel.axvline(full_length, zorder=1, **FULL_LENGTH)
        for index, label in enumerate(labels):
            part = frame[(frame["dataset"] == dataset) & (frame["label"] == label)]
            panel.errorbar(
                part["steps"],
                100 * part["mean"],
                100 * part["std"],
                **series(index),
                elinewidth=0.8,
                capsize=1.5,
                transform=Affine2D().translate(offsets[index], 0) + panel.transData,
            )
        panel.yaxis.set_major_locator(MaxNLocator(nbins=5))
    axes[0].set_xlim(0, longest)
    axes[0].xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    axes[0].xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    label_panels(axes, datasets, "length (optimiser steps)", f"{named_metric(metric).label} (%)")
    return figure
