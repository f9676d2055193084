"""How references rank after each epoch, from whole runs and from those that still train."""

import numpy as np
import pytest
from small import demo_dataset

from ftft.cartography.dynamics import Dynamics, load_numbered, save_dynamics, unfinished_dynamics
from ftft.cli import main
from ftft.results.standings import easy_by_epoch, standings
from ftft.tasks.base import kind_of

# Four instances: always right, becoming right, wavering, never right.
P_TRUE = np.array([[0.9, 0.2, 0.1, 0.1], [0.9, 0.6, 0.9, 0.1], [0.9, 0.9, 0.1, 0.1]])


def test_a_share_is_that_of_the_map_of_the_first_epochs():
    dynamics = Dynamics(list("abcd"), P_TRUE, P_TRUE > 0.5)
    # Confidence after two epochs 0.9, 0.4, 0.5, 0.1 and after three 0.9, 0.57, 0.37, 0.1. Both times b and c
    # are the ambiguous half. Of the harder half, first b and d, then c and d; so a alone is easy, 1 of 4.
    assert easy_by_epoch(dynamics) == {2: 25.0, 3: 25.0}
    assert easy_by_epoch(Dynamics(list("abcd"), P_TRUE[:1], P_TRUE[:1] > 0.5)) == {}


def test_references_are_ranked_among_those_that_have_come_as_far():
    frame = standings({"a": {2: 30.0, 3: 40.0}, "b": {2: 35.0}, "c": {2: 30.0, 3: 45.5}})
    assert frame.to_dict("index") == {
        "a": {"epoch 2": "30.00 (2)", "epoch 3": "40.00 (2)"},
        "b": {"epoch 2": "35.00 (1)", "epoch 3": "–"},
        "c": {"epoch 2": "30.00 (2)", "epoch 3": "45.50 (1)"},
    }
    assert standings({}).empty


@pytest.fixture
def recorded(tmp_path):
    """Leave random dynamics of so many epochs of a reference run, at its end or not."""
    results = tmp_path / "results"

    def leave(model, seed, epochs, ended=True):
        run = {"task": "demo", "model": model, "supervision": "all", "budget": "full", "seed": seed}
        dataset = demo_dataset("train", 60)
        draws = np.random.default_rng([seed, len(model)])
        logits = [draws.normal(size=(60, 3)).astype(np.float32) for _ in range(epochs)]
        path = results / f"runs/demo/{model}/all/full/seed{seed}/dynamics.parquet"
        if not ended:
            path = unfinished_dynamics(results / "scratch", run)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_dynamics(path, kind_of("classification"), logits, dataset, {"run": run})
        return easy_by_epoch(load_numbered(path))

    return results, leave


def test_runs_that_still_train_are_ranked_too(recorded, capsys):
    results, leave = recorded
    first, second = leave("small", 0, 3), leave("small", 1, 3)
    leave("other", 0, 2, ended=False)
    leave("young", 0, 1, ended=False)
    assert main(["references", "--results", str(results)]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("demo: percent of easy instances (q = 50 %)")
    (line,) = [line for line in shown.splitlines() if line.startswith("small")]
    assert f"{(first[3] + second[3]) / 2:.2f} (1)" in line
    (line,) = [line for line in shown.splitlines() if line.startswith("other")]
    assert line.endswith("–") and "young" not in shown


def test_without_two_epochs_there_is_nothing_to_rank(recorded, capsys):
    results, leave = recorded
    leave("young", 0, 1, ended=False)
    assert main(["references", "--results", str(results)]) == 1
    assert "no reference run has left 2 epochs" in capsys.readouterr().err
