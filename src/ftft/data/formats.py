"""The formats of data files: how a path tells its format, and which keys say more about a file of it."""

import os
from dataclasses import dataclass
from pathlib import Path

# Keys of a data set that say how the characters of its file are to be read.
TEXT_KEYS = ("encoding",)
CELL_KEYS = ("delimiter", "columns", *TEXT_KEYS)


@dataclass(frozen=True)
class Format:
    """A format: the suffixes of its files, and the keys of a data set that it takes."""

    suffixes: tuple[str, ...]
    keys: tuple[str, ...] = ()


FORMATS = {
    "csv": Format((".csv",), CELL_KEYS),
    "tsv": Format((".tsv", ".tab"), (*CELL_KEYS, "quoting")),
    "jsonl": Format((".jsonl", ".ndjson", ".json"), TEXT_KEYS),
    "parquet": Format((".parquet",)),
    "arrow": Format((".arrow", ".feather")),
    "saved": Format(()),
}
COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".xz": "xz", ".zst": "zstd"}
# What `save_to_disk` of the datasets library leaves in its folder.
SAVED_FILES = ("state.json", "dataset_dict.json")


def format_of(path: str | Path) -> str | None:
    """The format that a path tells: by its suffix, before that of a compression; None where it tells none.

    A folder that the datasets library saved has the format `saved`.
    """
    path = Path(path)
    if any(os.path.isfile(path / name) for name in SAVED_FILES):
        return "saved"
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSIONS:
        suffixes.pop()
    last = suffixes[-1] if suffixes else None
    return next((name for name, form in FORMATS.items() if last in form.suffixes), None)


def endings() -> str:
    """The suffixes of all formats, for messages."""
    return ", ".join(suffix for form in FORMATS.values() for suffix in form.suffixes)
