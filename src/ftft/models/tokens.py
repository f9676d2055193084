"""Token ids of a data set in flat arrays: a batch is a slice, no Python object per instance."""

import hashlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.lib.stride_tricks import sliding_window_view

from ..artifacts import read_parquet, write_parquet
from ..artifacts import canonical_json
from ..errors import ArtifactError, ModelError

ROUND_WIDTH = 16
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tokens:
    """The tokens of features end to end: `ids` and `types` [tokens], `offsets` [features + 1].

    `features` [n + 1] are the offsets of every instance's features, None where each instance is one feature.
    """

    ids: np.ndarray
    types: np.ndarray
    offsets: np.ndarray
    features: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.offsets if self.features is None else self.features) - 1

    @cached_property
    def lengths(self) -> np.ndarray:
        """Tokens per feature."""
        return np.diff(self.offsets)

    @cached_property
    def instance_lengths(self) -> np.ndarray:
        """Tokens per instance, [n]."""
        return self.lengths if self.features is None else np.add.reduceat(self.lengths, self.features[:-1])

    def lengths_of(self, instances: np.ndarray) -> np.ndarray:
        """Tokens of every feature of some instances."""
        return self.lengths[instances] if self.features is None else self.lengths[self.features_of(instances)]

    def features_of(self, instances: np.ndarray) -> np.ndarray:
        """The features of some instances, one instance's after the other's."""
        counts = np.diff(self.features)[instances]
        return np.repeat(self.features[instances] - np.cumsum(counts) + counts, counts) + np.arange(
            counts.sum()
        )

    def share(self, instances: slice) -> "Tokens":
        """The tokens of some instances, one after the other."""
        if self.features is None:
            return Tokens(self.ids, self.types, self.offsets[instances.start : instances.stop + 1])
        features = self.features[instances.start : instances.stop + 1]
        return Tokens(self.ids, self.types, self.offsets, features)

    @cached_property
    def _windows(self) -> tuple[np.ndarray, np.ndarray]:
        """Views [tokens, width] of what begins at every token, as wide as any batch."""
        width = self.lengths.max() + ROUND_WIDTH
        ids, types = (
            np.concatenate([values, np.zeros(width, values.dtype)]) for values in (self.ids, self.types)
        )
        return sliding_window_view(ids, width), sliding_window_view(types, width)

    def padded(self, rows: np.ndarray, pad_id: int, round_width: bool = False) -> dict[str, np.ndarray]:
        """The instances `rows` as arrays [rows, width] of int64, named as models take them.

        The width is that of the longest; with `round_width`, the next multiple of 16, for fewer shapes.
        """
        ids, types = self._windows
        starts, lengths = self.offsets[rows], self.lengths[rows]
        width = lengths.max()
        if round_width:
            width += -width % ROUND_WIDTH
        mask = (np.arange(width) < lengths[:, None]).astype(np.int64)
        padded = ids[starts, :width] * mask
        if pad_id:
            padded += pad_id * (1 - mask)
        return {"input_ids": padded, "token_type_ids": types[starts, :width] * mask, "attention_mask": mask}


def cached_tokens(
    texts: list,
    features: np.ndarray | None,
    data_hash: str,
    tokenizer_file: str | Path,
    max_length: int,
    cache: str | Path,
) -> Tokens:
    """`tokenize`, done once: the tokens lie in the folder `cache` under a name made of all that defines them.

    `data_hash` stands for `texts` and `features`.

    Runs and models that share a tokenizer share the file. One that cannot be read is made again.
    """
    origin = {
        "data": data_hash,
        "tokenizer": hashlib.sha256(Path(tokenizer_file).read_bytes()).hexdigest(),
        "max_length": max_length,
        "tokenizers": version("tokenizers"),
        "code": hashlib.sha256(Path(__file__).read_bytes()).hexdigest(),
    }
    path = Path(cache) / f"{hashlib.sha256(canonical_json(origin).encode()).hexdigest()}.parquet"
    if path.exists():
        try:
            return replace(_read_tokens(path, origin), features=features)
        except ArtifactError as error:
            logger.warning("making the tokens again: %s", error)
    tokens = tokenize(texts, tokenizer_file, max_length)
    columns = {
        name: pa.LargeListArray.from_arrays(pa.array(tokens.offsets), pa.array(values))
        for name, values in (("ids", tokens.ids), ("types", tokens.types))
    }
    write_parquet(path, pa.table(columns), origin, compression_level=1, write_statistics=False)
    return replace(tokens, features=features)


def _read_tokens(path: Path, origin: dict) -> Tokens:
    table, metadata = read_parquet(path)
    if metadata != origin:
        raise ArtifactError(f"{path} holds other tokens than its name says")
    ids, types = (table[name].combine_chunks() for name in ("ids", "types"))
    return Tokens(ids.flatten().to_numpy(), types.flatten().to_numpy(), ids.offsets.to_numpy())


def tokenize(texts: list, tokenizer_file: str | Path, max_length: int) -> Tokens:
    """Encode texts, or pairs of texts, as the encoder's tokenizer does, cut to `max_length` tokens.

    Pairs are cut token by token from the longer text. Raises ModelError for a tokenizer that cannot be read.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(tokenizer_file))
    except Exception as error:  # the library raises the bare class
        raise ModelError(f"{tokenizer_file} cannot be read", got=error) from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length, strategy="longest_first")
    encodings = tokenizer.encode_batch(texts)
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
