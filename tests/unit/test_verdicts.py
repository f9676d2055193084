import pandas as pd
import pyarrow as pa
import pytest

from ftft.artifacts import write_parquet, write_text
from ftft.results.verdicts import (
    build_verdicts,
    ood_by_seed,
    outcome,
    rank_correlation,
    reaches,
    write_verdicts,
)

TASK = {"metric": "accuracy", "validation": "validation", "evaluate": ["validation", "r1", "r2"]}
SEEDS = (0, 1)


def transfer(reference, main="large", task="demo"):
    return {"task": task, "main": main, "reference": reference, "selection": f"{reference}-ambiguous-33"}


SPEC = {
    "transfers": [transfer("small"), transfer("tiny"), transfer("base")],
    "random": "random-33",
    "tasks": {"demo": TASK},
    "margin": 0.02,
}


def runs(selection, values, model="large", task="demo", budget="full"):
    """Rows of scores: by seed r1 0.1 below and r2 0.1 above the value, or a failed run where it is None."""
    return [
        {
            "task": task,
            "model": model,
            "selection": selection,
            "budget": budget,
            "seed": seed,
            "dataset": dataset,
            "metric": metric,
            "value": (value or 0.0) + shift if metric == "accuracy" else 0.0,
            "failed": value is None,
        }
        for seed, value in zip(SEEDS, values, strict=True)
        for dataset, shift in (("validation", 0.3), ("r1", -0.1), ("r2", 0.1))
        for metric in ("accuracy", "macro_f1")
    ]


def preflight(*rows):
    frame = pd.DataFrame(rows, columns=["reference", "verdict", "easy_50"])
    return frame.assign(main="large").set_index(["main", "reference"])


VERDICTS = {
    "demo": preflight(("small", "promising", 47.0), ("tiny", "poor", 20.0), ("base", "doubtful", 40.0))
}
SCORES = pd.DataFrame(
    [
        *runs("full", [0.50, 0.54]),
        *runs("random-33", [0.40, 0.44]),
        *runs("small-ambiguous-33", [0.49, 0.53]),
        *runs("small-ambiguous-33", [0.90, 0.90], budget="stopped-ood"),
        *runs("small-ambiguous-33", [0.90, 0.90], model="other"),
        *runs("tiny-ambiguous-33", [0.30, 0.44]),
        *runs("base-ambiguous-33", [0.45, None]),
    ]
)


def rows(spec=SPEC, scores=SCORES, verdicts=VERDICTS):
    return build_verdicts(spec, scores, verdicts).set_index("reference")


def test_what_transfers_did_by_hand():
    table = rows()
    assert table["verdict"].tolist() == ["promising", "poor", "doubtful"]
    assert table["easy_50"].tolist() == [47.0, 20.0, 40.0]
    assert table["ood"].tolist() == pytest.approx([0.51, 0.37, 0.45])
    # base's second run failed: the first alone is compared, with the others' first.
    assert table["minus_random"].tolist() == pytest.approx([0.09, -0.05, 0.05])
    assert table["minus_erm"].tolist() == pytest.approx([-0.01, -0.15, -0.05])
    assert table["beats_random"].tolist() == [True, False, True]
    assert table["comparable_to_erm"].tolist() == [True, False, False]


def test_the_validation_set_and_other_metrics_play_no_part():
    by_seed = ood_by_seed(SCORES[(SCORES["selection"] == "full")], TASK)
    assert by_seed.to_dict() == pytest.approx({0: 0.50, 1: 0.54})
    twice = pd.concat([SCORES, SCORES])
    pd.testing.assert_frame_equal(rows(scores=twice), rows())


def test_rows_that_no_table_has_leave_the_verdict_open():
    kept = SCORES[~SCORES["selection"].isin(["random-33", "tiny-ambiguous-33"])]
    table = rows(scores=kept)
    assert table["beats_random"].tolist() == [None, None, None]
    assert table["comparable_to_erm"].tolist() == [True, None, False]
    assert table["minus_erm"].isna().tolist() == [False, True, False]


def test_transfers_that_failed_did_not_succeed():
    failed = SCORES.assign(failed=SCORES["failed"] | (SCORES["selection"] == "small-ambiguous-33"))
    small = rows(scores=failed).loc["small"]
    assert small[["beats_random", "comparable_to_erm"]].tolist() == [False, False]
    assert pd.isna(small["ood"])


@pytest.mark.parametrize(
    ("dm", "other", "margin", "expected"),
    [
        ([0.5, 0.6], [0.5, 0.6], 0.0, False),
        ([0.5, 0.6], [0.49, 0.6], 0.0, True),
        ([0.48, 0.48], [0.5, 0.5], 0.021, True),
        ([0.48, 0.48], [0.5, 0.5], 0.019, False),
        ([None, 0.6], [0.1, None], 0.0, None),
        ([None, None], [0.1, 0.1], 0.0, False),
        ([0.5, 0.5], [None, None], 0.0, None),
        ([], [0.5, 0.5], 0.0, None),
        ([None, None], [], 0.0, None),
    ],
)
def test_reaching_another_method(dm, other, margin, expected):
    series = [pd.Series(values, range(len(values)), dtype=float) for values in (dm, other)]
    assert reaches(*series, margin) is expected


def test_right_and_wrong():
    assert [outcome(verdict, True) for verdict in ("promising", "doubtful", "poor")] == [
        "right",
        None,
        "wrong",
    ]
    assert [outcome(verdict, False) for verdict in ("promising", "doubtful", "poor")] == [
        "wrong",
        None,
        "right",
    ]
    assert outcome("promising", None) is None


def test_rank_correlation_by_hand():
    # Ranks 1 2 3 4 and 1 3 2 4: 1 - 6 (1 + 1) / (4 x 15).
    table = pd.DataFrame({"easy_50": [10.0, 20.0, 30.0, 40.0], "ood": [0.1, 0.6, 0.3, 0.9]})
    assert rank_correlation(table) == pytest.approx(0.8)
    assert pd.isna(rank_correlation(table.assign(ood=[0.1, None, None, 0.9])))


def test_the_table_counts_how_often_verdicts_were_right(tmp_path):
    write_parquet(tmp_path / "table1.parquet", pa.Table.from_pandas(SCORES, preserve_index=False), {})
    write_text(tmp_path / "demo.csv", VERDICTS["demo"].reset_index().to_csv(index=False))
    outputs = {kind: tmp_path / f"verdicts.{kind}" for kind in ("csv", "md", "tex")}
    write_verdicts(SPEC, [tmp_path / "table1.parquet"], [tmp_path / "demo.csv"], outputs)
    text = outputs["md"].read_text()
    assert "| large | small | promising | 47.00 | 51.00 | +9.00 | -1.00 | yes (right) | yes (right) |" in text
    assert "| large | tiny | poor | 20.00 | 37.00 | -5.00 | -15.00 | no (right) | no (right) |" in text
    assert "| large | base | doubtful | 40.00 | 45.00 | +5.00 | -5.00 | yes | no |" in text
    counts = "2 of 2 verdicts right (promising 1 of 1, poor 1 of 1)"
    assert f"- Beats random: {counts}; 1 of 1 doubtful ones did, 2 of all 3" in text
    assert f"- Comparable to ERM: {counts}; 0 of 1 doubtful ones did, 1 of all 3" in text
    assert "- Rank correlation of easy share and OOD score: +1.00 (demo, large, 3 references)" in text
    table = pd.read_csv(outputs["csv"])
    assert table["beats_random"].tolist() == [True, False, True]


def test_no_transfers_no_rows(tmp_path):
    outputs = {kind: tmp_path / f"verdicts.{kind}" for kind in ("csv", "md", "tex")}
    write_verdicts({**SPEC, "transfers": [], "tasks": {}}, [], [], outputs)
    assert outputs["csv"].read_text().startswith("task,main,reference,verdict")
    text = outputs["md"].read_text()
    assert "0 of 0 verdicts right" in text and "Rank" not in text
