"""The whole chain on the tiny configuration, through Snakemake."""

import csv
import json

import pyarrow.parquet as pq
import pytest

from ftft.data.dataset import Dataset
from ftft.training.stopping import monitored_score, read_early

ERM = "results/runs/demo/large/all/full/seed0"
ERM_STOPPED = "results/runs/demo/large/all/stopped-ood/seed0"
EVALUATIONS = "results/evaluations/demo/large/all/full/seed0"


def by_checkpoint(folder):
    entries = pq.read_table(folder / "trajectory.parquet").to_pylist()
    last = max(entry["checkpoint"] for entry in entries)
    return [[entry for entry in entries if entry["checkpoint"] == number] for number in range(1, last + 1)]


def test_table_has_a_row_per_method_with_its_runs(finished, tiny_config):
    with open(finished.folder / "results/tables/table1.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    expected = tiny_config["tables"]["table1"]["rows"]
    assert [(row["method"], row["main"]) for row in rows] == [
        (row["method"], row["main"]) for row in expected
    ]
    assert all(int(row["runs"]) + int(row["failed"]) == len(tiny_config["seeds"]) for row in rows)
    assert (finished.folder / "results/tables/table1.md").read_text().count("\n| ") >= len(rows)
    assert r"\toprule" in (finished.folder / "results/tables/table1.tex").read_text()


def test_scores_hold_every_run_and_evaluation_set(finished, tiny_config):
    rows = pq.read_table(finished.folder / "results/scores/table1.parquet").to_pylist()
    sets = {(row["supervision"], row["budget"], row["dataset"]) for row in rows}
    assert len(sets) == 5 * len(tiny_config["tasks"]["demo"]["evaluate"])
    assert all(0 <= row["value"] <= 1 for row in rows)


def test_predictions_name_every_example(finished):
    for name in ("validation", "r1_test", "r3_test"):
        predictions = pq.read_table(finished.folder / f"{EVALUATIONS}/{name}.parquet")
        dataset = Dataset.load(finished.folder / f"results/data/demo/{name}.parquet")
        assert predictions["uid"].to_pylist() == dataset.uids


def test_dynamics_hold_each_instance_once_per_epoch(finished, tiny_config):
    table = pq.read_table(finished.folder / ERM / "dynamics.parquet")
    epochs, instances = tiny_config["training"]["epochs"], 200
    assert table["row"].to_pylist() == list(range(instances)) * epochs
    assert table["epoch"].to_pylist() == [epoch for epoch in range(epochs) for _ in range(instances)]


def test_selection_is_the_exact_share(finished):
    selected = pq.read_table(finished.folder / "results/supervisions/demo/small-ambiguous-33/seed0.parquet")
    assert selected.num_rows == round(0.33 * 200)


def test_main_model_takes_the_planned_steps_of_erm(finished):
    on_selection = json.loads(
        (finished.folder / "results/runs/demo/large/small-ambiguous-33/full/seed0/ledger.json").read_text()
    )
    on_all = json.loads((finished.folder / ERM / "ledger.json").read_text())
    assert on_selection["outcome"]["steps"] == on_all["outcome"]["steps"] == 75
    assert on_selection["outcome"]["training_instances"] == 66


def test_live_stop_agrees_with_reading_the_full_run_early(finished):
    ledger = json.loads((finished.folder / ERM_STOPPED / "ledger.json").read_text())
    rule = ledger["spec"]["early_stopping"]
    full, stopped = by_checkpoint(finished.folder / ERM), by_checkpoint(finished.folder / ERM_STOPPED)
    assert stopped == full[: len(stopped)]
    reading = read_early([monitored_score(scored, rule) for scored in full], rule["patience"])
    assert reading.checkpoint == len(stopped)
    assert reading.best_checkpoint == ledger["outcome"]["kept_checkpoint"]


def test_runs_to_the_end_go_on_from_stopped_ones_whose_states_then_go(finished):
    for supervision in ("all", "small-ambiguous-33"):
        log = (finished.folder / f"logs/train/demo/large/{supervision}/full/seed0.log").read_text()
        assert "found the training state" in log and "stopped-ood" in log
    assert not list((finished.folder / "results/scratch/states").rglob("*.safetensors"))


def test_the_learning_curves_show_the_live_stop(finished):
    curves = list(csv.DictReader(finished.folder.joinpath("results/figures/demo/learning_curves.csv").open()))
    ledger = json.loads((finished.folder / ERM_STOPPED / "ledger.json").read_text())["outcome"]
    (stop,) = [row for row in curves if row["label"] == "large: ERM" and row["stop"] == "True"]
    (kept,) = [row for row in curves if row["label"] == "large: ERM" and row["kept"] == "True"]
    assert int(stop["step"]) == ledger["steps"]
    assert int(kept["step"]) == ledger["kept_checkpoint"] * ledger["checkpoint_interval"]


def test_the_data_map_and_its_dynamics_are_drawn(finished):
    figures = finished.folder / "results/figures/demo"
    points = list(csv.DictReader((figures / "data_map/small/seed0.csv").open()))
    assert len(points) == 200
    medians = list(csv.DictReader((figures / "true_class.csv").open()))
    assert {(row["model"], row["epoch"]) for row in medians} == {("small", str(epoch)) for epoch in (1, 2, 3)}
    for path in figures.rglob("*.svg"):
        assert path.with_suffix(".png").stat().st_size > 5000


def test_the_summaries_are_of_these_runs(finished):
    tables = finished.folder / "results/tables"
    costs = {row["model"]: row for row in csv.DictReader((tables / "table3.csv").open())}
    assert costs["large"]["cost"] == costs["large"]["cost_by_flops"] == "100.0000"
    assert float(costs["small"]["flops"]) < float(costs["large"]["flops"])
    shares = [row for row in csv.DictReader((tables / "table4.csv").open()) if row["rate"] == "0.3300"]
    assert [row["reference"] for row in shares] == ["small"] and 34 <= float(shares[0]["easy_share"]) <= 67
    ledger = json.loads((finished.folder / ERM_STOPPED / "ledger.json").read_text())["outcome"]
    (read,) = [
        row
        for row in csv.DictReader((tables / "patience.csv").open())
        if (row["main"], row["supervision"], row["monitor"], row["patience"]) == ("large", "all", "ood", "2")
    ]
    assert float(read["stop"]) == ledger["consumed_checkpoints"]


def test_model_folder_loads_with_transformers(finished):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = finished.folder / ERM / "model"
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    inputs = AutoTokenizer.from_pretrained(folder)(
        "the nurse is tall", "the nurse is short", return_tensors="pt"
    )
    assert model(**inputs).logits.shape == (1, 3)
    assert model.config.id2label == {0: "entailment", 1: "neutral", 2: "contradiction"}


def test_every_job_leaves_a_log(finished):
    assert "75/75" in (finished.folder / "logs/train/demo/large/all/full/seed0.log").read_text()


def test_an_absent_table_of_the_paper_says_what_it_needs(workflow):
    run = workflow.snakemake("--", "results/tables/table5.csv")
    assert run.returncode != 0
    assert "table5: this configuration has no task and models for it" in run.stdout
    assert "set stands_for" in run.stdout


@pytest.mark.long
def test_a_cold_start_gives_the_same_bytes_whatever_is_installed(finished, fresh, tmp_path):
    stranger = tmp_path / "installed"
    (stranger / "ftft").mkdir(parents=True)
    (stranger / "ftft" / "__init__.py").write_text("raise ImportError('not the code of this workflow')")
    fresh.edit(lambda config: config["runtime"].update(warm_start=False))
    target = f"{EVALUATIONS}/validation.parquet"
    again = fresh.snakemake("--", target, python_path=stranger)
    assert again.returncode == 0, again.stdout
    for name in (
        target, f"{ERM}/dynamics.parquet", f"{ERM}/trajectory.parquet", f"{ERM}/model/model.safetensors"
    ):  # fmt: skip
        assert (fresh.folder / name).read_bytes() == (finished.folder / name).read_bytes(), name


def test_both_documented_spellings_of_the_command(workflow):
    target = "results/tables/table1.csv"
    for arguments in (["--resources", "gpu=1", "--", target], [target]):
        run = workflow.snakemake(*arguments)
        assert run.returncode == 0, run.stdout
        assert "Nothing to be done" in run.stdout


def test_tables_and_figures_are_in_snakemakes_report(workflow):
    report = workflow.snakemake("--report", "report.html", "--", "paper")
    assert report.returncode == 0, report.stdout
    text = (workflow.folder / "report.html").read_text()
    for name in (
        "table1.csv",
        "table4.csv",
        "patience.csv",
        "learning_curves.svg",
        "true_class.svg",
        "Data maps",
        "ledger.json",
    ):
        assert name in text


def test_workflow_folder_is_an_entry_too(workflow):
    dry = workflow.snakemake("--snakefile", "workflow/Snakefile", "--dry-run", "--", "paper")
    assert dry.returncode == 0, dry.stdout
    assert "Nothing to be done" in dry.stdout
