"""Warm start: the training jobs of one `snakemake` call fork from a process that has torch loaded.

Importing torch and transformers takes longer than a small encoder's training. `start` is called once
by the Snakefile; the server loads the libraries when the first job asks, never this package, and ends
with its `snakemake`. A script that calls `hand_over` first then runs in a fork: same arguments, folder,
environment and streams; signals and its exit code travel between the two, and neither outlives the other.
Where there is no server, or it belongs to another session (a cluster's job), the script just goes on.
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
from collections.abc import Sequence

ADDRESS = "FTFT_WARM_START"
LIBRARIES = ("numpy", "torch", "accelerate", "transformers.models.bert.modeling_bert")
FORWARDED = (signal.SIGTERM, signal.SIGINT)
MESSAGE_BYTES = 1 << 20
KILLED = 1
# Dropping a server would close its standard input and end it.
servers: list[subprocess.Popen] = []


def start(libraries: Sequence[str] = LIBRARIES) -> None:
    """Start the server, which loads `libraries` for the first job; it ends with the calling process."""
    path = os.path.join(tempfile.mkdtemp(prefix="ftft-"), "socket")
    # Listening before the server runs, so that no job comes too early.
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(64)
        number = listener.fileno()
        command = [sys.executable, os.path.abspath(__file__), path, str(number), *libraries]
        servers.append(subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[number]))
    os.environ[ADDRESS] = f"{os.getsid(0)}:{path}"


def hand_over() -> None:
    """Run the calling script in a fork of the server and exit with its code; return if there is none."""
    session, _, path = os.environ.pop(ADDRESS, "").partition(":")
    if session != str(os.getsid(0)):
        return
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(path)
    except OSError:
        return
    job = {"argv": sys.argv, "folder": os.getcwd(), "environment": dict(os.environ)}
    message = json.dumps(job).encode()
    for number in FORWARDED:
        signal.signal(number, lambda number, frame: connection.send(bytes([number])))
    socket.send_fds(connection, [len(message).to_bytes(4, "little")], [0, 1, 2])
    connection.sendall(message)
    answer = connection.recv(1)
    os._exit(answer[0] if answer else KILLED)


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
    gc.freeze()


def _run(connection: socket.socket) -> None:
    code = 1
    try:
        header, streams, _, _ = socket.recv_fds(connection, 4, 3)
        message = b""
        while len(message) < int.from_bytes(header, "little"):
            message += connection.recv(MESSAGE_BYTES)
        job = json.loads(message)
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
        sys.stdout.flush()
        sys.stderr.flush()
        connection.send(bytes([code & 0xFF]))
        os._exit(code)


def _follow(connection: socket.socket) -> None:
    """Take the signals that the handing script received; end with it."""
    while number := connection.recv(1):
        os.kill(os.getpid(), number[0])
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
