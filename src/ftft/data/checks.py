"""Checks across the data sets of a task, made before any training."""

import logging
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..artifacts import to_arrow, write_json, write_parquet
from ..errors import DataError
from .columns import text_column
from .dataset import Dataset, target_column
from .repeats import groups_of

logger = logging.getLogger(__name__)


def check_task(spec: dict, files: Iterable[str | Path], outputs: dict[str, str | Path]) -> None:
    """Report sizes, label counts and repeated texts of a task's data sets, and training texts and groups that
    reappear in others (`report`, JSON), and write which texts are repeated (`repeats`, Parquet).

    `spec` holds `train` (a name), `datasets` (names, in the order of `files`), `leakage`: refuse, warn or
    ignore, and `near_duplicates`, the least similarity of such. Texts are compared without regard to case
    and punctuation. Raises DataError for training texts in evaluation sets that are to be refused; near
    duplicates are reported alone.
    """
    datasets = {name: Dataset.load(path) for name, path in zip(spec["datasets"], files, strict=True)}
    shared = set(datasets[spec["train"]].group or ())
    texts = {name: normalised(dataset) for name, dataset in datasets.items()}
    report = {name: _describe(dataset) for name, dataset in datasets.items()}
    groups = dict(zip(datasets, _groups(list(texts.values()), spec["near_duplicates"]), strict=True))
    trained = spec["train"]
    if spec["leakage"] != "ignore":
        seen, seen_groups = set(texts[trained]), set(groups[trained].tolist())
        for name in (name for name in datasets if name != trained):
            exact = [text in seen for text in texts[name]]
            near = [group in seen_groups for group in groups[name].tolist()]
            report[name]["nearly_in_training"] = sum(near) - sum(exact)
            if datasets[name].group and shared:
                report[name]["groups_in_training"] = len({*datasets[name].group} & shared)
                of_group = (group in shared for group in datasets[name].group)
                exact = [one or other for one, other in zip(exact, of_group, strict=True)]
            report[name]["found_in_training"] = sum(exact)
    for name, dataset in datasets.items():
        report[name]["repeats"] = _repeats(texts[name], groups[name], _targets(dataset))
    _tell(report, spec["leakage"])
    write_json(outputs["report"], report)
    write_parquet(outputs["repeats"], _table(datasets, groups), {"similarity": spec["near_duplicates"]})


def _tell(report: dict, leakage: str) -> None:
    """Warn of evaluation instances that are in the training set, or refuse them."""
    near = {
        name: entry["nearly_in_training"] for name, entry in report.items() if entry.get("nearly_in_training")
    }
    if near:
        logger.warning(f"near duplicates of training instances in evaluation data: {_listing(near)}")
    leaking = {
        name: entry["found_in_training"] for name, entry in report.items() if entry.get("found_in_training")
    }
    if leaking:
        message = f"training instances reappear in evaluation data: {_listing(leaking)}"
        if leakage == "refuse":
            raise DataError(
                message,
                expected="none, as checks.leakage is 'refuse'",
                fix="remove them, or set checks.leakage: warn",
            )
        logger.warning(message)


def _listing(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} in {name}" for name, count in counts.items())


def _describe(dataset: Dataset) -> dict:
    counts = {"labels": dataset.label_counts()} if dataset.label_names else {}
    about = {"instances": len(dataset), "content_hash": dataset.content_hash}
    return {**dataset.provenance, **about, **counts}


def normalised(dataset: Dataset) -> list[tuple[str, ...]]:
    """The texts of every instance without regard to case and punctuation."""
    found = []
    for texts in zip(*dataset.texts, strict=True):
        joined = (text if isinstance(text, str) else " ".join(text) for text in texts)
        # A text of punctuation or emoji alone is compared as it is.
        found.append(tuple(re.sub(r"\W+", " ", text.casefold()).strip() or text for text in joined))
    return found


def _groups(texts: Sequence[list[tuple[str, ...]]], threshold: float) -> list[np.ndarray]:
    """The group of every instance of all data sets together, a data set each."""
    together = [text for own in texts for text in own]
    found = groups_of(list(zip(*together, strict=True)), threshold)
    return np.split(found, np.cumsum([len(own) for own in texts])[:-1])


def _repeats(texts: Sequence[tuple[str, ...]], groups: np.ndarray, targets: Sequence[str]) -> dict:
    """How many instances repeat the text of another one in the set, how many nearly so, and how many groups
    of repeated texts have several labels.
    """
    members = defaultdict(list)
    for row, group in enumerate(groups.tolist()):
        members[group].append(row)
    repeated = [rows for rows in members.values() if len(rows) > 1]
    counts = Counter(texts)
    exact = sum(counts[texts[row]] > 1 for rows in repeated for row in rows)
    return {
        "groups": len(repeated),
        "exact": exact,
        "near": sum(map(len, repeated)) - exact,
        "with_different_labels": sum(len({targets[row] for row in rows}) > 1 for rows in repeated),
    }


def _targets(dataset: Dataset) -> list[str]:
    return [str(target) for target in target_column(dataset.labels).to_pylist()]


def _table(datasets: dict[str, Dataset], groups: dict[str, np.ndarray]) -> pa.Table:
    """The instances whose texts are repeated in their set or another: dataset, uid, group."""
    sizes = Counter(group for own in groups.values() for group in own.tolist())
    parts = []
    for name, dataset in datasets.items():
        rows = np.array(
            [row for row, group in enumerate(groups[name].tolist()) if sizes[group] > 1], np.int64
        )
        columns = {
            "dataset": pa.array([name] * len(rows), pa.string()),
            "uid": text_column(dataset.uids).take(to_arrow(rows)),
            "group": to_arrow(groups[name][rows]),
        }
        parts.append(pa.table(columns))
    return pa.concat_tables(parts, promote_options="permissive")
