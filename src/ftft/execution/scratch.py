"""The folder where a training keeps its state: named by what determines the training, held by one process."""

import fcntl
import hashlib
import json
import logging
import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from ..artifacts import canonical_json
from ..pipeline.job import orphaned
from .state import read_state, write_state

LOCK = "lock"
logger = logging.getLogger(__name__)


class Scratch:
    """States of one run in a folder of its own under `runtime["scratch"]`.

    `identity` holds all that determines the course of the training; `budget` names how long it goes on.
    Runs that differ in their budget alone read each other's states. Of several processes that train one run,
    one `writes`; the others read.
    """

    def __init__(self, identity: dict, budget: str, runtime: dict, writes: bool = True):
        name = hashlib.sha256(canonical_json(identity).encode()).hexdigest()
        self._identity, self._runtime, self._writes = identity, runtime, writes
        self._folder = Path(runtime["scratch"]) / "states" / name / budget
        self._saved = time.monotonic()

    @contextmanager
    def held(self, announce: Callable[[str], None]) -> Iterator[None]:
        """Be the only job that trains this run; `announce` is told whom this one has to wait for."""
        if not self._writes:
            yield
            return
        with self._lock(announce) as lock:
            lock.truncate(0)
            since = datetime.now(UTC).isoformat(timespec="seconds")
            json.dump({"pid": os.getpid(), "host": platform.node(), "since": since}, lock)
            lock.flush()
            yield
            self._tidy()

    def _lock(self, announce: Callable[[str], None]) -> TextIO:
        path = self._folder / LOCK
        while True:
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = open(path, "a+", encoding="utf-8")  # noqa: SIM115
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                announce(f"waiting for {_holder(lock)}, which trains this very run")
                fcntl.flock(lock, fcntl.LOCK_EX)
            # Whoever held it may have removed the file: then the lock is on nothing that others see.
            if path.exists() and path.stat().st_ino == os.fstat(lock.fileno()).st_ino:
                return lock
            lock.close()

    def _tidy(self) -> None:
        if not any(self._folder.glob("*.safetensors")):
            (self._folder / LOCK).unlink()
            with suppress(OSError):
                self._folder.rmdir()
                self._folder.parent.rmdir()

    def states(self) -> Iterator[dict]:
        """Every whole state of this training, the furthest first."""
        files = self._folder.parent.glob("*/*.safetensors")
        for path in sorted(files, key=lambda path: path.name, reverse=True):
            state = read_state(path, self._identity)
            if state is not None:
                logger.info("found the training state %s", path)
                yield state

    def due(self) -> bool:
        """Whether it is time to save a state again."""
        return self._writes and time.monotonic() - self._saved >= 60 * self._runtime["state_minutes"]

    def keeps_end(self, stopped_early: bool) -> bool:
        """Whether the state at a run's end outlives it.

        A stopped run may be wanted at full length later. The outputs of a run whose snakemake has died
        count as incomplete: the next call goes on from the end instead of training again.
        """
        return orphaned() or (stopped_early and self._runtime["keep_states"])

    def save(self, step: int, state: dict) -> None:
        """Write the state after `step`, then drop those before it."""
        if not self._writes:
            return
        name = f"{step:012d}.safetensors"
        write_state(self._folder / name, state, self._identity)
        for path in self._folder.glob("*.safetensors"):
            if path.name < name:
                path.unlink()
        self._saved = time.monotonic()

    def clear(self) -> None:
        """Drop all states of this run."""
        for path in self._folder.glob("*.safetensors"):
            path.unlink(missing_ok=True)


def _holder(lock: TextIO) -> str:
    lock.seek(0)
    try:
        held = json.load(lock)
    except ValueError:
        return "another process"
    return "process {pid} on {host} (since {since})".format(**held)
