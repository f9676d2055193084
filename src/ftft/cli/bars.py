"""The bars of all trainings that run, beneath the output of the call of Snakemake that runs them.

Snakemake is a child in the same group of processes, so that keys such as Ctrl-C reach it and its jobs as they
would without this process. It writes to a terminal of its own; what it writes is passed on byte by byte.
"""

import math
import os
import pty
import select
import signal
import subprocess
import termios
import time
import tty
from contextlib import suppress
from pathlib import Path

from ..execution.orchestrator import BARS
from .status import running_runs

TERMINAL = 2
READ_BYTES = 1 << 16
TICK_SECONDS = 0.2
LOOK_SECONDS = 1.0
# What a job that outlives Snakemake goes on to write is not waited for.
DRAIN_SECONDS = 1.0
SIGNALS = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP, signal.SIGTSTP)


def wanted() -> bool:
    """Whether standard error is a terminal that can draw, and NO_COLOR is not set."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM", "dumb") in ("dumb", "unknown")
    return os.isatty(TERMINAL) and not plain


def run_beneath(command: list[str], logs: Path) -> int:
    """Run `command`, with bars of the trainings that leave their progress in `logs`; returns its exit code.

    Where a signal ended the command, it ends this process too.
    """
    master, slave = pty.openpty()
    tty.setraw(slave)
    termios.tcsetwinsize(slave, termios.tcgetwinsize(TERMINAL))
    # A signal waits until it is looked at; the command gets it as always.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    process = subprocess.Popen(
        command,
        stdout=slave if os.path.sameopenfile(1, TERMINAL) else None,
        stderr=slave,
        env={**os.environ, BARS: "1"},
        preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS),
    )
    os.close(slave)
    _pass_on(process, master, _Bars(logs))
    code = process.wait()
    if code < 0:
        if -code in SIGNALS:
            signal.signal(-code, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        os.kill(os.getpid(), -code)
    return code


def _pass_on(process: subprocess.Popen, master: int, bars: "_Bars") -> None:
    """Write what the process writes, and draw whenever it is silent, until it has ended."""
    end, last = os.pidfd_open(process.pid), None
    while last is None or time.monotonic() < last:
        ready, _, _ = select.select([master, end], [], [], TICK_SECONDS)
        if end in ready and last is None:
            last = time.monotonic() + DRAIN_SECONDS
        if master in ready:
            bars.write(_read(master))
        elif end in ready:
            break
        else:
            bars.draw()
        _pass_signals(process, bars)
        _keep_size(master)
    bars.erase()


def _read(master: int) -> bytes:
    try:
        return os.read(master, READ_BYTES)
    except OSError:  # Nobody can write any more: the process is about to end.
        time.sleep(TICK_SECONDS / 10)
        return b""


def _pass_signals(process: subprocess.Popen, bars: "_Bars") -> None:
    """Send on what a user sent to this process alone; the terminal sends to the whole group."""
    while caught := signal.sigtimedwait(SIGNALS, 0):
        if caught.si_code <= 0:
            process.send_signal(caught.si_signo)
        if caught.si_signo == signal.SIGTSTP:
            bars.erase()
            os.kill(os.getpid(), signal.SIGSTOP)


def _keep_size(master: int) -> None:
    with suppress(termios.error):
        termios.tcsetwinsize(master, termios.tcgetwinsize(TERMINAL))


class _Bars:
    """The bars below the last line of the output, drawn where that line is whole.

    A terminal that is gone gets nothing, and ends no run.
    """

    def __init__(self, logs: Path):
        self._logs, self._started = logs, time.time()
        self._live = None
        self._next = 0.0
        self._line_is_whole = True

    def write(self, output: bytes) -> None:
        """Write to the terminal, in place of the bars."""
        self.erase()
        self._line_is_whole = output.endswith(b"\n") if output else self._line_is_whole
        with suppress(OSError):
            while output:
                output = output[os.write(TERMINAL, output) :]

    def erase(self) -> None:
        """Take the bars away; the cursor is where they began."""
        live, self._live = self._live, None
        if live is not None:
            self._next = 0.0
            with suppress(Exception):
                live.stop()

    def draw(self) -> None:
        """Draw the bars of what runs now, if that was not done a moment ago."""
        now = time.monotonic()
        if not self._line_is_whole or now < self._next:
            return
        self._next = now + LOOK_SECONDS
        try:
            self._draw()
        except Exception as error:  # No run ends because its bars cannot be drawn.
            self.write(f"no bars of trainings: {error!r}\n".encode(errors="replace"))
            self._next = math.inf

    def _draw(self) -> None:
        runs = running_runs(self._logs, since=self._started) if _in_foreground() else []
        if not runs:
            self.erase()
            return
        from .watch import drawn_beneath

        self._live = drawn_beneath(runs, self._live)


def _in_foreground() -> bool:
    try:
        return os.tcgetpgrp(TERMINAL) == os.getpgrp()
    except OSError:
        return False
