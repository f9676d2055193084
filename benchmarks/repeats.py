"""Near duplicates: groups of texts by MinHash, beside datasketch's MinHash and index."""

import numpy as np
import pyarrow.parquet as pq
from datasketch import MinHash, MinHashLSH

from ftft.data.repeats import BANDS, SHINGLE, WIDTH, groups_of

from .harness import Work, interleave, spread
from .options import Options
from .report import Goal, Row, Table, compared

ROWS, PEER_ROWS = 400_000, 4_000
THRESHOLD = 0.8
OURS, PEER = "this workflow", "datasketch: MinHash of shingles, MinHashLSH, one query a row"
LARGE = f"this workflow, {ROWS:,} rows"
WORDS = 20_000


def run(options: Options) -> list[Table]:
    """Rows per CPU second of both, and of ours at the size of MNLI."""
    few, many = (1_000, 10_000) if options.quick else (PEER_ROWS, ROWS)
    variants: dict[str, Work] = {OURS: _ours(few, options), PEER: _peer(few, options)}
    runs = interleave(variants, options.repeats(3))
    large = interleave({LARGE: _ours(many, options)}, 1)
    seconds = [run.cpu for run in large[LARGE]]
    rows = [
        compared(runs, OURS, PEER, 1, unit="rows"),
        Row(LARGE, value=spread(seconds), unit="CPU seconds", goal=Goal(300, at_most=True)),
    ]
    origin = "Real MultiNLI rows" if options.data else "Rows of random words"
    notes = [
        f"{origin}; where there are too few, a tenth of the further ones repeats them, the"
        " others have half of their words from another row. Shingles of"
        f" {SHINGLE} characters, {BANDS} bands of {WIDTH}.",
        "Ours compares candidates exactly and joins chains; the peer returns candidates alone.",
    ]
    return [Table(f"Groups of {few:,} texts, similarity {THRESHOLD}", rows, notes)]


def texts(count: int, options: Options) -> list[str]:
    """So many texts, the same at every call."""
    generator = np.random.default_rng(0)
    if options.data:
        table = pq.read_table(options.data / "nli/mnli_train.parquet", columns=["premise", "hypothesis"])
        real = [f"{row['premise']} {row['hypothesis']}".lower() for row in table.to_pylist()]
    else:
        drawn = generator.integers(0, WORDS, (count, 20))
        real = [" ".join(f"w{word}" for word in row) for row in drawn]
    found = real[:count]
    while len(found) < count:
        words = real[len(found) % len(real)].split()
        if generator.random() < 0.9:
            others = real[generator.integers(len(real))].split()
            words = [
                word if generator.random() < 0.5 else others[generator.integers(len(others))]
                for word in words
            ]
        found.append(" ".join(words))
    return found


def _ours(count: int, options: Options) -> Work:
    rows = texts(count, options)

    def work() -> int:
        groups_of([rows], THRESHOLD)
        return count

    return work


def _peer(count: int, options: Options) -> Work:
    rows = texts(count, options)

    def work() -> int:
        index = MinHashLSH(params=(BANDS, WIDTH), num_perm=BANDS * WIDTH)
        for number, text in enumerate(rows):
            own = MinHash(num_perm=BANDS * WIDTH)
            shingles = {text[at : at + SHINGLE] for at in range(max(1, len(text) - SHINGLE + 1))}
            own.update_batch([shingle.encode() for shingle in shingles])
            index.query(own)
            index.insert(number, own)
        return count

    return work
