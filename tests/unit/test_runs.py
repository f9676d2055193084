"""A run from files to files: what it leaves, and what its consumers refuse."""

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from accelerate.state import AcceleratorState
from safetensors.torch import load_file, save_file
from small import RECIPE, RUNTIME, demo_dataset

from ftft.artifacts import read_json, read_parquet, write_json
from ftft.cartography.supervision import Supervision
from ftft.errors import ArtifactError, TrainingError
from ftft.execution.progress import Progress
from ftft.statistics.scores import Evaluation, ledger_of, load_run_ledgers
from ftft.training.runs import evaluate, fine_tune

RUN = {"task": "demo", "model": "small", "supervision": "all", "budget": "full", "seed": 0}


@pytest.fixture(scope="module")
def files(tmp_path_factory, encoder):
    folder = tmp_path_factory.mktemp("run")
    for name, rows in (("train", 33), ("validation", 20)):
        demo_dataset(name, rows).save(folder / f"{name}.parquet")
    outputs = {
        name: folder / name for name in ("model", "trajectory.parquet", "ledger.json", "dynamics.parquet")
    }
    spec = {
        "recipe": {**RECIPE, "epochs": 2.0},
        "metrics": ["accuracy", "macro_f1"],
        "development": ["validation"],
        "early_stopping": None,
    }
    AcceleratorState._reset_state(reset_partial_state=True)
    fine_tune(
        spec,
        "code",
        RUN,
        encoder,
        folder / "train.parquet",
        {"validation": folder / "validation.parquet"},
        None,
        None,
        "accuracy",
        {name.partition(".")[0]: path for name, path in outputs.items()},
        {**RUNTIME, "scratch": str(folder / "scratch"), "state_minutes": 10, "keep_states": "all"},
        Progress("test", []),
    )
    return folder


def predict(folder, model, run=RUN):
    AcceleratorState._reset_state(reset_partial_state=True)
    evaluate(
        {"max_length": RECIPE["max_length"], "precision": "float32"},
        run,
        "validation",
        model,
        folder / "validation.parquet",
        folder / "evaluation.parquet",
        {**RUNTIME, "scratch": str(folder / "scratch")},
    )
    return folder / "evaluation.parquet"


def test_a_run_leaves_what_its_consumers_read(files):
    table, metadata = read_parquet(predict(files, files / "model"))
    assert metadata["run"] == RUN and table.num_rows == 20
    assert not [path for path in files.rglob("*") if path.suffix == ".tmp"]
    assert list((files / "scratch" / "states").iterdir()) == []
    assert len(list((files / "scratch" / "tokens").iterdir())) == 2


def test_rows_that_are_cut_are_counted_and_told(files, caplog):
    cut = read_json(files / "ledger.json")["outcome"]["cut"]
    assert (cut["rows"], cut["total"]) == (0, 33) and 4 < cut["longest"] <= RECIPE["max_length"]
    AcceleratorState._reset_state(reset_partial_state=True)
    spec = {"max_length": 6, "precision": "float32"}
    runtime = {**RUNTIME, "scratch": str(files / "scratch")}
    output = files / "short.parquet"
    evaluate(spec, RUN, "validation", files / "model", files / "validation.parquet", output, runtime)
    assert "validation: 20 of 20 rows are longer than max_length, 6 tokens, and are cut" in caplog.text
    found = read_parquet(output)[1]["cut"]
    assert (found["rows"], found["total"]) == (20, 20) and found["tokens"] >= 20
    assert f"and {found['tokens']} tokens are lost" in caplog.text
    development = read_json(files / "ledger.json")["outcome"]["development_cut"]
    assert {name: own["rows"] for name, own in development.items()} == dict.fromkeys(development, 0) != {}


@pytest.mark.parametrize("fault", ["weights of another", "another run", "by hand", "torn"])
def test_a_model_that_its_run_did_not_leave_is_refused(files, tmp_path, fault):
    model = tmp_path / "model"
    shutil.copytree(files / "model", model)
    weights = model / "model.safetensors"
    run = {**RUN, "seed": 1} if fault == "another run" else RUN
    if fault == "weights of another":
        tensors = {name: tensor + 1 for name, tensor in load_file(weights).items()}
        save_file(tensors, weights, {"format": "pt"})
    elif fault == "by hand":
        config = json.loads((model / "config.json").read_text())
        del config["ftft"]
        (model / "config.json").write_text(json.dumps(config))
    elif fault == "torn":
        weights.write_bytes(weights.read_bytes()[:-4])
    damaged = weights if fault in ("weights of another", "torn") else model / "config.json"
    what = {"another run": "is of another run than its folder", "by hand": "is damaged or was edited"}
    with pytest.raises(
        ArtifactError, match=what.get(fault, "is not the file that was left there")
    ) as refused:
        predict(files, model, run)
    assert str(refused.value).startswith(str(damaged))
    assert f"snakemake make it again: snakemake {damaged}" in str(refused.value)


def test_predictions_and_ledger_must_be_of_one_run(files, tmp_path):
    evaluation = predict(files, files / "model")
    found = ledger_of(Evaluation(evaluation), load_run_ledgers([files / "ledger.json"]))
    assert found == read_json(files / "ledger.json") and found["run"] == RUN
    for other in ({"seed": 1}, {"task": "another"}):
        write_json(tmp_path / "ledger.json", {"run": {**RUN, **other}})
        with pytest.raises(ArtifactError, match="is of a run without a ledger here"):
            ledger_of(Evaluation(evaluation), load_run_ledgers([tmp_path / "ledger.json"]))


def test_predictions_rewritten_by_another_program_are_refused(files, tmp_path):
    evaluation = predict(files, files / "model")
    table, _ = read_parquet(evaluation)
    pq.write_table(table.replace_schema_metadata(None), tmp_path / "evaluation.parquet")
    with pytest.raises(ArtifactError, match="was not written by this workflow"):
        Evaluation(tmp_path / "evaluation.parquet")


def test_a_supervision_of_other_data_is_refused(files, encoder, tmp_path):
    other = demo_dataset("validation", 20)
    Supervision.of(np.arange(5)).save(tmp_path / "supervision.parquet", other, {})
    spec = {"recipe": RECIPE, "metrics": ["accuracy"], "development": [], "early_stopping": None}
    inputs = (encoder, files / "train.parquet", {}, tmp_path / "supervision.parquet", None, "accuracy")
    with pytest.raises(ArtifactError, match="was made on other data"):
        fine_tune(spec, "code", RUN, *inputs, {}, {}, None)


def test_a_failed_reference_stops_the_training_before_it_starts(files, encoder, tmp_path):
    ledger = json.loads((files / "ledger.json").read_text())
    ledger["outcome"] |= {"validation": {"accuracy": 0.3}, "floor": {"accuracy": 0.35}}
    write_json(tmp_path / "ledger.json", ledger)
    spec = {"recipe": RECIPE, "metrics": ["accuracy"]}
    inputs = (encoder, files / "train.parquet", {}, None, tmp_path / "ledger.json", "accuracy")
    with pytest.raises(TrainingError, match=r"reference run of small, seed 0, has failed(.|\n)*above 0.35"):
        fine_tune(spec, "code", RUN, *inputs, {}, {}, None)
