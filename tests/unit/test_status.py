import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
import torch

from ftft.artifacts import write_json
from ftft.cli import main
from ftft.cli.status import training_runs
from ftft.errors import TrainingError
from ftft.execution.interruption import Interrupted
from ftft.execution.progress import Progress
from ftft.execution.scratch import Scratch
from ftft.pipeline.job import job

RUN = "reviews/large/small-ambiguous-33/stopped-id/seed0"
OTHER = "reviews/small/full/full/seed0"
BAR = "\rlarge on full (full), seed 0:  12%|#2        | 600/5000 [01:40<1:12:13,  6.00step/s"
HOLD = (
    "import fcntl, sys; lock = open(sys.argv[1], 'a+'); fcntl.flock(lock, fcntl.LOCK_EX); "
    "print('held', flush=True); sys.stdin.read()"
)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def hold(folder):
    """Let another process hold a training's lock since some seconds ago."""
    processes = []

    def start(name="full", seconds=60):
        path = folder / "results/scratch/states/0123" / name / "lock"
        path.parent.mkdir(parents=True)
        command = [sys.executable, "-c", HOLD, path]
        pipe = subprocess.PIPE
        processes.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True))
        assert processes[-1].stdout.readline() == "held\n"
        os.utime(path, (time.time() - seconds,) * 2)

    yield start
    for process in processes:
        process.communicate()


def leave_log(name, text, seconds=0):
    """A log that was last written to some seconds ago."""
    path = leave_file(f"logs/{name}.log", text)
    os.utime(path, (time.time() - seconds,) * 2)


def leave_file(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def leave_ledger(run, steps=5000):
    outcome = {"steps": steps, "planned_steps": 5000, "validation": {"accuracy": 0.75, "macro_f1": 0.5}}
    cost = {"training_seconds": 3600.4, "evaluation_seconds": 65.0}
    write_json(f"results/runs/{run}/ledger.json", {"outcome": outcome, "cost": cost})


@pytest.fixture
def status(capsys):
    """What `ftft status` prints."""

    def run(*arguments):
        assert main(["status", *arguments]) == 0
        return capsys.readouterr().out

    return run


@pytest.fixture
def runs(status):
    """The runs that `ftft status --json` lists, by name."""
    return lambda: {run["run"]: run for run in json.loads(status("--json"))["runs"]}


def test_nothing_yet(status):
    assert status() == "0 training runs\n"
    assert json.loads(status("--json")) == {"runs": [], "failed_jobs": []}


def test_a_finished_run(runs, status):
    leave_ledger(RUN, steps=1500)
    leave_log(f"train/{RUN}", BAR + ", loss 0.512, dev 0.731 at checkpoint 2]\n")
    assert runs() == {
        RUN: {
            "run": RUN,
            "state": "finished",
            "step": 1500,
            "steps": 5000,
            "development": {"score": 0.731, "checkpoint": 2},
            "validation": {"accuracy": 0.75, "macro_f1": 0.5},
            "seconds": 3665,
            "seconds_left": None,
            "log": f"logs/train/{RUN}.log",
            "last_lines": [],
        }
    }
    summary, header, row = status().splitlines()
    assert summary == "1 training run: 1 finished"
    assert header.split() == ["state", "run", "step", "dev", "validation", "time", "left"]
    assert row.split("  ") == [
        "finished", RUN, "1500/5000", "30%", "0.731 at 2", "accuracy 0.750, macro_f1 0.500", "1:01:05", "-"
    ]  # fmt: skip


def test_a_finished_run_needs_no_log(runs):
    leave_ledger(RUN)
    run = runs()[RUN]
    assert (run["state"], run["step"], run["development"], run["log"]) == ("finished", 5000, None, None)


def test_a_running_run(runs, status, hold):
    hold()
    leave_log(f"train/{RUN}", BAR + ", loss 0.512, dev 0.731 at checkpoint 2]")
    run = runs()[RUN]
    assert (run["state"], run["step"], run["steps"]) == ("running", 600, 5000)
    assert (run["seconds"], run["seconds_left"]) == (100, 4333)
    assert run["development"] == {"score": 0.731, "checkpoint": 2}
    assert "600/5000  12%  0.731 at 2  -           0:01:40  1:12:13" in status()


@pytest.mark.parametrize(
    ("bar", "seconds", "left"),
    [
        ("600/5000 [01:40<?, ?step/s]", 100, None),
        ("600/5000 [100:00:01<02:03, 61.00s/step, loss 0.512]", 360001, 123),
        ("1/2 [00:09<00:09,  9.00s/step]\r600/5000 [01:40<12:13,  6.00step/s, loss nan]", 100, 733),
    ],
)
def test_the_last_bar_counts_in_all_its_forms(runs, hold, bar, seconds, left):
    hold()
    loading = "Loading weights: 100%|##| 103/103 [00:02<00:00, 40.1it/s]"
    leave_log(f"train/{RUN}", f"\r{loading}\rlarge: 12%|#| {bar}\r{loading}")
    run = runs()[RUN]
    assert (run["step"], run["steps"], run["seconds"], run["seconds_left"]) == (600, 5000, seconds, left)
    assert run["development"] is None


def test_bars_are_read_as_trainings_draw_them(runs, folder):
    path = f"logs/train/{RUN}.log"
    leave_file(path, "")
    scratch = Scratch({}, "full", {"scratch": "results/scratch"})
    with scratch.held(print), open(path, "w") as log:
        progress = Progress("large on full (full), seed 0", [log])
        progress.start(7, 2, SimpleNamespace(trackers=[], log=lambda *_, **__: None), {}, float)
        progress.step(torch.tensor(0.5))
        progress.checkpoint(0.25, [{"checkpoint": 3, "dataset": "dev", "metric": "accuracy", "value": 0.25}])
        progress.close()
        log.flush()
        run = runs()[RUN]
    assert (run["state"], run["step"], run["steps"]) == ("running", 3, 7)
    assert run["development"] == {"score": 0.25, "checkpoint": 3}
    assert run["seconds_left"] is not None


class Given:
    """Of `snakemake` in a script, what a job reads."""

    log = (f"logs/train/{RUN}.log",)


def test_a_failed_run_shows_the_last_lines_of_its_log(runs, status):
    with pytest.raises(SystemExit), job(Given) as (log, *_):
        print(BAR + ", loss nan]", file=log)
        raise TrainingError("training diverged", got="loss nan", expected="finite loss", fix="lower the rate")
    message = [
        "TrainingError: training diverged",
        "  got: loss nan",
        "  expected: finite loss",
        "  what to do: lower the rate",
    ]
    run = runs()[RUN]
    assert (run["state"], run["step"], run["last_lines"]) == ("failed", 600, message)
    assert json.loads(status("--json"))["failed_jobs"] == []
    lines = status().splitlines()
    assert lines[-6:] == ["", f"failed: logs/train/{RUN}.log", *(f"  {line}" for line in message)]


def test_a_run_that_broke_shows_the_end_of_its_traceback(runs):
    with pytest.raises(ZeroDivisionError), job(Given) as (log, *_):
        print(BAR + "]", file=log)
        1 / 0  # noqa: B018
    run = runs()[RUN]
    assert run["state"] == "failed"
    assert run["last_lines"][-1] == "ZeroDivisionError: division by zero"
    assert 1 < len(run["last_lines"]) <= 6


# Of one process, and of several as their parent tells it.
@pytest.mark.parametrize("error", [Interrupted(), TrainingError(str(Interrupted()))])
def test_a_run_that_took_a_sigterm_is_stopped(runs, error):
    with pytest.raises(SystemExit), job(Given) as (log, *_):
        print(BAR + "]", file=log)
        raise error
    assert (runs()[RUN]["state"], runs()[RUN]["last_lines"]) == ("stopped", [])


def test_a_run_whose_process_was_killed_is_stopped(runs, folder):
    leave_log(f"train/{RUN}", BAR + "]")
    lock = folder / "results/scratch/states/0123/full/lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    os.utime(lock, (0, 0))
    run = runs()[RUN]
    assert (run["state"], run["seconds_left"]) == ("stopped", None)


def test_the_lock_of_one_run_makes_no_other_a_running_one(runs, hold):
    hold(seconds=60)
    leave_log(f"train/{RUN}", BAR + "]")
    leave_log(f"train/{OTHER}", BAR + "]", seconds=30)  # killed while the other trained
    leave_log("train/reviews/small/full/full/seed1", BAR + "]", seconds=3600)
    leave_log("train/reviews/small/full/full/seed2", "")
    states = {name.rpartition("/")[2]: run["state"] for name, run in runs().items() if name != OTHER}
    assert states == {"seed0": "running", "seed1": "stopped", "seed2": "starting"}
    assert runs()[OTHER]["state"] == "stopped"


def test_two_locks_are_two_running_runs(runs, hold):
    hold("full", seconds=600)
    hold("stopped-id", seconds=60)
    leave_log(f"train/{RUN}", BAR + "]")
    leave_log(f"train/{OTHER}", BAR + "]", seconds=5)
    assert {run["state"] for run in runs().values()} == {"running"}


def test_a_lock_younger_than_a_log_is_not_its_own(runs, hold):
    hold(seconds=60)
    leave_log(f"train/{RUN}", BAR + "]", seconds=3600)
    assert runs()[RUN]["state"] == "stopped"


def test_a_job_without_steps_is_starting_for_a_while(folder):
    leave_log(f"train/{RUN}", "2026-01-01 12:00:00 INFO: tokens", seconds=0)
    now = datetime.now(UTC)

    def state(later):
        found = training_runs(folder / "results/runs", folder / "logs/train", folder / "scratch", later)
        return found[0]["state"]

    assert state(now) == "starting"
    assert state(now + timedelta(minutes=11)) == "stopped"


def test_a_ledger_outweighs_what_an_earlier_job_left_in_the_log(runs):
    leave_ledger(RUN)
    leave_log(f"train/{RUN}", "TrainingError: training diverged\n")
    assert runs()[RUN]["state"] == "finished"


def test_unfinished_runs_come_first(status, hold):
    hold()
    leave_ledger("a/finished/full/full/seed0")
    leave_log("train/a/broken/full/full/seed0", "RuntimeError: no\n")
    leave_log(f"train/{RUN}", BAR + "]")
    leave_log("train/a/killed/full/full/seed0", BAR + "]", seconds=3600)
    summary, _, *rows = status().splitlines()
    assert summary == "4 training runs: 1 running, 1 failed, 1 stopped, 1 finished"
    assert [row.split()[0] for row in rows[:4]] == ["running", "failed", "stopped", "finished"]


def test_other_jobs_that_failed_are_listed(status):
    leave_log("prepare_data/reviews/train", "DataError: data set 'train' is empty\n  got: 0 rows\n")
    leave_log("check_data/reviews", "2026-01-01 12:00:00 ftft: no error: here\n")
    lines = status().splitlines()
    assert lines == [
        "0 training runs",
        "",
        "failed: logs/prepare_data/reviews/train.log",
        "  DataError: data set 'train' is empty",
        "    got: 0 rows",
    ]
    jobs = json.loads(status("--json"))["failed_jobs"]
    assert [job["log"] for job in jobs] == ["logs/prepare_data/reviews/train.log"]


def test_long_logs_are_read_from_their_end(runs, hold):
    hold()
    leave_log(f"train/{RUN}", "ValueError: long ago\n" + "x" * 100_000 + "\n" + BAR + "]")
    assert (runs()[RUN]["state"], runs()[RUN]["step"]) == ("running", 600)


def test_folders_may_be_elsewhere(status):
    leave_file("away/out/runs/a/b/ledger.json", "")
    os.remove("away/out/runs/a/b/ledger.json")
    leave_log(f"train/{RUN}", BAR + "]")
    os.renames("logs", "away/logs")
    assert status() == "0 training runs\n"
    assert "1 stopped" in status("--results", "away/out", "--logs", "away/logs", "--scratch", "away/scratch")


def test_it_starts_at_once():
    code = (
        "import sys; from ftft.cli import main; main(['status']); "
        "print({'torch', 'numpy', 'pyarrow'} & {*sys.modules})"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "0 training runs\nset()\n"
