"""The registry of data sources: where rows come from, and which keys of a data set say so.

A source is a function with the decorator `source`, beside which its keys are declared. The configuration
and its messages read them here. Nothing in this module imports more than the standard library.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

    # spec of the data set, its name, the path of its rows -> all rows as text, and the steps that led there.
    Reader = Callable[[dict, str, str | Path | None], tuple[pa.Table, list[dict]]]


@dataclass(frozen=True)
class Source:
    """A source of rows: the keys that it needs, those that it takes beside, and what their values may be.

    splits: the values that the key `split` may have, where these are known. reads_path: whether the rows
    are those of the file or folder that the key `path` names. downloads: whether a step of its own fetches
    the rows before they are read. defaults: values of optional keys that a configuration leaves out.
    """

    name: str
    read: "Reader"
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    reads_path: bool = False
    downloads: bool = False
    defaults: tuple[tuple[str, object], ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of a data set that only a source gives a meaning to, in the order of messages."""
        return (*self.required, *self.optional)


SOURCES: dict[str, Source] = {}


def source(
    name: str, *, required: tuple[str, ...], defaults: dict | None = None, **declared
) -> Callable[["Reader"], "Reader"]:
    """Register the decorated function as the source of this name, with the fields of `Source`."""

    def register(read: "Reader") -> "Reader":
        SOURCES[name] = Source(name, read, required, defaults=tuple((defaults or {}).items()), **declared)
        return read

    return register
