"""Token ids of a data set in flat arrays: a batch is a slice, no Python object per instance."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..data.dataset import Dataset
from ..errors import ModelError


@dataclass(frozen=True)
class Tokens:
    """The tokens of n instances end to end: `ids` and `types` [tokens], `offsets` [n + 1]."""

    ids: np.ndarray
    types: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Tokens per instance, [n]."""
        return np.diff(self.offsets)

    def padded(self, rows: np.ndarray, pad_id: int) -> dict[str, np.ndarray]:
        """The instances `rows` padded to the longest: arrays [rows, width] named as models take them."""
        lengths = self.lengths[rows]
        column = np.arange(lengths.max())
        mask = column < lengths[:, None]
        source = (self.offsets[rows][:, None] + column)[mask]
        ids = np.full(mask.shape, pad_id, np.int64)
        types = np.zeros(mask.shape, np.int64)
        ids[mask], types[mask] = self.ids[source], self.types[source]
        return {"input_ids": ids, "token_type_ids": types, "attention_mask": mask.astype(np.int64)}


def tokenize(dataset: Dataset, tokenizer_file: str | Path, max_length: int) -> Tokens:
    """Encode every instance as the encoder's tokenizer does, cut to `max_length` tokens.

    Pairs are cut token by token from the longer text. Raises ModelError for a tokenizer that cannot be read.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(tokenizer_file))
    except Exception as error:  # the library raises the bare class
        raise ModelError(f"{tokenizer_file} cannot be read", got=error) from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length, strategy="longest_first")
    inputs = dataset.texts[0] if len(dataset.texts) == 1 else list(zip(*dataset.texts, strict=True))
    encodings = tokenizer.encode_batch(inputs)
    offsets = np.zeros(len(encodings) + 1, np.int64)
    np.cumsum([len(encoding) for encoding in encodings], out=offsets[1:])
    ids = np.fromiter((i for e in encodings for i in e.ids), np.int32, offsets[-1])
    types = np.fromiter((i for e in encodings for i in e.type_ids), np.uint8, offsets[-1])
    return Tokens(ids, types, offsets)


def budget_batches(lengths: np.ndarray, tokens: int) -> Iterator[np.ndarray]:
    """Batches for evaluation: longest first, each of at most `tokens` padded tokens or one instance."""
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        size = max(1, tokens // max(1, int(lengths[order[start]])))
        yield order[start : start + size]
        start += size
