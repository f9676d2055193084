"""Token ids of a data set in flat arrays: a batch is a slice, no Python object per instance."""

import hashlib
import inspect
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.lib.stride_tricks import sliding_window_view

from ..artifacts import canonical_json, read_parquet, write_parquet
from ..errors import ArtifactError, ModelError
from ..replacing import remove_stale

ROUND_WIDTH = 16
# An evaluation batch of rows longer than this has fewer tokens: attention takes memory by their square.
LONG_ROW = 128
# A tokenizer that reads more of the task's own texts as unknown is told of.
MUCH_UNKNOWN = 0.2
# The modules here that make tokens.
MAKERS = ("tokens.py", "strides.py", "responses.py")
# In a file of tokens: which instance a feature is of.
INSTANCE = "instance"
logger = logging.getLogger(__name__)


class Cut(NamedTuple):
    """How many rows were longer than `max_length` and lost their ends: `rows` of `total`.

    `longest` is the number of tokens of the longest row before cutting, special tokens included, `words` how
    many words are left without a token where texts came as lists of words, `tokens` how many tokens were cut
    off in all.
    """

    rows: int
    total: int
    longest: int
    words: int = 0
    tokens: int = 0

    def tell(self, name: str, max_length: int) -> None:
        """Warn of a data set whose rows were cut."""
        if self.rows:
            logger.warning(
                "%s: %d of %d rows are longer than max_length, %d tokens, and are cut; the longest has %d, "
                "and %d tokens are lost",
                name,
                self.rows,
                self.total,
                max_length,
                self.longest,
                self.tokens,
            )


@dataclass(frozen=True)
class Tokens:
    """The tokens of all features end to end: `ids` and `types` [tokens], `offsets` [features + 1].

    A feature is what the model reads at once. Each of the n instances is one feature where `features`
    is None; otherwise `features` [n + 1] are the offsets of an instance's features, such as one for each
    choice. `aligned` holds what a kind of task keeps beside every token, int32 [tokens] by name. `unknown` is
    the share of tokens that the tokenizer has no piece for. `left` says that the model wants padding before
    the tokens.
    """

    ids: np.ndarray
    types: np.ndarray
    offsets: np.ndarray
    features: np.ndarray | None = None
    cut: Cut | None = None
    unknown: float = 0.0
    left: bool = False
    aligned: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.offsets if self.features is None else self.features) - 1

    @cached_property
    def feature_lengths(self) -> np.ndarray:
        """Tokens per feature, [features]."""
        return np.diff(self.offsets)

    @cached_property
    def lengths(self) -> np.ndarray:
        """Tokens per instance, [n]; where an instance has several features, those of its longest."""
        if self.features is None:
            return self.feature_lengths
        return np.maximum.reduceat(self.feature_lengths, self.features[:-1])

    @cached_property
    def response_lengths(self) -> np.ndarray:
        """How many of a feature's tokens are those of a response, [features]: none where it has none."""
        if "response" not in self.aligned:
            return np.zeros(len(self.offsets) - 1, np.int64)
        return np.add.reduceat(self.aligned["response"], self.offsets[:-1], dtype=np.int64)

    def features_of(self, rows: np.ndarray) -> np.ndarray:
        """The features of the instances `rows` [b], one instance after the other."""
        if self.features is None:
            return rows
        starts, counts = self.features[rows], self.features[rows + 1] - self.features[rows]
        return np.repeat(starts - (counts.cumsum() - counts), counts) + np.arange(counts.sum())

    @cached_property
    def total_lengths(self) -> np.ndarray:
        """Tokens of all features of an instance, [n]."""
        if self.features is None:
            return self.feature_lengths
        return np.add.reduceat(self.feature_lengths, self.features[:-1])

    def share(self, instances: slice) -> "Tokens":
        """The tokens of some instances, one after the other."""
        place = slice(instances.start, instances.stop + 1)
        if self.features is None:
            return replace(self, offsets=self.offsets[place])
        return replace(self, features=self.features[place])

    @cached_property
    def _windows(self) -> tuple[np.ndarray, np.ndarray]:
        """Views [tokens, width] of what begins at every token, as wide as any batch."""
        width = self.feature_lengths.max() + ROUND_WIDTH
        ids, types = (
            np.concatenate([values, np.zeros(width, values.dtype)]) for values in (self.ids, self.types)
        )
        return sliding_window_view(ids, width), sliding_window_view(types, width)

    def padded(self, rows: np.ndarray, pad_id: int, round_width: bool = False) -> dict[str, np.ndarray]:
        """The features `rows` as arrays [rows, width] of int64, named as models take them.

        The width is that of the longest; with `round_width`, the next multiple of 16, for fewer shapes.
        """
        ids, types = self._windows
        starts, lengths = self.offsets[rows], self.feature_lengths[rows]
        width = lengths.max()
        if round_width:
            width += -width % ROUND_WIDTH
        mask = (np.arange(width) < lengths[:, None]).astype(np.int64)
        padded = ids[starts, :width] * mask
        if pad_id:
            padded += pad_id * (1 - mask)
        arrays = {"input_ids": padded, "token_type_ids": types[starts, :width] * mask, "attention_mask": mask}
        if not self.left:
            return arrays
        places = (np.arange(width) + lengths[:, None]) % width
        return {name: np.take_along_axis(array, places, 1) for name, array in arrays.items()}

    def padded_aligned(self, rows: np.ndarray, width: int) -> dict[str, np.ndarray]:
        """What is aligned with the tokens of the features `rows`, int64 [rows, width] by name, -1 at
        padding."""
        if not self.aligned:
            return {}
        lengths = self.feature_lengths[rows]
        shift = (width - lengths)[:, None] if self.left else 0
        places = np.arange(width) - shift
        real = (places >= 0) & (places < lengths[:, None])
        where = np.where(real, self.offsets[rows][:, None] + places, 0)
        return {
            name: np.where(real, values[where], -1).astype(np.int64) for name, values in self.aligned.items()
        }


def cached_tokens(
    make: Callable[[], Tokens], origin: dict, tokenizer_file: str | Path, cache: str | Path
) -> Tokens:
    """What `make` gives, made once: the tokens lie in the folder `cache` under a hash of all that defines
    them.

    `origin` says what `make` depends on beside the tokenizer and the code, which are added here. Runs and
    models that share a tokenizer share the file. One that cannot be read is made again.
    """
    makers = (*(Path(__file__).with_name(name) for name in MAKERS), Path(inspect.getfile(make)))
    code = [file.read_bytes() for file in makers]
    origin = {
        **origin,
        "tokenizer": hashlib.sha256(Path(tokenizer_file).read_bytes()).hexdigest(),
        "settings": _settings(tokenizer_file),
        "tokenizers": version("tokenizers"),
        "code": hashlib.sha256(b"".join(code)).hexdigest(),
    }
    path = Path(cache) / f"{hashlib.sha256(canonical_json(origin).encode()).hexdigest()}.parquet"
    if path.exists():
        try:
            tokens = _read_tokens(path, origin)
        except ArtifactError as error:
            logger.warning("making the tokens again: %s", error)
        else:
            # Another process may have written the file while one that was killed did.
            remove_stale(path)
            tell_of_unknown(tokens, tokenizer_file)
            return tokens
    tokens = make()
    columns = {
        name: pa.LargeListArray.from_arrays(pa.array(tokens.offsets), pa.array(values))
        for name, values in {"ids": tokens.ids, "types": tokens.types, **tokens.aligned}.items()
    }
    if tokens.features is not None:
        columns[INSTANCE] = pa.array(np.repeat(np.arange(len(tokens)), np.diff(tokens.features)))
    found = {"cut": list(tokens.cut), "unknown": tokens.unknown, "left": tokens.left}
    metadata = {"origin": origin, "found": found}
    write_parquet(path, pa.table(columns), metadata, compression_level=1, write_statistics=False)
    return tokens


def _read_tokens(path: Path, origin: dict) -> Tokens:
    table, metadata = read_parquet(path)
    if metadata.get("origin") != origin:
        raise ArtifactError(f"{path} holds other tokens than its name says")
    columns = {name: table[name].combine_chunks() for name in table.column_names}
    features, instances = None, columns.pop(INSTANCE, None)
    if instances is not None:
        features = np.concatenate([[0], np.bincount(instances.to_numpy()).cumsum()])
    flat = {name: column.flatten().to_numpy() for name, column in columns.items()}
    found = metadata["found"]
    return Tokens(
        flat.pop("ids"),
        flat.pop("types"),
        columns["ids"].offsets.to_numpy(),
        features,
        cut=Cut(*found["cut"]),
        unknown=found["unknown"],
        left=found["left"],
        aligned=flat,
    )


def _settings(tokenizer_file: str | Path) -> dict:
    """What tokenizer_config.json beside a tokenizer.json adds to it."""
    file = Path(tokenizer_file).with_name("tokenizer_config.json")
    values = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    named = {role: values.get(f"{role}_token") for role in ("pad", "eos")}
    spelled = {
        role: token.get("content") if isinstance(token, dict) else token for role, token in named.items()
    }
    return {
        "padding": spelled["pad"],
        "end": spelled["eos"],
        "chat_template": values.get("chat_template"),
        "left": values.get("padding_side") == "left",
        "split_special_tokens": bool(values.get("split_special_tokens", False)),
    }


def load_tokenizer(tokenizer_file: str | Path, words: bool = False) -> tuple[Any, dict]:
    """A tokenizer that neither pads nor cuts, and what tokenizer_config.json beside it says.

    With `words`, it reads lists of words as if a space stood before each. Raises ModelError where it cannot
    be read.
    """
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(tokenizer_file))
        settings = _settings(tokenizer_file)
        if words:
            tokenizer = Tokenizer.from_str(json.dumps(_with_spaces(json.loads(tokenizer.to_str()))))
    except Exception as error:  # the library raises the bare class
        raise ModelError(f"{tokenizer_file} cannot be read", got=error) from error
    tokenizer.encode_special_tokens = settings["split_special_tokens"]
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer, settings


def tokenize(
    texts: Sequence[Sequence],
    tokenizer_file: str | Path,
    max_length: int,
    align: Callable | None = None,
    counts: Sequence[int] | None = None,
) -> Tokens:
    """Encode every row of `texts` (one or two columns) as its encoder's tokenizer does, each as one feature.

    With `align`, a row is a list of words, of which every one is tokenised as if a space stood before it;
    `align` takes the rows' encodings and gives what is to stand beside every token, by name. With `counts`,
    so many rows after one another are those of one instance, and instances are counted that are cut.
    Rows are cut to `max_length` tokens; pairs token by token from the longer text. A row of which the
    tokenizer makes no token at all is one padding token. tokenizer_config.json beside `tokenizer_file`
    names that token, says whether texts that spell special tokens get them, and on which side to pad.
    Raises ModelError for a tokenizer that cannot be read, or lacks that token where a row needs it.
    """
    tokenizer, settings = load_tokenizer(tokenizer_file, words=align is not None)
    tokenizer.enable_truncation(max_length, strategy="longest_first")
    inputs = texts[0] if len(texts) == 1 else list(zip(*texts, strict=True))
    encode_batch = partial(tokenizer.encode_batch, is_pretokenized=align is not None)
    encodings = encode_batch(inputs)
    lengths = np.array([len(encoding) for encoding in encodings], np.int64)
    empty = np.flatnonzero(lengths == 0)
    lengths[empty] = 1
    offsets = np.concatenate([[0], lengths.cumsum()])
    filler = [_filler(tokenizer, settings, empty[0], tokenizer_file)] if len(empty) else []
    ids = np.fromiter((i for e in encodings for i in (e.ids or filler)), np.int32, offsets[-1])
    types = np.fromiter((i for e in encodings for i in (e.type_ids or [0])), np.uint8, offsets[-1])
    aligned = align(encodings) if align else {}
    tokenizer.no_truncation()
    cut = _count_cut(encode_batch, inputs, lengths, max_length, counts)
    if align:
        cut = cut._replace(words=_words_lost(inputs, encodings))
    unknown = unknown_share(tokenizer, ids)
    tokens = Tokens(ids, types, offsets, cut=cut, unknown=unknown, left=settings["left"], aligned=aligned)
    tell_of_unknown(tokens, tokenizer_file)
    return tokens


def _filler(tokenizer, settings: dict, row: int, tokenizer_file: str | Path) -> int:
    number = tokenizer.token_to_id(settings["padding"]) if settings["padding"] else None
    if number is None:
        raise ModelError(
            f"{tokenizer_file} makes no token of a text",
            got=f"row {row} of the data set, counted from 0",
            expected="at least one token, or a padding token in tokenizer_config.json",
            fix="leave the row out, or delete the encoder's folder and let snakemake make it again",
        )
    return number


def _with_spaces(part):
    """The description of a tokenizer, or a part of it, that takes every word as one after a space."""
    if isinstance(part, list):
        return [_with_spaces(entry) for entry in part]
    if not isinstance(part, dict):
        return part
    if part.get("type") == "ByteLevel":
        return {**part, "add_prefix_space": True}
    return {name: _with_spaces(entry) for name, entry in part.items()}


def _words_lost(inputs: list, encodings: list) -> int:
    kept = (len({word for word in encoding.word_ids if word is not None}) for encoding in encodings)
    return sum(map(len, inputs)) - sum(kept)


def _count_cut(
    encode_batch: Callable, inputs: list, lengths: np.ndarray, max_length: int, counts: Sequence[int] | None
) -> Cut:
    # Only a row of max_length tokens can have been longer, and few are: those are encoded once more.
    full = np.flatnonzero(lengths >= max_length)
    whole = np.array([len(e) for e in encode_batch([inputs[row] for row in full])], np.int64)
    longest = max(int(lengths.max(initial=0)), int(whole.max(initial=0)))
    instances = np.arange(len(lengths)) if counts is None else np.repeat(np.arange(len(counts)), counts)
    cut = np.unique(instances[full][whole > max_length])
    lost = int((whole - max_length).clip(0).sum())
    return Cut(len(cut), len(lengths if counts is None else counts), longest, tokens=lost)


def unknown_share(tokenizer, ids: np.ndarray) -> float:
    """The share of tokens that the tokenizer has no piece for."""
    model = json.loads(tokenizer.to_str())["model"]
    name = model.get("unk_token")
    unknown = model.get("unk_id") if name is None else tokenizer.token_to_id(name)
    return 0.0 if unknown is None else float((ids == unknown).mean())


def tell_of_unknown(tokens: Tokens, tokenizer_file: str | Path) -> None:
    """Warn of a tokenizer that reads much of a task's texts as unknown."""
    if tokens.unknown > MUCH_UNKNOWN:
        logger.warning(
            "%s has no piece for %.0f %% of the tokens of these texts: is it the tokenizer of this language?",
            tokenizer_file,
            100 * tokens.unknown,
        )


def budget_batches(lengths: np.ndarray, tokens: int) -> Iterator[np.ndarray]:
    """Batches for evaluation: longest first, each of at most `tokens` padded tokens or one instance.

    Rows of more than LONG_ROW tokens come in batches of fewer tokens, as attention's memory grows by
    the square of their length.
    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        width = max(1, int(lengths[order[start]]))
        size = max(1, tokens * LONG_ROW // (width * max(width, LONG_ROW)))
        yield order[start : start + size]
        start += size
