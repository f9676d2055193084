"""Trainings in two processes, through Snakemake: the configuration's key, the artifacts of one process."""

import json

import pyarrow.parquet as pq
import pytest

pytestmark = pytest.mark.long

RUN = "results/runs/demo/small/all/full/seed0"
TARGETS = (f"{RUN}/dynamics.parquet", "results/supervisions/demo/small-ambiguous-33/seed0.parquet")


def test_two_processes_leave_what_one_does(fresh):
    def in_two(config):
        config["runtime"] |= {"processes": 2, "trackers": ["tensorboard"]}
        config["training"] |= {"epochs": 3.5, "learning_rate": 1.0e30, "max_grad_norm": 1.0e30}

    fresh.edit(in_two)
    diverged = fresh.snakemake("--", TARGETS[0])
    assert diverged.returncode == 1
    assert diverged.stdout.count("TrainingError: training diverged") == 1
    assert "lower the learning rate" in diverged.stdout and "Traceback" not in diverged.stdout

    fresh.edit(lambda config: config["training"].update(learning_rate=4.0e-3, max_grad_norm=1.0))
    run = fresh.snakemake("--", *TARGETS)
    assert run.returncode == 0, run.stdout
    ledger = json.loads((fresh.folder / RUN / "ledger.json").read_text())
    assert ledger["execution"]["processes"] == 2 and ledger["outcome"]["complete_epochs"] == 3
    table = pq.read_table(fresh.folder / RUN / "dynamics.parquet")
    assert table["epoch"].to_pylist() == [epoch for epoch in range(3) for _ in range(200)]
    assert table["row"].to_pylist() == list(range(200)) * 3
    assert table["p_true"].null_count == 0
    log = (fresh.folder / "logs/train/demo/small/all/full/seed0.log").read_text()
    assert "88/88" in log and "Traceback" not in log and "Warning" not in log, log
    assert list((fresh.folder / "results/tracking/demo/small/all/full/seed0").rglob("events*"))

    # Their number is no reason to train again.
    fresh.edit(lambda config: config["runtime"].update(processes=1))
    assert fresh.planned(target=TARGETS[1]) == {}
