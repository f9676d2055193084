"""Files that are written under a temporary name and take their own once they are whole."""

import glob
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .processes import has_ended

TEMPORARY = ".tmp"


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its name once the block succeeds."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_files(folder: str | Path) -> Iterator[Path]:
    """Yield a temporary folder whose files move into `folder`, one by one, once the block succeeds."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(folder)
    temporary.mkdir()
    try:
        yield temporary
        for path in sorted(temporary.iterdir()):
            with replacing(folder / path.name) as place:
                os.replace(path, place)
    finally:
        shutil.rmtree(temporary)


def _temporary(path: Path) -> Path:
    """A name beside `path` that is this process's own."""
    remove_stale(path)
    return path.with_name(f"{_temporary_prefix(path)}{os.getpid()}{TEMPORARY}")


def remove_stale(path: Path) -> None:
    """Remove what processes of this machine that were killed left while they wrote `path`."""
    prefix = _temporary_prefix(path)
    for stale in path.parent.glob(f"{glob.escape(prefix)}*{TEMPORARY}"):
        process = stale.name.removeprefix(prefix).removesuffix(TEMPORARY)
        # On a shared disk a file of the node `gpu-1` begins as one of the node `gpu` does.
        if process.isdecimal() and has_ended(process):
            shutil.rmtree(stale) if stale.is_dir() else stale.unlink(missing_ok=True)


def _temporary_prefix(path: Path) -> str:
    return f".{path.name}.{platform.node()}-"
