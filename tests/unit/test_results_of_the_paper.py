"""Comparisons, claims, easy shares, patience and model costs, from artifacts to tables."""

import csv
import itertools
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftft.artifacts import read_json, write_json, write_parquet
from ftft.cartography.datamap import DataMap
from ftft.errors import ArtifactError
from ftft.paper.claims import FAILS, HOLDS, OPEN, Comparison, decide, write_claims
from ftft.pipeline.names import Run
from ftft.results.easy_share import write_easy_shares
from ftft.results.model_costs import write_model_costs
from ftft.results.patience import read_every_patience, write_patience
from ftft.results.provenance import write_provenance
from ftft.results.tables import score_columns, write_table
from ftft.statistics.bootstrap import Difference
from ftft.statistics.comparisons import compare_rows, load_comparisons
from ftft.statistics.scores import collect_scores, load_scores

SIZES = {"large": 80, "small": 20}
SETS = {"id": 400, "r1": 300, "r2": 300}


def ledger(model, supervision="all", budget="full", seed=0, validation=0.9, task="nli", **cost):
    return {
        "run": {"task": task, "model": model, "supervision": supervision, "budget": budget, "seed": seed},
        "outcome": {
            "planned_steps": 100,
            "steps": 100,
            "planned_checkpoints": 4,
            "consumed_checkpoints": 4,
            "validation": {"accuracy": validation, "macro_f1": validation},
            "floor": {"accuracy": 0.5, "macro_f1": 0.3},
        },
        "spec": {"early_stopping": None},
        "cost": {
            "parameters": {"without_embeddings": SIZES[model] * 10**6},
            "flops": 1e8 * SIZES[model] / (1 if model == "large" else 2),
            "training_seconds": 10.0,
            "energy_joules": 5000.0,
            "peak_memory_mb": 300.0,
            **cost,
        },
    }


class Runs:
    """Evaluations and ledgers of made-up runs, right on a given share of every set."""

    def __init__(self, folder, sets=SETS):
        self.folder, self.sets, self.evaluations, self.ledgers = folder, sets, [], []

    def add(self, model, right, supervision="all", budget="full", seed=0, validation=0.9, uids=None):
        number = len(self.ledgers)
        made = ledger(model, supervision, budget, seed, validation)
        for position, (name, size) in enumerate(self.sets.items()):
            generator = np.random.Generator(np.random.PCG64([position]))
            labels = generator.integers(0, 2, size)
            share = right if isinstance(right, float) else right[name]
            # The same examples are hard for everybody; seeds differ in a few more.
            wrong = np.arange(size) >= share * size + (seed if 0 < share < 1 else 0)
            columns = {
                "uid": [f"{name}{row}" for row in (uids or range)(size)],
                "label": labels,
                "prediction": np.where(wrong, 1 - labels, labels),
            }
            about = {"run": made["run"], "dataset": name, "kind": "classification", "labels": ["no", "yes"]}
            self.evaluations.append(self.folder / f"evaluation{number}-{position}.parquet")
            write_parquet(self.evaluations[-1], pa.table(columns), about)
        self.ledgers.append(self.folder / f"ledger{number}.json")
        write_json(self.ledgers[-1], made)


@pytest.fixture
def runs(tmp_path):
    return Runs(tmp_path)


ERM = {"method": "ERM", "main": "large", "supervision": "all", "budget": "full"}
DM = {**ERM, "method": "DM", "reference": "small", "supervision": "small-ambiguous-33"}
RANDOM = {**ERM, "method": "DM", "reference": "random", "supervision": "random-33"}
COMPARED = {
    "metric": "accuracy",
    "failure_metric": "accuracy",
    "datasets": list(SETS),
    "rows": [ERM, DM, RANDOM],
    "baselines": [ERM, ERM, ERM],
    "resamples": 2000,
    "confidence": 0.95,
}


def compared(runs, **spec):
    output, view = runs.folder / "comparisons.parquet", runs.folder / "comparisons.csv"
    if not any("small-full" in path.name for path in runs.ledgers):
        for seed in range(4):
            runs.ledgers.append(runs.folder / f"small-full{seed}.json")
            write_json(runs.ledgers[-1], ledger("small", seed=seed))
    compare_rows({**COMPARED, **spec}, runs.evaluations, runs.ledgers, output, view)
    return load_comparisons(output)


def test_rows_are_compared_with_their_baseline_on_every_set(runs):
    for seed in (0, 1, 2):
        runs.add("large", 0.6, seed=seed)
        runs.add("large", 0.8, "small-ambiguous-33", seed=seed)
        runs.add("large", 0.6, "random-33", seed=seed)
    frame = compared(runs)
    assert sorted(set(zip(frame["row"], frame["dataset"], strict=True))) == sorted(
        itertools.product((1, 2), SETS)
    )
    better, same = frame[frame["row"] == 1], frame[frame["row"] == 2]
    assert better["difference"].tolist() == pytest.approx([0.2] * 3)
    assert (better["low"] > 0.1).all() and (better["p_holm"] < 0.01).all()
    assert (same["difference"] == 0).all() and (same["p_holm"] == 1).all()
    # Holm over the six comparisons of the table: the smallest p-value counts six times.
    assert better["p_holm"].min() == pytest.approx(6 * better["p_value"].min(), rel=1e-12)
    assert (frame["seeds"] == 3).all()


def test_failed_runs_are_no_part_of_a_comparison(runs):
    for seed in (0, 1):
        runs.add("large", 0.6, seed=seed)
        runs.add("large", 0.8 - 0.7 * seed, "small-ambiguous-33", seed=seed, validation=0.9 - 0.5 * seed)
    frame = compared(runs, rows=[DM], baselines=[ERM])
    assert (frame["seeds"] == 1).all()
    assert frame["difference"].tolist() == pytest.approx([0.2] * 3)
    # One seed: an interval over examples, and nothing that a star could rest on.
    assert (frame["low"] > 0.1).all() and frame[["p_value", "p_holm"]].isna().all(axis=None)


def test_a_run_on_a_failed_reference_is_no_part_of_a_comparison(runs):
    for seed in (0, 1, 2):
        runs.add("large", 0.6, seed=seed)
        runs.add("large", 0.8, "small-ambiguous-33", seed=seed)
        runs.ledgers.append(runs.folder / f"small-full{seed}.json")
        write_json(runs.ledgers[-1], ledger("small", seed=seed, validation=0.5 if seed == 1 else 0.9))
    frame = compared(runs, rows=[DM], baselines=[ERM])
    assert (frame["seeds"] == 2).all()
    spec = {"failure_metric": "accuracy", "references": {"small-ambiguous-33": "small"}}
    collect_scores(spec, runs.evaluations, runs.ledgers, runs.folder / "scores")
    scores = load_scores(runs.folder / "scores")
    left_out = scores[scores["failed"]]
    assert set(left_out["supervision"]) == {"small-ambiguous-33"} and set(left_out["seed"]) == {1}
    reason = "its reference small learnt nothing (accuracy 50.00, of the trivial answer 50.00)"
    assert set(left_out["reason"]) == {reason}


def test_a_run_whose_reference_is_not_known_is_refused(runs):
    runs.add("large", 0.8, "small-ambiguous-33")
    with pytest.raises(ArtifactError, match="the reference run of small-ambiguous-33, seed 0"):
        compare_rows(
            {**COMPARED, "rows": [DM], "baselines": [ERM]},
            runs.evaluations,
            runs.ledgers,
            runs.folder / "out",
            runs.folder / "view",
        )


def test_a_row_whose_runs_all_failed_is_not_compared(runs):
    runs.add("large", 0.6)
    runs.add("large", 0.5, "small-ambiguous-33", validation=0.5)
    assert compared(runs, rows=[DM], baselines=[ERM]).empty


def test_runs_without_a_common_seed_are_not_compared(runs):
    runs.add("large", 0.6, seed=0)
    runs.add("large", 0.8, "small-ambiguous-33", seed=1)
    assert compared(runs, rows=[DM], baselines=[ERM]).empty


def test_evaluations_of_other_examples_are_refused(runs):
    runs.add("large", 0.6)
    runs.add("large", 0.8, "small-ambiguous-33", uids=lambda size: reversed(range(size)))
    with pytest.raises(ArtifactError, match="data set 'id' are not of the same examples"):
        compared(runs)


def comparison(relation, low, high, p_value, margin=0.02, name="a"):
    return Comparison(name, relation, margin, Difference((low + high) / 2, low, high, p_value, 4))


CLEAR = {"above": (0.1, 0.2, 0.001), "below": (-0.2, -0.1, 0.001), "open": (-0.1, 0.1, 0.9)}


@pytest.mark.parametrize(
    ("relation", "found", "verdict"),
    [
        ("above", "above", HOLDS),
        ("above", "below", FAILS),
        ("above", "open", OPEN),
        ("below", "below", HOLDS),
        ("below", "above", FAILS),
        ("not below", "above", HOLDS),
        ("not below", "below", FAILS),
        ("not below", "open", OPEN),
    ],
)
def test_one_comparison_decides_a_claim(relation, found, verdict):
    assert decide([comparison(relation, *CLEAR[found])], 1.0, 0.95) == verdict


def test_not_below_allows_its_margin():
    assert decide([comparison("not below", -0.019, 0.1, 0.5)], 1.0, 0.95) == HOLDS
    assert decide([comparison("not below", -0.021, 0.1, 0.5)], 1.0, 0.95) == OPEN
    assert decide([comparison("not below", -0.049, 0.1, 0.5, margin=0.05)], 1.0, 0.95) == HOLDS


@pytest.mark.parametrize(
    ("found", "need", "verdict"),
    [
        (["above", "above", "open", "below"], 1.0, FAILS),
        (["above", "above", "open", "open"], 1.0, OPEN),
        (["above", "above", "above", "below"], 0.5000001, HOLDS),
        (["above", "above", "below", "below"], 0.5000001, FAILS),
        (["above", "above", "open", "below"], 0.5000001, OPEN),
        (["above", "below", "below", "below"], 0.25, HOLDS),
        (["below", "below", "below", "below"], 0.25, FAILS),
    ],
)
def test_a_claim_needs_a_share_of_its_comparisons(found, need, verdict):
    tests = [comparison("above", *CLEAR[kind], name=str(place)) for place, kind in enumerate(found)]
    assert decide(tests, need, 0.95) == verdict


def test_p_values_are_adjusted_over_the_claim():
    tests = [comparison("above", 0.01, 0.2, 0.03, name=str(place)) for place in range(2)]
    assert decide(tests[:1], 1.0, 0.95) == HOLDS
    assert decide(tests, 1.0, 0.95) == OPEN


def claim(name, tests, missing=()):
    return {
        "claim": name,
        "text": "Text.",
        "section": "4.1",
        "task": "nli",
        "need": 1.0,
        "tests": tests,
        "missing": list(missing),
    }


def test_claims_are_written_with_figures_verdict_and_test(runs):
    for seed in (0, 1, 2):
        runs.add("large", 0.6, seed=seed)
        runs.add("large", {"id": 0.59, "r1": 0.8, "r2": 0.8}, "small-ambiguous-33", seed=seed)
        runs.ledgers.append(runs.folder / f"small-full{seed}.json")
        write_json(runs.ledgers[-1], ledger("small", seed=seed))
    test = {"name": "DM - ERM", "left": DM, "right": ERM, "margin": 0.02}
    spec = {
        "claims": [
            claim("1", [{**test, "relation": "above", "sets": "ood"}]),
            claim("2", [{**test, "relation": "above", "sets": "each"}]),
            claim("3", [{**test, "relation": "not below", "sets": "id", "margin": 0.05}]),
            claim("4", [], ["a model that stands for electra-small"]),
            claim("5", [{**test, "right": RANDOM, "relation": "above", "sets": "id"}]),
            claim("6", [{**test, "relation": "above", "sets": "ood"}], ["a further model"]),
        ],
        "tasks": {"nli": {"metric": "accuracy", "validation": "id", "evaluate": list(SETS)}},
        "resamples": 1000,
        "confidence": 0.95,
    }
    outputs = {form: runs.folder / f"claims.{form}" for form in ("csv", "md", "tex")}
    write_claims(spec, runs.evaluations, runs.ledgers, outputs)
    rows = {row["claim"]: row for row in csv.DictReader(outputs["csv"].read_text().splitlines())}
    verdicts = {name: row["verdict"] for name, row in rows.items()}
    assert verdicts == {"1": HOLDS, "2": HOLDS, "3": HOLDS, "4": OPEN, "5": OPEN, "6": OPEN}
    assert rows["1"]["figures"].startswith("DM - ERM, ood: +20.00 [+")
    assert rows["2"]["figures"].count(" on r") == 2
    assert "interval above -5 points" in rows["3"]["test"]
    assert rows["4"]["test"] == "the configuration lacks a model that stands for electra-small"
    assert rows["5"]["figures"] == "DM - ERM, id: no runs"
    assert "| 1 | Text. | 4.1 | holds |" in outputs["md"].read_text()


def test_easy_shares_stand_beside_the_printed_ones(tmp_path):
    # Variability and confidence fall together: the ambiguous are the easiest, no overlap up to half.
    size = 100
    falling = np.arange(size, 0, -1) / size
    for seed in (0, 1):
        data_map = DataMap([str(row) for row in range(size)], falling, falling / 2, np.ones(size))
        data_map.save(tmp_path / f"map{seed}", {"data_hash": "", "epochs": 3})
        write_json(tmp_path / f"ledger{seed}", ledger("small", seed=seed, validation=0.9 - 0.5 * seed))
    spec = {
        "runs": [{"task": "nli", "model": "small", "seed": seed} for seed in (0, 1)],
        "published": {"nli": {"small": {"10": 81.0}}},
        "failure_metric": {"nli": "accuracy"},
        "seeds": [0, 1],
    }
    outputs = {form: tmp_path / f"table4.{form}" for form in ("csv", "md", "tex")}
    files = [[tmp_path / f"{kind}{seed}" for seed in (0, 1)] for kind in ("map", "ledger")]
    write_easy_shares(spec, *files, outputs)
    frame = pd.read_csv(outputs["csv"])
    assert frame["easy_share"].tolist() == [80, 50, 34, 0]
    # The second run failed.
    assert (frame["runs"] == 1).all() and frame["easy_share_std"].isna().all()
    assert (
        frame["difference"].tolist()[0] == -1 and frame["published"].isna().tolist() == [False] + [True] * 3
    )
    assert "| small | 80.00 (81.00, -1.00) | 50.00 | 34.00 | 0.00 | 1 |" in outputs["md"].read_text()


def trajectory(*scores):
    return [
        {
            "checkpoint": place + 1,
            "step": 25 * (place + 1),
            "dataset": name,
            "metric": "accuracy",
            "value": value,
        }
        for place, value in enumerate(scores)
        for name in ("dev1", "dev2")
    ]


RULE = {"metric": "accuracy", "monitored": ["dev1", "dev2"]}


def test_every_patience_is_read_from_a_full_run():
    readings = read_every_patience(trajectory(0.5, 0.4, 0.6, 0.5), RULE)
    assert [(entry["patience"], entry["stop"], entry["kept"], entry["score"]) for entry in readings] == [
        (1, 2, 1, 0.5),
        (2, 4, 3, 0.6),
        (3, 4, 3, 0.6),
        (4, 4, 3, 0.6),
    ]


def test_patience_counts_stops_and_costs_over_seeds(tmp_path):
    runs = []
    series = {
        ("large", 0): (0.5, 0.4, 0.6, 0.5),
        ("large", 1): (0.5, 0.6, 0.7, 0.8),
        ("small", 0): (0.1,) * 4,
        ("small", 1): (0.1,) * 4,
    }
    for number, ((model, seed), scores) in enumerate(series.items()):
        supervision = "small-ambiguous-33" if model == "large" else "all"
        reference = "small" if model == "large" else None
        runs.append(
            {"task": "nli", "model": model, "supervision": supervision, "seed": seed, "reference": reference}
        )
        write_parquet(tmp_path / f"trajectory{number}", pa.Table.from_pylist(trajectory(*scores)), {})
        write_json(tmp_path / f"ledger{number}", ledger(model, supervision, seed=seed))
    spec = {
        "runs": runs,
        "rules": {"nli": {"ood": RULE}},
        "cost_of": {"nli": "large"},
        "parameters_m": {"large": 80, "small": 20},
    }
    outputs = {form: tmp_path / f"patience.{form}" for form in ("csv", "md", "tex")}
    files = [[tmp_path / f"{kind}{number}" for number in range(4)] for kind in ("trajectory", "ledger")]
    write_patience(spec, *files, outputs)
    frame = pd.read_csv(outputs["csv"])
    first = frame[(frame["main"] == "large") & (frame["patience"] == 1)].iloc[0]
    # Seeds stop at checkpoints 2 and 4 of 4; the reference costs 25.
    assert (first["stop"], first["kept"], first["runs"], first["cost"]) == (3, 2.5, 2, 25 + 75)
    assert first["score"] == pytest.approx(0.65) and first["last_score"] == pytest.approx(0.65)
    assert frame[frame["main"] == "small"]["cost"].tolist() == [12.5, 18.75, 25, 25]


def test_a_checkpoint_after_the_last_whole_interval_counts_as_the_last(tmp_path):
    scores = (0.1, 0.2, 0.3, 0.4, 0.5)
    write_parquet(tmp_path / "trajectory", pa.Table.from_pylist(trajectory(*scores)), {})
    write_json(tmp_path / "ledger", ledger("large"))
    spec = {
        "runs": [{"task": "nli", "model": "large", "supervision": "all", "seed": 0, "reference": None}],
        "rules": {"nli": {"ood": RULE}},
        "cost_of": {"nli": "large"},
        "parameters_m": {"large": 80},
    }
    outputs = {form: tmp_path / f"patience.{form}" for form in ("csv", "md", "tex")}
    write_patience(spec, [tmp_path / "trajectory"], [tmp_path / "ledger"], outputs)
    read = pd.read_csv(outputs["csv"])
    assert (read["stop"] == 4).all() and (read["kept"] == 4).all() and (read["cost"] == 100).all()


def test_model_costs_are_percent_of_the_unit(tmp_path):
    for model in ("small", "large"):
        write_json(tmp_path / model, ledger(model))
    spec = {
        "models": {"nli": ["small", "large"]},
        "cost_of": {"nli": "large"},
        "parameters_m": {"small": None, "large": None},
        "seeds": [0],
    }
    outputs = {form: tmp_path / f"table3.{form}" for form in ("csv", "md", "tex")}
    write_model_costs(spec, [tmp_path / "small", tmp_path / "large"], outputs)
    small, large = csv.DictReader(outputs["csv"].read_text().splitlines())
    assert (small["model"], small["parameters_m"], small["cost"], small["cost_by_flops"]) == (
        "small",
        "20.0000",
        "25.0000",
        "12.5000",
    )
    assert large["cost"] == large["cost_by_steps"] == large["cost_by_seconds"] == "100.0000"
    assert "| small | 20 | 25.00 | 25.00 | 12.50 | 10.0 | 5.00 | 300 |" in outputs["md"].read_text()


def test_a_cell_leads_to_its_runs_and_their_command(tmp_path):
    values = [
        {"model": "large", "supervision": "all", "budget": "full", "seed": seed, "dataset": name}
        | {"value": 0.5 + seed, "metric": "accuracy", "failed": seed == 1, "reason": "why" * (seed == 1)}
        for name in SETS
        for seed in (0, 1)
    ]
    write_parquet(tmp_path / "scores", pa.Table.from_pylist(values), {})
    files = [[Run("nli", "large", "all", "full", seed).files() for seed in (0, 1)]]
    spec = {"task": "nli", "metric": "accuracy", "seeds": [0, 1], "rows": [ERM]}
    spec |= {"datasets": ["id", "r1"], "files": files}
    write_provenance(spec, tmp_path / "scores", ["my config.yaml"], tmp_path / "out")

    (row,) = read_json(tmp_path / "out")["rows"]
    run, failed = row["runs"]
    assert (run["failed"], failed["failed"], failed["reason"]) == (False, True, "why")
    assert run["scores"] == dict.fromkeys(SETS, 0.5)
    assert run["files"]["log"] == "logs/train/nli/large/all/full/seed0.log"
    folder = "results/evaluations/nli/large/all/full/seed0"
    targets = f"{folder}/id.parquet {folder}/r1.parquet"
    assert run["command"] == f"snakemake --cores 1 --configfile 'my config.yaml' -- {targets}"


# All that a data set, a model or a table may be called, and what libraries take for something else.
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,8}", fullmatch=True) | st.sampled_from(
    ["2023", "nan", "NaN", "NA", "null", "None", "1", "1.0", "1e3", "true", "inf", "mean", "runs", "x_std"]
)


TWO_NAMES = st.lists(NAMES, min_size=2, max_size=2, unique=True)


@given(TWO_NAMES, TWO_NAMES)
@settings(max_examples=15, deadline=None)
def test_names_are_text_from_evaluations_to_the_last_table(datasets, models):
    main, reference = models
    supervision = f"{reference}-ambiguous-33"
    dm = {"method": "DM", "main": main, "reference": reference, "supervision": supervision, "budget": "full"}
    erm = {"method": "ERM", "main": main, "supervision": "all", "budget": "full"}
    with TemporaryDirectory() as name, patch.dict(SIZES, {main: 80, reference: 20}):
        folder = Path(name)
        runs = Runs(folder, dict.fromkeys(datasets, 400))
        for seed in (0, 1, 2):
            runs.add(main, 0.6, seed=seed)
            runs.add(main, 0.8, supervision, seed=seed)
            runs.add(reference, 0.6, seed=seed)
        common = {"metric": "accuracy", "datasets": datasets, "rows": [erm, dm], "seeds": [0, 1, 2]}
        spec = {**COMPARED, **common, "baselines": [erm, erm], "references": {supervision: reference}}
        spec |= {"task": "nli", "title": "T", "cost_of": main, "parameters_m": {}, "left_out": []}
        collect_scores(spec, runs.evaluations, runs.ledgers, folder / "scores")
        compare_rows(spec, runs.evaluations, runs.ledgers, folder / "comparisons", folder / "view")
        outputs = {form: folder / f"table.{form}" for form in ("csv", "md", "tex", "costs")}
        write_table(spec, folder / "scores", folder / "comparisons", runs.ledgers, {}, outputs)
        lines = outputs["md"].read_text(encoding="utf-8").splitlines()
        (line,) = [line for line in lines if line.startswith("| DM |")]
        assert line.count("*") == 2 and " failed" not in line and line.endswith("| 3 | 3 |")
        _, row = csv.DictReader(outputs["csv"].read_text(encoding="utf-8").splitlines())
        columns = score_columns(datasets)
        assert (row["main"], row["reference"]) == (main, reference)
        assert all(0.79 < float(row[columns[dataset]]) < 0.82 for dataset in datasets)
