"""Interleaved timing: variants in one process or in alternating fresh processes, ratios inside a repeat.

On a shared machine rates drift. The variants of a repeat run within seconds of each other, in shuffled
order, so a ratio inside a repeat is steadier than either rate; the median over the repeats is reported.
"""

import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Work = Callable[[], float]
"""Does one repeat's work and returns how much it was: rows, steps, layers."""


@dataclass(frozen=True)
class Run:
    """One repeat of one variant: units of work, seconds, and peak memory where it had its own process."""

    units: float
    cpu: float
    wall: float
    peak_mb: float | None = None


@dataclass(frozen=True)
class Spread:
    """Median, smallest and largest of the repeats."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """The spread of at least one value."""
    return Spread(statistics.median(values), min(values), max(values))


def interleave(
    variants: Mapping[str, Work],
    repeats: int,
    cpu_clock: Callable[[], float] = time.process_time,
    wall_clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[Run]]:
    """Run every variant `repeats` times in this process, after one warm-up of each, in shuffled order.

    CPU seconds are those of all threads of the process.
    """

    def timed(work: Work) -> Run:
        cpu, wall = cpu_clock(), wall_clock()
        units = work()
        return Run(units, cpu_clock() - cpu, wall_clock() - wall)

    for work in variants.values():
        work()
    return _in_shuffled_order(variants, repeats, timed)


def alternate(
    commands: Mapping[str, list[str]],
    repeats: int,
    units: Mapping[str, float] | None = None,
    cwd: str | Path | None = None,
    warm_up: bool = True,
) -> dict[str, list[Run]]:
    """Run every command `repeats` times, each in a fresh process, in shuffled order, after one warm-up.

    Where memory alone is measured, the warm-up can be left out.

    Time and peak memory are the whole process'. A command whose last line of output is a JSON object with
    `cpu` and `wall` has timed itself (its imports left out, say): those are taken instead.
    `units` is the work of a command, by default 1. Raises RuntimeError for a command that fails.
    """

    def timed(name: str) -> Run:
        return _in_a_process(commands[name], (units or {}).get(name, 1.0), cwd)

    for name in commands if warm_up else ():
        timed(name)
    return _in_shuffled_order({name: name for name in commands}, repeats, timed)


def _in_shuffled_order(variants: Mapping, repeats: int, timed: Callable) -> dict[str, list[Run]]:
    runs: dict[str, list[Run]] = {name: [] for name in variants}
    for repeat in range(repeats):
        names = list(variants)
        random.Random(repeat).shuffle(names)
        for name in names:
            runs[name].append(timed(variants[name]))
    return runs


def _in_a_process(command: list[str], units: float, cwd: str | Path | None) -> Run:
    launcher = [sys.executable, "-I", str(Path(__file__).with_name("launch.py"))]
    process = subprocess.run([*launcher, *command], cwd=cwd, text=True, capture_output=True, check=False)
    report = json.loads(process.stdout) if process.returncode == 0 else {"returncode": process.returncode}
    if report["returncode"] != 0:
        raise RuntimeError(
            f"{' '.join(command)} ended with {report['returncode']}:\n{process.stderr[-2000:]}"
        )
    report |= _own_timing(report["output"])
    return Run(units, report["cpu"], report["wall"], report["peak_mb"])


def _own_timing(output: str) -> dict[str, float]:
    lines = output.strip().splitlines()
    try:
        own = json.loads(lines[-1]) if lines else None
    except ValueError:
        return {}
    return {key: own[key] for key in ("cpu", "wall")} if isinstance(own, dict) and "cpu" in own else {}


def ratios(runs: Mapping[str, Sequence[Run]], variant: str, against: str) -> tuple[Spread, Spread]:
    """How many times the work of `against` does `variant` per second: (CPU, wall), inside each repeat."""
    pairs = list(zip(runs[variant], runs[against], strict=True))
    return (
        spread([(ours.units / ours.cpu) / (theirs.units / theirs.cpu) for ours, theirs in pairs]),
        spread([(ours.units / ours.wall) / (theirs.units / theirs.wall) for ours, theirs in pairs]),
    )


def percent(runs: Mapping[str, Sequence[Run]], part: str, whole: str) -> Spread:
    """What `part` takes of the CPU seconds of `whole`, in percent, for each unit of work of both."""
    cpu, _ = ratios(runs, whole, part)
    return Spread(100 * cpu.median, 100 * cpu.low, 100 * cpu.high)


def rate(runs: Sequence[Run]) -> Spread:
    """Units of work per CPU second."""
    return spread([run.units / run.cpu for run in runs])


def peak_mb(runs: Sequence[Run]) -> Spread:
    """Peak resident memory of variants that ran in processes of their own, in MiB."""
    return spread([run.peak_mb for run in runs])
