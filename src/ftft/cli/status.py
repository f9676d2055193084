"""`ftft status`: training runs and failed jobs, by ledgers, logs and the locks of running trainings."""

import argparse
import fcntl
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

# As training/progress.py draws it: 600/5000 [01:40<12:13,  6.00step/s, loss 0.512, dev 0.731 at checkpoint 2]
BAR = re.compile(
    r"(?P<step>\d+)/(?P<steps>\d+) \[(?P<elapsed>[\d:]+)<(?P<left>[\d:?]+), *[^ ,\]]*(?:step/s|s/step)"
    r"(?:, (?P<readings>[^\]]*))?\]"
)
ANY_BAR = re.compile(r"\d+%\|")
DEVELOPMENT = re.compile(r"dev (\S+) at checkpoint (\d+)")
ERROR = re.compile(
    r"^(?:Traceback \(most recent call last\)|Fatal Python error|[\w.]*(?:Error|Exception)):", re.M
)
INTERRUPTED = re.compile(r"^\w+: the training was interrupted by SIGTERM", re.M)
TAIL_BYTES = 1 << 16
SHOWN_LINES = 6
# A job imports torch and makes the tokens of its data before it takes its lock.
STARTING = timedelta(minutes=10)
STATES = ("running", "starting", "failed", "stopped", "finished")


def status(arguments: argparse.Namespace) -> None:
    """Print the state of every training run, and the last lines of what failed."""
    scratch = arguments.scratch or arguments.results / "scratch"
    runs = training_runs(arguments.results / "runs", arguments.logs / "train", scratch, datetime.now(UTC))
    jobs = failed_jobs(arguments.logs)
    if arguments.json:
        print(json.dumps({"runs": runs, "failed_jobs": jobs}, indent=2, ensure_ascii=False))
    else:
        print("\n".join(_report(runs, jobs)))


def training_runs(results: Path, logs: Path, scratch: Path, now: datetime) -> list[dict]:
    """Every run that has a ledger below `results` or a log below `logs`, by state and name.

    Keys: run, state (one of `STATES`), step, steps, development (score, checkpoint), validation (scores of
    the kept checkpoint), seconds, seconds_left, log, last_lines; None for what is not known. A run without
    a ledger has failed if its log says so; else it is running if it holds a lock, and was stopped if not.
    """
    ledgers = {_name(path.parent, results): path for path in results.rglob("ledger.json")}
    files = {_name(path.with_suffix(""), logs): path for path in logs.rglob("*.log")}
    runs, undecided = [], []
    for name in {*ledgers, *files}:
        text, written = _read_log(files.get(name))
        run = {"run": name, "log": str(files[name]) if name in files else None, **_progress(text)}
        run |= {"validation": None, "last_lines": []}
        if outcome := _outcome(ledgers.get(name)):
            run |= outcome
        elif INTERRUPTED.search(text):
            run["state"] = "stopped"
        elif ERROR.search(text):
            run |= {"state": "failed", "last_lines": _last_lines(text)}
        else:
            undecided.append((run, written))
        runs.append(run)
    _decide(undecided, held_since(scratch), now)
    for run in runs:
        if run["state"] != "running":
            run["seconds_left"] = None
    return sorted(runs, key=lambda run: (STATES.index(run["state"]), run["run"]))


def failed_jobs(logs: Path) -> list[dict]:
    """Jobs other than trainings whose log holds an error: log, last_lines."""
    texts = {path: _read_log(path)[0] for path in sorted(logs.rglob("*.log"))}
    return [
        {"log": str(path), "last_lines": _last_lines(text)}
        for path, text in texts.items()
        if not path.is_relative_to(logs / "train") and ERROR.search(text)
    ]


def held_since(scratch: Path) -> list[datetime]:
    """Since when each training that is running now has held its lock: who takes it writes its name there."""
    held = []
    for path in scratch.glob("states/*/*/lock"):
        with suppress(FileNotFoundError), open(path, "rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                held.append(_written(lock))
    return held


def _decide(undecided: list[tuple[dict, datetime]], held: list[datetime], now: datetime) -> None:
    """Give a state to runs that neither ended nor failed; a lock does not say whose it is.

    It is of a run whose log was written to since: one that trains before one that starts, the last
    written first. So of several logs that were left by killed processes none passes for running.
    """
    waiting = sorted(undecided, key=lambda entry: (entry[0]["step"] is not None, entry[1]), reverse=True)
    for since in sorted(held, reverse=True):
        holder = next((entry for entry in waiting if entry[1] >= since), None)
        if holder:
            waiting.remove(holder)
            holder[0]["state"] = "running"
    for run, written in waiting:
        fresh = run["step"] is None and now - written < STARTING
        run["state"] = "starting" if fresh else "stopped"


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _read_log(path: Path | None) -> tuple[str, datetime]:
    """The end of a log, carriage returns as line ends, and when it was last written to."""
    try:
        with open(path or os.devnull, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL_BYTES))
            return file.read().decode("utf-8", "replace").replace("\r", "\n"), _written(file)
    except FileNotFoundError:  # snakemake removes logs before it starts a job
        return "", datetime.fromtimestamp(0, UTC)


def _written(file: BinaryIO) -> datetime:
    return datetime.fromtimestamp(os.fstat(file.fileno()).st_mtime, UTC)


def _progress(text: str) -> dict:
    bars = list(BAR.finditer(text))
    if not bars:
        return dict.fromkeys(("step", "steps", "seconds", "seconds_left", "development"))
    bar = bars[-1]
    scores = DEVELOPMENT.search(bar["readings"] or "")
    return {
        "step": int(bar["step"]),
        "steps": int(bar["steps"]),
        "seconds": _seconds(bar["elapsed"]),
        "seconds_left": None if "?" in bar["left"] else _seconds(bar["left"]),
        "development": {"score": float(scores[1]), "checkpoint": int(scores[2])} if scores else None,
    }


def _seconds(clock: str) -> int:
    """Seconds of hours:minutes:seconds, of which the hours may be absent."""
    total = 0
    for part in clock.split(":"):
        total = 60 * total + int(part)
    return total


def _outcome(ledger: Path | None) -> dict | None:
    """What a finished run's ledger says; None without a ledger."""
    try:
        entries = json.loads(ledger.read_text(encoding="utf-8")) if ledger else None
    except FileNotFoundError:
        return None
    if entries is None:
        return None
    outcome, cost = entries["outcome"], entries["cost"]
    return {
        "state": "finished",
        "step": outcome["steps"],
        "steps": outcome["planned_steps"],
        "seconds": round(cost["training_seconds"] + cost["evaluation_seconds"]),
        "validation": outcome["validation"],
    }


def _last_lines(text: str) -> list[str]:
    lines = [line.rstrip() for line in text.splitlines()]
    return [line for line in lines if line and not ANY_BAR.search(line)][-SHOWN_LINES:]


def _report(runs: list[dict], jobs: list[dict]) -> Iterator[str]:
    counts = Counter(run["state"] for run in runs)
    counted = [f"{counts[state]} {state}" for state in STATES if counts[state]]
    count = f"{len(runs)} training run{'s' * (len(runs) != 1)}"
    yield count + (f": {', '.join(counted)}" if counted else "")
    header = ("state", "run", "step", "", "dev", "validation", "time", "left")
    rows = [header, *map(_row, runs)] if runs else []
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    for job in (*(run for run in runs if run["last_lines"]), *jobs):
        yield f"\nfailed: {job['log']}"
        yield from (f"  {line}" for line in job["last_lines"])


def _row(run: dict) -> tuple[str, ...]:
    known, scored = run["step"] is not None, run["development"]
    validation = run["validation"] or {}
    return (
        run["state"],
        run["run"],
        f"{run['step']}/{run['steps']}" if known else "-",
        f"{run['step'] / run['steps']:.0%}" if known else "",
        f"{scored['score']:.3f} at {scored['checkpoint']}" if scored else "-",
        ", ".join(f"{metric} {value:.3f}" for metric, value in validation.items()) or "-",
        _clock(run["seconds"]),
        _clock(run["seconds_left"]),
    )


def _clock(seconds: int | None) -> str:
    return "-" if seconds is None else str(timedelta(seconds=seconds))
