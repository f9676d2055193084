"""Median probability of the true class by epoch, hard-to-learn against other instances.

Paper, section 4.3 and Figure 2.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ...artifacts import read_json
from ...cartography.datamap import DataMap
from ...cartography.dynamics import load_dynamics
from ...cartography.selection import select_region
from ...data.dataset import Dataset
from ...tasks.metrics import has_failed
from .style import empty_figure, failed_note, label_panels, look, panels, save, series

HARD, OTHER = "hard-to-learn", "other"
COLUMNS = ("model", "group", "epoch", "mean", "low", "high", "runs", "fraction")


def plot(
    spec: dict,
    dataset: Dataset,
    dynamics_files: Iterable[Path],
    ledger_files: Iterable[Path],
    outputs: dict[str, Path],
) -> None:
    """Draw how instances are learnt and save it.

    `spec` holds `title`, `hard_fraction`, `failure_metric` and `runs`: the reference runs (model, seed),
    one file of training dynamics and one ledger each.
    """
    good, failed = [], []
    for (model, seed), dynamics, ledger in zip(spec["runs"], dynamics_files, ledger_files, strict=True):
        if has_failed(read_json(ledger)["outcome"], spec["failure_metric"]):
            failed.append(f"{model}, seed {seed}")
        else:
            good.append((model, seed, dynamics))
    runs = ((model, seed, *_p_true_and_map(path, dataset)) for model, seed, path in good)
    frame = true_class_frame(runs, spec["hard_fraction"])
    save(draw(frame, spec["title"], failed), frame, outputs)


def _p_true_and_map(path: Path, dataset: Dataset) -> tuple[np.ndarray, DataMap]:
    dynamics = load_dynamics(path, dataset, logits=False)
    return dynamics.p_true, DataMap.of(dynamics)


def median_by_epoch(p_true: np.ndarray, data_map: DataMap, fraction: float) -> pd.DataFrame:
    """Median of p_true [epochs, n] in each epoch, in two groups of the instances of one reference run.

    Hard-to-learn are the `fraction` of lowest confidence on the run's data map; other are the rest.
    Columns: group, epoch (from 1), median.
    """
    hard = np.zeros(p_true.shape[1], bool)
    hard[select_region(data_map, HARD, fraction)] = True
    epochs = range(1, len(p_true) + 1)
    groups = [
        pd.DataFrame({"group": group, "epoch": epochs, "median": np.median(p_true[:, members], axis=1)})
        for group, members in ((HARD, hard), (OTHER, ~hard))
    ]
    return pd.concat(groups, ignore_index=True)


def true_class_frame(runs: Iterable[tuple[str, int, np.ndarray, DataMap]], fraction: float) -> pd.DataFrame:
    """Medians of reference runs (model, seed, p_true [epochs, n], data map), summarised over seeds.

    Columns: model, group, epoch, mean, low, high (smallest and largest seed's median), runs, fraction.
    """
    medians = [
        median_by_epoch(p_true, data_map, fraction).assign(model=model, seed=seed)
        for model, seed, p_true, data_map in runs
    ]
    if not medians:
        return pd.DataFrame(columns=COLUMNS)
    groups = pd.concat(medians).groupby(["model", "group", "epoch"], sort=False)["median"]
    summary = groups.agg(mean="mean", low="min", high="max", runs="count").reset_index()
    return summary.assign(fraction=fraction)


@look()
def draw(frame: pd.DataFrame, title: str, left_out: Sequence[str] = ()) -> Figure:
    """Draw the result of `true_class_frame`, a panel per model; `left_out` names failed runs it lacks."""
    if frame.empty:
        return empty_figure(title, left_out)
    models = frame["model"].unique()
    notes = [
        f"Hard-to-learn: the {100 * frame['fraction'].iloc[0]:g} % of the training instances with the lowest "
        "confidence.",
        *(["Line: mean over seeds; band: lowest to highest seed."] if frame["runs"].max() > 1 else []),
        *failed_note(left_out),
    ]
    names = (HARD, OTHER)
    handles = [Line2D([], [], label=name, **series(index)) for index, name in enumerate(names)]
    figure, axes = panels(len(models), title, notes, handles, "instances")
    for panel, model in zip(axes, models, strict=True):
        for index, group in enumerate(names):
            part = frame[(frame["model"] == model) & (frame["group"] == group)]
            look_of = series(index)
            panel.plot(part["epoch"], part["mean"], **look_of)
            panel.fill_between(
                part["epoch"], part["low"], part["high"], color=look_of["color"], alpha=0.2, linewidth=0
            )
    axes[0].set_ylim(-0.04, 1.04)
    axes[0].margins(x=0.08)
    axes[0].xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
    label_panels(axes, models, "epoch", "median probability\nof the true class")
    return figure
