"""Columns of texts that stay Arrow's for as long as nobody asks for one of them."""

from collections.abc import Iterator, Sequence
from functools import cached_property

import pyarrow as pa


class TextColumn(Sequence):
    """A column of texts, which become Python's when one of them is asked for."""

    def __init__(self, column: pa.Array | pa.ChunkedArray):
        self.column = column

    @cached_property
    def _texts(self) -> list[str]:
        return self.column.to_pylist()

    def __len__(self) -> int:
        return len(self.column)

    def __getitem__(self, place):
        return self._texts[place]

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, Sequence) else NotImplemented

    __hash__ = None


def text_column(texts: Sequence[str]) -> pa.Array | pa.ChunkedArray:
    """Texts as a column."""
    return texts.column if isinstance(texts, TextColumn) else pa.array(texts, pa.string())
