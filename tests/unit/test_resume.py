"""Training states: exact continuation from any step, shared between budgets, refused when torn or foreign."""

import errno
import fcntl
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from ftft.errors import TrainingError
from ftft.execution.identity import Execution
from ftft.execution.interruption import REQUESTS, Interrupted, Termination
from ftft.execution.orchestrator import ORCHESTRATOR, this_process
from ftft.execution.progress import Progress
from ftft.execution.scratch import LOCK, Scratch
from ftft.execution.state import read_state, write_state
from ftft.training.checkpoints import Checkpoints
from ftft.training.step import TrainingStep

MONITOR = {"patience": 2, "metric": "accuracy", "monitored": ["r1_dev", "r3_dev"]}
STEPS = 15
EXECUTION = Execution("cpu", "cpu", "float32", "own", 1, 1)


@pytest.fixture
def scratch(tmp_path):
    def make(budget="full", identity="run", minutes=0.0, keep_states="all", gone_on_from=False, **execution):
        runtime = {"scratch": str(tmp_path), "state_minutes": minutes, "keep_states": keep_states}
        execution = replace(EXECUTION, **execution)
        return Scratch({"run": identity}, execution, budget, runtime, gone_on_from=gone_on_from)

    return make


@pytest.fixture
def files(tmp_path):
    """The states that lie in the scratch."""
    return lambda: sorted(tmp_path.glob("states/*/*/*.safetensors"))


def step_of(path):
    return int(path.name.partition(".")[0])


class Killed(BaseException):
    pass


@pytest.fixture
def killed_after(monkeypatch):
    """Let the next training die in the midst of the step after `step`."""

    def arm(step):
        original = TrainingStep.__call__

        def call(self, *arguments):
            if self.number == step:
                raise Killed
            return original(self, *arguments)

        monkeypatch.setattr(TrainingStep, "__call__", call)

    return arm


@pytest.fixture
def trained_steps(monkeypatch):
    steps = []
    original = TrainingStep.__call__

    def call(self, *arguments):
        result = original(self, *arguments)
        steps.append(self.number)
        return result

    monkeypatch.setattr(TrainingStep, "__call__", call)
    return steps


def same(one, other):
    np.testing.assert_array_equal(one.epochs, other.epochs)
    assert one.trajectory == other.trajectory and one.outcome == other.outcome
    assert one.predictions == other.predictions
    weights = other.model.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in one.model.state_dict().items())
    measured = {"training_seconds", "evaluation_seconds", "peak_memory_mb"}
    costs = [{key: value for key, value in run.cost.items() if key not in measured} for run in (one, other)]
    assert costs[0] == costs[1]
    return True


@pytest.mark.parametrize(
    ("rule", "step"),
    [*((None, step) for step in (1, 3, 4, 5, 11, 14)), *((MONITOR, step) for step in (1, 3, 5, 8))],
)
def test_a_killed_run_goes_on_as_if_nothing_had_been(
    fine_tune, scratch, killed_after, step, rule, monkeypatch
):
    untouched = fine_tune(early_stopping=rule)
    with pytest.raises(Killed):
        killed_after(step)
        fine_tune(early_stopping=rule, scratch=scratch())
    monkeypatch.undo()
    assert same(fine_tune(early_stopping=rule, scratch=scratch()), untouched)


def test_only_the_rest_is_trained(fine_tune, scratch, killed_after, monkeypatch, files, request):
    with pytest.raises(Killed):
        killed_after(9)
        fine_tune(scratch=scratch())
    monkeypatch.undo()
    assert [step_of(path) for path in files()] == [9]
    steps = request.getfixturevalue("trained_steps")
    fine_tune(scratch=scratch())
    assert steps == list(range(10, STEPS + 1))


def test_states_wait_for_their_time(fine_tune, scratch, files):
    fine_tune(scratch=scratch(minutes=10.0))
    assert files() == []


@pytest.mark.parametrize(
    ("moment", "number"),
    [("step", signal.SIGTERM), ("checkpoint", signal.SIGTERM), ("step", signal.SIGINT)],
)
def test_a_request_to_end_saves_a_state(fine_tune, scratch, files, monkeypatch, moment, number):
    owner, name = (TrainingStep, "__call__") if moment == "step" else (Checkpoints, "score")
    original = getattr(owner, name)
    untouched, handlers = fine_tune(), list(map(signal.getsignal, REQUESTS))

    def call(self, *arguments):
        if len(files()) == 0 and moment == "checkpoint":
            os.kill(os.getpid(), number)
        result = original(self, *arguments)
        if moment == "step" and self.number == 7:
            os.kill(os.getpid(), number)
        return result

    with monkeypatch.context() as patch, pytest.raises(Interrupted, match="run it again: it goes on"):
        patch.setattr(owner, name, call)
        fine_tune(scratch=scratch(minutes=10.0))
    assert [step_of(path) for path in files()] == [7 if moment == "step" else 3]
    assert same(fine_tune(scratch=scratch(minutes=10.0)), untouched)
    assert list(map(signal.getsignal, REQUESTS)) == handlers


def test_one_ctrl_c_that_comes_twice_is_one_request():
    with Termination() as termination:
        with pytest.raises(Interrupted), termination.at_once():
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(Interrupted), termination.at_once():
            raise AssertionError("work was begun after the request")


def test_a_stopped_run_is_taken_to_its_full_length(fine_tune, scratch, trained_steps):
    stopped = fine_tune(early_stopping=MONITOR, scratch=scratch("stopped-ood"))
    assert stopped.outcome["steps"] < STEPS
    trained_steps.clear()
    full = fine_tune(scratch=scratch("full"))
    assert trained_steps == list(range(stopped.outcome["steps"] + 1, STEPS + 1))
    assert same(full, fine_tune())


def test_a_stopped_run_goes_on_with_more_patience(fine_tune, scratch, trained_steps):
    stopped = fine_tune(early_stopping={**MONITOR, "patience": 1}, scratch=scratch())
    trained_steps.clear()
    patient = fine_tune(early_stopping={**MONITOR, "patience": 3}, scratch=scratch())
    assert trained_steps[0] == stopped.outcome["steps"] + 1
    assert same(patient, fine_tune(early_stopping={**MONITOR, "patience": 3}))


def test_a_state_beyond_the_stop_is_not_used(fine_tune, scratch, trained_steps):
    fine_tune(early_stopping={**MONITOR, "patience": 3}, scratch=scratch())
    trained_steps.clear()
    impatient = fine_tune(early_stopping={**MONITOR, "patience": 1}, scratch=scratch())
    assert trained_steps[0] == 1
    assert same(impatient, fine_tune(early_stopping={**MONITOR, "patience": 1}))


def test_a_full_runs_state_lacks_the_best_weights(fine_tune, scratch, killed_after, monkeypatch, request):
    with pytest.raises(Killed):
        killed_after(4)
        fine_tune(scratch=scratch())
    monkeypatch.undo()
    steps = request.getfixturevalue("trained_steps")
    stopped = fine_tune(early_stopping=MONITOR, scratch=scratch("stopped-ood"))
    assert steps[0] == 1
    assert same(stopped, fine_tune(early_stopping=MONITOR))


@pytest.mark.parametrize("fault", ["torn", "foreign", "empty", "text", "flipped"])
def test_a_state_that_does_not_fit_is_ignored_with_a_line(
    fine_tune, scratch, files, killed_after, monkeypatch, caplog, fault
):
    with pytest.raises(Killed):
        killed_after(9)
        fine_tune(scratch=scratch(), seed=1 if fault == "foreign" else 0)
    monkeypatch.undo()
    (path,) = files()
    content = path.read_bytes()
    if fault == "foreign":
        identity = {"run": "run", "execution": EXECUTION.identity()}
        tree = read_state(path, identity)
        path.unlink()
        path = write_state(path.parent, ".".join(path.name.split(".")[:2]), tree, {"run": "other"})
    elif fault == "flipped":
        # In the midst of the weights, where nothing but the content itself gives it away.
        path.write_bytes(content[:-5000] + bytes([content[-5000] ^ 1]) + content[-4999:])
    else:
        path.write_bytes({"torn": content[:-100], "empty": b"", "text": b"not a state " * 40}[fault])
    with caplog.at_level(logging.WARNING):
        assert same(fine_tune(scratch=scratch()), fine_tune())
    assert f"ignoring the training state {path}" in caplog.text


def test_any_flipped_bit_of_a_state_is_noticed(tmp_path, caplog):
    path = write_state(tmp_path, "0.x", {"a": torch.arange(40.0), "b": [1, 2.5]}, {"run": 1})
    content = path.read_bytes()
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :])
        assert read_state(path, {"run": 1}) is None
    path.write_bytes(content)
    assert read_state(path, {"run": 1})["b"] == [1, 2.5]


@pytest.mark.parametrize(
    "other", [{"device_type": "cuda"}, {"precision": "bfloat16"}, {"kernels": "stock"}, {"processes": 2}]
)
def test_a_state_of_another_execution_is_left_alone_with_a_line(scratch, files, caplog, other):
    scratch(**other).save(9, {"number": 9})
    (path,) = files()
    with caplog.at_level(logging.WARNING):
        assert list(scratch().states()) == []
    assert (
        f"leaving the training state {path} alone: it does not fit this run, cpu-float32-own-1" in caplog.text
    )
    scratch().save(12, {"number": 12})
    assert path.exists() and next(scratch(**other).states())["number"] == 9
    scratch().clear()
    assert not files()


@pytest.mark.parametrize("name", [{"device": "another CPU"}, {"threads": 2}])
def test_names_and_threads_are_no_reason_to_start_again(scratch, name):
    scratch().save(9, {"number": 9})
    assert next(scratch(**name).states())["number"] == 9


def test_the_state_before_a_damaged_one_is_gone_on_from(scratch, files):
    scratch("stopped-ood").save(3, {"number": 3})
    scratch("full").save(9, {"number": 9})
    files()[0].write_bytes(b"")
    assert [state["number"] for state in scratch().states()] == [3]


def test_divergence_names_the_last_good_state(fine_tune, scratch):
    with pytest.raises(TrainingError, match=r"last good state: that of step \d+"):
        fine_tune(learning_rate=1e30, max_grad_norm=1e30, warmup_fraction=0.5, scratch=scratch())


@pytest.mark.parametrize(
    ("keep_states", "gone_on_from", "kept"),
    [
        ("all", False, (True, False)),
        ("all", True, (True, True)),
        ("planned", False, (False, False)),
        # A stopped run that never stops is the run to the end, which then has nothing left to train.
        ("planned", True, (True, True)),
        ("none", True, (False, False)),
    ],
)
def test_ends_are_kept_while_something_goes_on_from_them(scratch, keep_states, gone_on_from, kept):
    stopped = scratch("stopped-ood", keep_states=keep_states, gone_on_from=gone_on_from)
    assert tuple(stopped.keeps_end(stopped_early=stops) for stops in (True, False)) == kept


def test_no_end_is_kept_once_the_run_to_the_end_has_ended(scratch):
    stopped = scratch("stopped-ood", keep_states="planned", gone_on_from=True)
    assert stopped.keeps_end(True)
    for identity, kept in (("another", True), ("run", False)):
        whole = scratch(identity=identity, keep_states="planned")
        with whole.held(Progress("", [])):
            whole.clear()
        assert stopped.keeps_end(True) == kept


@pytest.mark.parametrize("keep_states", ["planned", "all"])
def test_what_was_gone_on_from_goes_at_the_next_state(scratch, files, keep_states):
    for budget in ("stopped-ood", "stopped-id"):
        stopped = scratch(budget, keep_states=keep_states, gone_on_from=True)
        with stopped.held(Progress("", [])):
            stopped.save(3, {"number": 3})
    whole = scratch(keep_states=keep_states)
    with scratch("stopped-id").held(Progress("", [])), whole.held(Progress("", [])):
        assert [state["number"] for state in whole.states()] == [3, 3]
        whole.save(9, {"number": 9})
        ends = {path.parent.name for path in files()}
    # One that is training keeps its own.
    assert ends == {"full", "stopped-id"} | ({"stopped-ood"} if keep_states == "all" else set())


def test_the_end_of_an_orphan_is_kept(scratch, monkeypatch):
    monkeypatch.setenv(ORCHESTRATOR, this_process())
    assert not scratch().keeps_end(stopped_early=False)
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    monkeypatch.setenv(ORCHESTRATOR, f"{this_process().split()[0]} {process.pid}")
    assert scratch().keeps_end(stopped_early=False)
    monkeypatch.setenv(ORCHESTRATOR, f"elsewhere {process.pid}")
    assert not scratch().keeps_end(stopped_early=False)


def test_a_second_trainer_waits_and_says_for_whom(scratch):
    said, order = [], []

    class Said(Progress):
        def __init__(self):
            super().__init__("", [])

        def announce(self, message):
            said.append(message)

    def second():
        with scratch().held(Said()):
            order.append("second")

    with scratch().held(Said()):
        thread = threading.Thread(target=second, daemon=True)
        thread.start()
        thread.join(0.5)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]
    assert f"waiting for process {os.getpid()} on" in said[0]


def test_another_budget_does_not_wait(scratch):
    with scratch("full").held(Progress("", [])), scratch("stopped-ood").held(Progress("", [])):
        pass


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_named(scratch, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    refused = pytest.raises(TrainingError, match=r"has no file locks(.|\n)*set runtime.scratch")
    with refused, scratch().held(Progress("", [])):
        pass


def test_the_next_state_does_not_depend_on_the_clock(scratch, monkeypatch):
    minutes = scratch(minutes=10.0)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert not minutes.due()
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 601)
    assert minutes.due()


def test_nothing_is_left_of_a_run_that_ended(scratch, tmp_path):
    with scratch().held(Progress("", [])):
        scratch().save(1, {"number": 1})
        assert list(tmp_path.rglob(LOCK))
        scratch().clear()
    assert list((tmp_path / "states").iterdir()) == []


def test_a_tree_comes_back_as_it_was(tmp_path):
    tree = {
        "a": {0: {"x": torch.arange(3), "y": 0.1}, 1: {"x": torch.zeros(2, 2, dtype=torch.bfloat16)}},
        "list": [{"params": [0, 1], "lr": 1e-300}],
        "array": np.array([1.5], np.float32),
        "none": None,
    }
    path = write_state(tmp_path, "state.cpu", tree, {"run": 1})
    back = read_state(path, {"run": 1})
    assert torch.equal(back["a"][0]["x"], tree["a"][0]["x"]) and back["a"][0]["y"] == 0.1
    assert back["a"][1]["x"].dtype == torch.bfloat16
    assert back["list"] == tree["list"] and back["none"] is None
    assert back["array"].numpy().tolist() == [1.5]
    assert list(tmp_path.iterdir()) == [path]
