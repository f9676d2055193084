"""One training in several processes: torchrun starts and watches those of one machine, srun those of several.

Every process runs the job's own script again and reads its rank from the environment. A process that fails
with an FtftError writes its text to a file, and the job that started the processes shows it.
"""

import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from .. import errors
from ..errors import FtftError, TrainingError
from .interruption import REQUESTS, Interrupted

# The folder of the explanations; set where this process is one of several.
WORKER = "FTFT_WORKER"
# Time for a state to be written after SIGTERM, where torch knows the setting; else it is half a minute.
END_SECONDS = 120
PR_SET_PDEATHSIG = 1
HANDLED_BY_TORCHRUN = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


def rank() -> int | None:
    """Which of several processes this is, from 0; None where it is none of them, and may start them."""
    if WORKER not in os.environ:
        return None
    return int(os.environ.get("RANK", os.environ.get("SLURM_PROCID", 0)))


def start_processes(script: str, processes: int, nodes: int = 1) -> None:
    """Run `script` in `processes` processes, of this machine or of the `nodes` of this SLURM job.

    The threads of OMP_NUM_THREADS are shared out; SIGTERM and SIGINT are handed on. Raises what one of the
    processes has explained, Interrupted, or TrainingError where one died; either ends all, as does the end of
    this process.
    """
    threads = int(os.environ.get("OMP_NUM_THREADS", 1))
    # Beside the script, for all machines see that.
    folder = Path(tempfile.mkdtemp(prefix="ftft-", dir=Path(script).resolve().parent))
    # DistributedDataParallel would warn that it looks for unused parameters in vain: processes.py says why.
    common = {WORKER: str(folder), "TORCH_CPP_LOG_LEVEL": "ERROR"}
    try:
        if nodes > 1:
            with _environment({**common, "OMP_NUM_THREADS": str(threads)}):
                failed = _by_srun(script, processes, nodes, threads)
        else:
            with _environment({**common, "OMP_NUM_THREADS": str(max(1, threads // processes))}):
                failed = _by_torchrun(script, processes)
        if failed:
            raise _explained(folder) or _death_of(failed)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ |= variables
    try:
        yield
    finally:
        os.environ.clear()
        os.environ |= before


def _by_torchrun(script: str, processes: int) -> dict[str, int]:
    """Exit codes that are not 0, by process."""
    from torch.distributed import run as torchrun
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(END_SECONDS))
    options = ["--standalone", "--local-addr=127.0.0.1", f"--nproc-per-node={processes}"]
    handlers = {number: signal.getsignal(number) for number in HANDLED_BY_TORCHRUN}
    try:
        torchrun.run(torchrun.parse_args([*options, script]))
    except ChildFailedError as error:
        return {f"process {rank} of {processes}": one.exitcode for rank, one in error.failures.items()}
    except SignalException:
        raise Interrupted from None
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return {}


def _by_srun(script: str, processes: int, nodes: int, threads: int) -> dict[str, int]:
    options = [f"--nodes={nodes}", f"--ntasks={processes}", f"--cpus-per-task={threads}"]
    command = ["srun", "--kill-on-bad-exit=1", *options, sys.executable, script]
    with socket.create_server(("", 0)) as server:
        os.environ["MASTER_PORT"] = str(server.getsockname()[1])
    step = subprocess.Popen(command, preexec_fn=lambda: _end_with_parent(signal.SIGTERM))
    # At SIGTERM srun kills its tasks at once; SIGUSR1 it hands on, and take_place makes SIGTERM of it.
    previous = {
        number: signal.signal(number, lambda *_: step.send_signal(signal.SIGUSR1)) for number in REQUESTS
    }
    try:
        code = step.wait()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        with suppress(ProcessLookupError):
            step.terminate()
    return {"a process": code} if code else {}


def take_place() -> None:
    """Be the process of several that the environment says; end with what started it."""
    if "RANK" in os.environ:
        _end_with_parent(signal.SIGKILL)
        return
    os.environ |= _place_by_slurm()
    signal.signal(signal.SIGUSR1, lambda *_: os.kill(os.getpid(), signal.SIGTERM))


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


def _end_with_parent(number: int) -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(number))


def explain(error: FtftError) -> None:
    """Let the job that started this process tell what went wrong here."""
    answer = {"type": type(error).__name__, "text": str(error)}
    Path(os.environ[WORKER], f"{rank()}.json").write_text(json.dumps(answer), encoding="utf-8")


def _explained(folder: Path) -> FtftError | None:
    answers = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    if not answers:
        return None
    if all(answer["type"] == Interrupted.__name__ for answer in answers):
        return Interrupted()
    answer = next(answer for answer in answers if answer["type"] != Interrupted.__name__)
    return getattr(errors, answer["type"], TrainingError)(answer["text"])


def _death_of(failed: dict[str, int]) -> TrainingError:
    # A process that loses another one fails with an exit code, and torchrun ends the rest by SIGTERM; so a
    # process that another signal ended died first, and is the one to name.
    def place(item: tuple[str, int]) -> int:
        return {None: 1, "SIGTERM": 2}.get(_signal_of(item[1]), 0)

    name, code = min(failed.items(), key=place)
    how = _signal_of(code) or f"exit code {code}"
    return TrainingError(
        f"{name} of this training died, and ended the others",
        got=how,
        fix="see its log; SIGKILL mostly means that memory ran out (runtime.mem_mb). "
        "Run it again: it goes on from its last state",
    )


def _signal_of(code: int) -> str | None:
    # srun reports a signal as shells do.
    number = -code if code < 0 else code - 128
    return signal.Signals(number).name if 0 < number < signal.NSIG else None
