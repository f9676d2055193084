"""What every rule's script needs: its specification, its log, and errors that read as one message."""

import errno
import json
import logging
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from ..artifacts import Provenance, value_hash, working, write_json
from ..errors import FtftError
from ..execution import launch
from ..execution.devices import lease

# Set for a call of snakemake that trains one model at a time.
TERMINAL = "FTFT_TERMINAL"
FAULTS_OF_THE_MACHINE = {
    errno.ENOSPC: "free space, then run it again: what is finished is kept",
    errno.EDQUOT: "free space, then run it again: what is finished is kept",
    errno.EROFS: "let the folder be written to, then run it again",
    errno.EACCES: "give yourself the right to it, then run it again",
}
SIGNS_OF_TOO_LITTLE_MEMORY = (
    os.strerror(errno.ENOMEM),
    "can't allocate memory",
    "out of memory",
    "failed to map segment",
)
# The last line of the log of a job whose failure does not depend on when it is tried.
NOT_AGAIN = "This would end the same way again, so it is not tried again."


def prefer_code(folder: str | Path) -> None:
    """Let jobs import the library from `folder`, whose fingerprint is tracked, before any installed one."""
    paths = [str(folder), os.environ.get("PYTHONPATH")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))


def specification(snakemake: Any) -> dict:
    """The slice of the configuration that the rule's one tracked parameter carries."""
    return json.loads(snakemake.params.spec)["slice"]


def code_of(snakemake: Any) -> str:
    """The fingerprint of the rule's code."""
    return json.loads(snakemake.params.spec)["code"]


def run_of(snakemake: Any) -> dict:
    """Which run the job's wildcards name."""
    wildcards = dict(snakemake.wildcards.items())
    rows = f"without-{wildcards['fold']}" if "fold" in wildcards else "all"
    names = {"supervision": rows, "budget": "full", **wildcards}
    keys = ("task", "model", "supervision", "budget")
    return {**{key: names[key] for key in keys}, "seed": int(wildcards["seed"])}


def _provenance(snakemake: Any) -> Provenance:
    if not hasattr(snakemake, "params"):
        return Provenance()
    from .config import Configuration
    from .contract import Expectations

    spec = json.loads(snakemake.params.spec)
    return Provenance(
        value_hash(spec["slice"]), spec["code"], Expectations(Configuration.model_validate(snakemake.config))
    )


def explained(log: str | Path) -> bool:
    """Whether the job behind a log failed in a way that another try would not change."""
    try:
        with open(log, "rb") as file:
            file.seek(max(0, os.stat(log).st_size - 2 * len(NOT_AGAIN)))
            return NOT_AGAIN.encode() in file.read()
    except OSError:
        return False


@contextmanager
def job(snakemake: Any) -> Iterator[list[TextIO]]:
    """Run a script's body with stderr and warnings in the rule's log.

    Yields where progress is shown: the log, and the terminal where no other training writes to it.

    All artifacts that the body reads and writes are checked and stamped. An FtftError ends the process with
    exit code 1 and its message, in the log and on the terminal; the log also says where a retry would fail in
    the same way. Of several processes that run one script, the first shows progress, and the job that started
    them reports their errors.
    """
    terminal, rank = sys.stderr, launch.rank()
    log_path = Path(snakemake.log[0])
    log_path.parent.mkdir(parents=True, exist_ok=True)
    if rank is None:
        log_path.unlink(missing_ok=True)
    with open(log_path, "a", buffering=1, encoding="utf-8") as log:
        sys.stderr = log
        logging.captureWarnings(True)
        logging.basicConfig(
            stream=log,
            level=logging.ERROR if rank else logging.INFO,
            format="%(asctime)s %(name)s: %(message)s",
            force=True,
        )
        try:
            streams = [log, terminal] if TERMINAL in os.environ and terminal.isatty() else [log]
            with working(_provenance(snakemake)):
                yield [] if rank else streams
        except KeyboardInterrupt:
            print("\ninterrupted by Ctrl-C: run it again\n", file=log)
            raise SystemExit(128 + signal.SIGINT) from None
        except Exception as error:
            explained = fault_of_the_machine(error.__cause__ or error) or error
            if rank is not None:
                if isinstance(explained, FtftError):
                    launch.explain(explained)
                else:
                    traceback.print_exc(file=log)
                # Libraries may wait for the other processes when Python ends.
                os._exit(1)
            if not isinstance(explained, FtftError):
                traceback.print_exc(file=log)
                raise
            for stream in (log, terminal):
                print(f"\n{type(explained).__name__}: {explained}\n", file=stream)
            if not explained.passing:
                print(NOT_AGAIN, file=log)
            raise SystemExit(1) from None
        finally:
            sys.stderr = terminal
            logging.basicConfig(stream=terminal, force=True)


def fault_of_the_machine(error: BaseException) -> FtftError | None:
    """What to do about a full or read-only disk, or too little memory; None for any other error."""
    # Libraries written in C++ and Rust put the system's error into their text.
    text = str(error)
    for code, fix in FAULTS_OF_THE_MACHINE.items():
        if getattr(error, "errno", None) == code or os.strerror(code) in text:
            return FtftError(os.strerror(code), got=text.splitlines()[0], fix=fix, passing=True)
    if isinstance(error, MemoryError) or any(sign in text for sign in SIGNS_OF_TOO_LITTLE_MEMORY):
        return FtftError(
            "out of memory",
            got=text.splitlines()[0] if text else "MemoryError",
            fix="give the job more memory (runtime.mem_mb), or lower training.batch_size or max_length",
            passing=True,
        )
    return None


@contextmanager
def measured(path: str | Path, **names: object) -> Iterator[dict]:
    """Leave what the block took at `path`, with `names`: seconds, the process's peak memory in MB so far.

    The block may add entries to the dictionary that it gets.
    """
    started = time.perf_counter()
    taken = dict(names)
    yield taken
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    write_json(path, {**taken, "seconds": seconds, "peak_memory_mb": peak})


def claim_resources(snakemake: Any) -> None:
    """Give the numerical libraries the threads of the rule, and this job GPUs of its own.

    One of several processes only sets up its rank: the job that started it has claimed all resources.
    """
    if launch.rank() is not None:
        launch.take_place()
        return
    os.environ["OMP_NUM_THREADS"] = str(snakemake.threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(snakemake.threads)
    if snakemake.config["runtime"]["device"] != "cpu":
        lease(processes_of(snakemake))


def processes_of(snakemake: Any) -> int:
    """In how many processes a job trains: one for each of its GPUs, else as many as configured."""
    runtime = snakemake.config["runtime"]
    # Sites that give GPUs in other ways set the resource to 0.
    gpus = 0 if runtime["device"] == "cpu" else snakemake.resources.get("gpu", 1)
    return gpus or runtime["processes"]
