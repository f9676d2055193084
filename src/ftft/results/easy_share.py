"""How many training instances a reference model finds easy (paper, Table 4)."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from ..artifacts import read_json
from ..cartography.datamap import DataMap
from ..cartography.selection import easy_share
from ..tasks.metrics import has_failed
from .notes import execution_notes
from .rendering import Rendering, write_outputs

RATES = (0.10, 0.25, 0.33, 0.50)
COLUMNS = ("task", "reference", "rate", "easy_share", "easy_share_std", "runs", "published", "difference")


def write_easy_shares(
    spec: dict,
    map_files: Iterable[Path],
    ledger_files: Iterable[Path],
    outputs: dict[str, Path],
) -> None:
    """Write Table 4: a row per reference model, in percent, beside what the paper printed.

    `spec` holds `runs` (task, model, seed; one map and one ledger each), `published` (percent by
    task, model and rate in percent, where the paper printed them), `failure_metric` by task.
    Failed reference runs are left out.
    """
    shares, ledgers = [], list(map(read_json, ledger_files))
    for run, data_map, ledger in zip(spec["runs"], map_files, ledgers, strict=True):
        if not has_failed(ledger["outcome"], spec["failure_metric"][run["task"]]):
            loaded, _ = DataMap.load(data_map)
            shares += [{**run, "rate": rate, "share": 100 * easy_share(loaded, rate)} for rate in RATES]
    table = build_easy_shares(pd.DataFrame(shares, columns=["task", "model", "seed", "rate", "share"]), spec)
    write_outputs(outputs, table, _render(table, spec, execution_notes(ledgers)))


def build_easy_shares(shares: pd.DataFrame, spec: dict) -> pd.DataFrame:
    """One row per task, reference model and rate.

    Columns: task, reference, rate, easy_share (mean over seeds, percent) and its `_std`, runs,
    published (percent), difference.
    """
    rows = []
    for task, model in dict.fromkeys((run["task"], run["model"]) for run in spec["runs"]):
        for rate in RATES:
            own = shares[(shares["task"] == task) & (shares["model"] == model) & (shares["rate"] == rate)]
            printed = spec["published"].get(task, {}).get(model, {}).get(str(round(100 * rate)), np.nan)
            mean = own["share"].mean()
            rows.append(
                {
                    "task": task,
                    "reference": model,
                    "rate": rate,
                    "easy_share": mean,
                    "easy_share_std": own["share"].std(),
                    "runs": len(own),
                    "published": printed,
                    "difference": mean - printed,
                }
            )
    return pd.DataFrame(rows, columns=COLUMNS)


def _render(table: pd.DataFrame, spec: dict, differing: list[str]) -> Rendering:
    lines, sections = [], []
    for (task, model), rows in table.groupby(["task", "reference"], sort=False):
        cells = []
        for row in rows.itertuples():
            deviation = "" if np.isnan(row.easy_share_std) else f" ± {row.easy_share_std:.2f}"
            cell = "failed" if np.isnan(row.easy_share) else f"{row.easy_share:.2f}{deviation}"
            if not np.isnan(row.difference):
                cell += f" ({row.published:.2f}, {row.difference:+.2f})"
            cells.append(cell)
        lines.append([model, *cells, str(rows["runs"].iloc[0])])
        sections.append(task)
    notes = [
        "Easy: neither among the fraction q most ambiguous nor among the fraction q hardest; 1 - 2q to 1 - q"
    ]
    if table["published"].notna().any():
        notes.append("In parentheses: the paper's figure, and the difference from it")
    return Rendering(
        "Table 4: percent of training instances identified as easy, by reference model and fraction q; "
        + (
            f"mean ± standard deviation over {len(spec['seeds'])} seeds."
            if len(spec["seeds"]) > 1
            else "one seed."
        ),
        ["Reference", *(f"{100 * rate:.0f} %" for rate in RATES), "Runs"],
        lines,
        sections,
        [*notes, *differing],
    )
