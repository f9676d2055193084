"""The folder where a training keeps its state: named by what determines the result, held by one process."""

import errno
import fcntl
import hashlib
import json
import logging
import os
import platform
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from ..artifacts import canonical_json, file_hash
from ..errors import TrainingError
from .identity import Execution
from .orchestrator import orphaned
from .processes import ALONE, ProcessGroup
from .progress import Progress
from .sharding import join_sharded, read_shards, split_sharded, write_shards
from .state import read_state, write_state

LOCK = "lock"
STEP_DIGITS = 12
SHARDS = "shards"
FULL_LENGTH = "full"
# A file that says that the run to the end has ended.
ENDED = "ended"
ANY_STATE = "[0-9]*.*"
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
logger = logging.getLogger(__name__)


class Scratch:
    """States of one run in a folder of its own under `runtime["scratch"]`.

    `identity` holds all that determines the course of the training, but for the `execution` that it runs on;
    `budget` names how long it goes on, the longest of them `full`. Runs that differ in their budget alone
    read each other's states. A state of another device, precision, number of processes or other kernels is
    left alone: bits would differ. `gone_on_from` says that another run is planned to go on from this one.
    Of the processes of a `group` that train one run, the first writes and the others read; what is sharded
    each writes its part of, in a folder beside the state.
    """

    def __init__(
        self,
        identity: dict,
        execution: Execution,
        budget: str,
        runtime: dict,
        group: ProcessGroup = ALONE,
        gone_on_from: bool = False,
    ):
        name = hashlib.sha256(canonical_json(identity).encode()).hexdigest()
        self._identity = {**identity, "execution": execution.identity()}
        self._execution, self._runtime, self._group = execution.name, runtime, group
        self._sharded, self._device = execution.sharding != "none", execution.torch_device
        self._root = Path(runtime["scratch"])
        self._folder = self._root / "states" / name / budget
        self._gone_on_from = gone_on_from
        # The ends of stopped runs serve this one alone.
        self._goes_on = budget == FULL_LENGTH and runtime.get("keep_states") == "planned"
        self._saved = time.monotonic()

    @contextmanager
    def held(self, progress: Progress) -> Iterator[None]:
        """Be the only job that trains this run; `progress` is told whom this one has to wait for, and of the
        lock. Raises TrainingError where the file system has no locks."""
        if self._group.rank != 0:
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
            # The last holder may have removed the file: then this lock is on a file that no other job finds.
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
        if (
            self._sharded
            and len({tuple(names) for names in self._group.collect([p.name for p in files])}) > 1
        ):
            raise TrainingError(
                "the processes of this training see different states",
                got=f"{len(files)} of them in {self._folder.parent} by process {self._group.rank}",
                fix="let runtime.scratch be a folder that all machines see",
            )
        for path in files:
            if not self._of_this_execution(path):
                logger.warning(
                    "leaving the training state %s alone: it does not fit this run, %s", path, self._execution
                )
                continue
            state = read_state(path, self._identity)
            if self._sharded:
                state = self._with_shards(path, state)
            if state is not None:
                logger.info("found the training state %s", path)
                yield state

    def due(self) -> bool:
        """Whether it is time to save a state again."""
        return self._group.rank == 0 and time.monotonic() - self._saved >= 60 * self._runtime["state_minutes"]

    def keeps_end(self, stopped_early: bool) -> bool:
        """Whether the state at a run's end outlives it.

        It does where a run to the end is planned to go on from it and has not ended yet, and where all ends
        of stopped runs are kept. The outputs of a run whose snakemake has died count as incomplete: the next
        call goes on from the end instead of training again.
        """
        keeps = self._runtime["keep_states"]
        planned = keeps != "none" and self._gone_on_from and not (self._folder.parent / ENDED).exists()
        return orphaned() or planned or (keeps == "all" and stopped_early)

    def save(self, step: int, state: dict) -> None:
        """Write the state after `step`, then drop those before it. All processes call this."""
        name, shards = f"{step:0{STEP_DIGITS}d}.{self._execution}", None
        if self._sharded:
            state, shards = self._write_shards(name, state)
        if self._group.rank != 0:
            return
        new = write_state(self._folder, name, state, self._identity)
        for path in self._folder.glob(ANY_STATE):
            before = path.name[:STEP_DIGITS] <= new.name and self._of_this_execution(path)
            if before and path not in (new, shards):
                _drop(path)
        self._drop_what_was_gone_on_from()
        self._saved = time.monotonic()

    def clear(self) -> None:
        """Drop all states of this run; after one to the end those of the runs that it could go on from, where
        they are not kept for more patience."""
        for path in self._folder.glob(ANY_STATE):
            _drop(path)
        if self._goes_on:
            (self._folder.parent / ENDED).touch()
            self._drop_what_was_gone_on_from()

    def _drop_what_was_gone_on_from(self) -> None:
        if self._goes_on:
            for lock in self._folder.parent.glob(f"*/{LOCK}"):
                _drop_unless_held(lock)

    def _write_shards(self, name: str, state: dict) -> tuple[dict, Path]:
        """`state` with the folder and the hashes of the shards in place of these, and the folder.

        Its name is new: what another state needs is never written over.
        """
        state, sharded = split_sharded(state)
        own = f"{name}.{secrets.token_hex(4)}.shards"
        folder = self._folder / self._group.collect(own)[0]
        write_shards(folder, sharded)
        self._group.wait()
        files = {path.name: file_hash(path) for path in sorted(folder.iterdir())}
        return {**state, SHARDS: {"folder": folder.name, "files": files}}, folder

    def _with_shards(self, path: Path, state: dict | None) -> dict | None:
        """A `state` with its shards; None where a process finds it, or them, damaged."""
        whole = state is not None and _unharmed(path.parent, state[SHARDS], self._group)
        if not all(self._group.collect(whole)):
            logger.warning("ignoring the training state %s: a process finds it or its shards damaged", path)
            return None
        shards = state.pop(SHARDS)
        return join_sharded(state, read_shards(path.parent / shards["folder"], self._device))

    def _of_this_execution(self, path: Path) -> bool:
        return path.name.split(".")[1:2] == [self._execution]


def _unharmed(parent: Path, shards: dict, group: ProcessGroup) -> bool:
    """Whether this process's share of the files holds what was saved."""
    names = sorted(shards["files"])
    try:
        return all(
            file_hash(parent / shards["folder"] / name) == shards["files"][name]
            for name in names[group.share(len(names))]
        )
    except OSError:
        return False


def _drop_unless_held(lock: Path) -> None:
    """Remove the folder that `lock` is in, unless a run trains there."""
    with open(lock, "a", encoding="utf-8") as file, suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(lock.parent, ignore_errors=True)


def _drop(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _holder(lock: TextIO) -> str:
    lock.seek(0)
    try:
        return "process {pid} on {host} (since {since})".format(**json.load(lock))
    except (ValueError, TypeError, KeyError):
        return "another process"
