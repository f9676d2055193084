"""Lists of labels that are probably wrong: of one run, and of all runs of a task.

A list holds the instances that look worse than the average one, worst first: those whose label is wrong with
a higher probability than the share of wrong labels in the whole set. Where a kind of task gives no
probabilities, it holds the most suspicious tenth.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ..artifacts import read_parquet, to_arrow, to_numpy, write_json, write_parquet
from ..cartography.dynamics import Dynamics, load_dynamics
from ..cartography.folds import COSTS
from ..cartography.issues import estimate, share_range, suspicion
from ..data.columns import text_column
from ..data.dataset import Dataset
from ..errors import ArtifactError
from ..statistics.frames import write_csv
from ..tasks.base import Suggestions, kind_of

LISTED_WITHOUT_PROBABILITIES = 0.1
# What the list of a task says of each run.
SUMMARISED = ("share", "share_range", "further_trainings")


def write_issues(
    spec: dict, dynamics_file: Path, data_file: Path, repeats_file: Path, outputs: dict[str, Path]
) -> None:
    """Write what one run says of every label (`scores`, Parquet), and its list (`csv`).

    `spec` holds `train`, the name of the training set, `scores`, whose mean rank the score of an instance is,
    their `settings`, and `text`, the names of the columns of texts. Dynamics out of sample
    (`cartography.folds`) say in their metadata how many further trainings they are of, and their cost.
    """
    dataset = Dataset.load(data_file)
    described = read_parquet(dynamics_file, ["row"])[1]
    dynamics = load_dynamics(dynamics_file, dataset)
    repeats = repeats_of(repeats_file, spec["train"])
    folds = described.get("folds", 0)
    table, share = find_issues(dynamics, dataset, repeats, spec["scores"], spec["settings"], folds > 0)
    metadata = {
        "data_hash": dataset.content_hash,
        "instances": len(dataset),
        "epochs": len(dynamics.p_true),
        "scores": list(spec["scores"]),
        "share": share,
        "share_range": None if share is None else share_range(dynamics.logits, dataset.labels),
        "further_trainings": {"number": folds, **{name: described.get(name, 0) for name in COSTS}},
    }
    write_parquet(outputs["scores"], table, metadata)
    write_csv(outputs["csv"], with_texts(listed(table, share), dataset, spec["text"]))


def issues_so_far(dynamics_file: Path, results: Path) -> tuple[pd.DataFrame, dict]:
    """The list of a reference run that is not at its end, by the scores that its kind of task takes, with its
    texts; and what the file says of the run, with the expected `share_range` of wrong labels.

    Raises ArtifactError where the training set has changed since.
    """
    about = read_parquet(dynamics_file, ["row"])[1]
    data_file = results.parent / about["train_file"]
    dataset = Dataset.load(data_file)
    if about["data_hash"] != dataset.content_hash:
        raise ArtifactError(
            f"{dynamics_file} was recorded before the training set changed",
            fix="start the training again, or delete the file",
        )
    dynamics = load_dynamics(dynamics_file, dataset)
    repeats = repeats_of(results / "checks" / f"{about['run']['task']}.repeats.parquet", data_file.stem)
    scores = kind_of(dataset.kind).issue_scores
    table, share = find_issues(dynamics, dataset, repeats, scores, {})
    names = [f"text {place + 1}" for place in range(len(dataset.texts))]
    expected = None if share is None else share_range(dynamics.logits, dataset.labels)
    return with_texts(listed(table, share), dataset, names), {**about, "share_range": expected}


def find_issues(
    dynamics: Dynamics,
    dataset: Dataset,
    repeats: dict[str, int],
    scores: Sequence[str],
    settings: dict,
    unseen: bool = False,
) -> tuple[pa.Table, float | None]:
    """By instance its given and suggested label, score, probability and reason, and whether a duplicate has
    another label (`contradicted`); and the share of labels that are expected to be wrong, where the kind of
    task gives probabilities of labels. `repeats` are the groups of instances with duplicates, by uid;
    `unseen` says that no model was trained on the instances that it speaks of.
    """
    suggestions = kind_of(dataset.kind).suggestions(dynamics.logits, dynamics.own, dataset)
    noise = None
    if suggestions.probabilities is not None:
        noise = estimate(dynamics.logits, dataset.labels)
    others = duplicates_with_other_labels(dataset.uids, repeats, suggestions.given)
    remarks = {row: f"{suggestions.remarks.get(row, '')}{others.get(row, '')}" for row in range(len(dataset))}
    columns = {
        "uid": text_column(dataset.uids),
        "given": pa.array(suggestions.given, pa.string()),
        "suggested": pa.array(suggestions.suggested, pa.string()),
        "score": to_arrow(suspicion(dynamics, scores, **settings)),
        "probability": to_arrow(noise.probability) if noise else pa.nulls(len(dataset), pa.float64()),
        "reason": pa.array(reasons(dynamics, suggestions, remarks, unseen), pa.string()),
        "contradicted": pa.array([row in others for row in range(len(dataset))]),
    }
    return pa.table(columns), noise.share if noise else None


def listed(table: pa.Table, share: float | None) -> pd.DataFrame:
    """The instances that look worse than the average one, and those whose duplicates have another label,
    worst first, ties in the order of the data.
    """
    found = table.to_pandas().sort_values("score", ascending=False, kind="stable")
    if share is None:
        worse = np.arange(len(found)) < round(LISTED_WITHOUT_PROBABILITIES * len(found))
    else:
        worse = found["probability"] > share
    return found[worse | found["contradicted"]].drop(columns="contradicted")


def with_texts(frame: pd.DataFrame, dataset: Dataset, names: Sequence[str]) -> pd.DataFrame:
    """The rows of `frame` with the texts of their instances, under their names in the source, after the uid.

    A name that is already that of a column gets an underscore.
    """
    rows = {uid: row for row, uid in enumerate(dataset.uids)}
    places = [rows[uid] for uid in frame["uid"]]
    found = frame.copy()
    for position, (name, column) in enumerate(zip(names, dataset.texts, strict=False), 1):
        texts = [column[row] if isinstance(column[row], str) else " ".join(column[row]) for row in places]
        found.insert(position, f"{name}_" if name in frame.columns else name, texts)
    return found


def reasons(
    dynamics: Dynamics, suggestions: Suggestions, remarks: dict[int, str], unseen: bool = False
) -> list[str]:
    """Why a label looks wrong, or what speaks for it, in some sentences [n].

    `remarks` are further sentences, by row; `unseen` as of `find_issues`.
    """
    epochs, right = len(dynamics.correct), dynamics.correct.sum(0)
    lost = (dynamics.correct[:-1] & ~dynamics.correct[1:]).any(0) & ~dynamics.correct[-1]
    confidence = dynamics.p_true.mean(0, dtype=np.float64)
    likeliest = suggestions.probabilities.max(1) if suggestions.probabilities is not None else None
    mean = "" if epochs == 1 else "mean "
    found = []
    for row in range(len(suggestions.given)):
        if unseen:
            says = "predicts" if right[row] else "does not predict"
            sentence = f"A model that was not trained on this row {says} the given label"
        elif not right[row]:
            sentence = f"The given label was never learnt in {epochs} epochs"
        elif lost[row]:
            sentence = "The given label was learnt and lost again"
        else:
            sentence = f"The given label was predicted in {right[row]} of {epochs} epochs"
        sentence += f"; its {mean}probability is {confidence[row]:.2f}"
        if likeliest is not None and suggestions.suggested[row]:
            sentence += f", that of the suggested one {likeliest[row]:.2f}"
        found.append(f"{sentence}.{remarks.get(row, '')}")
    return found


def repeats_of(path: Path, dataset: str) -> dict[str, int]:
    """The groups of the instances of a data set that have duplicates, by uid, as the check of the data left
    them.
    """
    table, _ = read_parquet(path)
    own = table.filter(pc.equal(table["dataset"], dataset))
    return dict(zip(own["uid"].to_pylist(), own["group"].to_pylist(), strict=True))


def duplicates_with_other_labels(
    uids: Sequence[str], repeats: dict[str, int], given: Sequence[str]
) -> dict[int, str]:
    """By row, a sentence about its duplicates and near duplicates that have other labels."""
    groups = defaultdict(list)
    for row, uid in enumerate(uids):
        if uid in repeats:
            groups[repeats[uid]].append(row)
    found = {}
    for rows in groups.values():
        counts = Counter(given[row] for row in rows)
        if len(counts) > 1:
            for row in rows:
                rest = [f"{name!r} ({count})" for name, count in counts.items() if name != given[row]]
                found[row] = (
                    f" The same text, or nearly the same, has the label {' and '.join(rest)} elsewhere."
                )
    return found


def write_task_issues(
    spec: dict, issue_files: Iterable[Path], data_file: Path, outputs: dict[str, Path]
) -> None:
    """Write the lists of all runs of a task as one (`csv`): by instance how many runs list it, and what they
    say; and `summary`, JSON: how many instances there are, how many are listed, and by run which share of
    labels is expected to be wrong (`share`, `share_range`) and what the list cost beside the reference run.

    `spec` holds the `runs` (model, seed; a file each) and `text`. Instances are ordered by the number of runs
    that list them, then by their mean score. Scores and probabilities are means over all runs; the suggested
    label is the one that most runs suggest, the reason that of the run that suspects the most.
    """
    dataset = Dataset.load(data_file)
    tables, described = zip(*map(read_parquet, issue_files), strict=True)
    shares = [metadata["share"] for metadata in described]
    merged = merge(tables, shares)
    write_csv(outputs["csv"], with_texts(merged, dataset, spec["text"]))
    runs = [
        {"model": model, "seed": seed, **{name: one[name] for name in SUMMARISED}}
        for (model, seed), one in zip(spec["runs"], described, strict=True)
    ]
    summary = {"instances": len(dataset), "listed": len(merged), "runs": runs}
    write_json(outputs["summary"], {**summary, "scores": described[0]["scores"]})


def merge(tables: Sequence[pa.Table], shares: Sequence[float | None]) -> pd.DataFrame:
    """The lists of several runs on the same instances as one, as `write_task_issues` describes it."""
    instances = len(tables[0])
    votes = np.zeros(instances, np.int64)
    for table, share in zip(tables, shares, strict=True):
        names = set(listed(table, share)["uid"])
        votes += np.array([uid in names for uid in table["uid"].to_pylist()])
    scores = np.stack([to_numpy(table["score"]) for table in tables])
    probabilities = [table["probability"].to_pandas().to_numpy() for table in tables]
    chosen = np.flatnonzero(votes)
    chosen = chosen[np.lexsort((-scores.mean(0)[chosen], -votes[chosen]))]
    suggested = [
        Counter(names).most_common(1)[0][0]
        for names in zip(*(t["suggested"].to_pylist() for t in tables), strict=True)
    ]
    worst = scores.argmax(0)
    texts = [table["reason"].to_pylist() for table in tables]
    first = tables[0]
    return pd.DataFrame(
        {
            "uid": first["uid"].take(to_arrow(chosen)).to_pylist(),
            "given": first["given"].take(to_arrow(chosen)).to_pylist(),
            "suggested": [suggested[row] for row in chosen],
            "agree": [f"{votes[row]} of {len(tables)}" for row in chosen],
            "score": scores.mean(0)[chosen],
            "probability": np.mean(probabilities, 0)[chosen],
            "reason": [texts[worst[row]][row] for row in chosen],
        }
    )
