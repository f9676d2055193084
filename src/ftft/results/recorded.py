"""What became of past transfers, and whether a rule would have foretold it better than one constant answer.

The record is that of docs/results.md: transfers whose reference's easy share and outcome are both known.
"""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

RECORD = Path(__file__).with_name("recorded_transfers.csv")
# Points below ERM that still count as comparable to it (docs/results.md).
COMPARABLE = 2.0
# By outcome, whether a transfer had it; differences in points, out of distribution.
OUTCOMES: dict[str, tuple[str, Callable[[float], bool]]] = {
    "above random rows": ("over_random", lambda points: points > 0),
    "comparable to ERM": ("over_erm", lambda points: points >= -COMPARABLE),
}
# What the bands of easy shares by the paper's Table 4 foretell; "doubtful" says nothing.
BANDS = {"promising": True, "poor": False}

Transfer = dict


def recorded_transfers(path: Path = RECORD) -> list[Transfer]:
    """The record: task, main, reference, band, easy_50 (percent), over_random, over_erm (points or None)."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    numbers = ("easy_50", "over_random", "over_erm")
    return [{**row, **{name: float(row[name]) if row[name] else None for name in numbers}} for row in rows]


def hit_rates(record: Sequence[Transfer]) -> list[dict]:
    """How often rules foretell each outcome, the task that is foretold left out.

    Keys: outcome, transfers; constant and threshold: how often right the more frequent outcome of the other
    tasks is, and the threshold of easy shares that fits these best; judged: transfers that a band says
    something of; bands and constant_judged: how often right the band and the constant are on those.
    """
    return [_hits(record, outcome) for outcome in OUTCOMES]


def _hits(record: Sequence[Transfer], outcome: str) -> dict:
    found = {
        "outcome": outcome,
        **dict.fromkeys(("transfers", "constant", "threshold", "judged", "bands", "constant_judged"), 0),
    }
    for transfer, happened in _with_outcome(record, outcome):
        others = [other for other in record if other["task"] != transfer["task"]]
        constant = _constant(others, outcome) == happened
        found["transfers"] += 1
        found["constant"] += constant
        found["threshold"] += (transfer["easy_50"] >= best_threshold(others, outcome)) == happened
        if transfer["band"] in BANDS:
            found["judged"] += 1
            found["bands"] += BANDS[transfer["band"]] == happened
            found["constant_judged"] += constant
    return found


def best_threshold(record: Sequence[Transfer], outcome: str) -> float:
    """The easy share (percent) from which on to expect the outcome, right most often; the highest of equals.

    Infinite where never to expect it is right most often.
    """
    known = _with_outcome(record, outcome)
    candidates = [float("inf"), *sorted((transfer["easy_50"] for transfer, _ in known), reverse=True)]
    return max(
        candidates,
        key=lambda least: sum((transfer["easy_50"] >= least) == happened for transfer, happened in known),
    )


def foretold(record: Sequence[Transfer], easy: float) -> list[str]:
    """What a reference with this easy share (percent) promises, in words.

    Nothing, unless the threshold was right more often than the constant for every outcome on record.
    """
    rates = hit_rates(record)
    if not all(rate["threshold"] > rate["constant"] for rate in rates):
        return []
    return [
        f"expect the transfer to be {'' if easy >= best_threshold(record, rate['outcome']) else 'not '}"
        f"{rate['outcome']} (right in {rate['threshold']} of {rate['transfers']} recorded transfers, a "
        f"constant answer in {rate['constant']})"
        for rate in rates
    ]


def _with_outcome(record: Sequence[Transfer], outcome: str) -> list[tuple[Transfer, bool]]:
    column, happened = OUTCOMES[outcome]
    return [(transfer, happened(transfer[column])) for transfer in record if transfer[column] is not None]


def _constant(record: Sequence[Transfer], outcome: str) -> bool:
    known = [happened for _, happened in _with_outcome(record, outcome)]
    return 2 * sum(known) > len(known)
