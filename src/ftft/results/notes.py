"""What stands under tables, made from their data."""

from collections.abc import Iterable, Mapping

import pandas as pd

from ..statistics.exclusions import RunKey
from ..statistics.gains import DYNAMICS
from ..tasks.metrics import metric

# What can change numbers beside configuration and seed, by its key in a ledger's `execution`.
EXECUTION = {
    "device_type": "device type",
    "precision": "precision",
    "kernels": "kernels",
    "processes": "number of processes",
}


def metric_note(name: str) -> str:
    """The definition of a metric."""
    found = metric(name)
    return f"{found.label[0].upper()}{found.label[1:]}: {found.definition}"


def execution_notes(ledgers: Iterable[dict]) -> list[str]:
    """What the runs of a table differ in that can change numbers: devices, precision, versions."""
    ledgers = list(ledgers)
    values: dict[str, dict[str, int]] = {}
    names = sorted({name for ledger in ledgers for name in ledger.get("versions", {})})
    for ledger in ledgers:
        execution, versions = ledger.get("execution", {}), ledger.get("versions", {})
        entries = [(label, execution.get(key)) for key, label in EXECUTION.items()]
        entries += [(f"version of {name}", versions.get(name)) for name in names]
        for label, value in entries:
            counts = values.setdefault(label, {})
            shown = "unknown" if value is None else str(value)
            counts[shown] = counts.get(shown, 0) + 1
    differing = [
        f"{label}: {', '.join(f'{value} ({count})' for value, count in sorted(counts.items()))}"
        for label, counts in values.items()
        if len(counts) > 1
    ]
    if not differing:
        return []
    return [f"The runs differ in how they were made (number of runs): {'; '.join(differing)}"]


def exclusion_notes(excluded: Mapping[RunKey, str]) -> list[str]:
    """Which runs a table leaves out, and why; seeds of one method and reason together."""
    seeds: dict[tuple[str, str, str, str], list[int]] = {}
    for (model, supervision, budget, seed), reason in excluded.items():
        seeds.setdefault((model, supervision, budget, reason), []).append(seed)
    return [
        f"Left out: {model} on {supervision}, {budget}, seed {', '.join(map(str, sorted(own)))}: {reason}"
        for (model, supervision, budget, reason), own in seeds.items()
    ]


def gain_notes(gains: pd.DataFrame, score: str) -> list[str]:
    """Whether training dynamics helped beyond labels and lengths, and which control does better, in words.

    Only what lies outside the training distribution counts, where there is such a set. With one seed nothing
    is said to help.
    """
    notes = []
    for _, own in gains[gains["sets"] != "in distribution"].groupby("row", sort=False):
        first = own.iloc[0]
        what = f"the {first['selector']} rows of {first['reference']} for {first['main']}"
        where = first["sets"]
        for part in own.itertuples():
            size = f"{abs(100 * part.difference):.1f} points of {score} {where}"
            span = f"{100 * part.low:+.1f} to {100 * part.high:+.1f}"
            if part.part == DYNAMICS and part.low > 0 and part.seeds > 1:
                notes.append(
                    f"Training dynamics help: {what} are {size} above random rows with the same labels and "
                    f"lengths ({span}, {part.seeds} seeds)"
                )
            elif part.part == DYNAMICS and not (part.high < 0 and part.seeds > 1):
                seeds = "one seed" if part.seeds == 1 else f"{part.seeds} seeds"
                side = "above" if part.difference > 0 else "below"
                notes.append(
                    f"Not shown that training dynamics help: {what} are {size} {side} random rows with the "
                    f"same labels and lengths ({span}, {seeds})"
                )
            elif (
                part.high < 0 and part.seeds > 1 and (part.part == DYNAMICS or part.part.startswith("over "))
            ):
                control = part.part.removeprefix("over ")
                rows = (
                    "random rows with the same labels and lengths"
                    if part.part == DYNAMICS
                    else f"the {control} rows, which need no reference"
                )
                notes.append(f"Take {rows}: they are {size} above {what} ({span}, {part.seeds} seeds)")
    return notes


def overlap_notes(rows: Iterable[Mapping], supervising: Mapping[tuple[str, int], Mapping]) -> list[str]:
    """What every selection of a table of generated texts shares with rows that need no model; means over
    seeds.
    """
    found: dict[str, list[Mapping]] = {}
    chosen = {row["supervision"] for row in rows}
    for (name, _), taken in supervising.items():
        if name in chosen and taken.get("shared"):
            found.setdefault(name, []).append(taken["shared"])
    if not found:
        return []
    parts = []
    for name in dict.fromkeys(row["supervision"] for row in rows if row["supervision"] in found):
        shares = (sum(one[of] for one in found[name]) / len(found[name]) for of in ("random", "longest"))
        parts.append(f"{name} {' and '.join(f'{share:.2f}' for share in shares)}")
    return [
        "What selections share with random rows of another draw, and with the rows of the longest responses: "
        + "; ".join(parts)
    ]


def correction_notes(checks: Mapping[str, dict]) -> list[str]:
    """How many rows of the data sets were corrected, by the report on a task's data."""
    return [
        f"Data set {name}: {step['corrected']} labels were corrected, {step['dropped']} rows dropped"
        for name, entry in checks.items()
        for step in entry.get("steps", ())
        if step["step"] == "corrections"
    ]


def significance_notes(comparisons: pd.DataFrame, confidence: float, marked: str = "*") -> list[str]:
    """What the mark means, by the comparisons behind it: over how many seeds, or why nothing is marked."""
    if comparisons.empty:
        return []
    several = sorted(set(comparisons.loc[comparisons["seeds"] > 1, "seeds"]))
    notes = ["Common: the seeds whose runs both a row and ERM have, and over which they are compared"]
    if several:
        counts = " to ".join(dict.fromkeys(str(count) for count in (several[0], several[-1])))
        tests = comparisons["p_holm"].notna().sum()
        notes.append(
            f"{marked} differs from ERM of the same main model: paired bootstrap over examples, Student's "
            f"t weights over the {counts} seeds that both have, Holm over the {tests} comparisons of the "
            f"table, level {1 - confidence:.2g}"
        )
    if (comparisons["seeds"] == 1).any():
        rest = "where a row and ERM have one seed in common" if several else "one seed"
        notes.append(
            f"No mark {'for ' if not several else ''}{rest}: intervals over examples do not speak of others"
        )
    return notes
