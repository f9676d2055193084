"""`ftft status`: what runs, ended, failed, by files that nobody vouches for."""

import io
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from ftft.artifacts import write_json
from ftft.cli import main
from ftft.cli.neutral import neutral_json, neutral_text
from ftft.cli.status import State, named
from ftft.cli.watch import watch
from ftft.errors import TrainingError
from ftft.execution.identity import Execution
from ftft.execution.interruption import Interrupted
from ftft.execution.progress import Progress
from ftft.execution.scratch import Scratch
from ftft.pipeline.job import job

RUN = "reviews/large/small-ambiguous-33/stopped-id/seed0"
OTHER = "reviews/small/all/full/seed0"
BAR = "\rlarge on all (full), seed 0:  12%|#2        | 600/5000 [01:40<1:12:13,  6.00step/s]"
LOCK = "states/0123/full/lock"
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
    """Let another process hold a training's lock."""
    processes = []

    def start(lock=LOCK):
        path = folder / "results/scratch" / lock
        path.parent.mkdir(parents=True)
        command = [sys.executable, "-c", HOLD, path]
        pipe = subprocess.PIPE
        processes.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True))
        assert processes[-1].stdout.readline() == "held\n"

    yield start
    for process in processes:
        process.communicate()


def leave_file(path, text, seconds=0):
    """A file that was last written to some seconds ago."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.utime(path, (time.time() - seconds,) * 2)


def leave_progress(run, seconds=0, **entries):
    """What a training leaves while it runs, and its log."""
    known = {"run": run, "state": "running", "lock": LOCK, "step": 600, "steps": 5000, "seconds": 100.4}
    known |= {"seconds_left": 4333.2, "loss": 0.512, "development": {"score": 0.731, "checkpoint": 2}}
    leave_file(f"logs/train/{run}.json", json.dumps(known | entries), seconds)
    leave_file(f"logs/train/{run}.log", BAR, seconds)


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
    assert json.loads(status("--json")) == {"runs": [], "failed_jobs": [], "jobs": None, "not_done": {}}


def test_a_finished_run(runs, status):
    leave_ledger(RUN, steps=1500)
    leave_progress(RUN, state="finished")
    assert runs() == {
        RUN: {
            "run": RUN,
            "state": "finished",
            "step": 1500,
            "steps": 5000,
            "loss": 0.512,
            "development": {"score": 0.731, "checkpoint": 2},
            "best": None,
            "validation": {"accuracy": 0.75, "macro_f1": 0.5},
            "seconds": 3665,
            "seconds_left": None,
            "steps_per_second": None,
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
    leave_progress(RUN)
    run = runs()[RUN]
    assert (run["state"], run["step"], run["steps"]) == ("running", 600, 5000)
    assert (run["seconds"], run["seconds_left"], run["steps_per_second"]) == (100.4, 4333.2, 1.015)
    assert run["development"] == {"score": 0.731, "checkpoint": 2}
    assert "600/5000  12%  0.731 at 2  -           0:01:40  1:12:13" in status()


def test_progress_is_read_as_trainings_leave_it(runs):
    scratch = Scratch(
        {}, Execution("cpu", "cpu", "float32", "own", 1, 1), "full", {"scratch": "results/scratch"}
    )
    with Progress("title", [], run=RUN, file=f"logs/train/{RUN}.json") as progress:
        assert runs()[RUN]["state"] == "starting"
        with scratch.held(progress):
            assert runs()[RUN]["state"] == "starting"
            progress.start(7, 2, SimpleNamespace(trackers=[], log=lambda *_, **__: None), {}, float)
            progress.step(torch.tensor(0.5))
            for number, score in ((3, 0.25), (4, 0.125)):
                progress.checkpoint(
                    score, [{"checkpoint": number, "dataset": "d", "metric": "m", "value": 0}]
                )
            run = runs()[RUN]
            assert (run["state"], run["step"], run["steps"], run["loss"]) == ("running", 3, 7, 0.5)
            assert run["development"] == {"score": 0.125, "checkpoint": 4}
            assert run["best"] == {"score": 0.25, "checkpoint": 3}
            assert run["seconds_left"] == pytest.approx(4 * run["seconds"])
            progress.close()
    assert runs()[RUN]["state"] == "stopped"  # without a ledger
    leave_ledger(RUN)
    assert runs()[RUN]["state"] == "finished"


def test_a_file_that_cannot_be_written_ends_no_training(folder):
    leave_file("logs/train", "")
    with Progress("title", [], file=f"logs/train/{RUN}.json") as progress:
        progress.start(7, 2, SimpleNamespace(trackers=[], log=lambda *_, **__: None), {}, float)


def test_files_are_written_now_and_then_only(monkeypatch):
    with Progress("title", [], file="progress.json") as progress:
        progress.start(900, 0, SimpleNamespace(trackers=[], log=lambda *_, **__: None), {}, float)
        with monkeypatch.context() as broken:
            broken.setattr(os, "replace", None)
            for _ in range(100):
                progress.step(torch.tensor(0.5))


class Given:
    """Of `snakemake` in a script, what a job reads."""

    log = (f"logs/train/{RUN}.log",)


def fail(error):
    """A job that trains and ends by `error`."""
    with job(Given), Progress("title", [], run=RUN, file=f"logs/train/{RUN}.json"):
        raise error


def test_a_failed_run_shows_the_last_lines_of_its_log(runs, status):
    with pytest.raises(SystemExit):
        fail(TrainingError("training diverged", got="loss nan", expected="finite loss", fix="lower the rate"))
    message = [
        "TrainingError: training diverged",
        "  got: loss nan",
        "  expected: finite loss",
        "  what to do: lower the rate",
        "This would end the same way again, so it is not tried again.",
    ]
    assert (runs()[RUN]["state"], runs()[RUN]["last_lines"]) == ("failed", message)
    assert json.loads(status("--json"))["failed_jobs"] == []
    lines = status().splitlines()
    assert lines[-7:] == ["", f"failed: logs/train/{RUN}.log", *(f"  {line}" for line in message)]


def test_a_run_that_broke_shows_the_end_of_its_traceback(runs):
    with pytest.raises(ZeroDivisionError):
        fail(ZeroDivisionError("division by zero"))
    run = runs()[RUN]
    assert run["state"] == "failed"
    assert run["last_lines"][-1] == "ZeroDivisionError: division by zero"
    assert 1 < len(run["last_lines"]) <= 6


def test_a_job_that_failed_before_it_trained_is_failed(runs):
    leave_file(f"logs/train/{RUN}.log", "ImportError: no\n")
    assert runs()[RUN]["state"] == "failed"


@pytest.mark.parametrize("error", [Interrupted(), KeyboardInterrupt()])
def test_a_run_that_was_asked_to_end_is_stopped(runs, error):
    with pytest.raises((SystemExit, KeyboardInterrupt)):
        fail(error)
    assert (runs()[RUN]["state"], runs()[RUN]["last_lines"]) == ("stopped", [])


def test_a_run_whose_process_was_killed_is_stopped(runs, hold):
    leave_progress(RUN)
    assert (runs()[RUN]["state"], runs()[RUN]["seconds_left"]) == ("stopped", None)
    leave_file(f"results/scratch/{LOCK}", "")
    assert runs()[RUN]["state"] == "stopped"


def test_the_lock_of_one_run_makes_no_other_a_running_one(runs, hold):
    hold("states/0123/stopped-id/lock")
    leave_progress(RUN, lock="states/0123/stopped-id/lock")
    leave_progress(OTHER)  # killed while the other trained
    states = {name: run["state"] for name, run in runs().items()}
    assert states == {RUN: "running", OTHER: "stopped"}


def test_a_job_without_steps_is_starting_for_a_while(runs):
    for seconds, state in ((0, "starting"), (-3600, "starting"), (700, "stopped")):
        leave_file(f"logs/train/{RUN}.log", "2026-01-01 12:00:00 INFO: tokens", seconds)
        assert runs()[RUN]["state"] == state


def test_a_ledger_outweighs_what_an_earlier_job_left_in_the_log(runs):
    leave_ledger(RUN)
    leave_file(f"logs/train/{RUN}.log", "TrainingError: training diverged\n")
    assert runs()[RUN]["state"] == "finished"


def test_unfinished_runs_come_first(status, hold):
    hold()
    leave_ledger("a/finished/all/full/seed0")
    leave_file("logs/train/a/broken/all/full/seed0.log", "RuntimeError: no\n")
    leave_progress(RUN)
    leave_progress("a/killed/all/full/seed0", lock=None)
    summary, _, *rows = status().splitlines()
    assert summary == "4 training runs: 1 running, 1 failed, 1 stopped, 1 finished"
    assert [row.split()[0] for row in rows[:4]] == ["running", "failed", "stopped", "finished"]


def test_other_jobs_that_failed_are_listed(status):
    leave_file("logs/prepare_data/reviews/train.log", "DataError: data set 'train' is empty\n  got: 0 rows\n")
    leave_file("logs/check_data/reviews.log", "2026-01-01 12:00:00 ftft: no error: here\n")
    assert status().splitlines() == [
        "0 training runs",
        "",
        "failed: logs/prepare_data/reviews/train.log",
        "  DataError: data set 'train' is empty",
        "    got: 0 rows",
    ]
    jobs = json.loads(status("--json"))["failed_jobs"]
    assert [job["log"] for job in jobs] == ["logs/prepare_data/reviews/train.log"]


def test_long_logs_are_read_from_their_end(runs):
    leave_file(f"logs/train/{RUN}.log", "ValueError: long ago\n" + "x" * 100_000 + "\n" + BAR, 3600)
    assert runs()[RUN]["state"] == "stopped"


def test_folders_may_be_elsewhere(status):
    leave_progress(RUN)
    os.renames("logs", "away/logs")
    assert status() == "0 training runs\n"
    assert "1 stopped" in status("--results", "away/out", "--logs", "away/logs", "--scratch", "away/scratch")


def test_a_ledger_that_cannot_be_read_fails_its_run(runs, status):
    leave_file(f"results/runs/{RUN}/ledger.json", '{"outcome": {"steps": 15')
    assert runs()[RUN]["state"] == "failed"
    assert f"results/runs/{RUN}/ledger.json cannot be read: delete it" in status()


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
PROGRESS_KEYS = ("state", "lock", "step", "steps", "seconds", "seconds_left", "loss", "development", "best")
LEDGER_KEYS = ("steps", "planned_steps", "validation", "training_seconds", "evaluation_seconds")


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.dictionaries(st.sampled_from(PROGRESS_KEYS), values),
    st.dictionaries(st.sampled_from(LEDGER_KEYS), values),
    st.booleans(),
    st.binary(max_size=60),
)
def test_odd_values_end_in_no_traceback(status, progress, entries, ledger, log):
    leave_file(f"logs/train/{RUN}.json", json.dumps(progress))
    with open(f"logs/train/{RUN}.log", "wb") as file:
        file.write(log)
    leave_file(f"results/runs/{OTHER}/ledger.json", json.dumps({"outcome": entries, "cost": entries}))
    if not ledger:
        leave_file(f"results/runs/{OTHER}/ledger.json", json.dumps(entries))
    assert "\x1b" not in status() and json.loads(status("--json"))


def test_torn_and_flipped_files_end_in_no_traceback(status):
    generator = random.Random(0)
    leave_ledger(OTHER)
    leave_progress(RUN)
    paths = (f"logs/train/{RUN}.json", f"results/runs/{OTHER}/ledger.json")
    contents = [Path(path).read_bytes() for path in paths]
    for _ in range(200):
        for path, content in zip(paths, contents, strict=True):
            damaged = bytearray(content[: generator.randrange(len(content) + 1)])
            for _ in range(generator.randrange(4)):
                if damaged:
                    damaged[generator.randrange(len(damaged))] ^= 1 << generator.randrange(8)
            with open(path, "wb") as file:
                file.write(damaged)
        status(), status("--json")


def test_odd_things_in_the_place_of_files_are_left_out(status, folder):
    for name in ("a", "b"):
        os.makedirs(f"logs/train/{name}")
        os.mkfifo(f"logs/train/{name}/seed0.log")
        os.makedirs(f"logs/train/{name}/seed1.json")
    os.symlink("nowhere", "logs/train/a/seed2.json")
    os.symlink(folder, "logs/train/a/around")
    leave_file("logs/train/a/seed3.json", "[" * 100_000)
    leave_progress(RUN, lock="../../../../etc/passwd")
    os.makedirs(f"results/scratch/{LOCK}")
    leave_progress(OTHER)
    os.mkfifo("logs/odd.log")
    assert " stopped" in status() and json.loads(status("--json"))


def test_texts_from_outside_are_neutral(status, hold):
    hold()
    odd = "\x1b]0;owned\x07\x9b31m\u202eevil\nnext"
    leave_progress(f"a/{odd}/seed0")
    with open(os.fsencode("logs/train/a/") + b"\xff.log", "w") as file:
        file.write(f"ValueError: {odd}\x1b[2J\n")
    leave_ledger(OTHER)
    write_json(
        f"results/runs/{OTHER}/ledger.json",
        {"outcome": {"steps": 1, "planned_steps": 1, "validation": {odd: 1.0}}, "cost": {}},
    )
    for shown in (status(), status("--json")):
        assert not set(shown) & set("\x1b\x07\x9b\u202e")
    names = {run["run"] for run in json.loads(status("--json"))["runs"]}
    assert {f"a/{odd}/seed0", OTHER} < names


def test_neutral_json_reads_back():
    value = {"a\x1b\x9b": ["\u202e", "\ud800", "\n", "ä"]}
    assert json.loads(neutral_json(value)) == value
    assert len(neutral_text("x" * 10**7)) < 1100


def test_a_closed_pipe_and_a_poor_locale_end_in_no_traceback(folder):
    leave_progress("a/\N{SNOWMAN}/all/full/seed0")
    command = f"{sys.executable} -c 'from ftft.cli import main; raise SystemExit(main([\"status\"]))'"
    for ending in (" | true", " | cat"):
        run = subprocess.run(
            ["bash", "-c", f"set -o pipefail; {command}{ending}"],
            env={**os.environ, "PYTHONIOENCODING": "ascii"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (run.returncode, run.stderr) == (0, "")


def test_it_starts_at_once():
    code = (
        "import sys; from ftft.cli import main; main(['status']); "
        "print({'torch', 'numpy', 'pyarrow'} & {*sys.modules})"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "0 training runs\nset()\n"


@pytest.fixture
def shown():
    """What `ftft status --watch` shows at one look, on a terminal of this height."""

    def look(state, height=30, **options):
        console = Console(file=io.StringIO(), width=150, height=height, **options)
        watch(lambda: state, 0, console, times=1)
        return console.file.getvalue()

    return look


def a_run(name, state, **entries):
    known = dict.fromkeys(("step", "steps", "seconds", "seconds_left", "best", "log"))
    return {**known, "run": name, "state": state, "last_lines": [], **entries}


def test_a_watched_run_has_a_bar_its_pace_the_time_left_and_its_best_score(shown):
    best = {"score": 0.731, "checkpoint": 2}
    running = a_run(RUN, "running", step=600, steps=5000, seconds_left=4400.0, best=best)
    text = shown(State([running, a_run(OTHER, "starting")], [], (12, 37), {"evaluate": 22, "train_main": 3}))
    (line,) = [line for line in text.splitlines() if RUN in line]
    for part in ("running", " 12%", "1.0 steps/s", "1:13:20 left", "best 0.731"):
        assert part in line
    assert "trainings: 1 running, 1 starting" in text
    assert "12 of 37 jobs of the last call are done, 25 run or wait: 22 evaluate, 3 train_main" in text


def test_a_watched_failure_says_why_in_one_line_that_no_terminal_obeys(shown):
    failed = a_run(RUN, "failed", log="logs/a.log", last_lines=["Traceback", "ValueError: \x1b[2J"])
    text = shown(State([failed], [{"log": "logs/b.log", "last_lines": ["DataError: no rows"]}], None, {}))
    assert (
        "logs/a.log: ValueError: \N{REPLACEMENT CHARACTER}[2J" in text
        and "logs/b.log: DataError: no rows" in text
    )
    assert "\x1b" not in text


def test_more_runs_than_lines_are_counted(shown):
    runs = [a_run(f"{number:03}", "stopped") for number in range(100)]
    text = shown(State(runs, [], None, {}), height=20)
    assert len(text.splitlines()) < 20 and "000" in text and "099" not in text
    assert "and 85 more: ftft status" in text


BAR = "\N{BOX DRAWINGS HEAVY HORIZONTAL}"


def test_colours_are_shown_to_terminals_that_want_them(shown, monkeypatch):
    state = State([a_run(RUN, "running", step=1, steps=2)], [], None, {})
    coloured = shown(state, force_terminal=True, color_system="standard")
    assert "\x1b[32m" in coloured and BAR in coloured
    monkeypatch.setenv("NO_COLOR", "1")
    plain = shown(state, force_terminal=True, color_system="standard")
    assert "\x1b[32m" not in plain and BAR not in plain and "50%" in plain
    assert "\x1b" not in shown(state)


def test_without_a_terminal_the_runs_are_listed_once(status):
    leave_progress(RUN)
    assert status("--watch") == status()


def test_the_jobs_of_the_last_call_are_counted(status):
    for day, text in (
        (1, "3 of 3 steps (100%) done"),
        (2, "Select jobs\n1 of 9 steps (11%) done\n2 of 9 steps (22%) done"),
    ):
        leave_file(f".snakemake/log/2026-11-0{day}T000000.snakemake.log", text)
    assert json.loads(status("--json"))["jobs"] == [2, 9]
    assert "2 of 9 jobs of the last call are done\n" in status()


def test_the_rules_are_named_whose_jobs_are_not_done(status):
    rows = ("evaluate          4", "train_main        2", "total             6")
    planned = "\n".join(["Job stats:", "job         count", "----------  -------", *rows, ""])
    leave_file(".snakemake/log/2026-11-02T000000.snakemake.log", planned)
    assert "0 of 6 jobs of the last call are done; not done: 4 evaluate, 2 train_main\n" in status()
    done = "Finished jobid: 4 (Rule: evaluate)\n1 of 6 steps (17%) done\n"
    leave_file(".snakemake/log/2026-11-03T000000.snakemake.log", planned + "Select jobs\n" * 9_000 + done)
    assert json.loads(status("--json"))["not_done"] == {"evaluate": 3, "train_main": 2}
    assert "1 of 6 jobs of the last call are done; not done: 3 evaluate, 2 train_main\n" in status()


def test_of_many_rules_the_most_frequent_are_named():
    assert named({f"rule_{count}": count for count in range(20, 0, -1)}).endswith(
        ", 13 rule_13, 12 more rules"
    )
