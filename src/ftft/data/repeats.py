"""Repeated texts: groups of instances whose texts are equal or nearly so, by MinHash (Broder 1997).

Two instances are near duplicates where every text column of theirs has a Jaccard similarity of shingles, runs
of five characters, of at least the threshold. Candidates share a band of their signatures (locality-sensitive
hashing: Indyk and Motwani 1998); the exact similarity decides. Hashes are fixed, so that groups are the same
on every machine.
"""

from collections.abc import Iterator, Sequence

import numpy as np

SHINGLE = 5
# 12 bands of 5: a pair of similarity 0.8 is a candidate with probability 1 - (1 - 0.8^5)^12 = 0.99.
BANDS, WIDTH = 12, 5
# Texts whose shingles are hashed together; a million characters take 8 MB an array.
CHUNK = 1 << 12
EMPTY = np.iinfo(np.uint32).max
Texts = Sequence[Sequence[str]]


def groups_of(texts: Texts, threshold: float) -> np.ndarray:
    """The group [n] of every instance, the smallest row of it, by `texts`, a column [n] of normalised ones
    after the other.

    A group is what chains of near duplicates connect. Equal instances are always in one group.
    """
    rows = list(zip(*texts, strict=True))
    first: dict[tuple, int] = {}
    equal = np.array([first.setdefault(row, place) for place, row in enumerate(rows)], np.int64)
    distinct = np.unique(equal)
    own = [[column[row] for row in distinct] for column in texts]
    leader = np.arange(len(distinct))
    for one, other in _candidates(signatures(own)):
        top, low = _leader(leader, one), _leader(leader, other)
        if top != low and _similar(own, one, other, threshold):
            leader[max(top, low)] = min(top, low)
    leaders = np.array([_leader(leader, row) for row in range(len(distinct))], np.int64)
    return distinct[leaders][np.searchsorted(distinct, equal)]


def signatures(texts: Texts) -> np.ndarray:
    """MinHash signatures, uint32 [n, BANDS x WIDTH], of the shingles of all columns together."""
    instances = len(texts[0])
    random = np.random.Generator(np.random.PCG64(0))
    factors = random.integers(1, 2**63, BANDS * WIDTH, np.uint64) | np.uint64(1)
    found = np.full((instances, BANDS * WIDTH), EMPTY, np.uint32)
    for start in range(0, instances, CHUNK):
        for number, column in enumerate(texts):
            part = found[start : start + CHUNK]
            hashes, borders = _shingles(column[start : start + CHUNK], number)
            for place, factor in enumerate(factors):
                # Multiply-shift (Dietzfelbinger et al. 1997): the upper half of a product is a hash.
                least = np.minimum.reduceat((hashes * factor >> np.uint64(32)).astype(np.uint32), borders)
                np.minimum(part[:, place], least, out=part[:, place])
    return found


def _shingles(texts: Sequence[str], column: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Hashes, uint64, of the shingles of all texts, and where each text's begin. A text that is shorter than
    a shingle is one, filled up.
    """
    filled = [text.ljust(SHINGLE, "\0") for text in texts]
    characters = np.frombuffer("".join(filled).encode("utf-32-le", "surrogatepass"), np.uint32)
    lengths = np.array([len(text) for text in filled], np.int64)
    ends = np.cumsum(lengths)
    count = len(characters) - SHINGLE + 1
    hashes = np.full(count, column + 1, np.uint64)
    for offset in range(SHINGLE):
        hashes = _mixed(hashes ^ characters[offset : offset + count].astype(np.uint64))
    # Shingles that would reach into the next text are none.
    starts = np.arange(count)
    kept = starts + SHINGLE <= np.repeat(ends, lengths)[:count]
    sizes = lengths - SHINGLE + 1
    return hashes[kept], np.cumsum(sizes) - sizes


def _mixed(values: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014)."""
    values = (values + np.uint64(0x9E3779B97F4A7C15)) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ values >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return values ^ values >> np.uint64(31)


def _candidates(found: np.ndarray) -> Iterator[tuple[int, int]]:
    """Pairs of rows that share a band, each once: every row with the first of its band and the one before it,
    so that a band of many rows gives few pairs.
    """
    seen: set[tuple[int, int]] = set()
    for band in range(BANDS):
        part = np.ascontiguousarray(found[:, band * WIDTH : (band + 1) * WIDTH])
        keys = part.view(np.dtype((np.void, part.dtype.itemsize * WIDTH))).ravel()
        order = np.argsort(keys, kind="stable")
        new = np.concatenate([[True], keys[order][1:] != keys[order][:-1]])
        firsts = order[np.maximum.accumulate(np.where(new, np.arange(len(order)), 0))]
        for place in np.flatnonzero(~new):
            row = int(order[place])
            for other in {int(firsts[place]), int(order[place - 1])}:
                pair = (min(row, other), max(row, other))
                if pair not in seen:
                    seen.add(pair)
                    yield pair


def similarity(one: str, other: str) -> float:
    """The Jaccard similarity of the shingles of two texts."""
    first, second = (_set_of(text.ljust(SHINGLE, "\0")) for text in (one, other))
    return len(first & second) / len(first | second)


def _set_of(text: str) -> set[str]:
    return {text[start : start + SHINGLE] for start in range(len(text) - SHINGLE + 1)}


def _similar(texts: Texts, one: int, other: int, threshold: float) -> bool:
    return all(similarity(column[one], column[other]) >= threshold for column in texts)


def _leader(leader: np.ndarray, row: int) -> int:
    while leader[row] != row:
        leader[row] = leader[leader[row]]
        row = leader[row]
    return int(row)
