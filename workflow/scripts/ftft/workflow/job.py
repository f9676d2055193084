"""What every rule's script needs: its specification, its log, and errors that read as one message."""

import json
import logging
import os
import resource
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from ..errors import FtftError

# Set for a call of snakemake that trains one model at a time.
TERMINAL = "FTFT_TERMINAL"


def prefer_code(folder: str | Path) -> None:
    """Let jobs import the library from `folder`, whose fingerprint is tracked, before any installed one."""
    paths = [str(folder), os.environ.get("PYTHONPATH")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))


def specification(snakemake: Any) -> dict:
    """The slice of the configuration that the rule's one tracked parameter carries."""
    return json.loads(snakemake.params.spec)["slice"]


def run_of(snakemake: Any) -> dict:
    """Which run the job's wildcards name."""
    wildcards = dict(snakemake.wildcards.items())
    names = {"selection": "full", "budget": "full", **wildcards}
    keys = ("task", "model", "selection", "budget")
    return {**{key: names[key] for key in keys}, "seed": int(wildcards["seed"])}


@contextmanager
def job(snakemake: Any) -> Iterator[list[TextIO]]:
    """Run a script's body with stderr and warnings in the rule's log.

    Yields where progress is shown: the log, and the terminal where no other training writes to it.

    An FtftError ends the process with exit code 1 and its message, in the log and on the terminal.
    """
    terminal = sys.stderr
    log_path = Path(snakemake.log[0])
    log_path.parent.mkdir(parents=True, exist_ok=True)
    with open(log_path, "w", buffering=1, encoding="utf-8") as log:
        sys.stderr = log
        logging.captureWarnings(True)
        logging.basicConfig(
            stream=log, level=logging.INFO, format="%(asctime)s %(name)s: %(message)s", force=True
        )
        try:
            yield [log, terminal] if TERMINAL in os.environ and terminal.isatty() else [log]
        except FtftError as error:
            for stream in (log, terminal):
                print(f"\n{type(error).__name__}: {error}\n", file=stream)
            raise SystemExit(1) from None
        except Exception:
            traceback.print_exc(file=log)
            raise
        finally:
            sys.stderr = terminal
            logging.basicConfig(stream=terminal, force=True)


@contextmanager
def measured(path: str | Path, **names: object) -> Iterator[None]:
    """Leave what the block took at `path`, with `names`: seconds, the process's peak memory in MB so far."""
    from ..artifacts import write_json

    started = time.perf_counter()
    yield
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    write_json(path, {**names, "seconds": seconds, "peak_memory_mb": peak})


def set_threads(snakemake: Any) -> None:
    """Give the numerical libraries the threads of the rule."""
    os.environ["OMP_NUM_THREADS"] = str(snakemake.threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(snakemake.threads)
