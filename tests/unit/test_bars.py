"""The bars of trainings beneath the output of Snakemake: on a terminal alone, and nothing else changes."""

import json
import os
import platform
import pty
import re
import select
import signal
import sys
import termios
import time

import pytest

from ftft.cli import bars
from ftft.cli.status import running_runs

RUNS = ("demo/small/all/full/seed0", "demo/large/small-ambiguous-33/full/seed0")
COLOURED = b"\x1b[32m1 of 9 steps done\x1b[0m\n"
BENEATH = (
    "import sys; from pathlib import Path; from ftft.cli.bars import run_beneath; "
    "raise SystemExit(run_beneath(sys.argv[1:], Path('logs/train')))"
)
ERASED, CURSOR_SHOWN = b"\x1b[2K", b"\x1b[?25h"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    return tmp_path


def leave_progress(run, **entries):
    known = {"state": "running", "host": platform.node(), "pid": os.getpid(), "step": 600, "steps": 5000}
    known |= {"seconds_left": 4400.0, "best": {"score": 0.731, "checkpoint": 2}}
    path = f"logs/train/{run}.json"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        json.dump(known | entries, file)


class Terminal:
    """A terminal, and a process that has it to itself."""

    def __init__(self, command):
        self.pid, self.keys = pty.fork()
        if self.pid == 0:
            # pytest says how wide the terminal is.
            others = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")}
            os.execve(command[0], command, others)
        termios.tcsetwinsize(self.keys, (24, 120))
        self.shown = b""

    def read_until(self, *texts):
        deadline = time.monotonic() + 60
        while not all(text in self.shown for text in texts):
            assert time.monotonic() < deadline and self.read(1), self.shown.decode()

    def read(self, seconds):
        """Whether more came, or may come."""
        if not select.select([self.keys], [], [], seconds)[0]:
            return True
        try:
            self.shown += os.read(self.keys, 1 << 16)
        except OSError:
            return False
        return True

    def end(self):
        """The exit code, minus the signal's number where one ended the process."""
        while self.read(60):
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.fixture
def terminal():
    def start(code):
        return Terminal([sys.executable, "-c", BENEATH, sys.executable, "-uc", code])

    return start


@pytest.fixture
def call(terminal):
    """What stands for Snakemake: it says that it has begun, and waits for a file to be there."""

    def start(last):
        code = (
            "import os, sys, time\nprint('begun', os.environ['FTFT_BARS'], sys.stdout.isatty(), flush=True)\n"
            f"while not os.path.exists('go'): time.sleep(0.02)\n{last}"
        )
        begun = terminal(code)
        begun.read_until(b"begun 1 True")
        return begun

    return start


def test_several_trainings_have_their_bars_beneath_untouched_output(call, folder):
    begun = call(f"sys.stderr.buffer.write({COLOURED!r}); time.sleep(0.5); print('last'); sys.exit(3)")
    for run in RUNS:
        leave_progress(run)
    leave_progress("demo/small/all/full/seed1", state="finished")
    begun.read_until(*map(str.encode, RUNS), b"12%", b"1.0 steps/s", b"1:13:20 left", b"best 0.731")
    assert b"seed1" not in begun.shown
    (folder / "go").touch()
    assert begun.end() == 3
    assert COLOURED.replace(b"\n", b"\r\n") in begun.shown
    # Drawn again below the line, and gone before the last one and at the end.
    below = begun.shown.partition(COLOURED[:-1])[2]
    assert RUNS[1].encode() in below and below.endswith((b"last\r\n", CURSOR_SHOWN))
    gone = below.rpartition(RUNS[1].encode())[2]
    assert ERASED in gone and CURSOR_SHOWN in gone


def test_without_a_training_only_the_output_is_shown(terminal):
    code = f"import sys; sys.stderr.buffer.write({COLOURED!r} * 3000 + b'no end of line')"
    shown = terminal(code)
    assert shown.end() == 0
    assert shown.shown == COLOURED.replace(b"\n", b"\r\n") * 3000 + b"no end of line"


def test_more_trainings_than_fit_beneath_the_output_are_counted(call, folder):
    begun = call("")
    for number in range(40):
        leave_progress(f"demo/small/all/full/seed{number}")
    begun.read_until(b"more: ftft status")
    count = int(re.search(rb"and (\d+) more", begun.shown)[1])
    assert count > 20
    (folder / "go").touch()
    assert begun.end() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_that_ends_the_call_ends_all(call, folder, number):
    begun = call(f"os.kill(os.getpid(), {number})")
    (folder / "go").touch()
    assert begun.end() == -number


COUNTING = (
    "import signal, sys, time\ncaught = []\n"
    "for number in (2, 15): signal.signal(number, lambda number, _: caught.append(number))\n"
    "print('begun')\nwhile not caught: time.sleep(0.02)\ntime.sleep(0.5)\nprint('caught', caught)"
)


def test_ctrl_c_comes_once(terminal):
    begun = terminal(COUNTING)
    begun.read_until(b"begun")
    os.write(begun.keys, b"\x03")
    assert begun.end() == 0
    assert b"caught [2]" in begun.shown and b"Traceback" not in begun.shown


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_is_sent_to_the_command_alone_is_sent_on(terminal, number):
    begun = terminal(COUNTING)
    begun.read_until(b"begun")
    os.kill(begun.pid, number)
    assert begun.end() == 0
    assert f"caught [{number:d}]".encode() in begun.shown


def test_bars_that_cannot_be_drawn_end_no_run(call, folder):
    (folder / "rich.py").write_text("")  # -c looks here first
    begun = call("sys.exit(3)")
    leave_progress(RUNS[0])
    begun.read_until(b"no bars of trainings: ModuleNotFoundError")
    (folder / "go").touch()
    assert begun.end() == 3


@pytest.mark.parametrize(
    ("variable", "value"), [("NO_COLOR", "1"), ("TERM", "dumb"), ("TERM", None)], ids=str
)
def test_terminals_that_draw_nothing_get_no_bars(monkeypatch, variable, value):
    monkeypatch.setattr(os, "isatty", lambda number: True)
    assert bars.wanted()
    monkeypatch.setenv(variable, value) if value else monkeypatch.delenv(variable)
    assert not bars.wanted()


def test_without_a_terminal_there_are_no_bars(monkeypatch):
    monkeypatch.setattr(os, "isatty", lambda number: False)
    assert not bars.wanted()


def test_trainings_that_run_are_those_of_this_call_whose_process_lives(folder):
    leave_progress(RUNS[0])
    leave_progress(RUNS[1], pid=2**22 + 1)
    leave_progress("a/elsewhere", host="another", pid=2**22 + 1)
    leave_progress("an/old", pid="no number")
    os.utime("logs/train/an/old.json", (0, 0))
    (folder / "logs/train/odd.json").write_text("[")
    assert [run["run"] for run in running_runs(folder / "logs/train", since=0)] == ["a/elsewhere", RUNS[0]]
    assert running_runs(folder / "logs/train", since=time.time() + 1) == []
    assert running_runs(folder / "nothing", since=0) == []
