"""`ftft status`: training runs and failed jobs, by ledgers, progress files, locks of trainings and logs.

None of these files is trusted: whatever stands in them, what can be read is shown and the rest is left out.
"""

import argparse
import fcntl
import json
import math
import os
import platform
import re
import stat
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from ..processes import has_ended
from .neutral import neutral_json, neutral_text

ERROR = re.compile(
    r"^(?:Traceback \(most recent call last\)|Fatal Python error|[\w.]*(?:Error|Exception)):", re.M
)
BAR = re.compile(r"\d+%\|")
LOCK = re.compile(r"states/[0-9a-f]+/[\w.-]+/lock")
READ_BYTES = 1 << 16
LEDGER_BYTES = 1 << 24
SHOWN_LINES = 6
LARGEST_NUMBER = 1e12
# A job imports torch and makes the tokens of its data before it takes its lock.
STARTING_SECONDS = 600
DONE = re.compile(r"^(\d{1,9}) of (\d{1,9}) steps", re.M)
PLANNED = re.compile(r"^Job stats:\njob +count\n[- ]+\n(.*?)^total +(\d{1,9})$", re.M | re.S)
JOBS_OF_RULE = re.compile(r"^(\w+) +(\d{1,9})$", re.M)
FINISHED = re.compile(r"^Finished jobid: \d+ \(Rule: (\w+)\)", re.M)
SHOWN_RULES = 8
SNAKEMAKE_LOGS = Path(".snakemake", "log")
STATES = ("running", "starting", "failed", "stopped", "finished")
NUMBERS = ("step", "steps", "seconds", "seconds_left", "loss")


class State(NamedTuple):
    """What is known: runs and failed jobs as below, jobs that are done of all of the last call, and how many
    jobs of each rule are not done there: they run or wait."""

    runs: list[dict]
    failed_jobs: list[dict]
    jobs: tuple[int, int] | None
    not_done: dict[str, int]


def status(arguments: argparse.Namespace) -> None:
    """Print the state of every training run, and the last lines of what failed."""
    scratch = arguments.scratch or arguments.results / "scratch"

    def look() -> State:
        runs = training_runs(arguments.results / "runs", arguments.logs / "train", scratch)
        return State(runs, failed_jobs(arguments.logs), *jobs_of_last_call(SNAKEMAKE_LOGS))

    if arguments.watch is not None and arguments.json:
        while True:
            print(neutral_json(look()._asdict(), indent=None), flush=True)
            time.sleep(arguments.watch)
    elif arguments.watch is not None and sys.stdout.isatty():
        from .watch import watch

        watch(look, arguments.watch)
    elif arguments.json:
        print(neutral_json(look()._asdict()))
    else:
        print("\n".join(map(neutral_text, _report(look()))))


def jobs_of_last_call(logs: Path) -> tuple[tuple[int, int] | None, dict[str, int]]:
    """How many jobs of how many are done in the last call of snakemake, and those by rule that are not, as
    its newest log in `logs` says: the most frequent rule first."""
    text = _tail(max(_files(logs, ".log"), default=logs), LEDGER_BYTES)
    planned, total = (PLANNED.findall(text) or [("", None)])[-1]
    counts = Counter({rule: int(count) for rule, count in JOBS_OF_RULE.findall(planned)})
    left = counts - Counter(FINISHED.findall(text))
    done = DONE.findall(text) or ([(0, total)] if total else [])
    return (int(done[-1][0]), int(done[-1][1])) if done else None, dict(left.most_common())


def named(not_done: dict[str, int]) -> str:
    """The rules of jobs that are not done, with the number of jobs of each."""
    shown = [f"{count} {rule}" for rule, count in not_done.items()]
    more = [f"{len(shown) - SHOWN_RULES} more rules"] if len(shown) > SHOWN_RULES else []
    return ", ".join(shown[:SHOWN_RULES] + more)


def training_runs(results: Path, logs: Path, scratch: Path) -> list[dict]:
    """Every run that has a ledger below `results`, or a log or progress file below `logs`, by state and name.

    Keys: run, state (one of `STATES`), step, steps, loss, development and best (score, checkpoint),
    validation (scores of the kept checkpoint), seconds, seconds_left, steps_per_second, log, last_lines; None
    for what is not known. A run without a ledger is running if somebody holds its lock; else it ended as its
    progress file or its log says.
    """
    ledgers = {path.parent.relative_to(results): path for path in _files(results, "ledger.json")}
    files = {path.with_suffix("").relative_to(logs): path for path in _files(logs, ".log", ".json")}
    runs = []
    for name in {*ledgers, *files}:
        path = files.get(name, logs / name.with_suffix(".log"))
        log, progress = path.with_suffix(".log"), _read_json(path.with_suffix(".json"))
        known = log.is_file()
        run = {"run": name.as_posix(), "log": str(log) if known else None, **_progress(progress)}
        run |= {"validation": None, "last_lines": []}
        if name in ledgers:
            run |= _outcome(_read_json(ledgers[name], LEDGER_BYTES), ledgers[name])
        else:
            text = _tail(log) if known else ""
            run["state"] = _state(progress, text, _age(path), scratch)
            if run["state"] == "failed":
                run["last_lines"] = _last_lines(text)
        if run["state"] != "running":
            run["seconds_left"] = None
        runs.append(run | {"steps_per_second": pace(run)})
    return sorted(runs, key=lambda run: (STATES.index(run["state"]), run["run"]))


def pace(run: dict) -> float | None:
    """Steps a second of a run whose time left is known."""
    step, steps, left = run["step"], run["steps"], run["seconds_left"]
    return _number(round((steps - step) / left, 3)) if left and None not in (step, steps) else None


def running_runs(logs: Path, since: float) -> list[dict]:
    """Runs that train, by the progress files below `logs` that were written after `since` (seconds since the
    epoch): as in `training_runs`, without what their ledgers and logs say.

    Of a run on another machine it is not known whether its process was killed.
    """
    runs = []
    for path in _files(logs, ".json"):
        entries = _read_json(path) if _written(path) > since else {}
        if entries.get("state") == "running" and not _was_killed(entries):
            name = path.relative_to(logs).with_suffix("").as_posix()
            runs.append({"run": name, "state": "running", **_progress(entries)})
    return runs


def _was_killed(progress: dict) -> bool:
    """Whether the process that left its progress is gone from this machine."""
    pid, here = progress.get("pid"), progress.get("host") == platform.node()
    return here and isinstance(pid, int) and has_ended(pid)


def failed_jobs(logs: Path) -> list[dict]:
    """Jobs other than trainings whose log holds an error: log, last_lines."""
    texts = {path: _tail(path) for path in _files(logs, ".log") if not path.is_relative_to(logs / "train")}
    return [
        {"log": str(path), "last_lines": _last_lines(text)}
        for path, text in texts.items()
        if ERROR.search(text)
    ]


def _state(progress: dict, log: str, age: float, scratch: Path) -> str:
    """The state of a run without a ledger; `age` is that of the last sign of life, in seconds."""
    said, lock = progress.get("state"), progress.get("lock")
    if isinstance(lock, str) and LOCK.fullmatch(lock) and _is_held(scratch / lock):
        return "running" if said == "running" else "starting"
    if said == "failed" or ERROR.search(log):
        return "failed"
    if said in (None, "starting") and age < STARTING_SECONDS:
        return "starting"
    return "stopped"


def _is_held(path: Path) -> bool:
    """Whether another process holds a training's lock."""
    try:
        lock = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(lock)
    return False


def _files(folder: Path, *endings: str) -> list[Path]:
    """Files below a folder whose names end so; what may not be read is left out."""
    found = [
        Path(place, name)
        for place, _, names in os.walk(folder)
        for name in names
        if name.endswith(endings) and not name.startswith(".")
    ]
    return sorted(found)


def _read(path: Path, limit: int, from_end: bool = False) -> bytes:
    """At most `limit` bytes of a regular file; none where there is no such file. Snakemake removes logs."""
    try:
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except (OSError, ValueError):
        return b""
    try:
        about = os.fstat(number)
        if not stat.S_ISREG(about.st_mode) or (about.st_size > limit and not from_end):
            return b""
        return os.pread(number, limit, max(0, about.st_size - limit))
    except OSError:
        return b""
    finally:
        os.close(number)


def _tail(path: Path, limit: int = READ_BYTES) -> str:
    """The end of a log, carriage returns as line ends."""
    return _read(path, limit, from_end=True).decode("utf-8", "replace").replace("\r", "\n")


def _read_json(path: Path, limit: int = READ_BYTES) -> dict:
    """The object in a JSON file; an empty one where there is none that can be read."""
    try:
        value = json.loads(_read(path, limit))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _age(path: Path) -> float:
    """Seconds since the log or progress file at `path` was written, 0 if that is to come."""
    written = max(map(_written, (path.with_suffix(".log"), path.with_suffix(".json"))))
    return max(0.0, time.time() - written)


def _written(path: Path) -> float:
    """When a file was written, in seconds since the epoch; long ago where there is none."""
    try:
        return path.stat().st_mtime
    except OSError:
        return -math.inf


def _number(value: object) -> float | int | None:
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return value if plain and abs(value) < LARGEST_NUMBER else None


def _numbers(value: object) -> dict[str, float]:
    entries = value.items() if isinstance(value, dict) else ()
    return {name: number for name, entry in entries if (number := _number(entry)) is not None}


def _scored(value: object) -> dict | None:
    numbers = _numbers(value)
    return numbers if {"score", "checkpoint"} <= set(numbers) else None


def _progress(entries: dict) -> dict:
    return {
        **{name: _number(entries.get(name)) for name in NUMBERS},
        **{name: _scored(entries.get(name)) for name in ("development", "best")},
    }


def _outcome(ledger: dict, path: Path) -> dict:
    """What a finished run's ledger says; one that cannot be read fails the run."""
    outcome, cost = _numbers(ledger.get("outcome")), _numbers(ledger.get("cost"))
    if not {"steps", "planned_steps"} <= set(outcome):
        line = f"{path} cannot be read: delete it, and let snakemake make it again"
        return {"state": "failed", "last_lines": [line]}
    seconds = [cost[name] for name in ("training_seconds", "evaluation_seconds") if name in cost]
    return {
        "state": "finished",
        "step": outcome["steps"],
        "steps": outcome["planned_steps"],
        "seconds": round(sum(seconds)) if seconds else None,
        "validation": _numbers(ledger["outcome"].get("validation")),
    }


def _last_lines(text: str) -> list[str]:
    lines = [line.rstrip() for line in text.splitlines()]
    return [line for line in lines if line and not BAR.search(line)][-SHOWN_LINES:]


def _report(state: State) -> Iterator[str]:
    runs, jobs = state.runs, state.failed_jobs
    counts = Counter(run["state"] for run in runs)
    counted = [f"{counts[state]} {state}" for state in STATES if counts[state]]
    count = f"{len(runs)} training run{'s' * (len(runs) != 1)}"
    yield count + (f": {', '.join(counted)}" if counted else "")
    if state.jobs is not None:
        left = f"; not done: {named(state.not_done)}" if state.not_done else ""
        yield "{} of {} jobs of the last call are done".format(*state.jobs) + left
    header = ("state", "run", "step", "", "dev", "validation", "time", "left")
    rows = [header, *map(_row, runs)] if runs else []
    rows = [tuple(map(neutral_text, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    for run in runs:
        if run["last_lines"]:
            yield from ("", f"failed: {run['log'] or run['run']}")
            yield from (f"  {line}" for line in run["last_lines"])
    for job in jobs:
        yield from ("", f"failed: {job['log']}")
        yield from (f"  {line}" for line in job["last_lines"])


def _row(run: dict) -> tuple[str, ...]:
    step, steps, scored = run["step"], run["steps"], run["development"]
    known = step is not None and steps
    validation = run["validation"] or {}
    return (
        run["state"],
        run["run"],
        f"{step:g}/{steps:g}" if known else "-",
        f"{step / steps:.0%}" if known else "",
        f"{scored['score']:.3f} at {scored['checkpoint']:g}" if scored else "-",
        ", ".join(f"{metric} {value:.3f}" for metric, value in validation.items()) or "-",
        clock(run["seconds"]),
        clock(run["seconds_left"]),
    )


def clock(seconds: float | None) -> str:
    """Seconds as hours, minutes and seconds."""
    return "-" if seconds is None else str(timedelta(seconds=round(seconds)))
