"""Checks across the data sets of a task, made before any training."""

import logging
import re
from collections.abc import Iterable
from pathlib import Path

from ..artifacts import write_json
from ..errors import DataError
from .dataset import Dataset

logger = logging.getLogger(__name__)


def check_task(spec: dict, files: Iterable[str | Path], output: str | Path) -> None:
    """Report sizes and label counts of a task's data sets, and training texts that reappear in others.

    `spec` holds `train` (a name), `datasets` (names, in the order of `files`) and `leakage`: refuse,
    warn or ignore. Texts are compared without regard to case and punctuation.
    Raises DataError for leakage that is to be refused.
    """
    datasets = {name: Dataset.load(path) for name, path in zip(spec["datasets"], files, strict=True)}
    seen = set(normalised(datasets[spec["train"]])) if spec["leakage"] != "ignore" else set()
    report = {name: _describe(dataset) for name, dataset in datasets.items()}
    for name, dataset in datasets.items():
        if name != spec["train"] and spec["leakage"] != "ignore":
            report[name]["found_in_training"] = sum(text in seen for text in normalised(dataset))
    leaking = {
        name: entry["found_in_training"] for name, entry in report.items() if entry.get("found_in_training")
    }
    if leaking:
        listing = ", ".join(f"{count} in {name}" for name, count in leaking.items())
        message = f"training instances reappear in evaluation data: {listing}"
        if spec["leakage"] == "refuse":
            raise DataError(
                message,
                expected="none, as checks.leakage is 'refuse'",
                fix="remove them, or set checks.leakage: warn",
            )
        logger.warning(message)
    write_json(output, report)


def _describe(dataset: Dataset) -> dict:
    counts = {"labels": dataset.label_counts()} if dataset.label_names else {}
    return {**dataset.provenance, "content_hash": dataset.content_hash, **counts}


def normalised(dataset: Dataset) -> Iterable[tuple[str, ...]]:
    """The texts of every instance without regard to case and punctuation."""
    for texts in zip(*dataset.texts, strict=True):
        joined = (text if isinstance(text, str) else " ".join(text) for text in texts)
        # A text of punctuation or emoji alone is compared as it is.
        yield tuple(re.sub(r"\W+", " ", text.casefold()).strip() or text for text in joined)
