"""What past transfers say of rules that foretell."""

import math

import pytest

from ftft.results.recorded import best_threshold, foretold, hit_rates, recorded_transfers


def transfer(task, easy, over_random, over_erm=None, band="doubtful"):
    return {
        "task": task,
        "easy_50": easy,
        "over_random": over_random,
        "over_erm": over_random if over_erm is None else over_erm,
        "band": band,
    }


def test_the_record_is_that_of_the_results(root):
    record = recorded_transfers()
    text = (root / "docs/results.md").read_text(encoding="utf-8")
    shown = text.partition("## Preflight: were its verdicts right?")[2]
    for row in record:
        if row["task"] != "hsd":
            cells = f"| {row['main']} | {row['reference']} | {row['band']} | {row['easy_50']:.2f} |"
            line = next(line for line in shown.splitlines() if line.startswith(cells))
            assert f"| {row['over_erm']:+.2f} |" in line
            assert f"| {'-' if row['over_random'] is None else format(row['over_random'], '+.2f')} |" in line
    assert [sum(row["task"] == task for row in record) for task in ("demo", "demo-binary", "hsd")] == [
        14,
        16,
        2,
    ]


def test_hit_rates_of_the_record():
    random, erm = hit_rates(recorded_transfers())
    names = ("transfers", "constant", "threshold", "judged", "bands", "constant_judged")
    assert tuple(random[name] for name in names) == (16, 10, 10, 13, 9, 9)
    assert tuple(erm[name] for name in names) == (32, 25, 25, 27, 23, 23)
    # Not more often right than a constant for every outcome: the page gives no verdict.
    assert foretold(recorded_transfers(), 50.0) == []


def test_hit_rates_by_hand():
    record = [
        transfer("a", 10, -5, band="poor"),
        transfer("a", 30, 5, band="promising"),
        transfer("a", 40, 5),
        transfer("b", 20, -5, band="promising"),
        transfer("b", 35, 5, band="poor"),
        transfer("b", 25, -5),
    ]
    # On b, fitted on a: 30 or more; on a, fitted on b: 35 or more. The constants: yes of a, no of b.
    for rate in hit_rates(record):
        assert (rate["threshold"], rate["constant"], rate["transfers"]) == (5, 2, 6)
        assert (rate["judged"], rate["bands"], rate["constant_judged"]) == (4, 2, 2)
    promised = foretold(record, 35)
    assert [text.partition(" (")[0] for text in promised] == [
        "expect the transfer to be above random rows",
        "expect the transfer to be comparable to ERM",
    ]
    assert "5 of 6" in promised[0] and "in 2)" in promised[0]
    assert foretold(record, 9)[0].startswith("expect the transfer to be not above random rows")


def test_thresholds():
    record = [transfer("a", 10, -5), transfer("a", 20, 5), transfer("a", 30, 5)]
    assert best_threshold(record, "above random rows") == 20
    never = [transfer("a", 10, -5), transfer("a", 20, -5)]
    assert best_threshold(never, "above random rows") == math.inf


@pytest.mark.parametrize("difference", [(-2.0, True), (-2.01, False)])
def test_comparable_is_within_two_points(difference):
    points, comparable = difference
    (rate,) = [
        rate
        for rate in hit_rates([transfer("a", 10, 1, points), transfer("b", 10, 1, 5.0)])
        if rate["outcome"] == "comparable to ERM"
    ]
    # Foretold by the other task: b expects a to be comparable.
    assert rate["constant"] == (2 if comparable else 0)
