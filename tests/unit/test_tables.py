import csv
import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from ftft.artifacts import write_json, write_parquet
from ftft.results.rendering import to_markdown
from ftft.results.tables import (
    _caption,
    build_rows,
    load_supervising,
    render,
    row_label,
    score_columns,
    to_frame,
    write_table,
)
from ftft.statistics.comparisons import SCHEMA as COMPARED
from ftft.statistics.costs import consumed_share, method_cost, parameter_millions, parts
from ftft.statistics.scores import collect_scores, load_scores

SEEDS = [0, 1, 2]
ERM = {"method": "ERM", "main": "large", "supervision": "all", "budget": "full"}
FTFT = {
    "section": "Ours & cheap",
    "method": "FTFT",
    "main": "large",
    "reference": "small",
    "supervision": "small-ambiguous-33",
    "budget": "stopped-ood",
    "monitor": "ood",
}
RANDOM = {**ERM, "method": "DM", "reference": "random", "supervision": "random-33"}
SPEC = {
    "task": "nli",
    "title": "Table_1: 50 % of a|b & c\\d",
    "metric": "accuracy",
    "datasets": ["r1_test", "r2_test"],
    "cost_of": "large",
    "parameters_m": {"small": 20.0, "large": 80.0},
    "seeds": SEEDS,
    "left_out": [],
    "confidence": 0.95,
    "rows": [ERM, RANDOM, FTFT],
}


SUPERVISING = {
    (supervision, seed): {"flops": flops, "seconds": 6.0, "peak_memory_mb": 50.0}
    for supervision, flops in (("random-33", 0), ("small-ambiguous-33", 1_000_000))
    for seed in SEEDS
}


def ledger(
    model, supervision, budget, seed, consumed=12, without_embeddings=50_000_000, validation=0.9, steps=1200
):
    return {
        "run": {"task": "nli", "model": model, "supervision": supervision, "budget": budget, "seed": seed},
        "outcome": {
            "planned_steps": steps,
            "steps": steps * consumed // 12,
            "consumed_checkpoints": consumed,
            "planned_checkpoints": 12,
            "validation": {"accuracy": validation, "macro_f1": validation},
            "floor": {"accuracy": 0.5, "macro_f1": 0.3},
        },
        "spec": {"early_stopping": {"monitored": ["dev"]} if budget.startswith("stopped") else None},
        "execution": {"device_type": "cpu", "precision": "float32", "kernels": "own", "processes": 1},
        "versions": {"torch": "2.13"},
        "cost": {
            "parameters": {"total": 10**9, "without_embeddings": without_embeddings},
            "flops": without_embeddings * consumed,
            "evaluation_flops": 30_000_000,
            "training_seconds": without_embeddings / 1e6 * consumed,
            "evaluation_seconds": 60.0,
            "energy_joules": None,
            "peak_memory_mb": 100.0 + seed,
        },
    }


def ledgers():
    """Runs behind SPEC; the stopped ones consume 6, 3 and 12 of their 12 checkpoints."""
    made = [ledger("large", "all", "full", seed) for seed in SEEDS]
    made += [ledger("large", "random-33", "full", seed) for seed in SEEDS]
    made += [ledger("small", "all", "full", seed, without_embeddings=25_000_000) for seed in SEEDS]
    made += [ledger("large", "small-ambiguous-33", "stopped-ood", seed, (6, 3, 12)[seed]) for seed in SEEDS]
    return {
        tuple(entry["run"][key] for key in ("model", "supervision", "budget", "seed")): entry
        for entry in made
    }


def scores(failed=(), chose=()):
    """Accuracy .5, .6, .7 on r1_test and .2, .3, .4 on r2_test by seed, in every row; macro-F1 is 0."""
    rows = [
        {
            "model": row["main"],
            "supervision": row["supervision"],
            "budget": row["budget"],
            "seed": seed,
            "dataset": dataset,
            "metric": metric,
            "value": (base + seed / 10) * (metric == "accuracy"),
            "failed": (row["method"], seed) in failed,
            "reason": "it learnt nothing" if (row["method"], seed) in failed else "",
            "chose": row["method"] == "FTFT" and dataset in chose,
        }
        for row in SPEC["rows"]
        for seed in SEEDS
        for dataset, base in (("r1_test", 0.5), ("r2_test", 0.2))
        for metric in ("accuracy", "macro_f1")
    ]
    return pd.DataFrame(rows)


NOT_COMPARED = COMPARED.empty_table().to_pandas()


def frame_of(spec=SPEC, found=None, made=None, comparisons=NOT_COMPARED):
    rows = build_rows(spec, scores() if found is None else found, comparisons, made or ledgers(), SUPERVISING)
    return to_frame(rows, spec["datasets"])


def table_of(failed=(), **spec):
    return frame_of({**SPEC, **spec}, scores(failed)).set_index("method").to_dict("index")


def markdown_of(spec=SPEC, found=None, comparisons=NOT_COMPARED, made=None):
    found = scores() if found is None else found
    made = made or ledgers()
    rows = build_rows(spec, found, comparisons, made, SUPERVISING)
    return to_markdown(render(rows, spec, found, comparisons, made.values()))


def test_a_row_shows_mean_and_deviation_over_seeds():
    row = table_of()["ERM"]
    # Deviation with divisor 2: ((.1)^2 + 0 + (.1)^2) / 2 = .01.
    assert (row["r1_test"], row["r1_test_std"]) == (pytest.approx(0.6), pytest.approx(0.1))
    assert (row["r2_test"], row["r2_test_std"]) == (pytest.approx(0.3), pytest.approx(0.1))
    assert (row["runs"], row["failed"], row["reference"], row["section"]) == (3, 0, "-", "")


@pytest.mark.parametrize(
    "other", [{"budget": "stopped-ood"}, {"model": "small"}, {"supervision": "small-easy-33"}], ids=str
)
def test_runs_of_another_kind_are_no_part_of_a_row(other):
    strangers = scores().assign(value=0.0, **other)
    table = frame_of(found=pd.concat([scores(), strangers]))
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


def test_a_shorter_run_costs_its_share_of_the_full_length():
    shorter = {**ERM, "budget": "steps-300", "steps": 300}
    made = ledgers()
    for seed in SEEDS:
        made["large", "all", "steps-300", seed] = ledger("large", "all", "steps-300", seed, steps=300)
    own = scores().query("supervision == 'all'").assign(budget="steps-300")
    table = frame_of({**SPEC, "rows": [shorter]}, own, made)
    assert table.loc[0, "cost"] == table.loc[0, "cost_by_steps"] == 25


def test_the_unit_of_cost_may_be_another_model():
    assert table_of(cost_of="small")["ERM"]["cost"] == 400


def test_counted_parameters_serve_where_a_model_has_none_configured():
    # 25 M and 50 M without embeddings.
    assert table_of(parameters_m={"small": None, "large": 80.0})["FTFT"]["cost"] == 50 + 58.33


def test_a_row_whose_runs_all_failed_has_neither_score_nor_cost():
    row = table_of(failed={("ERM", seed) for seed in SEEDS})["ERM"]
    assert np.isnan(row["r1_test"]) and np.isnan(row["cost"])
    assert (row["runs"], row["failed"]) == (0, 3)


def comparisons(p_values=(0.049, 0.051), seeds=2):
    rows = [
        {"row": 2, "dataset": name, "difference": 0.1, "p_value": p_value, "p_holm": p_value, "seeds": seeds}
        for name, p_value in zip(("r1_test", "r2_test"), p_values, strict=True)
    ]
    return pa.Table.from_pylist(rows, COMPARED)


@pytest.fixture
def written(tmp_path):
    """The files of a table in which one FTFT run and all ERM runs failed."""
    failed = {("FTFT", 2), *(("ERM", seed) for seed in SEEDS)}
    write_parquet(tmp_path / "scores", pa.Table.from_pandas(scores(failed)), {})
    write_parquet(tmp_path / "comparisons", comparisons(), {})
    for number, made in enumerate(ledgers().values()):
        write_json(tmp_path / f"ledger{number}", made)
    files = {form: tmp_path / f"table.{form}" for form in ("csv", "md", "tex", "costs")}
    sources = tmp_path / "scores", tmp_path / "comparisons", sorted(tmp_path.glob("ledger*"))
    write_table(SPEC, *sources, SUPERVISING, files)
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
        "supervision": "small-ambiguous-33",
        "budget": "stopped-ood",
        "cost": "62.5000",
        # 20 x 1200 steps and 80 x (600 + 300)/2 of 80 x 1200.
        "cost_by_steps": "62.5000",
        # 25 x 12 and 50 x (6 + 3)/2 of 50 x 12. Of 600, seconds add 6 for the supervision and 60 for the
        # development scores of the run that they stop, FLOPs 1 for the map and 30 for these scores.
        "cost_by_flops": "92.6700",
        "cost_by_seconds": "98.5000",
        "r1_test": "0.5500",
        "r1_test_std": "0.0707",
        "r2_test": "0.2500",
        "r2_test_std": "0.0707",
        "runs": "2",
        "failed": "1",
        "common_seeds": "2",
    }


@pytest.mark.parametrize(("title", "shown"), [("Does it pay?", "Does it pay? "), ("A table", "A table. ")])
def test_a_title_ends_in_one_stop(title, shown):
    spec = {**SPEC, "title": title}
    assert _caption(spec, [{"runs": 1}]).startswith(f"{shown}Accuracy in percent, one seed. ")


def test_the_markdown_file_shows_percent_sections_and_failures(written):
    lines = written["md"].splitlines()
    assert lines[0].startswith(
        "Table_1: 50 % of a|b & c\\d. Mean accuracy in percent ± standard deviation over up to 3 seeds"
    )
    rows, notes = lines[2:8], lines[8:]
    assert rows == [
        "| Method | Main model | Reference | Cost | by steps | by FLOPs | r1_test | r2_test "
        "| Runs | Common |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        "| ERM | large | - | - | - | - | failed | failed | 0 (3 failed) | - |",
        "| DM | large | random | 100.00 | 100.00 | 100.00 | 60.00 ± 10.00 | 30.00 ± 10.00 | 3 | - |",
        "| *Ours & cheap* |  |  |  |  |  |  |  |  |  |",
        "| FTFT | large | small | 62.50 | 62.50 | 92.67 | 55.00* ± 7.07 | 25.00 ± 7.07 | 2 (1 failed) | 2 |",
    ]
    assert [line[:8] for line in notes] == [
        "",
        "- Accura",
        "- Cost: ",
        "- Common",
        "- * diff",
        *["- Left o"] * 2,
    ]
    assert "over the 2 seeds that both have, Holm over the 2 comparisons" in notes[4]
    assert notes[5] == "- Left out: large on all, full, seed 0, 1, 2: it learnt nothing"


def test_the_latex_file_shows_the_same_cells_escaped(written):
    text = written["tex"]
    assert r"\caption{Table\_1: 50 \% of a|b \& c\textbackslash{}d. Mean accuracy" in text
    assert (
        r"Main model & Reference & Cost & by steps & by FLOPs & r1\_test & r2\_test & Runs & Common \\"
        in text
    )
    assert r"\multicolumn{10}{l}{\textit{Ours \& cheap}} \\" in text
    deviation = r"55.00* $\pm$ 7.07 & 25.00 $\pm$ 7.07 & 2 (1 failed) & 2 \\"
    assert f"FTFT & large & small & 62.50 & 62.50 & 92.67 & {deviation}" in text
    assert r"ERM & large & - & - & - & - & failed & failed & 0 (3 failed) & - \\" in text
    rows = [line for line in text.splitlines() if re.search(r"(?<!\\)& ", line)]
    assert len(rows) == 4 and {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {9}


def test_a_bar_in_a_section_does_not_split_a_markdown_cell():
    spec = {**SPEC, "rows": [{**ERM, "section": "a|b"}]}
    text = markdown_of(spec)
    assert r"| *a\|b* |" in text


def test_costs_follow_parameters_and_share():
    assert method_cost(80, 80) == 100
    assert method_cost(20, 80, share=0.5) == 12.5
    assert method_cost(80, 80, share=0.5, reference=8) == 60


def test_the_consumed_share_is_of_the_full_length():
    full = ledger("large", "all", "full", 0)
    stopped = ledger("large", "all", "stopped-ood", 0, consumed=3)
    assert consumed_share(stopped, full) == consumed_share(stopped, stopped) == 0.25
    assert consumed_share(ledger("large", "all", "steps-400", 0, steps=400), full) == pytest.approx(1 / 3)


def test_parameters_are_of_one_convention():
    made = {"small": ledger("small", "all", "full", 0), "large": ledger("large", "all", "full", 0)}
    assert parameter_millions(made, {"small": 1.5, "large": 2.5, "other": None}) == {
        "small": 1.5,
        "large": 2.5,
    }
    assert parameter_millions(made, {"small": 1.5}) == {"small": 50.0, "large": 50.0}


def test_scores_are_one_row_per_run_set_and_metric(tmp_path):
    made = ledger("large", "all", "stopped-ood", 1)
    made["spec"]["early_stopping"]["monitored"] = ["b"]
    run = made["run"]
    for name, label, prediction in (("a", [0, 0, 1], [0, 1, 1]), ("b", [1, 1], [1, 0])):
        columns = {"uid": list("xyz")[: len(label)], "label": label, "prediction": prediction}
        about = {"run": run, "dataset": name, "kind": "classification", "labels": ["no", "yes"]}
        write_parquet(tmp_path / name, pa.table(columns), about)
    write_json(tmp_path / "ledger", made)
    spec = {"failure_metric": "macro_f1", "references": {}}
    files = [tmp_path / "a", tmp_path / "b"]
    collect_scores(spec, files, [tmp_path / "ledger"], tmp_path / "scores")
    rows = load_scores(tmp_path / "scores")
    keys = ["task", "model", "supervision", "budget", "seed"]
    assert rows[keys].drop_duplicates().to_dict("records") == [run]
    assert not rows["failed"].any() and rows["chose"].tolist() == [False, False, True, True]
    shown = ["dataset", "metric", "value", "floor", "instances"]
    # Set a: F1 of no 2/(2 + 1), of yes 2/(1 + 2). Set b: F1 of no 0, of yes 2/(2 + 1); no never occurs there.
    expected = [
        ("a", "accuracy", 2 / 3, 2 / 3, 3),
        ("a", "macro_f1", 2 / 3, 0.4, 3),
        ("b", "accuracy", 1 / 2, 1.0, 2),
        ("b", "macro_f1", 1 / 3, 1.0, 2),
    ]
    for row, values in zip(rows[shown].itertuples(index=False), expected, strict=True):
        assert row[:2] == values[:2]
        assert row[2:] == pytest.approx(values[2:])


def test_rows_left_out_are_named_under_the_table():
    spec = {**SPEC, "left_out": ["DM big (tiny)", "ERM big"]}
    text = markdown_of(spec)
    assert "- Left out, as the configuration lacks their models: DM big (tiny); ERM big\n" in text


def test_the_cost_ledger_has_the_parts_of_every_row(written):
    rows = list(csv.DictReader(written["costs"].splitlines()))
    shown = [(row["method"], row["part"], row["model"], row["steps"], row["seconds"]) for row in rows]
    assert shown == [
        ("DM", "supervision", "", "", "6.0000"),
        ("DM", "main", "large", "1200.0000", "600.0000"),
        ("FTFT", "reference", "small", "1200.0000", "300.0000"),
        ("FTFT", "supervision", "", "", "6.0000"),
        # The good runs: (6 + 3)/24 of 1200 steps; their seconds with 60 of development scores.
        ("FTFT", "main", "large", "450.0000", "285.0000"),
    ]
    assert rows[1]["peak_memory_mb"] == "101.0000" and rows[1]["energy_joules"] == ""


def test_what_a_device_does_not_report_stays_empty():
    (part,) = parts([ledger("large", "all", "full", 0)], [], [])
    assert np.isnan(part["energy_joules"]) and part["flops"] == 600_000_000


def test_selecting_takes_its_data_map_along(tmp_path):
    write_json(
        tmp_path / "map", {"model": "small", "seed": 0, "flops": 7, "seconds": 2.0, "peak_memory_mb": 90.0}
    )
    for name in ("small-ambiguous-33", "random-33"):
        ledger = {"supervision": name, "seed": 0, "seconds": 1.0, "peak_memory_mb": 50.0}
        write_json(tmp_path / name, ledger)
    files = [tmp_path / "small-ambiguous-33", tmp_path / "random-33"]
    untold = {"shared": None, "trained": True}
    assert load_supervising([RANDOM, FTFT], files, [tmp_path / "map"]) == {
        ("small-ambiguous-33", 0): {"flops": 7, "seconds": 3.0, "peak_memory_mb": 90.0, **untold},
        ("random-33", 0): {"flops": 0, "seconds": 1.0, "peak_memory_mb": 50.0, **untold},
    }


def test_rows_say_what_sets_them_apart():
    assert row_label(FTFT) == "FTFT"
    assert row_label({**FTFT, "monitor": "id"}) == "FTFT, ID-monitored"
    assert row_label({**ERM, "steps": 40}) == "ERM, 40 steps"
    assert row_label({**FTFT, "selector": "easy", "fraction": 0.125}) == "FTFT, easy, 12.5 %"
    assert row_label({**RANDOM, "selector": "longest"}) == "DM, longest"


def test_one_seed_has_neither_a_star_nor_talk_of_weights():
    nan = float("nan")
    text = markdown_of(comparisons=comparisons((nan, nan), seeds=1).to_pandas())
    assert "60.00*" not in text and "Student" not in text
    assert "- No mark for one seed: intervals over examples do not speak of others" in text


def test_rows_that_are_compared_with_nothing_have_no_note_on_it():
    assert "differs" not in markdown_of() and "No mark" not in markdown_of()


def test_a_score_on_the_set_that_chose_the_checkpoint_is_marked():
    text = markdown_of(found=scores(chose=["r1_test"]))
    assert (
        "| FTFT | large | small | 83.33 | 83.33 | 113.50 | 60.00† ± 10.00 | 30.00 ± 10.00 | 3 | - |" in text
    )
    assert text.count("†") == 2 and "the score is too high: r1_test" in text


def test_runs_that_were_made_differently_are_named_as_such():
    assert "The runs differ" not in markdown_of()
    made = ledgers()
    made["large", "all", "full", 0]["execution"] |= {"device_type": "cuda", "precision": "bfloat16"}
    made["small", "all", "full", 1]["versions"] = {"torch": "2.14"}
    (note,) = [line for line in markdown_of(made=made).splitlines() if "The runs differ" in line]
    assert "device type: cpu (11), cuda (1)" in note and "precision: bfloat16 (1), float32 (11)" in note
    assert "version of torch: 2.13 (11), 2.14 (1)" in note and "kernels" not in note


def test_a_table_without_rows_is_a_table():
    assert frame_of({**SPEC, "rows": []}).empty
    assert "| Method |" in markdown_of({**SPEC, "rows": []})


def test_data_sets_named_as_columns_keep_their_numbers():
    names = ["runs", "main", "x", "x_std"]
    assert list(score_columns(names).values()) == [
        "runs (data set)",
        "main (data set)",
        "x",
        "x_std (data set)",
    ]
    found = scores().replace({"dataset": {"r1_test": "runs", "r2_test": "main"}})
    row = frame_of({**SPEC, "datasets": names[:2]}, found).iloc[0]
    assert (row["runs"], row["main"], row["runs (data set)"]) == (3, "large", pytest.approx(0.6))
