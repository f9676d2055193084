"""One training in several processes: started here, watched, and ended together."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from .. import errors
from ..errors import FtftError, TrainingError

POLL_SECONDS = 0.1
END_SECONDS = 10
SOURCE = Path(__file__).parents[2]


def fine_tune_together(
    processes: int, nodes: int, arguments: dict, progress: dict, streams: list[TextIO]
) -> None:
    """`runs.fine_tune` with `arguments`, in `processes` processes.

    They are this machine's, or, with several `nodes`, those of the SLURM job that this is part of, by srun.
    `arguments` and those of `progress` are JSON; the first of the streams is a log, others are terminals.
    SIGTERM is handed on. Raises what a worker explained, or TrainingError where one died; either ends all,
    as does the end of this process.
    """
    request = {
        "processes": processes,
        "nodes": nodes,
        "arguments": arguments,
        "progress": progress,
        "terminals": [os.ttyname(stream.fileno()) for stream in streams[1:]],
    }
    workers: dict[str, subprocess.Popen] = {}
    previous = signal.signal(signal.SIGTERM, lambda *_: _ask_to_end(workers.values()))
    try:
        for name, command, environment in _calls(processes, nodes):
            worker = subprocess.Popen(
                command,
                env={**os.environ, **environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=streams[0],
                text=True,
            )
            # One that dies at once is told of as any other.
            with suppress(BrokenPipeError):
                print(json.dumps(request), file=worker.stdin, flush=True)
            workers[name] = worker
        failed = _wait(workers)
    finally:
        signal.signal(signal.SIGTERM, previous)
        _end(workers.values())
    explained = [json.loads(line) for worker in workers.values() for line in worker.stdout]
    if explained:
        raise getattr(errors, explained[0]["type"], TrainingError)(explained[0]["text"])
    if failed:
        raise _death_of(failed)


def _calls(processes: int, nodes: int) -> Iterator[tuple[str, list[str], dict[str, str]]]:
    """What to start: its name, the command, and the environment beside this process's own."""
    module = [sys.executable, "-m", "ftft.execution.workers"]
    threads = int(os.environ.get("OMP_NUM_THREADS", 1))
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
    common = {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(SOURCE), os.environ.get("PYTHONPATH")])),
        "WORLD_SIZE": str(processes),
        "MASTER_PORT": str(port),
        # DistributedDataParallel would warn that it looks for unused parameters in vain: team.py says why.
        "TORCH_CPP_LOG_LEVEL": "ERROR",
    }
    if nodes > 1:
        options = [f"--nodes={nodes}", f"--ntasks={processes}", f"--cpus-per-task={threads}"]
        yield "srun", ["srun", "--kill-on-bad-exit=1", *options, *module], common
        return
    common |= {"MASTER_ADDR": "127.0.0.1", "OMP_NUM_THREADS": str(max(1, threads // processes))}
    for rank in range(processes):
        own = {"RANK": str(rank), "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": str(processes)}
        yield f"process {rank} of {processes}", module, {**common, **own}


def _wait(workers: dict[str, subprocess.Popen]) -> dict[str, int]:
    """Wait for the end of all or the first failure; returns the exit codes that are not 0, by name."""
    while True:
        codes = {name: worker.poll() for name, worker in workers.items()}
        failed = {name: code for name, code in codes.items() if code}
        if failed or None not in codes.values():
            return failed
        time.sleep(POLL_SECONDS)


def _ask_to_end(workers: Iterable[subprocess.Popen]) -> None:
    for worker in workers:
        # A signal would not do: srun kills its tasks at SIGTERM.
        with suppress(BrokenPipeError):
            os.write(worker.stdin.fileno(), b"\n")


def _end(workers: Iterable[subprocess.Popen]) -> None:
    for worker in workers:
        with suppress(BrokenPipeError):
            worker.stdin.close()
    for worker in workers:
        try:
            worker.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()


def _death_of(failed: dict[str, int]) -> TrainingError:
    # Who lost another fails too, but by an exit code.
    name, code = min(failed.items(), key=lambda item: not _signal_of(item[1]))
    how = _signal_of(code) or f"exit code {code}"
    return TrainingError(
        f"{name} of this training died, and ended the others",
        got=how,
        fix="see its log; what ends by SIGKILL mostly had too little memory (runtime.mem_mb). "
        "Run it again: it goes on from its last state",
    )


def _signal_of(code: int) -> str | None:
    # srun reports a signal as shells do.
    number = -code if code < 0 else code - 128
    return signal.Signals(number).name if 0 < number < signal.NSIG else None


def work() -> None:
    """Be one of the processes: take the request from the first line of standard input, every further one as
    a SIGTERM, and end when that ends.

    What can be explained is answered on standard output, in one line of JSON.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with open(0, "rb", buffering=0, closefd=False) as unbuffered:
        request = json.loads(unbuffered.readline())
    threading.Thread(target=_follow_standard_input, daemon=True).start()
    if request["nodes"] > 1:
        os.environ |= _place_by_slurm()

    from ..pipeline.job import fault_of_the_machine

    try:
        _fine_tune(request)
    except Exception as error:
        explained = fault_of_the_machine(error.__cause__ or error) or error
        if isinstance(explained, FtftError):
            answer = {"type": type(explained).__name__, "text": str(explained)}
            print(json.dumps(answer), file=answers, flush=True)
        else:
            logging.getLogger(__name__).exception("process %s failed", os.environ["RANK"])
        # Libraries may wait for the other processes when Python ends.
        os._exit(1)


def _follow_standard_input() -> None:
    while os.read(0, 1):
        os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGKILL)


def _place_by_slurm() -> dict[str, str]:
    from .devices import visible_devices

    # Where a site shows each task its own GPU alone, that is number 0.
    local = int(os.environ["SLURM_LOCALID"]) % max(1, len(visible_devices()))
    return {
        "RANK": os.environ["SLURM_PROCID"],
        "LOCAL_RANK": str(local),
        "WORLD_SIZE": os.environ["SLURM_NTASKS"],
        "MASTER_ADDR": os.environ["SLURM_LAUNCH_NODE_IPADDR"],
    }


def _fine_tune(request: dict) -> None:
    from ..training.runs import fine_tune
    from .processes import Team
    from .progress import Progress

    team = Team(int(os.environ["RANK"]), request["processes"])
    first = team.rank == 0
    logging.captureWarnings(True)
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO if first else logging.ERROR,
        format="%(asctime)s %(name)s: %(message)s",
        force=True,
    )
    if first:
        terminals = [open(name, "w", encoding="utf-8") for name in request["terminals"]]  # noqa: SIM115
        progress = Progress(streams=[sys.stderr, *terminals], **request["progress"])
    else:
        progress = Progress("", [])
    fine_tune(**request["arguments"], progress=progress, team=team)


if __name__ == "__main__":
    work()
