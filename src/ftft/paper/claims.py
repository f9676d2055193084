"""The claims of the paper's prose, decided by the workflow's own runs."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ..artifacts import read_json
from ..results.rendering import Rendering, write_outputs
from ..statistics.bootstrap import Difference, holm
from ..statistics.comparisons import BootstrapComparison, method_of
from ..statistics.exclusions import references_of_rows
from ..statistics.scores import Evaluation

HOLDS, FAILS, OPEN = "holds", "does not hold", "cannot be decided"


@dataclass(frozen=True)
class Comparison:
    """A comparison of two methods: relation above, below, or not below by more than `margin` (share of 1)."""

    name: str
    relation: str
    margin: float
    difference: Difference | None


def write_claims(
    spec: dict, evaluations: Iterable[Path], ledgers: Iterable[Path], outputs: dict[str, Path]
) -> None:
    """Write a row per claim and task: the figures, the verdict and the test behind it.

    `spec` holds the claims (`paper.claims`, rows completed by supervision and budget), and by task its
    `metric`, `validation` and `evaluate`; `resamples`, `confidence`. A run has an evaluation per data set and
    a ledger; the ledgers of reference runs are among them.
    """
    sides = [
        comparison[side]
        for claim in spec["claims"]
        for comparison in claim["tests"]
        for side in ("left", "right")
    ]
    references = references_of_rows(sides)
    loaded, runs = list(map(Evaluation, evaluations)), list(map(read_json, ledgers))
    comparisons = {
        task: BootstrapComparison(
            [evaluation for evaluation in loaded if evaluation.run["task"] == task],
            [ledger for ledger in runs if ledger["run"]["task"] == task],
            references,
            entry["metric"],
            entry["metric"],
            spec["resamples"],
        )
        for task, entry in spec["tasks"].items()
    }
    rows = []
    for claim in spec["claims"]:
        task, confidence = spec["tasks"][claim["task"]], spec["confidence"]
        tests = [
            test
            for comparison in claim["tests"]
            for test in _run(comparison, comparisons[claim["task"]], task, confidence)
        ]
        verdict = OPEN if claim["missing"] else decide(tests, claim["need"], confidence)
        rows.append(
            {
                "claim": claim["claim"],
                "task": claim["task"],
                "text": claim["text"],
                "section": claim["section"],
                "figures": "; ".join(map(_figure, tests)),
                "verdict": verdict,
                "test": _test_text(claim, tests, spec),
            }
        )
    columns = ["claim", "task", "text", "section", "figures", "verdict", "test"]
    table = pd.DataFrame(rows, columns=columns)
    write_outputs(outputs, table, _render(table))


def _run(comparison: dict, bootstrap: BootstrapComparison, task: dict, confidence: float) -> list[Comparison]:
    shifted = [name for name in task["evaluate"] if name != task["validation"]]
    wanted = {
        "id": {"": [task["validation"]]},
        "ood": {"": shifted},
        "each": {f" on {name}": [name] for name in shifted},
    }[comparison["sets"]]
    methods = method_of(comparison["left"]), method_of(comparison["right"])
    return [
        Comparison(
            f"{comparison['name']}, {comparison['sets']}{suffix}",
            comparison["relation"],
            comparison["margin"],
            bootstrap.difference(*methods, datasets, confidence) if datasets else None,
        )
        for suffix, datasets in wanted.items()
    ]


def decide(tests: list[Comparison], need: float, confidence: float) -> str:
    """The verdict on a claim of which the share `need` of its tests must hold.

    It holds when enough tests do, does not when too few can, and cannot be decided in between. Tests of
    above and below are two-sided, Holm-adjusted over the claim; `not below` asks its interval.
    """
    if not tests:
        return OPEN
    directed = [test for test in tests if test.relation != "not below"]
    adjusted = holm([test.difference.p_value if test.difference else float("nan") for test in directed])
    p_values = {test.name: p_value for test, p_value in zip(directed, adjusted, strict=True)}
    outcomes = [_outcome(test, p_values.get(test.name), 1 - confidence) for test in tests]
    if outcomes.count(HOLDS) >= need * len(tests):
        return HOLDS
    return OPEN if outcomes.count(HOLDS) + outcomes.count(OPEN) >= need * len(tests) else FAILS


def _outcome(test: Comparison, p_value: float | None, level: float) -> str:
    found = test.difference
    # One seed says nothing of others.
    if found is None or found.seeds < 2:
        return OPEN
    if test.relation == "not below":
        return HOLDS if found.low >= -test.margin else FAILS if found.high < -test.margin else OPEN
    if not p_value < level:
        return OPEN
    return HOLDS if (found.value > 0) == (test.relation == "above") else FAILS


def _figure(test: Comparison) -> str:
    if test.difference is None:
        return f"{test.name}: no runs"
    value, low, high = (
        100 * number for number in (test.difference.value, test.difference.low, test.difference.high)
    )
    return f"{test.name}: {value:+.2f} [{low:+.2f}, {high:+.2f}]"


def _test_text(claim: dict, tests: list[Comparison], spec: dict) -> str:
    if claim["missing"]:
        return f"the configuration lacks {', '.join(claim['missing'])}"
    seeds = sorted({test.difference.seeds for test in tests if test.difference})
    parts = []
    if any(test.relation != "not below" for test in tests):
        parts.append("two-sided, Holm over the claim")
    if any(test.relation == "not below" for test in tests):
        margins = sorted({100 * test.margin for test in tests if test.relation == "not below"})
        parts.append(f"interval above -{' or -'.join(f'{margin:g}' for margin in margins)} points")
    if not seeds:
        return "no runs to compare"
    weighted = " with Student's t weights" if seeds[-1] > 1 else ""
    over = f"examples, {' or '.join(map(str, seeds))} seed{'s' * (seeds != [1])}{weighted}"
    if seeds[0] == 1:
        over += "; one seed decides nothing"
    return f"paired bootstrap over {over}, {100 * spec['confidence']:g} %: {'; '.join(parts)}"


def _render(table: pd.DataFrame) -> Rendering:
    lines = [
        [row.claim, row.text, row.section, row.verdict, row.figures, row.test] for row in table.itertuples()
    ]
    return Rendering(
        "The claims of the paper on this configuration's runs; differences in points, with intervals.",
        ["Claim", "Text", "Section", "Verdict", "Figures", "Test"],
        lines,
        list(table["task"]),
        names=6,
    )
