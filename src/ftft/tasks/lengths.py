"""How many rows of a task's data sets a model would cut, counted before any training."""

from collections.abc import Iterable
from pathlib import Path

from ..artifacts import read_folder, write_json
from ..data.dataset import Dataset
from .base import kind_of
from .prediction import told_tokens


def check_lengths(
    spec: dict, files: Iterable[str | Path], encoder: str | Path, output: str | Path, runtime: dict
) -> None:
    """Count by data set the rows that are longer than `max_length` tokens, warn of them, and write the counts
    (JSON: those of `models.tokens.Cut`, and the share of tokens that the tokenizer has no piece for).

    `spec` holds `datasets` (names, in the order of `files`) and `max_length`. The tokens are kept for the
    trainings.
    """
    read_folder(Path(encoder) / "provenance.json")
    counts = {}
    for name, path in zip(spec["datasets"], files, strict=True):
        dataset = Dataset.load(path)
        kind = kind_of(dataset.kind)
        tokens = told_tokens(kind, dataset, name, encoder, spec["max_length"], runtime)
        counts[name] = {**tokens.cut._asdict(), "unknown": tokens.unknown}
    write_json(output, {"max_length": spec["max_length"], "datasets": counts})
