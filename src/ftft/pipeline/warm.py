"""Warm start: the training jobs of one `snakemake` call fork from a process that has torch loaded.

Importing torch and transformers takes longer than a small encoder's training. `start` is called once
by the Snakefile; the server loads the libraries when the first job asks, never this package, and ends
with its `snakemake`. A script that calls `hand_over` first then runs in a fork: same arguments, folder,
environment and streams; signals and its exit code travel between the two, and neither outlives the other.
Where there is no server, it does not answer, or it belongs to another session (a cluster's job), the
script just goes on: a fork begins only when both sides have heard of each other.
"""

import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress

ADDRESS = "FTFT_WARM_START"
LIBRARIES = (
    "numpy",
    "pandas",
    "pyarrow.parquet",
    "pydantic",
    "torch",
    "accelerate",
    "transformers.models.bert.modeling_bert",
    "transformers.conversion_mapping",
)
FORWARDED = (signal.SIGTERM, signal.SIGINT)
MESSAGE_BYTES = 1 << 20
# A fork is there, and may begin.
READY, GO = b"r", b"g"
# The first job waits while the server loads the libraries.
ANSWER_SECONDS = 120
KILLED = 1
# Dropping a server would close its standard input and end it.
servers: list[subprocess.Popen] = []


def start(libraries: Sequence[str] = LIBRARIES) -> None:
    """Start the server, which loads `libraries` for the first job; it ends with the calling process.

    Nothing is started, and jobs run by themselves, where no folder for its socket can be made.
    """
    try:
        path = os.path.join(tempfile.mkdtemp(prefix="ftft-"), "socket")
        # Listening before the server runs, so that no job comes too early.
        with socket.socket(socket.AF_UNIX) as listener:
            _by_short_path(listener.bind, path)
            listener.listen(64)
            number = listener.fileno()
            command = [sys.executable, os.path.abspath(__file__), path, str(number), *libraries]
            servers.append(subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[number]))
    except OSError as error:
        print(f"no warm start: {error}", file=sys.stderr)
        return
    os.environ[ADDRESS] = f"{os.getsid(0)}:{path}"


def _by_short_path(call: Callable[[str], None], path: str) -> None:
    """Call with a name of the socket at `path` that is short: it may have 107 bytes, TMPDIR more."""
    folder = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY)
    try:
        call(f"/proc/self/fd/{folder}/{os.path.basename(path)}")
    finally:
        os.close(folder)


def hand_over() -> None:
    """Run the calling script in a fork of the server and exit with its code; return if there is none."""
    session, _, path = os.environ.pop(ADDRESS, "").partition(":")
    if session != str(os.getsid(0)):
        return
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(ANSWER_SECONDS)
    job = {"argv": sys.argv, "folder": os.getcwd(), "environment": dict(os.environ)}
    message = json.dumps(job).encode()
    previous = {}
    try:
        _by_short_path(connection.connect, path)
        socket.send_fds(connection, [len(message).to_bytes(4, "little")], [0, 1, 2])
        connection.sendall(message)
        if connection.recv(1) != READY:
            raise ConnectionError
        for number in FORWARDED:
            previous[number] = signal.signal(number, lambda number, _: _forward(connection, number))
        connection.sendall(GO)
    except OSError:
        connection.close()
        for number, handler in previous.items():
            signal.signal(number, handler)
        return
    connection.settimeout(None)
    answer = b""
    with suppress(OSError):
        answer = connection.recv(1)
    os._exit(answer[0] if answer else KILLED)


def _forward(connection: socket.socket, number: int) -> None:
    with suppress(OSError):
        connection.send(bytes([number]))


def _serve(path: str, number: int, libraries: Sequence[str]) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    listener = socket.socket(fileno=number)
    try:
        while True:
            ready, _, _ = select.select([listener, sys.stdin], [], [])
            if sys.stdin in ready:
                return
            connection, _ = listener.accept()
            _load(libraries)
            if os.fork() == 0:
                listener.close()
                _run(connection)
            connection.close()
    finally:
        os.unlink(path)
        os.rmdir(os.path.dirname(path))


def _load(libraries: Sequence[str]) -> None:
    for name in libraries:
        __import__(name)
    # What these two make at their first use in a process takes a fifth of a second each.
    with suppress(Exception):
        if "pydantic" in libraries:
            sys.modules["pydantic"].create_model("Any", any=(int, 0))
        if "transformers.conversion_mapping" in libraries:
            sys.modules["transformers.conversion_mapping"].get_checkpoint_conversion_mapping("bert")
    gc.freeze()


def _run(connection: socket.socket) -> None:
    code = 1
    try:
        header, streams, _, _ = socket.recv_fds(connection, 4, 3)
        if len(header) < 4:
            os._exit(KILLED)
        message = b""
        while len(message) < int.from_bytes(header, "little"):
            if not (part := connection.recv(MESSAGE_BYTES)):
                os._exit(KILLED)
            message += part
        job = json.loads(message)
        connection.send(READY)
        if connection.recv(1) != GO:
            os._exit(KILLED)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.environ.clear()
        os.environ.update(job["environment"])
        os.chdir(job["folder"])
        sys.argv = job["argv"]
        sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        threading.Thread(target=_follow, args=(connection,), daemon=True).start()
        runpy.run_path(sys.argv[0], run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        with suppress(OSError):
            connection.send(bytes([code & 0xFF]))
        os._exit(code & 0xFF)


def _follow(connection: socket.socket) -> None:
    """Take the signals that the handing script received; end with it."""
    with suppress(OSError):
        while number := connection.recv(1):
            os.kill(os.getpid(), number[0])
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
