"""Result tables: a row per method, main model and reference; mean and deviation over seeds, and cost."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from ..artifacts import read_json
from ..statistics.costs import parameter_millions, parts, relative_costs
from ..statistics.scores import load_scores, of_method
from .rendering import METRIC_NAMES, Rendering, write_csv, write_outputs

Ledgers = dict[tuple[str, str, str, int], dict]
# What selecting took (seconds, peak_memory_mb), by selection and seed.
Selecting = dict[tuple[str, int], dict]


def write_table(
    spec: dict,
    scores_file: Path,
    comparisons_file: Path,
    ledger_files: Iterable[Path],
    selecting: Selecting,
    outputs: dict[str, Path],
) -> None:
    """Write a table as CSV (scores 0 to 1), Markdown and LaTeX (percent), and its cost ledger as CSV."""
    ledgers = load_ledgers(ledger_files)[spec["task"]]
    comparisons = pd.read_csv(comparisons_file)
    table = build_table(spec, load_scores(scores_file), ledgers, selecting)
    write_outputs(outputs, table, render(table, spec, comparisons))
    write_csv(outputs["costs"], cost_ledger(spec, ledgers, selecting))


def load_ledgers(files: Iterable[Path]) -> dict[str, Ledgers]:
    """Ledgers of runs by task, and by model, supervision, budget and seed."""
    ledgers: dict[str, Ledgers] = {}
    for path in files:
        ledger = read_json(path)
        run = ledger["run"]
        key = run["model"], run["supervision"], run["budget"], run["seed"]
        ledgers.setdefault(run["task"], {})[key] = ledger
    return ledgers


def load_selecting(rows: list[dict], selection_files: Iterable[Path], map_files: Iterable[Path]) -> Selecting:
    """What selecting for a table's rows took, by selection and seed, the data map it rests on included."""
    references = {row["supervision"]: row.get("reference") for row in rows}
    maps = {(ledger["model"], ledger["seed"]): ledger for ledger in map(read_json, map_files)}
    selecting = {}
    for ledger in map(read_json, selection_files):
        key = references.get(ledger["supervision"]), ledger["seed"]
        built = [maps[key]] if key in maps else []
        selecting[ledger["supervision"], ledger["seed"]] = {
            "seconds": sum(part["seconds"] for part in (ledger, *built)),
            "peak_memory_mb": max(part["peak_memory_mb"] for part in (ledger, *built)),
        }
    return selecting


def build_table(spec: dict, scores: pd.DataFrame, ledgers: Ledgers, selecting: Selecting) -> pd.DataFrame:
    """One row per configured row, in that order.

    Columns: section, method, main, reference, supervision, budget, the costs of `costs.relative_costs`;
    per evaluation set its mean score and `_std` (divisor runs - 1, empty for a single run); runs,
    failed. Failed runs are counted and left out of means and costs.
    """
    scores = scores[scores["metric"] == spec["metric"]]
    parameters = parameter_millions({key[0]: ledger for key, ledger in ledgers.items()}, spec["parameters_m"])
    return pd.DataFrame(
        [_build_row(row, spec, scores, ledgers, selecting, parameters) for row in spec["rows"]]
    )


def _build_row(
    row: dict, spec: dict, scores: pd.DataFrame, ledgers: Ledgers, selecting: Selecting, parameters: dict
) -> dict:
    own = of_method(scores, row["main"], row["supervision"], row["budget"])
    failed = sorted(own.loc[own["failed"], "seed"].unique())
    good = own[~own["failed"]]
    seeds = [seed for seed in spec["seeds"] if seed not in failed]
    result = {
        "section": row.get("section", ""),
        "method": row["method"],
        "main": row["main"],
        "reference": row.get("reference", "-"),
        "supervision": row["supervision"],
        "budget": row["budget"],
    }
    if seeds:
        main, references, selections = _row_ledgers(row, seeds, ledgers, selecting)
        full_length = ledgers[row["main"], "all", "full", seeds[0]] if "steps" in row else main[0]
        unit = [ledgers[spec["cost_of"], "all", "full", seed] for seed in spec["seeds"]]
        costs = relative_costs(main, references, selections, full_length, unit, parameters)
        result |= {name: round(cost, 2) for name, cost in costs.items()}
    for dataset in spec["datasets"]:
        values = good.loc[good["dataset"] == dataset, "value"]
        result[dataset] = values.mean()
        result[f"{dataset}_std"] = values.std()
    return {**result, "runs": len(seeds), "failed": len(failed)}


def _row_ledgers(
    row: dict, seeds: list[int], ledgers: Ledgers, selecting: Selecting
) -> tuple[list[dict], list[dict], list[dict]]:
    main = [ledgers[row["main"], row["supervision"], row["budget"], seed] for seed in seeds]
    references = []
    if row.get("reference", "random") != "random":
        references = [ledgers[row["reference"], "all", "full", seed] for seed in seeds]
    selections = [
        selecting[row["supervision"], seed] for seed in seeds if (row["supervision"], seed) in selecting
    ]
    return main, references, selections


def cost_ledger(spec: dict, ledgers: Ledgers, selecting: Selecting) -> pd.DataFrame:
    """What the parts of every row took (`costs.parts`), means over all its seeds."""
    rows = []
    for row in spec["rows"]:
        names = {key: row.get(key, "-") for key in ("method", "main", "reference", "supervision", "budget")}
        rows += [{**names, **part} for part in parts(*_row_ledgers(row, spec["seeds"], ledgers, selecting))]
    return pd.DataFrame(rows)


def render(table: pd.DataFrame, spec: dict, comparisons: pd.DataFrame) -> Rendering:
    """The table for readers: scores in percent, those that differ from ERM marked."""
    level = 1 - spec["confidence"]
    marked = {
        (row, dataset)
        for row, dataset in comparisons.loc[comparisons["p_holm"] < level, ["row", "dataset"]].itertuples(
            index=False
        )
    }
    lines = []
    for position, row in table.iterrows():
        scores = []
        for dataset in spec["datasets"]:
            mean, std = row[dataset], row[f"{dataset}_std"]
            if pd.isna(mean):
                scores.append("failed")
            else:
                deviation = "" if pd.isna(std) else f" ± {100 * std:.2f}"
                scores.append(f"{100 * mean:.2f}{'*' * ((position, dataset) in marked)}{deviation}")
        runs = f"{row['runs']}" + (f" ({row['failed']} failed)" if row["failed"] else "")
        costs = [_cost(row.get(name)) for name in ("cost", "cost_by_steps", "cost_by_flops")]
        lines.append(
            [row_label(spec["rows"][position]), row["main"], row["reference"], *costs, *scores, runs]
        )
    return Rendering(
        _caption(spec),
        ["Method", "Main model", "Reference", "Cost", "by steps", "by FLOPs", *spec["datasets"], "Runs"],
        lines,
        list(table["section"]),
        _notes(spec),
        names=3,
    )


def row_label(row: dict) -> str:
    """A row's method, and what sets it apart from others of that method."""
    selects = row.get("reference", "random") != "random"
    chosen = row.get("selector", "ambiguous")
    selector = f", {chosen}" if selects and chosen != "ambiguous" else ""
    fraction = f", {100 * row['fraction']:g} %" if "fraction" in row else ""
    monitor = ", ID-monitored" if row.get("monitor") == "id" else ""
    steps = f", {row['steps']} steps" if "steps" in row else ""
    return row["method"] + selector + fraction + monitor + steps


def _cost(value: float | None) -> str:
    return "-" if value is None or pd.isna(value) else f"{value:.2f}"


def _caption(spec: dict) -> str:
    return (
        f"{spec['title']}. Mean {METRIC_NAMES[spec['metric']]} in percent ± standard deviation over "
        f"{len(spec['seeds'])} seed(s). The ERM run of {spec['cost_of']} costs 100; reference runs count."
    )


def _notes(spec: dict) -> list[str]:
    notes = [
        "Cost: parameters times the share of the planned checkpoints (6ND, as in the paper); by steps: "
        "parameters times steps; by FLOPs: counted on real tokens",
        "* differs from ERM of the same main model: paired bootstrap over examples, Student's t weights over "
        f"seeds, Holm over the rows, level {1 - spec['confidence']:.2g}",
    ]
    if spec["left_out"]:
        notes.append(f"Left out, as the configuration lacks their models: {'; '.join(spec['left_out'])}")
    return notes
