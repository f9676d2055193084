"""Result tables: a row per method, main model and reference; mean and deviation over seeds, and cost."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from ..artifacts import read_json, write_text
from .costs import consumed_share, method_cost, parameter_millions
from .scores import load_scores

LATEX = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {"±": r"$\pm$", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}
)
Ledgers = dict[tuple[str, str, str, int], dict]


def write_table(
    spec: dict, scores_file: Path, ledger_files: Iterable[Path], outputs: dict[str, Path]
) -> None:
    """Write a table as CSV (scores 0 to 1), Markdown and LaTeX (percent)."""
    ledgers = {}
    for path in ledger_files:
        ledger = read_json(path)
        run = ledger["run"]
        ledgers[run["model"], run["selection"], run["budget"], run["seed"]] = ledger
    table = build_table(spec, load_scores(scores_file), ledgers)
    write_text(outputs["csv"], table.to_csv(index=False, float_format="%.4f", lineterminator="\n"))
    write_text(outputs["md"], to_markdown(table, spec))
    write_text(outputs["tex"], to_latex(table, spec))


def build_table(spec: dict, scores: pd.DataFrame, ledgers: Ledgers) -> pd.DataFrame:
    """One row per configured row, in that order.

    Columns: section, method, main, reference, selection, cost; per evaluation set its mean score
    and `_std` (divisor runs - 1, empty for a single run); runs, failed. Failed runs are counted and
    left out of means and cost.
    """
    scores = scores[scores["metric"] == spec["metric"]]
    parameters = parameter_millions({key[0]: ledger for key, ledger in ledgers.items()}, spec["parameters_m"])
    rows = [_build_row(row, spec, scores, ledgers, parameters) for row in spec["rows"]]
    return pd.DataFrame(rows)


def _build_row(row: dict, spec: dict, scores: pd.DataFrame, ledgers: Ledgers, parameters: dict) -> dict:
    budget = row["budget"]
    own = scores[
        (scores["model"] == row["main"])
        & (scores["selection"] == row["selection"])
        & (scores["budget"] == budget)
    ]
    failed = sorted(own.loc[own["failed"], "seed"].unique())
    good = own[~own["failed"]]
    seeds = [seed for seed in spec["seeds"] if seed not in failed]
    reference = row.get("reference", "-")
    shares = [consumed_share(ledgers[row["main"], row["selection"], budget, seed]) for seed in seeds]
    cost = None
    if seeds:
        share = sum(shares) / len(shares)
        unit = parameters[spec["cost_of"]]
        # Random selections and plain ERM have no reference model among the parameters.
        cost = round(method_cost(parameters[row["main"]], unit, share, parameters.get(reference, 0.0)), 2)
    result = {
        "section": row.get("section", ""),
        "method": row["method"],
        "main": row["main"],
        "reference": reference,
        "selection": row["selection"],
        "cost": cost,
    }
    for dataset in spec["datasets"]:
        values = good.loc[good["dataset"] == dataset, "value"]
        result[dataset] = values.mean()
        result[f"{dataset}_std"] = values.std()
    return {**result, "runs": len(seeds), "failed": len(failed)}


def _cells(table: pd.DataFrame, spec: dict, plus_minus: str) -> tuple[list[str], list[list[str]]]:
    header = ["Method", "Main model", "Reference", "Cost", *spec["datasets"], "Runs"]
    lines = []
    for _, row in table.iterrows():
        scores = []
        for dataset in spec["datasets"]:
            mean, std = row[dataset], row[f"{dataset}_std"]
            if pd.isna(mean):
                scores.append("failed")
            else:
                scores.append(f"{100 * mean:.2f}" + ("" if pd.isna(std) else f"{plus_minus}{100 * std:.2f}"))
        cost = "-" if pd.isna(row["cost"]) else f"{row['cost']:.2f}"
        runs = f"{row['runs']}" + (f" ({row['failed']} failed)" if row["failed"] else "")
        lines.append([row["method"], row["main"], row["reference"], cost, *scores, runs])
    return header, lines


def _caption(spec: dict) -> str:
    metric = {"accuracy": "accuracy", "macro_f1": "macro-F1"}[spec["metric"]]
    return (
        f"{spec['title']}. Mean {metric} in percent ± standard deviation over {len(spec['seeds'])} seed(s); "
        f"cost: 6ND, the ERM run of {spec['cost_of']} is 100, reference runs included."
    )


def to_markdown(table: pd.DataFrame, spec: dict) -> str:
    """The table as GitHub Markdown, section titles as rows."""
    header, lines = _cells(table, spec, " ± ")
    out = [_caption(spec), "", _markdown_row(header), _markdown_row(["---"] * len(header))]
    section = ""
    for title, cells in zip(table["section"], lines, strict=True):
        if title and title != section:
            out.append(_markdown_row([f"*{title}*", *[""] * (len(header) - 1)]))
            section = title
        out.append(_markdown_row(cells))
    return "\n".join(out) + "\n"


def _markdown_row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def to_latex(table: pd.DataFrame, spec: dict) -> str:
    """The table as a LaTeX `table` environment for the booktabs package."""
    header, lines = _cells(table, spec, r" {\scriptsize$\pm$} ")
    escaped = [_latex_row([_latex(cell) for cell in header])]
    section = ""
    for title, cells in zip(table["section"], lines, strict=True):
        if title and title != section:
            escaped += [r"\midrule", rf"\multicolumn{{{len(header)}}}{{l}}{{\textit{{{_latex(title)}}}}} \\"]
            section = title
        names, scores = cells[:3], cells[3:]
        escaped.append(_latex_row([*map(_latex, names), *scores]))
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_latex(_caption(spec))}}}",
            rf"\begin{{tabular}}{{lll{'r' * (len(header) - 3)}}}",
            r"\toprule",
            escaped[0],
            *([] if escaped[1] == r"\midrule" else [r"\midrule"]),
            *escaped[1:],
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _latex_row(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"


def _latex(text: str) -> str:
    return text.translate(LATEX)
