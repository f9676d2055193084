"""Did it pay? Scores at equal compute, judged and put in words."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from ..artifacts import read_json, read_parquet, write_json, write_text
from ..data.dataset import Dataset, targets_of_column
from ..errors import ArtifactError
from ..statistics.bootstrap import Replicates, resample_scores
from ..statistics.exclusions import exclusions, references_of_rows, run_key
from ..statistics.verdicts import Curve, Lead, band, checkpoint_costs, judge
from ..tasks.metrics import metric as named_metric
from .figures import verdicts as figure
from .notes import exclusion_notes
from .verdict_page import page

COLUMNS = ("method", "cost", "score", "low", "high", "seeds")


def write_verdict(
    spec: dict,
    ledger_files: Iterable[Path],
    development_files: Iterable[Path],
    map_files: Iterable[Path],
    pass_files: Iterable[Path],
    data_files: Mapping[str, Path],
    outputs: Mapping[str, Path],
) -> None:
    """Judge the methods of a task at equal compute; write page, figure and its data, and the verdict as JSON.

    `spec` holds `methods` (see `pipeline.verdicts`), `unit` (the main model whose ERM run costs 100),
    `metric`, `failure_metric`, `sets` (data sets, and what they are called together), `confidence`,
    `resamples`, `title`. Ledgers are those of the runs and of their reference runs, `map_files` those of data
    maps, `pass_files` those of passes before training; `development_files` hold the runs' predictions, a file
    per run; `data_files` are the prepared data sets by name.
    """
    ledgers = {run_key(ledger["run"]): ledger for ledger in map(read_json, ledger_files)}
    maps = {(ledger["model"], ledger["seed"]): ledger for ledger in map(read_json, map_files)}
    passes = {ledger["model"]: ledger for ledger in map(read_json, pass_files)}
    excluded = exclusions(ledgers.values(), references_of_rows(spec["methods"]), spec["failure_metric"])
    runs = _good_runs(spec, ledgers, excluded)
    development = load_development(development_files)
    curves = read_curves(spec, runs, ledgers, maps, passes, development, data_files)
    rivals, unjudged = opponents(spec["methods"], curves)
    leads = judge(curves, rivals, spec["confidence"])
    points = point_table(curves, spec["confidence"])
    verdict = {
        "sentences": in_words(spec, leads, points, rivals),
        "leads": [_plain(lead) for lead in leads],
        "left_out": [*unjudged, *exclusion_notes(excluded)],
    }
    write_json(outputs["verdict"], verdict)
    drawn = figure.draw(points, spec["title"], spec["metric"], spec["sets"]["name"])
    figure.save(drawn, points, outputs)
    write_text(outputs["page"], page(spec, verdict, points, leads, Path(outputs["svg"]).read_bytes()))


def opponents(methods: Iterable[Mapping], curves: Mapping) -> tuple[dict[str, list[str]], list[str]]:
    """By method that can be judged, whom it has to beat; and in words why others cannot be."""
    rivals, unjudged = {}, []
    for row in methods:
        absent = [*row["lacks"], *(name for name in row["rivals"] if name not in curves)]
        if row["rivals"] and row["name"] in curves and absent:
            unjudged.append(f"Not judged: {row['name']}, for there is no good run of {_listed(absent)}")
        elif row["rivals"] and row["name"] in curves:
            rivals[row["name"]] = row["rivals"]
    return rivals, unjudged


def _good_runs(spec: dict, ledgers: dict, excluded: Mapping) -> dict[str, dict[int, tuple]]:
    """By method and seed, the keys of the runs that did not fail."""
    found: dict[str, dict[int, tuple]] = {}
    for row in spec["methods"]:
        method = row["main"], row["supervision"], row["budget"]
        keys = {key[-1]: key for key in ledgers if key[:-1] == method and key not in excluded}
        if keys:
            found[row["name"]] = keys
    return found


def load_development(files: Iterable[Path]) -> dict[tuple, pa.Table]:
    """The predictions of development sets by run."""
    found = {}
    for file in files:
        table, metadata = read_parquet(file)
        found[run_key(metadata["run"])] = table
    return found


def read_curves(
    spec: dict,
    runs: Mapping[str, Mapping[int, tuple]],
    ledgers: Mapping[tuple, dict],
    maps: Mapping[tuple[str, int], dict],
    passes: Mapping[str, dict],
    development: Mapping[tuple, pa.Table],
    data_files: Mapping[str, Path],
) -> dict[str, Curve]:
    """The curves of the methods that have a good run, costs in percent of the unit's ERM."""
    by_name = {row["name"]: row for row in spec["methods"]}
    counts = {
        name: min(int(max(development[key]["checkpoint"].to_pylist())) for key in keys.values())
        for name, keys in runs.items()
    }
    costs = {}
    for name, keys in runs.items():
        row, reference = by_name[name], by_name[name].get("reference", "random")
        of = (
            [(reference, seed) for seed in keys] if reference != "random" and row.get("trained", True) else []
        )
        costs[name] = checkpoint_costs(
            [ledgers[key] for key in keys.values()],
            [ledgers[model, "all", "full", seed] for model, seed in of],
            [maps[pair] for pair in of],
            counts[name],
            [passes[reference]] if row["looks"] else [],
        )
    unit = next(
        (name for name in runs if _is_erm(by_name[name]) and by_name[name]["main"] == spec["unit"]), None
    )
    if unit is None:
        return {}
    whole = costs[unit][-1]
    scored = {
        dataset: _resampled(spec, dataset, data_files[dataset], runs, counts, development)
        for dataset in spec["sets"]["datasets"]
    }
    return {
        name: Curve(
            100 * costs[name] / whole,
            [[sets[name, number] for sets in scored.values()] for number in range(1, counts[name] + 1)],
        )
        for name in runs
    }


def _resampled(
    spec: dict, name: str, file: Path, runs: Mapping, counts: Mapping, development: Mapping[tuple, pa.Table]
) -> dict[tuple[str, int], Replicates]:
    """Scores on one data set by method and checkpoint."""
    dataset = Dataset.load(file, texts=False)
    predictions: dict[tuple[str, int], dict[int, np.ndarray]] = {}
    for method, keys in runs.items():
        for seed, key in keys.items():
            table = development[key]
            own = table.filter(np.array(table["dataset"].to_pylist()) == name)
            numbers = np.array(own["checkpoint"].to_pylist())
            for number in range(1, counts[method] + 1):
                made = targets_of_column(own.filter(numbers == number)["prediction"])
                if len(made) != len(dataset):
                    raise ArtifactError(
                        f"the predictions of {method}, seed {seed}, do not belong to data set '{name}'",
                        got=f"{len(made)} predictions at checkpoint {number}",
                        expected=f"{len(dataset)}, one per instance",
                    )
                predictions.setdefault((method, number), {})[seed] = made
    return resample_scores(
        name, dataset.labels, predictions, dataset.label_names, spec["metric"], spec["resamples"]
    )


def _is_erm(row: Mapping) -> bool:
    return row["supervision"] == "all" and row["budget"] == "full"


def point_table(curves: Mapping[str, Curve], confidence: float) -> pd.DataFrame:
    """A row per method and checkpoint: cost (percent), score and its interval (0 to 1), seeds."""
    rows = []
    for name, curve in curves.items():
        for cost, point in zip(curve.costs, curve.points, strict=True):
            found = band(point, confidence)
            rows.append((name, cost, found.value, found.low, found.high, found.seeds))
    return pd.DataFrame(rows, columns=COLUMNS)


def in_words(
    spec: dict, leads: Iterable[Lead], points: pd.DataFrame, rivals: Mapping[str, list[str]]
) -> list[str]:
    """The verdict: what pays, and from which budget on; else that nothing was shown, and what to take."""
    label, where = named_metric(spec["metric"]).label, spec["sets"]["name"]
    by_name = {row["name"]: row for row in spec["methods"]}
    first: dict[str, Lead] = {}
    for lead in leads:
        if lead.shown:
            first.setdefault(lead.method, lead)
    if first:
        # What needs a reference has beaten what does not, and comes first.
        ordered = sorted(first.values(), key=lambda lead: (by_name[lead.method]["free"], lead.budget))
        return [_paid(lead, by_name[lead.method], rivals[lead.method], label, where) for lead in ordered]
    told = [_not_shown(bool(rivals), points)]
    own = {name for name, row in by_name.items() if row["free"] and row["main"] == spec["unit"]}
    free = points[points["method"].isin(own)]
    if not free.empty:
        best = free.loc[free.groupby("method")["cost"].idxmax()].sort_values("score").iloc[-1]
        told.append(
            f"Take {best.method}: of what needs no reference this has the best mean, "
            f"{label} {100 * best.score:.1f} {where}"
        )
    return told


def _paid(lead: Lead, row: Mapping, rivals: list[str], label: str, where: str) -> str:
    found = lead.difference
    free = f"Take {lead.method}, for which no reference is needed: this pays"
    pays = free if row["free"] else f"{lead.method} pays"
    over = f" over {lead.rival}, the closest" if len(rivals) > 1 else ""
    return (
        f"{pays} from {lead.budget:.0f} % of the compute of ERM on: "
        f"there its {label} {where} is above {_listed(rivals)} at the same compute, by "
        f"{100 * found.value:.1f} points{over} ({100 * found.low:+.1f} to "
        f"{100 * found.high:+.1f}, {found.seeds} seeds)"
    )


def _not_shown(judged: bool, points: pd.DataFrame) -> str:
    if not judged:
        return "Not shown that any selection pays: for none are there good runs of all that it has to beat"
    seeds = int(points["seeds"].max()) if len(points) else 0
    why = (
        "one seed says nothing of others"
        if seeds == 1
        else f"over {seeds} seeds, no budget has intervals that put one above all that it has to beat"
    )
    return f"Not shown that any selection pays: {why}"


def _listed(names: list[str]) -> str:
    return ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + names[-1]


def _plain(lead: Lead) -> dict:
    found = lead.difference
    return {
        "method": lead.method,
        "budget": lead.budget,
        "closest": lead.rival,
        "difference": found.value,
        "low": found.low,
        "high": found.high,
        "seeds": found.seeds,
        "shown": lead.shown,
    }
