"""How often the verdicts of preflight were right: beside each what the transfer then did."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from ..statistics.scores import load_scores, of_method
from .preflight import DOUBTFUL, POOR, PROMISING
from .rendering import Rendering, write_outputs

# What a transfer that succeeds does, by column: the paper asks for the second (section 4).
READINGS = {"beats_random": "Beats random", "comparable_to_erm": "Comparable to ERM"}
MEASURES = ("verdict", "easy_50", "ood", "minus_random", "minus_erm")
COLUMNS = ["task", "main", "reference", *MEASURES, *READINGS]


def write_verdicts(
    spec: dict, score_files: Iterable[Path], preflight_files: Iterable[Path], outputs: dict[str, Path]
) -> None:
    """Write a row per candidate: its verdict, and what the transfer from it then did.

    `spec` holds `transfers` (task, main, reference, supervision), the name of the `random` selection, by
    task its `metric`, `validation` and `evaluate`, and the `margin` of what is comparable (share of 1).
    `score_files` are those of the tasks' tables, `preflight_files` one per task.
    """
    scores = pd.concat([load_scores(path) for path in score_files] or [pd.DataFrame()])
    preflights = {
        task: pd.read_csv(path).set_index(["main", "reference"])
        for task, path in zip(spec["tasks"], preflight_files, strict=True)
    }
    table = build_verdicts(spec, scores, preflights)
    write_outputs(outputs, table, _render(table, spec))


def build_verdicts(spec: dict, scores: pd.DataFrame, preflights: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One row per task, main and reference model.

    Columns: task, main, reference, verdict, easy_50 (percent), ood (mean score of DM over the evaluation
    sets out of distribution, 0 to 1), minus_random and minus_erm (means over the seeds of which neither run
    failed), beats_random and comparable_to_erm (`reaches`).
    """
    rows = []
    for transfer in spec["transfers"]:
        task, main = transfer["task"], transfer["main"]
        own = scores[scores["task"] == task]
        dm, random, erm = (
            ood_by_seed(of_method(own, main, selection, "full"), spec["tasks"][task])
            for selection in (transfer["supervision"], spec["random"], "all")
        )
        judged = preflights[task].loc[(main, transfer["reference"])]
        rows.append(
            {
                **{key: transfer[key] for key in ("task", "main", "reference")},
                "verdict": judged["verdict"],
                "easy_50": judged["easy_50"],
                "ood": dm.mean(),
                "minus_random": (dm - random).mean(),
                "minus_erm": (dm - erm).mean(),
                "beats_random": reaches(dm, random, 0.0),
                "comparable_to_erm": reaches(dm, erm, spec["margin"]),
            }
        )
    return pd.DataFrame(rows, columns=COLUMNS)


def ood_by_seed(scores: pd.DataFrame, task: dict) -> pd.Series:
    """By seed, the mean of the task's metric over its evaluation sets but the validation set; nan: failed."""
    shifted = [name for name in task["evaluate"] if name != task["validation"]]
    own = scores[(scores["metric"] == task["metric"]) & scores["dataset"].isin(shifted)]
    # Tables share runs.
    own = own.drop_duplicates(["seed", "dataset"])
    return own["value"].mask(own["failed"]).groupby(own["seed"]).mean()


def reaches(dm: pd.Series, other: pd.Series, margin: float) -> bool | None:
    """Whether DM's scores by seed lie above another method's, less `margin`, in the mean over seeds.

    False where all DM runs failed; None where the runs to tell are lacking.
    """
    if dm.empty or other.isna().all():
        return None
    if dm.isna().all():
        return False
    difference = (dm - other).mean()
    return None if pd.isna(difference) else bool(difference > -margin)


def outcome(verdict: str, succeeded: bool | None) -> str | None:
    """Whether a verdict was `right` or `wrong`; None for a doubtful one, and where nothing tells."""
    if succeeded is None or verdict == DOUBTFUL:
        return None
    return "right" if (verdict == PROMISING) == succeeded else "wrong"


def _render(table: pd.DataFrame, spec: dict) -> Rendering:
    lines = [
        [
            row.main,
            row.reference,
            row.verdict,
            _number(row.easy_50, ".2f"),
            _number(100 * row.ood, ".2f"),
            _number(100 * row.minus_random, "+.2f"),
            _number(100 * row.minus_erm, "+.2f"),
            *(_cell(row.verdict, getattr(row, column)) for column in READINGS),
        ]
        for row in table.itertuples()
    ]
    return Rendering(
        "The verdicts of preflight beside what the transfers (DM) then did: mean score over the evaluation "
        "sets out of distribution, in points, and its difference from random DM and ERM; means over seeds.",
        ["Main", "Reference", "Verdict", "Easy (50 %)", "OOD", "- random", "- ERM", *READINGS.values()],
        lines,
        list(table["task"]),
        [
            f"Comparable to ERM: above it, or below by less than {100 * spec['margin']:g} points",
            *(_count(table, column, name) for column, name in READINGS.items()),
            *_ranking(table),
        ],
        names=3,
    )


def _number(value: float, form: str) -> str:
    return "-" if pd.isna(value) else format(value, form)


def _cell(verdict: str, succeeded: bool | None) -> str:
    if succeeded is None:
        return "-"
    answer, judged = "yes" if succeeded else "no", outcome(verdict, succeeded)
    return f"{answer} ({judged})" if judged else answer


def _count(table: pd.DataFrame, column: str, name: str) -> str:
    known = table[table[column].notna()]
    pairs = list(zip(known["verdict"], known[column], strict=True))

    def tally(verdict: str, wanted: bool) -> tuple[int, int]:
        judged = [succeeded for given, succeeded in pairs if given == verdict]
        return judged.count(wanted), len(judged)

    promising, poor, doubtful = tally(PROMISING, True), tally(POOR, False), tally(DOUBTFUL, True)
    succeeded = [answer for _, answer in pairs].count(True)
    return (
        f"{name}: {promising[0] + poor[0]} of {promising[1] + poor[1]} verdicts right "
        f"(promising {promising[0]} of {promising[1]}, poor {poor[0]} of {poor[1]}); "
        f"{doubtful[0]} of {doubtful[1]} doubtful ones did, {succeeded} of all {len(pairs)}"
    )


def rank_correlation(rows: pd.DataFrame) -> float:
    """Spearman's, of easy shares and scores out of distribution; nan where fewer than three are known."""
    known = rows[["easy_50", "ood"]].dropna()
    return known["easy_50"].rank().corr(known["ood"].rank()) if len(known) > 2 else float("nan")


def _ranking(table: pd.DataFrame) -> list[str]:
    """Whether more easy instances meant a better transfer, whatever the thresholds."""
    found = [
        f"{rank_correlation(rows):+.2f} ({task}, {main}, {len(rows)} references)"
        for (task, main), rows in table.groupby(["task", "main"], sort=False)
        if not pd.isna(rank_correlation(rows))
    ]
    return [f"Rank correlation of easy share and OOD score: {', '.join(found)}"] if found else []
