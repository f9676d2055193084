"""Issues of a reference run that still trains: what it leaves after each epoch, what `ftft issues` shows."""

import numpy as np
import pyarrow as pa
import pytest
from accelerate.state import AcceleratorState
from small import RECIPE, RUNTIME, demo_dataset

import ftft.training.runs as runs
from ftft.artifacts import write_parquet
from ftft.cartography.dynamics import load_dynamics
from ftft.cli import main
from ftft.execution.interruption import Interrupted
from ftft.execution.progress import Progress

RUN = {"task": "demo", "model": "small", "supervision": "all", "budget": "full", "seed": 0}
SPEC = {
    "recipe": {**RECIPE, "epochs": 2.0},
    "metrics": ["accuracy"],
    "development": ["validation"],
    "early_stopping": None,
}


@pytest.fixture
def train(tmp_path, encoder):
    """Trains a reference run in a folder of results."""
    results = tmp_path / "results"
    (results / "data/demo").mkdir(parents=True)
    (results / "checks").mkdir()
    files = {name: results / f"data/demo/{name}.parquet" for name in ("train", "validation")}
    for name, rows in (("train", 33), ("validation", 20)):
        demo_dataset(name, rows).save(files[name])
    nothing = pa.table({"dataset": pa.array([], pa.string()), "uid": pa.array([], pa.string()), "group": []})
    write_parquet(results / "checks/demo.repeats.parquet", nothing, {})

    def start(folder="run"):
        outputs = {"ledger": results / folder / "ledger.json", "dynamics": results / folder / "d.parquet"}
        (results / folder).mkdir(exist_ok=True)
        AcceleratorState._reset_state(reset_partial_state=True)
        runtime = {**RUNTIME, "scratch": str(results / "scratch"), "state_minutes": 10, "keep_states": "all"}
        development = {"validation": files["validation"]}
        progress = Progress("test", [])
        runs.fine_tune(
            SPEC, "code", RUN, encoder, files["train"], development, None, None, "accuracy", outputs, runtime,
            progress,
        )  # fmt: skip
        return outputs["dynamics"]

    return start


def test_a_run_shows_its_issues_after_each_epoch(train, tmp_path, monkeypatch, capsys):
    results = tmp_path / "results"
    assert main(["issues", "--unfinished", "--results", str(results)]) == 1
    assert "no reference run that still trains has written an epoch" in capsys.readouterr().err

    whole = load_dynamics(train("whole"), demo_dataset("train", 33))
    so_far = results / "scratch/dynamics/demo/small/seed0.parquet"
    assert not so_far.exists()

    save = runs.save_dynamics

    def stop_after(path, *others):
        save(path, *others)
        raise Interrupted

    monkeypatch.setattr(runs, "save_dynamics", stop_after)
    with pytest.raises(Interrupted):
        train()
    monkeypatch.undo()
    first = load_dynamics(so_far, demo_dataset("train", 33))
    np.testing.assert_array_equal(first.p_true, whole.p_true[:1])
    assert main(["issues", "demo", "--unfinished", "--results", str(results), "--first", "2"]) == 0
    shown = capsys.readouterr().out
    assert (
        "demo, small, seed 0, after 1 of 2 epochs:" in shown
        and "% are expected to be wrong" in shown
        and "wrong with probability" in shown
    )

    np.testing.assert_array_equal(load_dynamics(train(), demo_dataset("train", 33)).p_true, whole.p_true)
    assert not so_far.exists()


def test_epochs_of_other_data_are_refused(train, tmp_path, monkeypatch, capsys):
    results = tmp_path / "results"
    monkeypatch.setattr(type(results), "unlink", lambda *_, **__: None)
    train()
    monkeypatch.undo()
    demo_dataset("train", 32).save(results / "data/demo/train.parquet")
    assert main(["issues", "--unfinished", "--results", str(results)]) == 1
    assert "before the training set changed" in capsys.readouterr().err
