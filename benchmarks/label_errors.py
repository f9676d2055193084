"""Finding wrong labels: the scores of one reference run beside cleanlab's, on the same model and recipe.

`python -m benchmarks.label_errors [setting ...]` plants wrong labels as the setting says, or takes those that
people corrected, trains once on all rows and once without each fifth, and writes a row per method to
docs/results/label_errors.csv. A setting is saved as soon as it is done; `--keep FOLDER` also saves what the
models gave, from which `--from FOLDER` computes the table again without training. `--without-folds` trains
once on all rows alone, a fifth of the work.
"""

import argparse
import json
import os
import pickle
import shlex
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

# Before the numerical libraries load: a thread that waits by spinning would count as CPU time.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import cleanlab
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import torch
from cleanlab.count import num_label_issues
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from cleanlab.token_classification.rank import get_label_quality_scores as sentence_quality_scores
from scipy.special import softmax
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold

from ftft.artifacts import write_text
from ftft.cartography.dynamics import load_dynamics, save_dynamics
from ftft.cartography.issues import estimate, suspicion
from ftft.cartography.scores import SCORES, given_by
from ftft.cartography.supervision import Supervision
from ftft.data.dataset import Dataset, object_array
from ftft.execution.progress import Progress
from ftft.tasks.base import kind_of
from ftft.tasks.prediction import encode
from ftft.training.feed import Development, TrainingData
from ftft.training.loop import train

from . import ours
from .corpora import ENCODER_NAME, LABELS, encoder_folder

ROOT = Path(__file__).parents[1]
FOLDS = 5
RUNTIME = {"device": "cpu", "require_gpu": False, "evaluation_batch_tokens": 4096, "fast_models": True}
RECIPE = {
    **ours.RECIPE,
    "epochs": 3.0,
    "learning_rate": 5.0e-5,
    "max_length": 128,
    "precision": "float32",
    "batch_plan": "random",
    "checkpoints": 1,
}
# The scores whose mean rank is tried beside each alone.
AVERAGED = ("confidence", "aum", "el2n")
MNLI, CAD, CONLL = "MultiNLI", "CAD", "CoNLL-2003"


@dataclass(frozen=True)
class Case:
    """A data set with wrong labels, and which [n] they are."""

    dataset: Dataset
    wrong: np.ndarray


def read(name: str, data: Path, rows: int) -> tuple[Dataset, np.ndarray]:
    """`rows` random rows of a corpus, and the region [rows] that each is from: of MultiNLI its genre, of CAD
    the quarter of the lengths.
    """
    file = {MNLI: "nli/mnli_train", CAD: "hsd/cad_train"}[name]
    table = pq.read_table(data / f"{file}.parquet")
    chosen = np.sort(np.random.default_rng(0).permutation(len(table))[:rows])
    table = table.take(chosen)
    texts = ("premise", "hypothesis") if name == MNLI else ("text",)
    labels = LABELS if name == MNLI else ["not_hateful", "hateful"]
    targets = np.array([labels.index(label) for label in table["label"].to_pylist()])
    columns = tuple(table[column].to_pylist() for column in texts)
    if name == MNLI:
        region = table["genre"].to_numpy()
    else:
        region = np.argsort(np.argsort([len(text) for text in columns[0]], kind="stable")) * 4 // rows
    return Dataset(table["uid"].to_pylist(), columns, targets, labels), region


def uniform(labels: np.ndarray, classes: int, rows: np.ndarray) -> np.ndarray:
    """The labels with those of `rows` exchanged for any other class."""
    found = labels.copy()
    found[rows] = (labels[rows] + np.random.default_rng(2).integers(1, classes, len(rows))) % classes
    return found


def neighbour(labels: np.ndarray, classes: int, rows: np.ndarray) -> np.ndarray:
    """The labels with those of `rows` exchanged for the class that annotators take them for most often:
    neutral, of the two others; for neutral, entailment.
    """
    found = labels.copy()
    found[rows] = np.where(labels[rows] == LABELS.index("neutral"), 0, LABELS.index("neutral"))
    return found


def planted(name: str, share: float, change: Callable, one_region: bool = False) -> Callable:
    """Reads a corpus and plants wrong labels in a share of its rows, all in its largest region if asked."""

    def make(data: Path, rows: int) -> Case:
        dataset, region = read(name, data, rows)
        values, counts = np.unique(region, return_counts=True)
        candidates = np.flatnonzero(region == values[counts.argmax()]) if one_region else np.arange(rows)
        chosen = np.random.default_rng(1).permutation(candidates)[: round(share * rows)]
        wrong = np.zeros(rows, bool)
        wrong[chosen] = True
        labels = change(dataset.labels, len(dataset.label_names), np.flatnonzero(wrong))
        return Case(replace(dataset, labels=labels), wrong)

    return make


def corrected(data: Path, rows: int) -> Case:
    """Sentences of CoNLL-2003, and which of them people corrected: all of these, and random others."""
    table = pq.read_table(data / "ner/conll03_train.parquet")
    uids = table["uid"].to_pylist()
    known = json.loads((data / "ner/conll03_train_corrected.json").read_text(encoding="utf-8"))
    wrong = np.array([uid in known for uid in uids])
    others = np.random.default_rng(0).permutation(np.flatnonzero(~wrong))[: max(0, rows - wrong.sum())]
    chosen = np.sort(np.concatenate([np.flatnonzero(wrong), others]))
    words, tags = (table[column].take(chosen).to_pylist() for column in ("tokens", "tags"))
    names = kind_of("token_classification").label_names({"labels": ["PER", "LOC", "ORG", "MISC"]})
    targets = object_array([np.array([names.index(tag) for tag in row]) for row in tags])
    dataset = Dataset([uids[row] for row in chosen], (words,), targets, names, kind="token_classification")
    return Case(dataset, wrong[chosen])


SETTINGS = {
    f"{CONLL}, real errors": (corrected, 1500),
    f"{MNLI}, uniform 10 %": (planted(MNLI, 0.10, uniform), 2000),
    f"{CAD}, uniform 10 %": (planted(CAD, 0.10, uniform), 1500),
    f"{MNLI}, to the neighbouring class 10 %": (planted(MNLI, 0.10, neighbour), 1000),
    f"{CAD}, one quarter of the lengths 10 %": (planted(CAD, 0.10, uniform, one_region=True), 1000),
    f"{MNLI}, one genre 10 %": (planted(MNLI, 0.10, uniform, one_region=True), 1000),
    f"{MNLI}, uniform 20 %": (planted(MNLI, 0.20, uniform), 1000),
    f"{CAD}, uniform 20 %": (planted(CAD, 0.20, uniform), 1000),
    f"{MNLI}, uniform 5 %": (planted(MNLI, 0.05, uniform), 1000),
    f"{CAD}, uniform 5 %": (planted(CAD, 0.05, uniform), 1000),
}


@dataclass(frozen=True)
class Outputs:
    """What the models of one setting gave for its rows, and the CPU seconds that it took.

    epochs: what one run on all rows recorded, [n, width] each; inside, outside: probabilities of all classes
    by that run at its end, and by the runs that lacked the row, [classes] or [words, classes] for each row;
    outside is empty where there were none.
    """

    epochs: list[np.ndarray]
    inside: list[np.ndarray]
    outside: list[np.ndarray]
    seconds: float
    folds_seconds: float


class Trainer:
    """Trains the benchmark's encoder on rows of a data set, and counts the CPU seconds."""

    def __init__(self, dataset: Dataset, scratch: Path):
        self.dataset, self.kind = dataset, kind_of(dataset.kind)
        self.tokens = encode(self.kind, dataset, encoder_folder(), RECIPE["max_length"], scratch)

    def train(self, rows: np.ndarray):
        """The result of a training on `rows`, and its CPU seconds."""
        dataset = taken(self.dataset, rows)
        few = taken(dataset, np.arange(8))
        with tempfile.TemporaryDirectory() as scratch:
            tokens, scored = (
                encode(self.kind, part, encoder_folder(), RECIPE["max_length"], scratch)
                for part in (dataset, few)
            )
        everything = Supervision.of(np.arange(len(dataset)))
        # A training scores something; nothing here reads it.
        data = TrainingData(self.kind, tokens, dataset, everything, {"few": Development(scored, few)})
        spec = {"recipe": RECIPE, "metrics": list(self.kind.metrics), "early_stopping": None}
        begun = time.process_time()
        result = train(spec, str(encoder_folder()), data, 0, RUNTIME, Progress("", []))
        return result, time.process_time() - begun

    @torch.inference_mode()
    def probabilities(self, model, rows: np.ndarray) -> list[np.ndarray]:
        """Probabilities of all classes: [classes] of each row, or [words, classes] of a sentence that is
        tagged, O being certain for words that were cut off.
        """
        width, model = self.kind.prediction_width(self.dataset), model.eval()
        found = []
        for row in rows:
            batch = self.kind.collate(self.tokens, np.array([row]), model.config, torch.device("cpu"), width)
            own = softmax(self.kind.outputs(model, batch).numpy()[0].astype(np.float64), -1)
            if batch.aligned:
                words = batch.aligned["word"].numpy()[0]
                by_word = np.zeros((len(self.dataset.labels[row]), own.shape[-1]))
                by_word[:, 0] = 1.0
                by_word[words[words >= 0]] = own[words >= 0]
                own = by_word
            found.append(own)
        return found


def taken(dataset: Dataset, rows: np.ndarray) -> Dataset:
    """These rows of a data set."""
    texts = tuple([column[row] for row in rows] for column in dataset.texts)
    uids = [dataset.uids[row] for row in rows]
    return replace(dataset, uids=uids, texts=texts, labels=dataset.labels[rows])


def trained(dataset: Dataset, folds: bool) -> Outputs:
    """One run on all rows, and one without each fold, where these are wanted."""
    with tempfile.TemporaryDirectory() as scratch:
        trainer, everything = Trainer(dataset, Path(scratch)), np.arange(len(dataset))
        result, seconds = trainer.train(everything)
        inside = trainer.probabilities(result.model, everything)
        outside, folds_seconds = out_of_sample(trainer) if folds else ([], 0.0)
    return Outputs(result.epochs, inside, outside, seconds, folds_seconds)


def run(title: str, asked: argparse.Namespace) -> pd.DataFrame:
    """A row per method for one setting; models are trained unless their outputs were `kept`."""
    make, default = SETTINGS[title]
    keep, kept = asked.keep, asked.kept
    case = make(asked.data, asked.rows or default)
    torch.set_num_threads(1)
    name = f"{title}.pickle"
    outputs = pickle.loads((kept / name).read_bytes()) if kept else trained(case.dataset, asked.folds)
    if keep:
        keep.mkdir(parents=True, exist_ok=True)
        (keep / name).write_bytes(pickle.dumps(outputs))
    return compared(case, outputs).assign(setting=title)


def compared(case: Case, outputs: Outputs) -> pd.DataFrame:
    """A row per method. What is scored after an epoch has cost the epochs until then."""
    dataset, count = case.dataset, len(outputs.epochs)
    rows = []

    def add(method: str, scores: np.ndarray, seconds: float, share: float | None = None) -> None:
        figures = measured(case.wrong, scores)
        rows.append({"method": method, **figures, "cpu_seconds": seconds, "estimated_share": share})

    for epoch in range(1, count + 1):
        after = "" if epoch == count else f" after epoch {epoch}"
        scores, share = own_scores(dataset, outputs.epochs[:epoch])
        for name, values in scores.items():
            add(f"ours, {name}{after}", values, outputs.seconds * epoch / count, share)
    for name, values, share in peers(dataset, outputs.inside):
        add(f"cleanlab in sample, {name}", values, outputs.seconds, share)
    for name, values, share in peers(dataset, outputs.outside) if outputs.outside else ():
        add(f"cleanlab on {FOLDS} folds, {name}", values, outputs.folds_seconds, share)
    add("random", np.random.default_rng(3).random(len(case.wrong)), 0.0)
    frame = pd.DataFrame(rows)
    frame.insert(0, "setting", "")
    return frame.assign(
        compute=frame["cpu_seconds"] / outputs.seconds, rows=len(case.wrong), wrong=int(case.wrong.sum())
    )


def own_scores(dataset: Dataset, epochs: list[np.ndarray]) -> tuple[dict[str, np.ndarray], float | None]:
    """Suspicion [n] by each registered score of one run's dynamics, and by the mean rank of several; and the
    share of labels that is estimated to be wrong.
    """
    kind, share = kind_of(dataset.kind), None
    pools = {"": {}} if dataset.kind == "classification" else {"": {}, " (worst word)": {"pool": "min"}}
    found = {}
    for pool, settings in pools.items():
        pooled = replace(dataset, provenance={"settings": settings})
        with tempfile.TemporaryDirectory() as folder:
            save_dynamics(f"{folder}/dynamics.parquet", kind, epochs, pooled, {})
            dynamics = load_dynamics(f"{folder}/dynamics.parquet", pooled)
        names = [
            name for name in given_by(dynamics) if SCORES[name].wrong and SCORES[name].epochs <= len(epochs)
        ]
        found |= {name + pool: suspicion(dynamics, [name]) for name in names}
        averaged = [name for name in AVERAGED if name in names]
        if len(averaged) > 1:
            found["mean rank of " + ", ".join(averaged)] = suspicion(dynamics, averaged)
        if dynamics.logits is not None:
            share = estimate(dynamics.logits, dataset.labels).share
    return found, share


def out_of_sample(trainer: Trainer) -> tuple[list[np.ndarray], float]:
    """Probabilities of every row by a model that was not trained on it, and the CPU seconds of all folds."""
    dataset = trainer.dataset
    strata = dataset.labels if dataset.labels.dtype != object else np.zeros(len(dataset), np.int64)
    found: list = [None] * len(dataset)
    total = 0.0
    for inside, outside in StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(strata, strata):
        result, seconds = trainer.train(inside)
        total += seconds
        for row, own in zip(outside, trainer.probabilities(result.model, outside), strict=True):
            found[row] = own
    return found, total


def peers(dataset: Dataset, probabilities: list[np.ndarray]) -> list[tuple[str, np.ndarray, float | None]]:
    """cleanlab's scores by name, as suspicion [n], and its choice of rows, all chosen ones being alike; each
    with the share of labels that it takes for wrong.
    """
    if dataset.kind == "token_classification":
        labels = [row.tolist() for row in dataset.labels]
        return [
            (
                name,
                -np.asarray(sentence_quality_scores(labels, probabilities, token_score_method=name)[0]),
                None,
            )
            for name in ("self_confidence", "normalized_margin")
        ]
    table, labels = np.stack(probabilities), dataset.labels
    share = num_label_issues(labels, table) / len(labels)
    names = ("self_confidence", "normalized_margin", "confidence_weighted_entropy")
    found = [(name, -get_label_quality_scores(labels, table, method=name), share) for name in names]
    return [*found, ("find_label_issues", find_label_issues(labels, table).astype(float), share)]


def measured(wrong: np.ndarray, scores: np.ndarray) -> dict:
    """How well suspicion [n] tells the wrong labels [n]: the area under the ROC curve, average precision, and
    precision among as many as are wrong, ties by chance.
    """
    order = np.lexsort((np.random.default_rng(4).random(len(wrong)), -scores))
    return {
        "roc_auc": roc_auc_score(wrong, scores),
        "average_precision": average_precision_score(wrong, scores),
        "precision": wrong[order[: wrong.sum()]].mean(),
    }


def main() -> None:
    """Run the settings asked for, and save each as soon as it is done."""
    parser = argparse.ArgumentParser("python -m benchmarks.label_errors", description=__doc__)
    parser.add_argument("settings", nargs="*", metavar="setting", help="; ".join(SETTINGS).replace("%", "%%"))
    parser.add_argument("--rows", type=int, help="rows of each setting")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--keep", type=Path, help="folder for what the models gave")
    parser.add_argument("--from", type=Path, dest="kept", help="such a folder, in place of training")
    parser.add_argument(
        "--without-folds", dest="folds", action="store_false", help="no predictions out of sample"
    )
    parser.add_argument("--write", type=Path, default=ROOT / "docs/results/label_errors.csv")
    asked = parser.parse_args()
    if unknown := sorted(set(asked.settings) - set(SETTINGS)):
        parser.error(f"unknown setting(s) {shlex.join(unknown)}: choose from {shlex.join(SETTINGS)}")
    print(f"{ENCODER_NAME}; cleanlab {cleanlab.__version__}; {RECIPE}")
    for title in asked.settings or SETTINGS:
        frame = run(title, asked)
        if asked.write.exists():
            before = pd.read_csv(asked.write)
            frame = pd.concat([before[before["setting"] != title], frame])
        write_text(asked.write, frame.to_csv(index=False, float_format="%.4f"))
        print(frame[frame["setting"] == title].to_string(), flush=True)


if __name__ == "__main__":
    main()
