"""What paths of the configuration lead to, by content: read once, then recognised by size and times."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path

from ..artifacts import file_hash, write_text
from ..errors import ArtifactError
from ..models.origins import DESCRIPTIONS, WEIGHTS

FOLDER = Path(".snakemake") / "ftft"


class Remembered:
    """Values that are computed from files, kept on disk for as long as a file's size and times stay.

    A file that takes another's place changes its ctime, even where it is older and as long.
    """

    def __init__(self, name: str, compute: Callable[[str], object]):
        self._file, self._compute, self._new = FOLDER / f"{name}.json", compute, False
        try:
            self._known = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            self._known = {}

    def of(self, path: str, status: os.stat_result | None = None) -> object:
        """The value of a file, computed if the file is not the one that it was."""
        status = status or os.stat(path)
        state = [status.st_size, status.st_mtime_ns, status.st_ctime_ns]
        entry = self._known.get(path)
        if entry is None or entry[0] != state:
            entry = self._known[path] = [state, self._compute(path)]
            self._new = True
        return entry[1]

    def save(self) -> None:
        """Keep the values for the next call, where the folder may be written to."""
        if self._new:
            with suppress(OSError):
                write_text(self._file, json.dumps(self._known))
            self._new = False


@cache
def hashes() -> Remembered:
    """The hashes of files outside the workflow."""
    return Remembered("contents", file_hash)


@cache
def content_of_file(path: str) -> str | None:
    """SHA-256 of a data file, or over the files of a folder of data; None where there is none."""
    if os.path.isdir(path):
        return _content_of(file for file in Path(path).iterdir() if file.is_file())
    return hashes().of(path) if os.path.isfile(path) else None


@cache
def content_of_folder(path: str) -> str | None:
    """SHA-256 over the files of an encoder's folder; None where there is none."""
    patterns = [*DESCRIPTIONS, *(pattern for forms in WEIGHTS.values() for pattern in forms)]
    return _content_of(file for pattern in patterns for file in Path(path).glob(pattern) if file.is_file())


def require_unchanged(slice_: dict, content_of: Callable[[str], str | None] = content_of_file) -> None:
    """Raise ArtifactError where a path that `slice_` names has other content than when the slice was made.

    A job that reads a path asks afterwards, so that an edit in the midst of it is in no result.
    """
    content_of.cache_clear()
    for path, content in (("path", "content"), ("corrections", "corrections_content")):
        if content in slice_ and content_of(slice_[path]) != slice_[content]:
            raise ArtifactError(
                f"{slice_[path]} has changed while it was read",
                expected="the same content from the start of the call to the end of the job",
                fix="let whatever writes it finish, and run the same command again",
            )


def _content_of(found: Iterable[Path]) -> str | None:
    files = sorted(set(found))
    listing = "\n".join(f"{file.name} {hashes().of(str(file))}" for file in files)
    return hashlib.sha256(listing.encode()).hexdigest() if files else None


@cache
def version_of_package(package: str) -> str | None:
    """The version of the distribution that an importable package belongs to; None where there is none."""
    for name in (package.replace("_", "-"), *packages_distributions().get(package, ())):
        with suppress(PackageNotFoundError):
            return version(name)
    return None
