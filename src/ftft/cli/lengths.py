"""How many tokens the rows of a file have: by a tokenizer at hand, else by a look at their characters."""

import math
import re
from collections.abc import Sequence
from pathlib import Path

SPECIAL_TOKENS = 3
LONGEST = 512
COVERED = 0.99
# Runs of Latin letters, and single characters of anything else that is no white space.
PIECES = re.compile(r"[A-Za-z\u00c0-\u024f]+|[^\s]")
LETTERS_A_TOKEN = 4


def max_length(texts: Sequence[tuple[str | None, ...]], models: Sequence[str | None]) -> tuple[int, str]:
    """A multiple of 8 that covers 99 % of the rows, 512 at most, and in words where it comes from.

    `models` are what the configuration takes its encoders from, of which a folder may hold a tokenizer.
    """
    files = [Path(model) / "tokenizer.json" for model in models if model]
    files = [file for file in files if file.is_file()]
    lengths = [_measured(texts, file) for file in files] or [_guessed(texts)]
    covered = max(sorted(own)[math.ceil(COVERED * len(own)) - 1] for own in lengths)
    length = min(LONGEST, 8 * max(2, math.ceil(covered / 8)))
    cut = sum(max(row) > length for row in zip(*lengths, strict=True)) / len(texts)
    if files:
        return length, f"measured: {1 - cut:.0%} of the rows fit"
    return length, (
        "a guess: a token for four Latin letters, one for any other character; a tokenizer may make half or "
        "twice as many. The log of a training, its ledger and the model card say how many rows were cut"
    )


def _measured(texts: Sequence[tuple[str | None, ...]], file: Path) -> list[int]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    rows = [tuple(text or "" for text in row) for row in texts]
    encoded = tokenizer.encode_batch([row if len(row) > 1 else row[0] for row in rows])
    return [len(encoding) for encoding in encoded]


def _guessed(texts: Sequence[tuple[str | None, ...]]) -> list[int]:
    return [SPECIAL_TOKENS + sum(map(_tokens, row)) for row in texts]


def _tokens(text: str | None) -> int:
    return sum(math.ceil(len(piece) / LETTERS_A_TOKEN) for piece in PIECES.findall(text or ""))
