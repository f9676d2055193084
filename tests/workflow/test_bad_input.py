"""Faults of configuration and data: one clear message, exit code not 0, no traceback, no training."""

import csv

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ftft.artifacts import read_parquet, write_parquet

HEADER = ["uid", "premise", "hypothesis", "label"]
LABELS = ["entailment", "neutral", "contradiction"]
GOOD_ROWS = [[f"u{i}", f"premise {i}", f"hypothesis {i}", LABELS[i % 3]] for i in range(12)]


def edited(change):
    rows = [list(row) for row in GOOD_ROWS]
    return change(rows) or rows


def set_cell(row, column, value):
    def change(rows):
        rows[row][HEADER.index(column)] = value

    return change


def one_class(rows):
    for row in rows:
        row[3] = "neutral"


BAD_DATA = {
    "unknown label": (HEADER, set_cell(2, "label", "maybe"), ["unknown or missing labels", "'maybe'"]),
    "empty label": (HEADER, set_cell(2, "label", ""), ["unknown or missing labels"]),
    "duplicate uid": (HEADER, set_cell(2, "uid", "u1"), ["duplicate or missing uids", "'u1'"]),
    "empty text": (HEADER, set_cell(2, "premise", " "), ["empty texts", "'premise'"]),
    "one class": (HEADER, one_class, ["one class only"]),
    "no rows": (HEADER, lambda rows: rows.clear() or [], ["is empty"]),
    "missing column": (
        ["uid", "premise", "text", "label"],
        lambda rows: None,
        ["lacks the column(s) hypothesis"],
    ),
}


def assert_refused(run, workflow, texts):
    assert run.returncode != 0
    for text in texts:
        assert text in run.stdout, run.stdout
    assert "Traceback" not in run.stdout, run.stdout
    assert not (workflow.folder / "logs/train").exists()


def train_on_csv(workflow, header, rows):
    path = workflow.folder / "train.csv"
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    config = workflow.config()
    config["tasks"]["demo"]["datasets"]["train"] = {"source": "file", "path": "train.csv"}
    workflow.write_config(config)


@pytest.mark.parametrize("fault", BAD_DATA)
def test_bad_training_data(fresh, fault):
    header, change, texts = BAD_DATA[fault]
    train_on_csv(fresh, header, edited(change))
    assert_refused(fresh.snakemake(), fresh, ["DataError", "'train'", *texts])


def test_bad_evaluation_data_stops_before_any_training(fresh):
    config = fresh.config()
    (fresh.folder / "test.jsonl").write_text('{"premise": "a", "hypothesis": "b"}\n')
    config["tasks"]["demo"]["datasets"]["r3_test"] = {"source": "file", "path": "test.jsonl"}
    fresh.write_config(config)
    assert_refused(fresh.snakemake("--cores", "2"), fresh, ["'r3_test' lacks the column(s) label, uid"])


def test_refused_leakage_stops_before_any_training(fresh):
    config = fresh.config()
    train_on_csv(fresh, HEADER, GOOD_ROWS)
    task = {**config["tasks"]["demo"], "datasets": dict(config["tasks"]["demo"]["datasets"])}
    task["datasets"]["train"] = task["datasets"]["r3_test"] = {"source": "file", "path": "train.csv"}
    fresh.write_config({**config, "tasks": {"demo": task}, "checks": {"leakage": "refuse"}})
    assert_refused(fresh.snakemake(), fresh, ["training instances reappear", "12 in r3_test"])


BAD_CONFIG = {
    "fraction of 0": (lambda c: c.update(selection={"fraction": 0}), ["selection.fraction", "above 0"]),
    "fraction above 1": (
        lambda c: c.update(selection={"fraction": 1.5}),
        ["selection.fraction", "at most 1"],
    ),
    "unknown model": (
        lambda c: c["tables"]["table1"]["rows"][0].update(main="lrage"),
        ["'lrage'", "did you mean 'large'?"],
    ),
    "unknown key": (lambda c: c["training"].update(epohcs=3), ["'epohcs'", "did you mean 'epochs'?"]),
    "number as text": (
        lambda c: c["training"].update(learning_rate="1e-5"),
        ["training.learning_rate", "write 1.0e-5"],
    ),
    "missing file": (
        lambda c: c["tasks"]["demo"]["datasets"].update(train={"source": "file", "path": "no.csv"}),
        ["there is no file 'no.csv'"],
    ),
}


@pytest.mark.parametrize("fault", BAD_CONFIG)
def test_bad_configuration(fresh, fault):
    change, texts = BAD_CONFIG[fault]
    fresh.edit(change)
    assert_refused(fresh.snakemake("--dry-run"), fresh, ["The configuration has 1 fault", *texts])
    assert not (fresh.folder / "results").exists()


def test_unknown_encoder_is_named(fresh):
    config = fresh.config()
    config["models"]["small"] = {"source": "package", "package": "no_such_package"}
    fresh.write_config(config)
    run = fresh.snakemake("--", "results/encoders/demo/small/config.json")
    assert_refused(run, fresh, ["ModelError", "'no_such_package' is not installed"])


def test_dynamics_that_are_not_numbers_make_no_map(workflow, tmp_path):
    path = workflow.folder / "results/runs/demo/small/full/full/seed0/dynamics.parquet"
    whole = path.read_bytes()
    table, metadata = read_parquet(path)
    p_true = table["p_true"].to_numpy().copy()
    p_true[7] = float("nan")
    table = table.set_column(table.column_names.index("p_true"), "p_true", pa.array(p_true))
    try:
        write_parquet(path, table, metadata)
        run = workflow.snakemake("--force", "--", "results/maps/demo/small/seed0.parquet")
        assert run.returncode != 0
        assert "are not finite" in run.stdout and "Traceback" not in run.stdout
    finally:
        path.write_bytes(whole)
        workflow.snakemake("--", "paper")
    assert pq.read_metadata(path).num_rows == table.num_rows


def test_torn_artifact_is_named_with_its_cure(workflow):
    path = workflow.folder / "results/selections/demo/small-ambiguous-33/seed0.parquet"
    whole = path.read_bytes()
    try:
        path.write_bytes(whole[: len(whole) // 2])
        run = workflow.snakemake(
            "--force", "--", "results/runs/demo/large/small-ambiguous-33/full/seed0/ledger.json"
        )
        assert run.returncode != 0
        assert "cannot be read" in run.stdout and "let snakemake make it again" in run.stdout
        assert "Traceback" not in run.stdout
    finally:
        path.write_bytes(whole)
        workflow.snakemake("--", "paper")
