"""Result tables: a row per method, main model and reference; mean and deviation over seeds, and cost."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from ..artifacts import read_json
from ..statistics.comparisons import load_comparisons
from ..statistics.costs import computed_millions, parts, relative_costs
from ..statistics.exclusions import run_key
from ..statistics.frames import write_csv
from ..statistics.gains import load_gains
from ..statistics.scores import load_scores, of_method
from ..tasks.metrics import metric
from .notes import (
    correction_notes,
    exclusion_notes,
    execution_notes,
    gain_notes,
    metric_note,
    overlap_notes,
    significance_notes,
)
from .rendering import Rendering, write_outputs

Ledgers = dict[tuple[str, str, str, int], dict]
# What making a supervision took (flops, seconds, peak_memory_mb), by supervision and seed; of generated texts
# also what it `shared` with random rows and with the longest, and whether it takes a `trained` reference.
Supervising = dict[tuple[str, int], dict]
NAMES = ("method", "main", "reference", "supervision", "budget")
COSTS = ("cost", "cost_by_steps", "cost_by_flops", "cost_by_seconds")
COUNTS = ("runs", "failed", "common_seeds")
PART = ("part", "model", "steps", "flops", "seconds", "energy_joules", "peak_memory_mb", "runs")
CHOSE = "†"


def write_table(
    spec: dict,
    scores_file: Path,
    comparisons_file: Path,
    ledger_files: Iterable[Path],
    supervising: Supervising,
    outputs: dict[str, Path],
    gains_file: Path | None = None,
    checks_file: Path | None = None,
) -> None:
    """Write a table as CSV (scores 0 to 1), Markdown and LaTeX (percent), and its cost ledger as CSV.

    With gains (`statistics.gains`) it says in words whether the training dynamics helped. The report on the
    task's data in `checks_file` says which data sets were corrected.
    """
    ledgers = load_ledgers(ledger_files).get(spec["task"], {})
    comparisons = load_comparisons(comparisons_file)
    scores = load_scores(scores_file)
    rows = build_rows(spec, scores, comparisons, ledgers, supervising)
    told = gain_notes(load_gains(gains_file), metric(spec["metric"]).label) if gains_file else []
    told += overlap_notes(spec["rows"], supervising)
    told += correction_notes(read_json(checks_file)) if checks_file else []
    rendering = render(rows, spec, scores, comparisons, ledgers.values(), told)
    write_outputs(outputs, to_frame(rows, spec["datasets"]), rendering)
    write_csv(outputs["costs"], cost_ledger(spec, rows, ledgers, supervising))


def load_ledgers(files: Iterable[Path]) -> dict[str, Ledgers]:
    """Ledgers of runs by task, and by model, supervision, budget and seed."""
    ledgers: dict[str, Ledgers] = {}
    for ledger in map(read_json, files):
        ledgers.setdefault(ledger["run"]["task"], {})[run_key(ledger["run"])] = ledger
    return ledgers


def load_supervising(
    rows: list[dict], supervision_files: Iterable[Path], map_files: Iterable[Path]
) -> Supervising:
    """What making the supervisions of a table's rows took, by supervision and seed, with data maps and passes
    before training.
    """
    references = {row["supervision"]: row.get("reference") for row in rows}
    maps = {(ledger["model"], ledger["seed"]): ledger for ledger in map(read_json, map_files)}
    supervising = {}
    for ledger in map(read_json, supervision_files):
        key = references.get(ledger["supervision"]), ledger["seed"]
        trained = ledger.get("trained", True)
        built = [maps[key]] if trained and key in maps else []
        built += [ledger["before"]] if "before" in ledger else []
        supervising[ledger["supervision"], ledger["seed"]] = {
            # A choice compares scores: there is nothing to multiply.
            "flops": sum(_counted(part["flops"]) for part in built),
            "seconds": sum(part["seconds"] for part in (ledger, *built)),
            "peak_memory_mb": max(part["peak_memory_mb"] for part in (ledger, *built)),
            "shared": ledger.get("shared"),
            "trained": trained,
        }
    return supervising


def _counted(flops: int | None) -> float:
    return float("nan") if flops is None else flops


def build_rows(
    spec: dict, scores: pd.DataFrame, comparisons: pd.DataFrame, ledgers: Ledgers, supervising: Supervising
) -> list[dict]:
    """One entry per configured row, in that order.

    Keys: section, `NAMES`, `COSTS` (of `costs.relative_costs`; absent without a good run), runs (good ones),
    failed, common_seeds (the fewest that a comparison with ERM rests on; None without one), seeds (of the
    good runs), and `scores`: by data set its mean, std (divisor runs - 1, nan for a single run) and whether
    it chose a checkpoint of these runs. Failed runs are counted and left out of means and costs, which are
    over the same runs.
    """
    own = scores[scores["metric"] == spec["metric"]]
    parameters = computed_millions({key[0]: ledger for key, ledger in ledgers.items()}, spec["parameters_m"])
    rows = []
    for position, row in enumerate(spec["rows"]):
        built = _build_row(row, spec, own, ledgers, supervising, parameters)
        common = comparisons.loc[comparisons["row"] == position, "seeds"]
        rows.append({**built, "common_seeds": None if common.empty else int(common.min())})
    return rows


def _build_row(
    row: dict, spec: dict, scores: pd.DataFrame, ledgers: Ledgers, supervising: Supervising, parameters: dict
) -> dict:
    own = of_method(scores, row["main"], row["supervision"], row["budget"])
    good = own[~own["failed"].astype(bool)]
    failed = set(own.loc[own["failed"].astype(bool), "seed"])
    seeds = [seed for seed in spec["seeds"] if seed not in failed]
    result = {"section": row.get("section", ""), **{name: row.get(name, "-") for name in NAMES}}
    if seeds:
        main, references, supervisions = _row_ledgers(row, seeds, ledgers, supervising)
        full_length = ledgers[row["main"], "all", "full", seeds[0]] if "steps" in row else main[0]
        unit = [ledgers[spec["cost_of"], "all", "full", seed] for seed in seeds]
        costs = relative_costs(main, references, supervisions, full_length, unit, parameters)
        result |= {name: round(cost, 2) for name, cost in costs.items()}
    shown = {}
    for dataset in spec["datasets"]:
        part = good[good["dataset"] == dataset]
        shown[dataset] = {
            "mean": part["value"].mean(),
            "std": part["value"].std(),
            "chose": bool(part["chose"].any()),
        }
    return {**result, "runs": len(seeds), "failed": len(failed), "seeds": seeds, "scores": shown}


def _row_ledgers(
    row: dict, seeds: list[int], ledgers: Ledgers, supervising: Supervising
) -> tuple[list[dict], list[dict], list[dict]]:
    main = [ledgers[row["main"], row["supervision"], row["budget"], seed] for seed in seeds]
    references = []
    keys = ((row["supervision"], seed) for seed in seeds)
    supervisions = [supervising[key] for key in keys if key in supervising]
    trained = all(taken.get("trained", True) for taken in supervisions)
    if row.get("reference", "random") != "random" and trained:
        references = [ledgers[row["reference"], "all", "full", seed] for seed in seeds]
    return main, references, supervisions


def to_frame(rows: list[dict], datasets: Sequence[str]) -> pd.DataFrame:
    """The rows with a column for each number; `_std` follows each data set's mean."""
    names = score_columns(datasets)
    lines = []
    for row in rows:
        line = {name: row.get(name) for name in ("section", *NAMES, *COSTS)}
        for dataset, name in names.items():
            line |= {name: row["scores"][dataset]["mean"], f"{name}_std": row["scores"][dataset]["std"]}
        lines.append({**line, **{name: row[name] for name in COUNTS}})
    columns = [column for name in names.values() for column in (name, f"{name}_std")]
    frame = pd.DataFrame(lines, columns=["section", *NAMES, *COSTS, *columns, *COUNTS])
    return frame.astype({"common_seeds": "Int64"})


def score_columns(datasets: Sequence[str]) -> dict[str, str]:
    """By data set, the name of its column: its own, with a note where another column has that name."""
    fixed = {"section", *NAMES, *COSTS, *COUNTS}
    deviations = {f"{dataset}_std" for dataset in datasets}
    return {name: f"{name} (data set)" if name in fixed | deviations else name for name in datasets}


def cost_ledger(spec: dict, rows: list[dict], ledgers: Ledgers, supervising: Supervising) -> pd.DataFrame:
    """What the parts of every row took (`costs.parts`), means over its good runs; none, no line."""
    lines = []
    for row, built in zip(spec["rows"], rows, strict=True):
        names = {name: built[name] for name in NAMES}
        if built["seeds"]:
            taken = parts(*_row_ledgers(row, built["seeds"], ledgers, supervising))
            lines += [{**names, **part} for part in taken]
    return pd.DataFrame(lines, columns=[*NAMES, *PART])


def render(
    rows: list[dict],
    spec: dict,
    scores: pd.DataFrame,
    comparisons: pd.DataFrame,
    ledgers: Iterable[dict] = (),
    told: Sequence[str] = (),
) -> Rendering:
    """The table for readers: scores in percent, those that differ from ERM marked."""
    level = 1 - spec["confidence"]
    differing = comparisons.loc[comparisons["p_holm"] < level, ["row", "dataset"]]
    marked = set(differing.itertuples(index=False, name=None))
    lines = []
    for position, row in enumerate(rows):
        cells = []
        for dataset in spec["datasets"]:
            found = row["scores"][dataset]
            marks = "*" * ((position, dataset) in marked) + CHOSE * found["chose"]
            cells.append(_score(found, marks))
        runs = f"{row['runs']}" + (f" ({row['failed']} failed)" if row["failed"] else "")
        common = "-" if row["common_seeds"] is None else str(row["common_seeds"])
        costs = [_cost(row.get(name)) for name in COSTS[:3]]
        label = row_label(spec["rows"][position])
        lines.append([label, row["main"], row["reference"], *costs, *cells, runs, common])
    header = ["Method", "Main model", "Reference", "Cost", "by steps", "by FLOPs", *spec["datasets"]]
    return Rendering(
        _caption(spec, rows),
        [*header, "Runs", "Common"],
        lines,
        [row["section"] for row in rows],
        [*told, *_notes(spec, rows, scores, comparisons, ledgers)],
        names=3,
    )


def _score(found: dict, marks: str) -> str:
    if pd.isna(found["mean"]):
        return "failed"
    deviation = "" if pd.isna(found["std"]) else f" ± {100 * found['std']:.2f}"
    return f"{100 * found['mean']:.2f}{marks}{deviation}"


def row_label(row: dict) -> str:
    """A row's method, and what sets it apart from others of that method."""
    selector = f", {row['selector']}" if row.get("selector") not in (None, "ambiguous") else ""
    fraction = f", {100 * row['fraction']:g} %" if "fraction" in row else ""
    monitor = ", ID-monitored" if row.get("monitor") == "id" else ""
    steps = f", {row['steps']} steps" if "steps" in row else ""
    return row["method"] + selector + fraction + monitor + steps


def _cost(value: float | None) -> str:
    return "-" if value is None or pd.isna(value) else f"{value:.2f}"


def _caption(spec: dict, rows: list[dict]) -> str:
    several = any(row["runs"] > 1 for row in rows)
    label = metric(spec["metric"]).label
    shown = f"Mean {label}" if several else f"{label[0].upper()}{label[1:]}"
    stop = "" if spec["title"].endswith((".", "?", "!")) else "."
    deviation = f" ± standard deviation over up to {len(spec['seeds'])} seeds" if several else ", one seed"
    return (
        f"{spec['title']}{stop} {shown} in percent{deviation}. "
        f"The ERM run of {spec['cost_of']} costs 100; reference runs count."
    )


def _notes(
    spec: dict,
    rows: list[dict],
    scores: pd.DataFrame,
    comparisons: pd.DataFrame,
    ledgers: Iterable[dict],
) -> list[str]:
    chose = [name for name in spec["datasets"] if any(row["scores"][name]["chose"] for row in rows)]
    failed = scores[scores["failed"].astype(bool)].drop_duplicates(["model", "supervision", "budget", "seed"])
    shown = {(row["main"], row["supervision"], row["budget"]) for row in spec["rows"]}
    reasons = {
        (row.model, row.supervision, row.budget, row.seed): row.reason
        for row in failed.itertuples()
        if (row.model, row.supervision, row.budget) in shown
    }
    notes = [
        metric_note(spec["metric"]),
        "Cost: parameters times the share of the planned checkpoints (6ND, as in the paper); by steps: "
        "parameters times steps; by FLOPs, counted on real tokens, and by seconds (in the CSV file): "
        "training, map, supervision, and passes over development sets where they decide when a run stops",
        *significance_notes(comparisons, spec["confidence"]),
    ]
    if chose:
        notes.append(
            f"{CHOSE} on a set that chose the checkpoint of these runs, so that the score is too high: "
            f"{', '.join(chose)}"
        )
    notes += exclusion_notes(reasons)
    if spec["left_out"]:
        notes.append(f"Left out, as the configuration lacks their models: {'; '.join(spec['left_out'])}")
    return [*notes, *execution_notes(ledgers)]
