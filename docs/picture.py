"""The picture of the start page, from an archived table of real rows: `python docs/picture.py` draws it."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from ftft.artifacts import read_json
from ftft.replacing import replacing
from ftft.results.archive import RUNS, TABLE, load_comparison
from ftft.results.figures.style import COLOURS, look, new_figure

DOCS = Path(__file__).parent
ARCHIVE, PICTURE = DOCS / "results/cad", DOCS / "result.svg"
MAIN, REFERENCE, SHORT = "minilm-l6", "minilm-l3", "steps-420"
ERM = (MAIN, "all", "full")
# By model, supervision and budget: what a line is called, and whether training dynamics chose its rows. A
# control stands below what it controls for.
ROWS = {
    (REFERENCE, "all", "full"): ("all rows, the small model alone", False),
    (MAIN, "all", SHORT): ("all rows, a third of the steps", False),
    (MAIN, "random-balanced_weights-100", SHORT): ("the same, classes weighted", False),
    (MAIN, "random-33", SHORT): ("a random third", False),
    (MAIN, "random-balanced-33", SHORT): ("a random third, labels balanced", False),
    (MAIN, f"{REFERENCE}-ambiguous-33", SHORT): ("the third most ambiguous to the small model", True),
    (MAIN, f"{REFERENCE}-matched_random-33", SHORT): ("random rows with its labels and lengths", False),
}
INSIDE, OUTSIDE = "CAD, source of the rows", "DynaHate, another source (six sets)"
# Inches.
WIDTH, LINE_HEIGHT = 7.4, 0.24


def shown() -> pd.DataFrame:
    """A line per method and panel: label, cost in percent, panel, and difference, low and high in points."""
    specs = read_json(ARCHIVE / RUNS)["specs"]
    spec, comparison = specs["comparisons"], load_comparison(ARCHIVE)
    inside, *outside = spec["datasets"]
    table = pd.read_csv(ARCHIVE / f"{TABLE}.csv")
    costs = {(row.main, row.supervision, row.budget): row.cost_by_flops for row in table.itertuples()}
    lines = []
    for method, (label, dynamics) in ROWS.items():
        for panel, datasets in {INSIDE: [inside], OUTSIDE: outside}.items():
            found = comparison.difference(method, ERM, datasets, spec["confidence"])
            assert found is not None, method
            ends = {name: 100 * getattr(found, name) for name in ("value", "low", "high")}
            lines.append(
                {
                    "label": f"{label}, cost {costs[method]:.0f}",
                    "dynamics": dynamics,
                    "panel": panel,
                    **ends,
                    "seeds": found.seeds,
                }
            )
    return pd.DataFrame(lines)


@look()
def draw(lines: pd.DataFrame) -> Figure:
    """A panel per kind of test set, a line per method: its difference to all rows, with its interval."""
    title = "Change in macro-F1 from training on all rows"
    seeds = int(lines["seeds"].max())
    over = "over examples, one seed" if seeds == 1 else f"over examples and {seeds} seeds"
    notes = [
        f"In points, right is better; 95 % intervals {over}. Orange: chosen by training dynamics; blue: not.",
        "Cost is computation, 100 for training on all rows; where a small model is needed, it is counted.",
    ]
    labels = list(dict.fromkeys(lines["label"]))
    figure = new_figure(WIDTH, len(labels) * LINE_HEIGHT + 0.6, title, notes)
    panels = list(dict.fromkeys(lines["panel"]))
    for axes, panel in zip(figure.subplots(1, len(panels), sharex=True, sharey=True), panels, strict=True):
        axes.axvline(0, color="0.4", linewidth=0.8, zorder=1)
        axes.set_title(panel)
        axes.set_xlabel("points")
        for dynamics, colour, marker in ((True, COLOURS[1], "o"), (False, COLOURS[2], "s")):
            part = lines[(lines["panel"] == panel) & (lines["dynamics"] == dynamics)]
            axes.errorbar(
                part["value"],
                part["label"].map(labels.index),
                xerr=[part["value"] - part["low"], part["high"] - part["value"]],
                fmt=marker,
                color=colour,
                capsize=1.5,
                elinewidth=0.9,
            )
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    return figure


def main() -> None:
    """Draw the picture and save it: same bytes for the same archive."""
    with look(), replacing(PICTURE) as temporary:
        draw(shown()).savefig(temporary, format="svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
