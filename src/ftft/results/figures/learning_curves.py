"""Learning curves: the monitored score per checkpoint, the kept one and the stop (paper, section 6)."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from ...artifacts import read_json, read_parquet
from ...errors import DataError
from ...statistics.exclusions import exclusions, run_key
from ...tasks.metrics import metric as named_metric
from ...training.stopping import monitored_score, read_early
from .style import COLOURS, CONTEXT, failed_note, label_panels, look, panels, save

ACCENT, STOP = COLOURS[2], COLOURS[1]
MEAN_LINE, SEED_LINE = {"color": ACCENT, "linewidth": 1.8}, {"color": ACCENT, "linewidth": 0.6}
OTHER_LINE = {"color": CONTEXT, "zorder": 1.5}
KEPT_MARK = {"marker": "o", "color": ACCENT, "linestyle": "none", "markerfacecolor": "white"}
STOP_MARK = {"marker": "X", "color": STOP, "linestyle": "none", "markeredgewidth": 0}


def plot(
    spec: dict, trajectory_files: Iterable[Path], ledger_files: Iterable[Path], outputs: dict[str, Path]
) -> None:
    """Draw learning curves with their stops and save it.

    `spec` holds `title`, the stop `rule`, `failure_metric`, `runs` (label, seed), one trajectory and one
    ledger each, and by supervision its model under `references`; the ledgers of reference runs follow. A run
    to the end is read early: it has the stop that it would have had live.
    """
    curves, stops, ledgers = [], [], list(map(read_json, ledger_files))
    excluded = exclusions(ledgers, spec["references"], spec["failure_metric"])
    for (label, seed), trajectory, ledger in zip(spec["runs"], trajectory_files, ledgers, strict=False):
        failed = run_key(ledger["run"]) in excluded
        checkpoints = pd.DataFrame(read_parquet(trajectory)[0].to_pylist()).groupby("step")
        steps = list(checkpoints.groups)
        scores = [monitored_score(entries.to_dict("records"), spec["rule"]) for _, entries in checkpoints]
        stopping = read_early(scores, spec["rule"]["patience"])
        curves += [
            {"label": label, "seed": seed, "step": step, "score": float("nan") if failed else score}
            for step, score in zip(steps, scores, strict=True)
        ]
        if not failed:
            kept, stop = steps[stopping.best_checkpoint - 1], steps[stopping.checkpoint - 1]
            stops.append({"label": label, "seed": seed, "kept_step": kept, "stop_step": stop})
    columns = ["label", "seed", "kept_step", "stop_step"]
    frame = curve_frame(pd.DataFrame(curves), pd.DataFrame(stops, columns=columns))
    save(draw(frame, spec["title"], spec["rule"]["metric"]), frame, outputs)


def curve_frame(curves: pd.DataFrame, stops: pd.DataFrame) -> pd.DataFrame:
    """Join learning curves (label, seed, step, score 0 to 1) and stops (label, seed, stop_step, kept_step).

    Columns: label, seed, step, score, mean (over the label's runs, where all of them have a score), kept
    and stop (whether this checkpoint is the run's). A run with a score that is not a number failed: its
    scores are empty. Raises DataError for a stop at a step without a score.
    """
    runs = ["label", "seed"]
    failed = curves["score"].isna().groupby([curves[key] for key in runs]).transform("any")
    frame = curves.assign(score=curves["score"].mask(failed))
    good = frame[~failed]
    total = good.groupby("label")["seed"].nunique()
    by_step = good.groupby(["label", "step"])["score"].agg(["mean", "count"]).reset_index()
    by_step["mean"] = by_step["mean"].where(by_step["count"] == by_step["label"].map(total))
    frame = frame.merge(by_step.drop(columns="count"), "left", ["label", "step"])
    places = list(zip(frame["label"], frame["seed"], frame["step"], strict=True))
    for mark in ("kept", "stop"):
        marked = set(zip(stops["label"], stops["seed"], stops[f"{mark}_step"], strict=True))
        if missing := sorted(marked - set(places)):
            label, seed, step = missing[0]
            raise DataError(
                f"the stop of {label}, seed {seed}, does not fit its learning curve",
                got=f"{mark}_step {step}",
                expected="a step at which the run was scored",
            )
        frame[mark] = [place in marked for place in places]
    return frame[[*runs, "step", "score", "mean", "kept", "stop"]]


@look()
def draw(frame: pd.DataFrame, title: str, metric: str) -> Figure:
    """Draw the result of `curve_frame`, a panel per label with the other labels' means behind it."""
    labels = frame["label"].unique()
    good = frame.dropna(subset="score")
    lost = frame[frame["score"].isna()].drop_duplicates(["label", "seed"])
    notes = [
        "Score at every checkpoint: mean over the development sets that early stopping monitors.",
        "A mean ends where a run stops.",
        *failed_note([f"{row.label}, seed {row.seed}" for row in lost.itertuples()]),
    ]
    means = {label: part.drop_duplicates("step").sort_values("step") for label, part in good.groupby("label")}
    handles = [
        Line2D([], [], label="mean over seeds", **MEAN_LINE),
        Line2D([], [], label="one seed", **SEED_LINE),
        Line2D([], [], label="kept checkpoint", **KEPT_MARK),
        Line2D([], [], label="stop", **STOP_MARK),
    ]
    if len(labels) > 1:
        handles.append(Line2D([], [], label="means of the others", **OTHER_LINE))
    figure, axes = panels(len(labels), title, notes, handles)
    for panel, label in zip(axes, labels, strict=True):
        for other, mean in means.items():
            line = MEAN_LINE if other == label else OTHER_LINE
            panel.plot(mean["step"], 100 * mean["mean"], **line)
        for _, run in good[good["label"] == label].groupby("seed"):
            panel.plot(run["step"], 100 * run["score"], **SEED_LINE)
            for name, style in (("kept", KEPT_MARK), ("stop", STOP_MARK)):
                panel.plot(run.loc[run[name], "step"], 100 * run.loc[run[name], "score"], zorder=3, **style)
    axes[0].set_xlim(left=0)
    axes[0].xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    axes[0].xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    label_panels(axes, labels, "optimiser steps", f"development\n{named_metric(metric).label} (%)")
    return figure
