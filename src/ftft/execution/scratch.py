"""The folder where a training keeps its state: named by what determines the result, held by one process."""

import errno
import fcntl
import hashlib
import json
import logging
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from ..artifacts import canonical_json
from ..errors import TrainingError
from .identity import Execution
from .orchestrator import orphaned
from .progress import Progress
from .state import read_state, write_state

LOCK = "lock"
STEP_DIGITS = 12
ANY_STATE = "[0-9]*.*"
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
logger = logging.getLogger(__name__)


class Scratch:
    """States of one run in a folder of its own under `runtime["scratch"]`.

    `identity` holds all that determines the course of the training, but for the `execution` that it runs on;
    `budget` names how long it goes on. Runs that differ in their budget alone read each other's states. A
    state of another device, precision, number of processes or other kernels is left alone: bits would differ.
    Of several processes that train one run, one `writes`; the others read.
    """

    def __init__(self, identity: dict, execution: Execution, budget: str, runtime: dict, writes: bool = True):
        name = hashlib.sha256(canonical_json(identity).encode()).hexdigest()
        self._identity = {**identity, "execution": execution.identity()}
        self._execution, self._runtime, self._writes = execution.name, runtime, writes
        self._root = Path(runtime["scratch"])
        self._folder = self._root / "states" / name / budget
        self._saved = time.monotonic()

    @contextmanager
    def held(self, progress: Progress) -> Iterator[None]:
        """Be the only job that trains this run; `progress` is told whom this one has to wait for, and of the
        lock. Raises TrainingError where the file system has no locks."""
        if not self._writes:
            yield
            return
        with self._lock(progress) as lock:
            lock.truncate(0)
            since = datetime.now(UTC).isoformat(timespec="seconds")
            json.dump({"pid": os.getpid(), "host": platform.node(), "since": since}, lock)
            lock.flush()
            progress.holds((self._folder / LOCK).relative_to(self._root))
            yield
            self._tidy()

    def _lock(self, progress: Progress) -> TextIO:
        path = self._folder / LOCK
        while True:
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = open(path, "a+", encoding="utf-8")  # noqa: SIM115
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                progress.announce(f"waiting for {_holder(lock)}, which trains this very run")
                fcntl.flock(lock, fcntl.LOCK_EX)
            except OSError as error:
                lock.close()
                if error.errno not in NO_LOCKS:
                    raise
                raise TrainingError(
                    "the file system of runtime.scratch has no file locks",
                    got=f"{self._root}: {error.strerror}",
                    fix="set runtime.scratch to a folder on another file system that all machines see, or "
                    "have this one mounted with locks (Lustre: the option flock)",
                ) from error
            # Whoever held it may have removed the file: then the lock is on nothing that others see.
            if path.exists() and path.stat().st_ino == os.fstat(lock.fileno()).st_ino:
                return lock
            lock.close()

    def _tidy(self) -> None:
        if not any(self._folder.glob(ANY_STATE)):
            (self._folder / LOCK).unlink()
            with suppress(OSError):
                self._folder.rmdir()
                self._folder.parent.rmdir()

    def states(self) -> Iterator[dict]:
        """Every whole state of this training, the furthest first."""
        files = sorted(self._folder.parent.glob("*/*.safetensors"), key=lambda path: path.name, reverse=True)
        for path in files:
            if not self._of_this_execution(path):
                logger.warning(
                    "leaving the training state %s alone: this training runs on %s", path, self._execution
                )
                continue
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
        new = write_state(self._folder, f"{step:0{STEP_DIGITS}d}.{self._execution}", state, self._identity)
        for path in self._folder.glob(ANY_STATE):
            if path != new and path.name[:STEP_DIGITS] <= new.name and self._of_this_execution(path):
                path.unlink(missing_ok=True)
        self._saved = time.monotonic()

    def clear(self) -> None:
        """Drop all states of this run."""
        for path in self._folder.glob(ANY_STATE):
            path.unlink(missing_ok=True)

    def _of_this_execution(self, path: Path) -> bool:
        return path.name.split(".")[1:2] == [self._execution]


def _holder(lock: TextIO) -> str:
    lock.seek(0)
    try:
        return "process {pid} on {host} (since {since})".format(**json.load(lock))
    except (ValueError, TypeError, KeyError):
        return "another process"
