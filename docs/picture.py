"""The picture of the start page, from the archived table of methods: `python docs/picture.py` draws it."""

import json
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from ftft.artifacts import replacing
from ftft.results.figures.style import COLOURS, look, new_figure

DOCS = Path(__file__).parent
ARCHIVE, PICTURE = DOCS / "results/methods", DOCS / "result.svg"
REFERENCE = "standin-electra-base"
# Rows by supervision and budget; a control stands below what it controls for.
ROWS = {
    ("random-33", "full"): "a random third",
    ("random-balanced-33", "full"): "a random third, balanced labels",
    (f"{REFERENCE}-ambiguous-33", "full"): "the most ambiguous third (DM)",
    (f"{REFERENCE}-ambiguous-33", "stopped-ood"): "the same, stopped early (FTFT)",
    (f"{REFERENCE}-matched_random-33", "full"): "its control: matched random rows",
    (f"{REFERENCE}-el2n-33", "full"): "the third with the largest error (EL2N)",
    (f"{REFERENCE}-matched_el2n-33", "full"): "its control: matched random rows",
    (f"{REFERENCE}-aum-33", "full"): "the third with the smallest margin (AUM)",
    (f"{REFERENCE}-matched_aum-33", "full"): "its control: matched random rows",
}
SETS = {"r1_test": "R1", "r2_test": "R2", "r3_test": "R3: cue reversed"}
DYNAMICS, RANDOM = COLOURS[1], COLOURS[2]
# Inches, and the widest difference that is shown.
WIDTH, LINE_HEIGHT = 7.4, 0.24
WIDEST = 30


def shown() -> pd.DataFrame:
    """Rows of the archive that the picture shows, in its order, with their label and their cost."""
    table = pd.read_csv(ARCHIVE / "table.csv")
    costs = {row.supervision + row.budget: row.cost for row in table.itertuples()}
    comparisons = pd.read_csv(ARCHIVE / "comparisons.csv")
    parts = []
    for place, ((supervision, budget), label) in enumerate(ROWS.items()):
        found = comparisons[
            (comparisons["supervision"] == supervision)
            & (comparisons["budget"] == budget)
            & comparisons["dataset"].isin(SETS)
        ]
        assert len(found) == len(SETS), (supervision, budget)
        cost = costs[supervision + budget]
        parts.append(found.assign(place=place, label=f"{label}, cost {cost:.0f}", control="random" in label))
    return pd.concat(parts)


@look()
def draw(rows: pd.DataFrame) -> Figure:
    """A panel per evaluation set, a line per row: its difference to all rows, with its interval."""
    specs = json.loads((ARCHIVE / "runs.json").read_text())["specs"]["comparisons"]
    significant = int((rows["p_holm"] < 1 - specs["confidence"]).sum())
    title = "Accuracy beside training on all rows, out of distribution"
    notes = [
        f"Differences in points with {100 * specs['confidence']:.0f} % intervals over examples and "
        f"{rows['seeds'].max()} seeds. Orange: chosen by training dynamics; blue: random rows.",
        f"After Holm's correction {significant or 'none'} of the differences "
        f"{'is' if significant < 2 else 'are'} significant. "
        "Training on all rows costs 100; costs count the reference run.",
    ]
    figure = new_figure(WIDTH, len(ROWS) * LINE_HEIGHT + 0.6, title, notes)
    panels = figure.subplots(1, len(SETS), sharex=True, sharey=True)
    for axes, (name, heading) in zip(panels, SETS.items(), strict=True):
        axes.axvline(0, color="0.4", linewidth=0.8, zorder=1)
        axes.set_title(heading)
        axes.set_xlabel("points")
        for control, colour, marker in ((False, DYNAMICS, "o"), (True, RANDOM, "s")):
            part = rows[(rows["dataset"] == name) & (rows["control"] == control)]
            spans = [100 * (part["difference"] - part["low"]), 100 * (part["high"] - part["difference"])]
            axes.errorbar(
                100 * part["difference"],
                part["place"],
                xerr=spans,
                fmt=marker,
                color=colour,
                capsize=1.5,
                elinewidth=0.9,
            )
    panels[0].set_xlim(-WIDEST, WIDEST)
    panels[0].set_yticks(range(len(ROWS)), list(rows.drop_duplicates("place")["label"]))
    panels[0].invert_yaxis()
    return figure


def main() -> None:
    """Draw the picture and save it: same bytes for the same archive."""
    with look(), replacing(PICTURE) as temporary:
        draw(shown()).savefig(temporary, format="svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
