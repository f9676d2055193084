"""One training run and its evaluation, from files to files."""

import hashlib
import json
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..artifacts import (
    MODEL_FILES,
    WEIGHTS,
    file_hash,
    file_hashes,
    read_folder,
    read_parquet,
    replacing_files,
    require_model_of,
    write_json,
    write_parquet,
)
from ..cartography.dynamics import save_dynamics
from ..data.dataset import Dataset
from ..errors import ArtifactError
from ..execution.processes import ALONE, Team, make_accelerator
from ..execution.progress import Progress
from ..execution.scratch import Scratch
from ..models.classifier import load_classifier, predict_logits
from ..models.tokens import Tokens, cached_tokens
from .loop import TrainingData, TrainingResult, train

CONFIG = "config.json"
ENCODER_FILES = (CONFIG, WEIGHTS, "tokenizer.json")
TRAJECTORY = pa.schema(
    [
        ("checkpoint", pa.int64()),
        ("step", pa.int64()),
        ("dataset", pa.string()),
        ("metric", pa.string()),
        ("value", pa.float64()),
    ]
)
LIBRARIES = ("torch", "transformers", "accelerate", "tokenizers", "numpy", "pyarrow")


def fine_tune(
    spec: dict,
    code: str,
    run: dict,
    encoder: str | Path,
    train_file: str | Path,
    development_files: Mapping[str, str | Path],
    selection_file: str | Path | None,
    outputs: Mapping[str, str | Path],
    runtime: dict,
    progress: Progress,
    team: Team = ALONE,
) -> None:
    """Train one run and write its model, trajectory, ledger and, if `outputs` names them, dynamics.

    `run` says which run it is: task, model, selection, budget, seed; `code` is the fingerprint of the code.
    All processes of a `team` call this; process 0 writes.
    Raises ArtifactError where the selection was made on other data; see also `training.train`.
    """
    dataset = Dataset.load(train_file)
    held_out = {name: Dataset.load(path) for name, path in development_files.items()}
    rows = _selected_rows(selection_file, dataset)
    read_folder(Path(encoder) / "provenance.json")

    def tokens(part: Dataset) -> Tokens:
        return cached_tokens(
            part, Path(encoder) / "tokenizer.json", spec["recipe"]["max_length"], _token_folder(runtime)
        )

    data = TrainingData(
        tokens(dataset),
        dataset.labels,
        rows,
        {name: (tokens(part), part.labels) for name, part in held_out.items()},
    )
    versions = {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}}
    identity = {
        "code": code,
        "versions": versions,
        "recipe": spec["recipe"],
        "labels": spec["labels"],
        "seed": run["seed"],
        "encoder": {name: file_hash(Path(encoder) / name) for name in ENCODER_FILES},
        "data": dataset.content_hash,
        "rows": hashlib.sha256(rows.tobytes()).hexdigest(),
        "development": {name: part.content_hash for name, part in held_out.items()},
    }
    if team.size > 1:
        identity["processes"] = team.size
    scratch = Scratch(identity, run["budget"], runtime, writes=team.rank == 0)
    with scratch.held(progress.announce):
        result = train(spec, str(encoder), data, run["seed"], runtime, progress, scratch, team)
        if team.rank != 0:
            return
        _save_model(result, run, Path(encoder), Path(outputs["model"]))
        write_parquet(
            outputs["trajectory"], pa.Table.from_pylist(result.trajectory, TRAJECTORY), {"run": run}
        )
        write_json(
            outputs["ledger"],
            {
                "run": run,
                "outcome": result.outcome,
                "cost": result.cost,
                "spec": spec,
                "data_hash": dataset.content_hash,
                "versions": versions,
            },
        )
        if "dynamics" in outputs:
            save_dynamics(outputs["dynamics"], result.epochs, dataset, {"run": run})
        if not scratch.keeps_end(result.outcome["stopped_early"]):
            scratch.clear()


def _token_folder(runtime: dict) -> Path:
    return Path(runtime["scratch"]) / "tokens"


def _selected_rows(selection_file: str | Path | None, dataset: Dataset) -> np.ndarray:
    if selection_file is None:
        return np.arange(len(dataset))
    table, metadata = read_parquet(selection_file)
    if metadata["data_hash"] != dataset.content_hash:
        raise ArtifactError(
            f"the selection {selection_file} was made on other data than this run trains on",
            fix=f"delete the file and let snakemake make it again: snakemake {selection_file}",
        )
    return table["row"].to_numpy().astype(np.int64)


def _save_model(result: TrainingResult, run: dict, encoder: Path, folder: Path) -> None:
    """Leave a folder that AutoModelForSequenceClassification and AutoTokenizer load.

    Its configuration says which run the files are of, and their hashes.
    """
    with replacing_files(folder) as temporary:
        result.model.save_pretrained(temporary, max_shard_size="100GB")
        for name in ("tokenizer.json", "tokenizer_config.json"):
            (temporary / name).write_bytes((encoder / name).read_bytes())
        config = json.loads((temporary / CONFIG).read_text(encoding="utf-8"))
        files = file_hashes(temporary, [name for name in MODEL_FILES if name != CONFIG])
        write_json(temporary / CONFIG, {**config, "ftft": {"run": run}}, files, place=folder / CONFIG)


def evaluate(
    spec: dict,
    run: dict,
    model_folder: str | Path,
    dataset_files: Mapping[str, str | Path],
    output: str | Path,
    runtime: dict,
) -> None:
    """Predict every evaluation set with one run's model; keep each example's logits.

    Columns: dataset, uid, label, prediction (class indices), logit_0, ...
    """
    require_model_of(run, model_folder)
    datasets = {name: Dataset.load(path) for name, path in dataset_files.items()}
    label_names = next(iter(datasets.values())).label_names
    accelerator = make_accelerator(spec["precision"], runtime)
    model = load_classifier(model_folder, label_names, runtime["fast_models"]).to(accelerator.device)
    parts = []
    for name, dataset in datasets.items():
        tokens = cached_tokens(
            dataset, Path(model_folder) / "tokenizer.json", spec["max_length"], _token_folder(runtime)
        )
        logits = predict_logits(model, tokens, runtime["evaluation_batch_tokens"], accelerator.autocast)
        parts.append(
            pa.table(
                {
                    "dataset": pa.array([name] * len(dataset)),
                    "uid": pa.array(dataset.uids),
                    "label": pa.array(dataset.labels, pa.int16()),
                    "prediction": pa.array(logits.argmax(-1), pa.int16()),
                    **{f"logit_{index}": pa.array(column) for index, column in enumerate(logits.T.copy())},
                }
            )
        )
    write_parquet(output, pa.concat_tables(parts), {"run": run, "labels": label_names})
