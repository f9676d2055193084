"""Errors of a job: one message for those that it can explain, a traceback in the log for the rest."""

import errno
import os
from types import SimpleNamespace

import pytest

from ftft.errors import ModelError
from ftft.execution.interruption import Interrupted
from ftft.pipeline.job import explained, fault_of_the_machine, job


def failing(tmp_path, error):
    with job(SimpleNamespace(log=[tmp_path / "log.txt"])):
        raise error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "x"), "free space, then run it again"),
        (OSError("Error writing bytes: [errno 28] No space left on device"), "what is finished is kept"),
        (RuntimeError("I/O error: Read-only file system (os error 30)"), "let the folder be written to"),
        (PermissionError(errno.EACCES, os.strerror(errno.EACCES), "x"), "give yourself the right"),
        (MemoryError(), "give the job more memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "runtime.mem_mb"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "lower training.batch_size"),
        (ImportError("libtorch_cpu.so: failed to map segment from shared object"), "out of memory"),
    ],
)  # fmt: skip
def test_a_fault_of_the_machine_says_what_to_do(tmp_path, capsys, error, words):
    with pytest.raises(SystemExit) as ended:
        failing(tmp_path, error)
    assert ended.value.code == 1
    for text in (capsys.readouterr().err, (tmp_path / "log.txt").read_text()):
        assert words in text and "Traceback" not in text


def test_a_fault_of_the_machine_is_named_behind_another_error(tmp_path, capsys):
    error = ModelError("the encoder cannot be prepared")
    error.__cause__ = MemoryError("9 GiB")
    with pytest.raises(SystemExit):
        failing(tmp_path, error)
    assert "out of memory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "again"),
    [(Interrupted(), True), (MemoryError(), True), (ModelError("no encoder"), False)],
    ids=["interrupted", "memory", "encoder"],
)
def test_what_would_end_alike_is_not_tried_again(tmp_path, error, again):
    with pytest.raises(SystemExit):
        failing(tmp_path, error)
    assert explained(tmp_path / "log.txt") is not again


def test_our_own_errors_are_shown_as_they_are(tmp_path, capsys):
    with pytest.raises(SystemExit):
        failing(tmp_path, ModelError("no encoder", got="nothing"))
    assert "ModelError: no encoder\n  got: nothing" in capsys.readouterr().err


def test_any_other_error_leaves_its_traceback_in_the_log(tmp_path):
    with pytest.raises(ZeroDivisionError):
        failing(tmp_path, ZeroDivisionError("here"))
    assert "Traceback" in (tmp_path / "log.txt").read_text()
    assert fault_of_the_machine(ZeroDivisionError("here")) is None
