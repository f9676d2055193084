import csv
import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from ftft.artifacts import write_json, write_parquet
from ftft.results.costs import consumed_share, method_cost, parameter_millions
from ftft.results.scores import collect_scores, has_failed, load_scores
from ftft.results.tables import build_table, to_markdown, write_table

SEEDS = [0, 1, 2]
ERM = {"method": "ERM", "main": "large", "selection": "full", "budget": "full"}
FTFT = {
    "section": "Ours & cheap",
    "method": "FTFT",
    "main": "large",
    "reference": "small",
    "selection": "small-ambiguous-33",
    "budget": "stopped",
}
RANDOM = {**ERM, "method": "DM", "reference": "random", "selection": "random-33"}
SPEC = {
    "title": "Table_1: 50 % of a|b & c\\d",
    "metric": "accuracy",
    "datasets": ["r1_test", "r2_test"],
    "cost_of": "large",
    "parameters_m": {"small": 20.0, "large": 80.0},
    "seeds": SEEDS,
    "rows": [ERM, RANDOM, FTFT],
}


def ledger(model, selection, budget, seed, consumed=12, without_embeddings=50_000_000, validation=0.9):
    return {
        "run": {"task": "nli", "model": model, "selection": selection, "budget": budget, "seed": seed},
        "outcome": {
            "consumed_checkpoints": consumed,
            "planned_checkpoints": 12,
            "validation": {"accuracy": validation, "macro_f1": validation},
            "majority": {"accuracy": 0.5, "macro_f1": 0.3},
        },
        "cost": {"parameters": {"total": 10**9, "without_embeddings": without_embeddings}},
    }


def ledgers():
    """Runs behind SPEC; the stopped ones consume 6, 3 and 12 of their 12 checkpoints."""
    made = [ledger("large", "full", "full", seed) for seed in SEEDS]
    made += [ledger("large", "random-33", "full", seed) for seed in SEEDS]
    made += [ledger("small", "full", "full", seed, without_embeddings=25_000_000) for seed in SEEDS]
    made += [ledger("large", "small-ambiguous-33", "stopped", seed, (6, 3, 12)[seed]) for seed in SEEDS]
    return {
        tuple(entry["run"][key] for key in ("model", "selection", "budget", "seed")): entry for entry in made
    }


def scores(failed=()):
    """Accuracy .5, .6, .7 on r1_test and .2, .3, .4 on r2_test by seed, in every row; macro-F1 is 0."""
    rows = [
        {
            "model": row["main"],
            "selection": row["selection"],
            "budget": row["budget"],
            "seed": seed,
            "dataset": dataset,
            "metric": metric,
            "value": (base + seed / 10) * (metric == "accuracy"),
            "failed": (row["method"], seed) in failed,
        }
        for row in SPEC["rows"]
        for seed in SEEDS
        for dataset, base in (("r1_test", 0.5), ("r2_test", 0.2))
        for metric in ("accuracy", "macro_f1")
    ]
    return pd.DataFrame(rows)


def table_of(failed=(), **spec):
    table = build_table({**SPEC, **spec}, scores(failed), ledgers())
    return table.set_index("method").to_dict("index")


def test_a_row_shows_mean_and_deviation_over_seeds():
    row = table_of()["ERM"]
    # Deviation with divisor 2: ((.1)^2 + 0 + (.1)^2) / 2 = .01.
    assert (row["r1_test"], row["r1_test_std"]) == (pytest.approx(0.6), pytest.approx(0.1))
    assert (row["r2_test"], row["r2_test_std"]) == (pytest.approx(0.3), pytest.approx(0.1))
    assert (row["runs"], row["failed"], row["reference"], row["section"]) == (3, 0, "-", "")


@pytest.mark.parametrize(
    "other", [{"budget": "stopped"}, {"model": "small"}, {"selection": "small-easy-33"}], ids=str
)
def test_runs_of_another_kind_are_no_part_of_a_row(other):
    strangers = scores().assign(value=0.0, **other)
    table = build_table(SPEC, pd.concat([scores(), strangers]), ledgers())
    assert table.loc[0, "r1_test"] == pytest.approx(0.6)


def test_the_metric_chooses_the_scores():
    assert table_of(metric="macro_f1")["ERM"]["r1_test"] == 0


def test_failed_runs_are_counted_and_left_out():
    rows = table_of(failed={("FTFT", 2)})
    # Seeds 0 and 1: mean of .5 and .6; deviation with divisor 1: 2 x .05^2 = .005.
    assert (rows["FTFT"]["r1_test"], rows["FTFT"]["r1_test_std"]) == (
        pytest.approx(0.55),
        pytest.approx(0.005**0.5),
    )
    assert (rows["FTFT"]["runs"], rows["FTFT"]["failed"]) == (2, 1)
    assert (rows["ERM"]["runs"], rows["ERM"]["failed"]) == (3, 0)


def test_a_single_good_run_has_no_deviation():
    row = table_of(failed={("ERM", 0), ("ERM", 2)})["ERM"]
    assert (row["r1_test"], row["runs"], row["failed"]) == (pytest.approx(0.6), 1, 2)
    assert np.isnan(row["r1_test_std"])


@pytest.mark.parametrize(
    ("failed", "expected"),
    [
        # Reference 100 x 20/80, and the share of (6 + 3 + 12)/36 checkpoints.
        (set(), 25 + 58.33),
        # Without seed 2: (6 + 3)/24.
        ({("FTFT", 2)}, 25 + 37.5),
    ],
)
def test_ftft_costs_its_reference_and_the_consumed_share_of_good_runs(failed, expected):
    assert table_of(failed)["FTFT"]["cost"] == expected


def test_full_runs_without_a_reference_cost_the_unit():
    rows = table_of()
    assert rows["ERM"]["cost"] == rows["DM"]["cost"] == 100


def test_the_unit_of_cost_may_be_another_model():
    assert table_of(cost_of="small")["ERM"]["cost"] == 400


def test_counted_parameters_serve_where_a_model_has_none_configured():
    # 25 M and 50 M without embeddings.
    assert table_of(parameters_m={"small": None, "large": 80.0})["FTFT"]["cost"] == 50 + 58.33


def test_a_row_whose_runs_all_failed_has_neither_score_nor_cost():
    row = table_of(failed={("ERM", seed) for seed in SEEDS})["ERM"]
    assert np.isnan(row["r1_test"]) and np.isnan(row["cost"])
    assert (row["runs"], row["failed"]) == (0, 3)


@pytest.fixture
def written(tmp_path):
    """The three files of a table in which one FTFT run and all ERM runs failed."""
    failed = {("FTFT", 2), *(("ERM", seed) for seed in SEEDS)}
    write_parquet(tmp_path / "scores", pa.Table.from_pandas(scores(failed)), {})
    for number, made in enumerate(ledgers().values()):
        write_json(tmp_path / f"ledger{number}", made)
    files = {form: tmp_path / f"table.{form}" for form in ("csv", "md", "tex")}
    write_table(SPEC, tmp_path / "scores", sorted(tmp_path.glob("ledger*")), files)
    return {form: path.read_text(encoding="utf-8") for form, path in files.items()}


def test_the_csv_file_holds_plain_numbers(written):
    erm, random, ftft = csv.DictReader(written["csv"].splitlines())
    assert (erm["cost"], erm["r1_test"], erm["r1_test_std"], erm["runs"], erm["failed"]) == (
        "",
        "",
        "",
        "0",
        "3",
    )
    assert (random["reference"], random["cost"], random["r2_test"]) == ("random", "100.0000", "0.3000")
    assert ftft == {
        "section": "Ours & cheap",
        "method": "FTFT",
        "main": "large",
        "reference": "small",
        "selection": "small-ambiguous-33",
        "cost": "62.5000",
        "r1_test": "0.5500",
        "r1_test_std": "0.0707",
        "r2_test": "0.2500",
        "r2_test_std": "0.0707",
        "runs": "2",
        "failed": "1",
    }


def test_the_markdown_file_shows_percent_sections_and_failures(written):
    lines = written["md"].splitlines()
    assert lines[0].startswith(
        "Table_1: 50 % of a|b & c\\d. Mean accuracy in percent ± standard deviation over 3"
    )
    assert lines[2:] == [
        "| Method | Main model | Reference | Cost | r1_test | r2_test | Runs |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| ERM | large | - | - | failed | failed | 0 (3 failed) |",
        "| DM | large | random | 100.00 | 60.00 ± 10.00 | 30.00 ± 10.00 | 3 |",
        "| *Ours & cheap* |  |  |  |  |  |  |",
        "| FTFT | large | small | 62.50 | 55.00 ± 7.07 | 25.00 ± 7.07 | 2 (1 failed) |",
    ]


def test_the_latex_file_shows_the_same_cells_escaped(written):
    text = written["tex"]
    assert r"\caption{Table\_1: 50 \% of a|b \& c\textbackslash{}d. Mean accuracy" in text
    assert r"Method & Main model & Reference & Cost & r1\_test & r2\_test & Runs \\" in text
    assert r"\multicolumn{7}{l}{\textit{Ours \& cheap}} \\" in text
    deviation = r"55.00 {\scriptsize$\pm$} 7.07 & 25.00 {\scriptsize$\pm$} 7.07 & 2 (1 failed) \\"
    assert f"FTFT & large & small & 62.50 & {deviation}" in text
    assert r"ERM & large & - & - & failed & failed & 0 (3 failed) \\" in text
    rows = [line for line in text.splitlines() if re.search(r"(?<!\\)& ", line)]
    assert len(rows) == 4 and {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {6}


def test_a_bar_in_a_section_does_not_split_a_markdown_cell():
    spec = {**SPEC, "rows": [{**ERM, "section": "a|b"}]}
    text = to_markdown(build_table(spec, scores(), ledgers()), spec)
    assert r"| *a\|b* |" in text


def test_costs_follow_parameters_and_share():
    assert method_cost(80, 80) == 100
    assert method_cost(20, 80, share=0.5) == 12.5
    assert method_cost(80, 80, share=0.5, reference=8) == 60
    assert consumed_share(ledger("large", "full", "stopped", 0, consumed=3)) == 0.25


def test_parameters_are_of_one_convention():
    made = {"small": ledger("small", "full", "full", 0), "large": ledger("large", "full", "full", 0)}
    assert parameter_millions(made, {"small": 1.5, "large": 2.5, "other": None}) == {
        "small": 1.5,
        "large": 2.5,
    }
    assert parameter_millions(made, {"small": 1.5}) == {"small": 50.0, "large": 50.0}


@pytest.mark.parametrize(("validation", "failed"), [(0.49, True), (0.5, True), (0.51, False)])
def test_a_run_no_better_than_the_majority_class_has_failed(validation, failed):
    assert has_failed(ledger("large", "full", "full", 0, validation=validation), "accuracy") == failed


def test_scores_are_one_row_per_run_set_and_metric(tmp_path):
    run = ledger("large", "full", "full", 1)["run"]
    columns = {
        "dataset": ["a", "a", "a", "b", "b"],
        "label": [0, 0, 1, 1, 1],
        "prediction": [0, 1, 1, 1, 0],
        "logit_0": [0.0] * 5,
    }
    write_parquet(tmp_path / "evaluation", pa.table(columns), {"run": run, "labels": ["no", "yes"]})
    write_json(tmp_path / "ledger", ledger("large", "full", "full", 1, validation=0.4))
    spec = {"failure_metric": "macro_f1", "validation": "a"}
    collect_scores(spec, [tmp_path / "evaluation"], [tmp_path / "ledger"], tmp_path / "scores")
    rows = load_scores(tmp_path / "scores")
    assert rows[["task", "model", "selection", "budget", "seed"]].drop_duplicates().to_dict("records") == [
        run
    ]
    assert not rows["failed"].any()
    shown = ["dataset", "metric", "value", "majority", "instances"]
    # Set a: F1 of no 2/(2 + 1), of yes 2/(1 + 2). Set b: F1 of no 0, of yes 2/(2 + 1).
    expected = [
        ("a", "accuracy", 2 / 3, 2 / 3, 3),
        ("a", "macro_f1", 2 / 3, 0.4, 3),
        ("b", "accuracy", 1 / 2, 1.0, 2),
        ("b", "macro_f1", 1 / 3, 0.5, 2),
    ]
    for row, values in zip(rows[shown].itertuples(index=False), expected, strict=True):
        assert row[:2] == values[:2]
        assert row[2:] == pytest.approx(values[2:])
