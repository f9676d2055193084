"""Experiment trackers: what TensorBoard is told, and that a training does not depend on it."""

import struct

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from small import RECIPE, RUNTIME
from tensorboardX.proto.event_pb2 import Event

from ftft.errors import ConfigError, TrainingError
from ftft.execution.progress import Progress
from ftft.pipeline.config import checks, resolve
from ftft.training.loop import train
from ftft.training.schedule import learning_rate_factor

STEPS = 15


@pytest.fixture
def run(encoder, training_data, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def run(*trackers):
        AcceleratorState._reset_state(reset_partial_state=True)
        spec = {"recipe": RECIPE, "metrics": ["accuracy", "macro_f1"], "early_stopping": None}
        progress = Progress("test", [], trackers, "demo/small/seed0")
        return train(spec, str(encoder), training_data, 0, RUNTIME, progress)

    return run


def scalars(path):
    """(step, tag, value) of every scalar in an event file: records of length, checksum, event, checksum."""
    data, place = path.read_bytes(), 0
    while place < len(data):
        (length,) = struct.unpack_from("<Q", data, place)
        event = Event.FromString(data[place + 12 : place + 12 + length])
        yield from ((event.step, value.tag, value.simple_value) for value in event.summary.value)
        place += 16 + length


def test_tensorboard_has_the_curves_and_changes_nothing(run, tmp_path):
    plain, tracked = run(), run("tensorboard")
    np.testing.assert_array_equal(tracked.epochs, plain.epochs)
    weights = plain.model.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in tracked.model.state_dict().items())
    assert tracked.trajectory == plain.trajectory

    (events,) = (tmp_path / "results/tracking/demo/small/seed0/ftft").glob("events.out.tfevents.*")
    curves = {}
    for step, tag, value in scalars(events):
        curves.setdefault(tag, {})[step] = value
    steps = range(1, STEPS + 1)
    rates = {step: RECIPE["learning_rate"] * learning_rate_factor(step - 1, STEPS, 0.1) for step in steps}
    assert curves.pop("learning_rate") == pytest.approx(rates)
    assert list(curves["loss"]) == list(steps) and all(
        0.1 < loss < 10 for loss in curves.pop("loss").values()
    )
    for tag, curve in curves.items():
        dataset, _, metric = tag.partition("/")
        expected = {
            entry["step"]: entry["value"]
            for entry in tracked.trajectory
            if (entry["dataset"], entry["metric"]) == (dataset, metric)
        }
        assert curve == pytest.approx(expected) and len(curve) == 5
    assert len(curves) == len({(entry["dataset"], entry["metric"]) for entry in tracked.trajectory})


def test_nothing_is_tracked_where_nobody_asks(run, tmp_path):
    run()
    assert not list(tmp_path.iterdir())


def test_a_tracker_that_is_absent_where_trainings_run_is_named(run):
    with pytest.raises(TrainingError, match=r"not installed\n  got: runtime.trackers: wandb"):
        run("tensorboard", "wandb")


@pytest.mark.parametrize(
    ("trackers", "words"),
    [
        (["tensorboard"], None),
        (["trackio"], "runtime.trackers: 'trackio' is not installed; pip install trackio"),
        (["mlflow"], "expected one of: tensorboard, wandb, trackio"),
    ],
)
def test_trackers_are_checked_with_the_configuration(monkeypatch, tmp_path, root, trackers, words):
    import yaml

    monkeypatch.setattr(checks, "find_spec", lambda name: name == "tensorboardX" or None)
    config = yaml.safe_load((root / "tests/config/tiny.yaml").read_text())
    config["runtime"]["trackers"] = trackers
    if words is None:
        assert resolve(config).runtime.trackers == tuple(trackers)
    else:
        with pytest.raises(ConfigError) as refused:
            resolve(config)
        assert words in str(refused.value)
