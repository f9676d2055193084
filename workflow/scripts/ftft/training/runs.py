"""One training run and its evaluation, from files to files."""

import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..artifacts import read_parquet, write_json, write_parquet
from ..cartography.dynamics import save_dynamics
from ..data.dataset import Dataset
from ..errors import ArtifactError
from ..models.classifier import load_classifier, predict_logits
from ..models.tokens import tokenize
from .loop import TrainingData, TrainingResult, make_accelerator, train
from .progress import Progress

LIBRARIES = ("torch", "transformers", "accelerate", "tokenizers", "numpy", "pyarrow")


def fine_tune(
    spec: dict,
    run: dict,
    encoder: str | Path,
    train_file: str | Path,
    development_files: Mapping[str, str | Path],
    selection_file: str | Path | None,
    outputs: Mapping[str, str | Path],
    runtime: dict,
    progress: Progress,
) -> None:
    """Train one run and write its model, trajectory, ledger and, if `outputs` names them, dynamics.

    `run` says which run it is: task, model, selection, budget, seed.
    Raises ArtifactError where the selection was made on other data; see also `training.train`.
    """
    dataset = Dataset.load(train_file)
    tokenizer_file = Path(encoder) / "tokenizer.json"
    max_length = spec["recipe"]["max_length"]
    development = {}
    for name, path in development_files.items():
        held_out = Dataset.load(path)
        development[name] = (tokenize(held_out, tokenizer_file, max_length), held_out.labels)
    data = TrainingData(
        tokenize(dataset, tokenizer_file, max_length),
        dataset.labels,
        _selected_rows(selection_file, dataset),
        development,
    )
    result = train(spec, str(encoder), data, run["seed"], runtime, progress)

    _save_model(result, Path(encoder), Path(outputs["model"]))
    write_parquet(outputs["trajectory"], pa.Table.from_pylist(result.trajectory), {"run": run})
    write_json(
        outputs["ledger"],
        {
            "run": run,
            "outcome": result.outcome,
            "cost": result.cost,
            "spec": spec,
            "data_hash": dataset.content_hash,
            "versions": {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}},
        },
    )
    if "dynamics" in outputs:
        save_dynamics(outputs["dynamics"], result.epochs, dataset, {"run": run})


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


def _save_model(result: TrainingResult, encoder: Path, folder: Path) -> None:
    """Leave a folder that AutoModelForSequenceClassification and AutoTokenizer load."""
    result.model.save_pretrained(folder, max_shard_size="100GB")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((encoder / name).read_bytes())


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
    datasets = {name: Dataset.load(path) for name, path in dataset_files.items()}
    label_names = next(iter(datasets.values())).label_names
    accelerator = make_accelerator("float32", runtime)
    model = load_classifier(model_folder, label_names).to(accelerator.device)
    parts = []
    for name, dataset in datasets.items():
        tokens = tokenize(dataset, Path(model_folder) / "tokenizer.json", spec["max_length"])
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
