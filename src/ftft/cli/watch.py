"""`ftft status --watch`: the state of runs as it changes, a line and a bar each, on a terminal."""

import os
import time
from collections import Counter
from collections.abc import Callable

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from .neutral import neutral_text
from .status import STATES, State, clock, named, pace

STYLES = {
    "running": "green",
    "starting": "cyan",
    "failed": "bold red",
    "stopped": "yellow",
    "finished": "dim",
}
BAR_WIDTH = 12
# Lines that are not of runs: heading, workflow, what is left out, and the prompt.
OTHER_LINES = 5
# The part of a terminal's lines that runs may take beneath other output; long names take two lines.
BENEATH = 4


def watch(
    look: Callable[[], State], seconds: float, console: Console | None = None, times: int | None = None
) -> None:
    """Show what `look` sees every so many `seconds`, `times` times or until Ctrl-C."""
    console = console or Console()
    try:
        with Live(console=console, auto_refresh=False) as live:
            while True:
                live.update(picture(look(), console.height), refresh=True)
                if times is not None and (times := times - 1) <= 0:
                    return
                time.sleep(seconds)
    except KeyboardInterrupt:
        return


def picture(state: State, height: int) -> RenderableType:
    """The state in at most `height` lines: what runs and what failed come first, and why it failed."""
    counts = Counter(run["state"] for run in state.runs)
    counted = ", ".join(f"{counts[name]} {name}" for name in STATES if counts[name])
    lines: list[RenderableType] = [Text(f"trainings: {counted or 'none yet'}")]
    if state.jobs is not None:
        done, total = state.jobs
        workflow = Table.grid(padding=(0, 1))
        waiting = f"{done} of {total} jobs of the last call are done, {total - done} run or wait"
        names = f": {neutral_text(named(state.not_done))}" if state.not_done else ""
        workflow.add_row(_bar(total, done), Text(waiting + names, no_wrap=True, overflow="ellipsis"))
        lines.append(workflow)
    why = [
        Text(
            neutral_text(f"{failed['log'] or failed['run']}: {failed['last_lines'][-1]}"), "red", no_wrap=True
        )
        for failed in [*(run for run in state.runs if run["state"] == "failed"), *state.failed_jobs]
        if failed["last_lines"]
    ]
    room = max(1, height - OTHER_LINES - min(len(why), height // 3))
    return Group(*lines, lines_of(state.runs, room), *why[: height // 3])


def lines_of(runs: list[dict], room: int) -> RenderableType:
    """A line and a bar for each of the first `room` runs, and how many more there are."""
    table = Table.grid(padding=(0, 1))
    for run in runs[:room]:
        table.add_row(*_cells(run))
    more = [Text(f"and {len(runs) - room} more: ftft status", "dim")] if len(runs) > room else []
    return Group(table, *more)


def drawn_beneath(runs: list[dict], live: Live | None) -> Live:
    """The runs in at most a quarter of the lines of standard error's terminal, below what is written there.

    They are drawn again in the place of `live`; stopping what is returned erases them.
    """
    if live is None:
        options = {"redirect_stdout": False, "redirect_stderr": False}
        live = Live(console=Console(stderr=True), auto_refresh=False, transient=True, **options)
        live.start()
    live.update(lines_of(runs, max(1, live.console.height // BENEATH)), refresh=True)
    return live


def _bar(total: int, done: int) -> RenderableType:
    """A bar, where NO_COLOR does not ask for plain text."""
    plain = os.environ.get("NO_COLOR")
    return Text("") if plain else ProgressBar(total, min(done, total), width=BAR_WIDTH)


def _cells(run: dict) -> tuple[RenderableType, ...]:
    step, steps, left, best = run["step"], run["steps"], run["seconds_left"], run["best"]
    known = step is not None and steps
    speed = pace(run)
    style = STYLES[run["state"]]
    return (
        Text(run["state"], style),
        _bar(steps, step) if known else Text(""),
        Text(f"{step / steps:4.0%}" if known else ""),
        Text("" if speed is None else f"{speed:.1f} steps/s"),
        Text("" if left is None else f"{clock(left)} left"),
        Text(f"best {best['score']:.3f}" if best else ""),
        Text(neutral_text(run["run"]), style, overflow="fold"),
    )
