"""One training run and its evaluation, from files to files."""

import hashlib
import logging
import platform
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..artifacts import (
    WEIGHTS,
    file_hash,
    read_folder,
    read_json,
    require_model_of,
    write_json,
    write_parquet,
)
from ..cartography.dynamics import save_dynamics, unfinished_dynamics
from ..cartography.folds import save_outputs, split
from ..cartography.supervision import Supervision
from ..data.columns import text_column
from ..data.dataset import Dataset, target_column
from ..errors import TrainingError
from ..execution.identity import resolve_execution
from ..execution.memory import evaluation_tokens
from ..execution.processes import ALONE, ProcessGroup, make_accelerator
from ..execution.progress import Progress
from ..execution.scratch import Scratch
from ..models.precision import lower_weights
from ..models.tokens import Tokens
from ..tasks.base import kind_of
from ..tasks.metrics import has_failed
from ..tasks.prediction import predict_outputs, told_tokens
from .feed import Development, TrainingData
from .held_out import outputs_of
from .loop import train
from .saved import load_model, save_model

ENCODER_FILES = ("config.json", WEIGHTS, "tokenizer.json")
TRAJECTORY = pa.schema(
    [
        ("checkpoint", pa.int64()),
        ("step", pa.int64()),
        ("dataset", pa.string()),
        ("metric", pa.string()),
        ("value", pa.float64()),
    ]
)
logger = logging.getLogger(__name__)
LIBRARIES = ("torch", "transformers", "accelerate", "tokenizers", "numpy", "pyarrow")


def fine_tune(
    spec: dict,
    code: str,
    run: dict,
    encoder: str | Path,
    train_file: str | Path,
    development_files: Mapping[str, str | Path],
    supervision_file: str | Path | None,
    reference_ledger: str | Path | None,
    failure_metric: str,
    outputs: Mapping[str, str | Path],
    runtime: dict,
    progress: Progress,
    group: ProcessGroup = ALONE,
    fold: str | None = None,
    gone_on_from: bool = False,
) -> None:
    """Train one run and write its ledger and, if `outputs` names them, its model, its trajectory, its
    dynamics, and its predictions of the development sets at every checkpoint.

    `run` says which run it is: task, model, supervision, budget, seed; `code` is the fingerprint of the
    code. A run of a `fold`, such as "1of5", learns from all rows but those of the fold, and leaves what the
    model gives for these (`held_out`). `gone_on_from` is that of `Scratch`. All processes of a `group` call
    this; process 0 writes. Raises TrainingError before the training where the reference run behind the
    supervision has failed, ArtifactError where the supervision was made on other data; see also `loop.train`.
    """
    if reference_ledger is not None:
        require_success(read_json(reference_ledger, defines=False), failure_metric)
    dataset = Dataset.load(train_file)
    kind = kind_of(dataset.kind)
    held_out = {name: Dataset.load(path) for name, path in development_files.items()}
    rows, left_out = split(dataset, fold) if fold else (range(len(dataset)), None)
    supervision = Supervision.load(supervision_file, dataset) if supervision_file else Supervision.of(rows)
    read_folder(Path(encoder) / "provenance.json")

    def tokens(name: str, part: Dataset) -> Tokens:
        return told_tokens(kind, part, name, encoder, spec["recipe"]["max_length"], runtime)

    data = TrainingData(
        kind,
        tokens("the training set", dataset),
        dataset,
        supervision,
        {name: Development(tokens(name, part), part) for name, part in held_out.items()},
    )
    libraries = (*LIBRARIES, "peft") if spec.get("adapter") else LIBRARIES
    versions = {"python": platform.python_version(), **{name: version(name) for name in libraries}}
    identity = {
        "code": code,
        "versions": versions,
        "recipe": spec["recipe"],
        "adapter": spec.get("adapter"),
        "metrics": spec["metrics"],
        "labels": dataset.label_names,
        "seed": run["seed"],
        "encoder": {name: file_hash(Path(encoder) / name) for name in ENCODER_FILES},
        "data": dataset.content_hash,
        "supervision": _hash_of(supervision),
        "development": {name: part.content_hash for name, part in held_out.items()},
    }
    execution = resolve_execution(spec["recipe"]["precision"], runtime, group.size)
    scratch = Scratch(identity, execution, run["budget"], runtime, group, gone_on_from)
    with scratch.held(progress):
        # Until the run ends, what it recorded so far is there to be looked at.
        so_far = unfinished_dynamics(runtime["scratch"], run)

        def leave(epochs: list[np.ndarray]) -> None:
            about = {"run": run, "train_file": str(train_file), "planned": spec["recipe"].get("epochs")}
            save_dynamics(so_far, kind, epochs, dataset, about)

        leaves = leave if "dynamics" in outputs and group.rank == 0 else None
        result = train(
            spec, str(encoder), data, run["seed"], runtime, progress, scratch, execution, group, leaves
        )
        if group.rank != 0:
            return
        if fold:
            unseen = replace(data, supervision=Supervision.of(left_out))
            autocast = make_accelerator(execution).autocast
            tokens = evaluation_tokens(runtime, execution.torch_device)
            given = outputs_of(result.model, unseen, tokens, autocast)
            save_outputs(outputs["held_out"], left_out, given, {"run": run})
        if "model" in outputs:
            kind.finish(result.model, dataset)
            save_model(result.model, run, spec.get("adapter"), Path(encoder), Path(outputs["model"]))
        if "trajectory" in outputs:
            trajectory = pa.Table.from_pylist(result.trajectory, TRAJECTORY)
            write_parquet(outputs["trajectory"], trajectory, {"run": run})
        write_json(
            outputs["ledger"],
            {
                "run": run,
                "outcome": {
                    **result.outcome,
                    "cut": data.tokens.cut._asdict(),
                    "development_cut": {
                        name: part.tokens.cut._asdict() for name, part in data.development.items()
                    },
                },
                "cost": result.cost,
                "execution": execution.ledger(),
                "spec": spec,
                "data_hash": dataset.content_hash,
                "versions": versions,
            },
        )
        if "development" in outputs:
            write_parquet(outputs["development"], pa.concat_tables(result.predictions), {"run": run})
        if "dynamics" in outputs:
            save_dynamics(outputs["dynamics"], kind, result.epochs, dataset, {"run": run})
            so_far.unlink(missing_ok=True)
        if not scratch.keeps_end(result.outcome["stopped_early"]):
            scratch.clear()


def require_success(ledger: dict, metric: str) -> None:
    """Raise TrainingError where the reference run of this ledger did no better than the trivial answer."""
    run, outcome = ledger["run"], ledger["outcome"]
    if has_failed(outcome, metric):
        raise TrainingError(
            f"the reference run of {run['model']}, seed {run['seed']}, has failed: its data map says nothing",
            got=f"{metric} {outcome['validation'][metric]:.4f} on the validation set",
            expected=f"above {outcome['floor'][metric]:.4f}, what the trivial answer scores there",
            fix="lower its learning rate, train it for longer, or choose another reference or seed",
        )


def _hash_of(supervision: Supervision) -> str:
    digest = hashlib.sha256(f"{supervision.objective} {supervision.settings}".encode())
    for values in (supervision.rows, supervision.weights, supervision.bias, supervision.target):
        digest.update(b"" if values is None else values.tobytes())
    return digest.hexdigest()


def evaluate(
    spec: dict,
    run: dict,
    dataset_name: str,
    model_folder: str | Path,
    dataset_file: str | Path,
    output: str | Path,
    runtime: dict,
    encoder: str | Path | None = None,
) -> None:
    """Predict an evaluation set with one run's model; an adapter needs the folder of its `encoder`.

    Columns: uid, label, prediction, and what else the kind keeps (logit_0, ...).
    """
    require_model_of(run, model_folder)
    dataset = Dataset.load(dataset_file)
    kind = kind_of(dataset.kind)
    execution = resolve_execution(spec["precision"], runtime)
    accelerator = make_accelerator(execution)
    own = execution.kernels == "own"
    model = load_model(kind, Path(model_folder), encoder and Path(encoder), dataset.label_names, own)
    if execution.low_weights:
        lower_weights(model)
    model.to(accelerator.device)
    tokens = told_tokens(kind, dataset, dataset_name, model_folder, spec["max_length"], runtime)
    batch_tokens = evaluation_tokens(runtime, accelerator.device)
    width = kind.prediction_width(dataset)
    outputs = predict_outputs(kind, model, tokens, width, batch_tokens, accelerator.autocast)
    predictions = kind.completed(
        kind.predictions(outputs, dataset),
        model,
        tokens,
        Path(model_folder),
        spec,
        batch_tokens,
        accelerator.autocast,
    )
    columns = {
        "uid": text_column(dataset.uids),
        "label": target_column(dataset.labels),
        "prediction": target_column(predictions),
        **kind.prediction_columns(outputs),
    }
    metadata = {"run": run, "dataset": dataset_name, "kind": kind.name, "labels": dataset.label_names}
    metadata["cut"] = tokens.cut._asdict()
    write_parquet(output, pa.table(columns), metadata)
