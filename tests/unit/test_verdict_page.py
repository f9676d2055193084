"""A verdict from files to words: what pays, what was not shown, and what is taken then."""

import html

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from ftft.artifacts import read_json, write_json, write_parquet
from ftft.data.dataset import Dataset
from ftft.results.verdict_page import page
from ftft.results.verdicts import write_verdict
from ftft.statistics.bootstrap import Difference
from ftft.statistics.verdicts import Lead

EXAMPLES, CHECKPOINTS = 80, 4
METHODS = {
    # name: (supervision, reference, free, rivals)
    "ERM": ("all", None, True, []),
    "random rows": ("random-33", "random", True, ["ERM"]),
    "matched rows": ("small-matched_random-33", "small", False, []),
    "ambiguous rows": ("small-ambiguous-33", "small", False, ["ERM", "random rows", "matched rows"]),
}
SPEC = {
    "title": "Did it pay?",
    "unit": "large",
    "metric": "accuracy",
    "failure_metric": "accuracy",
    "sets": {"name": "out of distribution", "datasets": ["dev"]},
    "confidence": 0.95,
    "resamples": 400,
    "methods": [
        {
            "name": name,
            "main": "large",
            "supervision": supervision,
            "budget": "full",
            "free": free,
            "rivals": rivals,
            "lacks": [],
            "looks": False,
            "trained": True,
            **({"reference": reference} if reference else {}),
        }
        for name, (supervision, reference, free, rivals) in METHODS.items()
    ],
}


def ledger(model, supervision, seed, flops, learnt=True):
    score = {"accuracy": 0.9 if learnt else 0.2}
    return {
        "run": {"task": "t", "model": model, "supervision": supervision, "budget": "full", "seed": seed},
        "outcome": {
            "steps": 40,
            "checkpoint_interval": 10,
            "validation": score,
            "floor": {"accuracy": 0.5},
        },
        "cost": {"flops": flops, "evaluation_flops": 0},
        "spec": {"early_stopping": None},
    }


@pytest.fixture
def judged(tmp_path):
    """Judge methods whose predictions are right in so many of the examples, the first ones."""

    def judge(right, seeds=5, failed=(), spec=SPEC):
        Dataset(
            [str(n) for n in range(EXAMPLES)], (["x"] * EXAMPLES,), np.ones(EXAMPLES, int), ["a", "b"]
        ).save(tmp_path / "dev.parquet")
        ledgers, development, maps = [], [], []
        for seed in range(seeds):
            write_json(tmp_path / f"reference{seed}", ledger("small", "all", seed, 20))
            write_json(tmp_path / f"map{seed}", {"model": "small", "seed": seed, "flops": 0})
            ledgers.append(tmp_path / f"reference{seed}")
            maps.append(tmp_path / f"map{seed}")
            for name, (supervision, *_) in METHODS.items():
                made = ledger("large", supervision, seed, 100, name not in failed)
                path = tmp_path / f"{name}{seed}"
                write_json(path, made)
                predictions = np.arange(EXAMPLES) < right[name] + seed % 2
                table = {
                    "checkpoint": np.repeat(np.arange(1, CHECKPOINTS + 1), EXAMPLES),
                    "dataset": ["dev"] * EXAMPLES * CHECKPOINTS,
                    "prediction": pa.array(np.tile(predictions, CHECKPOINTS).astype(np.int16)),
                }
                write_parquet(f"{path}.parquet", pa.table(table), {"run": made["run"]})
                ledgers.append(path)
                development.append(f"{path}.parquet")
        passed = tmp_path / "before"
        write_json(passed, {"model": "small", "flops": 40})
        outputs = {form: tmp_path / f"verdict.{form}" for form in ("page", "verdict", "svg", "png", "csv")}
        write_verdict(spec, ledgers, development, maps, [passed], {"dev": tmp_path / "dev.parquet"}, outputs)
        return read_json(outputs["verdict"]), outputs["page"].read_text(encoding="utf-8")

    return judge


ALIKE = dict.fromkeys(METHODS, 50)


def test_what_is_above_all_pays_from_the_smallest_budget_on(judged):
    verdict, page = judged({**ALIKE, "ambiguous rows": 75})
    (told,) = verdict["sentences"]
    # A reference of 20 and a quarter of 100; ERM costs 100.
    assert told.startswith(
        "ambiguous rows pays from 45 % of the compute of ERM on: there its accuracy out of distribution is "
        "above ERM, random rows and matched rows at the same compute, by 31.2 points over"
    )
    assert "5 seeds" in told and told in page


@pytest.mark.parametrize(("trained", "budget"), [(False, 65), (True, 85)])
def test_the_pass_before_training_is_counted(judged, trained, budget):
    # The pass takes 40, a reference 20, a quarter of the main run 25.
    methods = [
        {**row, "looks": row.get("reference") == "small", "trained": trained} for row in SPEC["methods"]
    ]
    verdict, _ = judged({**ALIKE, "ambiguous rows": 75}, spec={**SPEC, "methods": methods})
    assert verdict["sentences"][0].startswith(f"ambiguous rows pays from {budget} % of the compute of ERM on")


def test_what_is_above_chance_but_not_above_its_control_does_not_pay(judged):
    verdict, page = judged({**ALIKE, "ambiguous rows": 75, "matched rows": 75})
    told, taken = verdict["sentences"]
    assert told.startswith("Not shown that any selection pays: over 5 seeds, no budget has intervals")
    assert taken.startswith("Take random rows: of what needs no reference this has the best mean, accuracy")
    assert "pays from" not in page


def test_a_control_that_costs_nothing_is_recommended(judged):
    verdict, _ = judged({**ALIKE, "random rows": 75, "ambiguous rows": 76})
    (told,) = verdict["sentences"]
    assert told.startswith("Take random rows, for which no reference is needed: this pays from 25 %")


def test_one_seed_shows_nothing(judged):
    verdict, _ = judged({**ALIKE, "ambiguous rows": 80}, seeds=1)
    assert verdict["sentences"][0] == ("Not shown that any selection pays: one seed says nothing of others")


def test_without_the_control_there_is_no_claim(judged):
    right = {**ALIKE, "ambiguous rows": 75}
    verdict, page = judged(right, failed={"matched rows"})
    assert verdict["left_out"][0] == ("Not judged: ambiguous rows, for there is no good run of matched rows")
    assert not any(lead["shown"] for lead in verdict["leads"])
    assert "it learnt nothing" in page
    lacking = [{**row, "lacks": ["random rows"] if row["rivals"] else []} for row in SPEC["methods"]]
    verdict, _ = judged(right, spec={**SPEC, "methods": lacking})
    assert verdict["sentences"][0].endswith("for none are there good runs of all that it has to beat")


def test_where_all_runs_failed_the_page_says_so(judged):
    verdict, page = judged(ALIKE, failed=set(METHODS))
    assert not verdict["leads"] and verdict["sentences"][0].startswith("Not shown that any selection pays")
    assert "it learnt nothing" in page


def test_names_are_text_and_no_mark_up(judged):
    hostile = '"><script>alert(1)</script> $x &amp;'
    names = {"ambiguous rows": hostile}
    methods = [
        {**method, "name": names.get(method["name"], method["name"]), "rivals": ["ERM"]}
        for method in SPEC["methods"]
    ]
    sets = {"name": hostile, "datasets": ["dev"]}
    spec = {**SPEC, "title": hostile, "sets": sets, "methods": methods}
    verdict, page = judged({**ALIKE, "ambiguous rows": 75}, spec=spec)
    assert hostile in verdict["sentences"][0]
    assert "<script>alert" not in page and html.escape(hostile) in page


def test_an_end_beyond_any_difference_is_told_as_that():
    leads = [Lead("a", 50.0, "b", Difference(0.1, -25.48, 51.04, 0.5, 2), False)]
    points = pd.DataFrame({"method": ["a"], "score": [0.5], "cost": [50.0]})
    shown = page(SPEC, {"sentences": [], "left_out": []}, points, leads, b"")
    assert "&lt; -100 to &gt; +100" in shown and "2548" not in shown
