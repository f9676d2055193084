"""The k largest of a stream of scores: exact, in bounded memory, the same whatever the blocks.

Radix selection: a histogram of the scores' leading bits tells in which bin the k-th largest lies; only
that bin is looked at again. The stream is read three times, more often where many scores are close.
"""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from ..data.dataset import uid_hash

Blocks = Callable[[], Iterable[np.ndarray]]
"""A stream to be read several times: each call yields the same arrays."""
Names = Callable[[np.ndarray], Sequence[str]]
"""The uids of some rows, ascending, all of one block."""

# Where the digits of a 64-bit key end. Its 18 leading bits part the scores from 1/4 to 1/2 into 64 bins.
SHIFTS = (46, 30, 14, 0)
# Keys looked at together once a bin holds no more of them: 16 MB.
IN_MEMORY = 1 << 21
SIGN = np.uint64(1 << 63)
TIE = np.dtype([("row", np.int64), ("key", np.uint64)])


class Place(NamedTuple):
    """The k-th largest key; `wanted` of the `tied` keys equal to it are among the k largest."""

    key: np.uint64
    wanted: int
    tied: int


def largest(keys: Blocks, count: int, names: Names | None = None) -> Iterator[np.ndarray]:
    """Yield the rows of the `count` largest `order_key`s, ascending, an array per block.

    Ties at the last place go to the smallest hash: `uid_hash` of the row's name, equal ones to the
    smallest name; `row_hash` of its number where there are no names. Neither depends on the order of rows.
    """
    if count == 0:
        yield from (np.empty(0, np.int64) for _ in keys())
        return
    last = kth_largest(keys, count)
    if last.wanted == last.tied:
        yield from (start + np.flatnonzero(block >= last.key) for start, block in _placed(keys))
        return
    with spooled(_ties(keys, last.key, names)) as ties:
        last_tie = kth_largest(lambda: (block["key"] for block in ties()), last.wanted)
        equal = np.concatenate([block["row"][block["key"] == last_tie.key] for block in ties()])
        if names:
            equal = np.array(sorted(equal, key=lambda row: names(np.array([row]))[0]))
        for (start, block), tied in zip(_placed(keys), ties(), strict=True):
            chosen = block > last.key
            wins = (tied["key"] > last_tie.key) | np.isin(tied["row"], equal[: last_tie.wanted])
            chosen[tied["row"][wins] - start] = True
            yield start + np.flatnonzero(chosen)


def above(keys: Blocks, key: np.uint64) -> Iterator[np.ndarray]:
    """Yield the rows of the keys larger than `key`, ascending, an array per block."""
    yield from (start + np.flatnonzero(block > key) for start, block in _placed(keys))


def quantile(keys: Blocks, size: int, fraction: float) -> float:
    """`np.quantile(scores, fraction)` of the `size` scores of these keys."""
    place = fraction * (size - 1)
    below = int(place)
    ranks = (below, min(below + 1, size - 1))
    neighbours = [score_of(kth_largest(keys, size - rank).key) for rank in ranks]
    return float(np.quantile(neighbours, place - below))


def kth_largest(keys: Blocks, count: int) -> Place:
    """Find the `count`-th largest of a stream of uint64 keys, 1 being the largest."""
    prefix, top, wanted = 0, 64, count
    for shift in SHIFTS:
        histogram = np.zeros(1 << (top - shift), np.int64)
        for members in _members(keys, prefix, top):
            digits = (members >> np.uint64(shift) & np.uint64(len(histogram) - 1)).view(np.int64)
            low = digits.min()
            bins = np.bincount(digits - low)
            histogram[low : low + len(bins)] += bins
        from_above = np.cumsum(histogram[::-1])
        place = int(np.searchsorted(from_above, wanted))
        digit = len(histogram) - 1 - place
        tied = int(histogram[digit])
        wanted -= int(from_above[place]) - tied
        prefix, top = (prefix << (top - shift)) + digit, shift
        if tied <= IN_MEMORY:
            members = np.concatenate(list(_members(keys, prefix, top)))
            key = np.partition(members, tied - wanted)[tied - wanted]
            return Place(key, wanted - int((members > key).sum()), int((members == key).sum()))
    return Place(np.uint64(prefix), wanted, tied)


def order_key(scores: np.ndarray) -> np.ndarray:
    """Unsigned integers in the order of float64 scores; 0.0 and -0.0 are equal."""
    bits = np.asarray(scores + 0.0).view(np.int64)
    return bits.view(np.uint64) ^ ((bits >> 63).view(np.uint64) | SIGN)


def score_of(key: np.uint64) -> float:
    """The score of an `order_key`."""
    return float((key ^ SIGN if key & SIGN else ~key).view(np.float64))


def row_hash(rows: np.ndarray) -> np.ndarray:
    """SplitMix64 of row numbers (Steele, Lea & Flood, 2014): a bijection, so that no two are equal."""
    mixed = rows.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


@contextmanager
def spooled(blocks: Iterable[np.ndarray]) -> Iterator[Blocks]:
    """Make a stream readable again: its first reading, to the end, keeps the blocks in a temporary file."""
    kinds: list[tuple[np.dtype, int]] = []
    with tempfile.TemporaryFile() as file:

        def first() -> Iterator[np.ndarray]:
            for block in blocks:
                kinds.append((block.dtype, len(block)))
                block.tofile(file)
                yield block

        def again() -> Iterator[np.ndarray]:
            file.seek(0)
            yield from (np.fromfile(file, dtype, size) for dtype, size in kinds)

        yield lambda: again() if kinds else first()


def _placed(blocks: Blocks) -> Iterator[tuple[int, np.ndarray]]:
    """Every block with its first row."""
    start = 0
    for block in blocks():
        yield start, block
        start += len(block)


def _members(keys: Blocks, prefix: int, top: int) -> Iterator[np.ndarray]:
    """The keys of each block whose bits from `top` on are `prefix`, where there are any."""
    for block in keys():
        members = block if top == 64 else block[block >> np.uint64(top) == np.uint64(prefix)]
        if len(members):
            yield members


def _ties(keys: Blocks, key: np.uint64, names: Names | None) -> Iterator[np.ndarray]:
    for start, block in _placed(keys):
        rows = start + np.flatnonzero(block == key)
        ties = np.empty(len(rows), TIE)
        ties["row"] = rows
        ties["key"] = ~(_name_hash(names(rows)) if names and len(rows) else row_hash(rows))
        yield ties


def _name_hash(names: Sequence[str]) -> np.ndarray:
    return np.frombuffer(b"".join(map(uid_hash, names)), ">u8").astype(np.uint64)
