"""Fine-tuning: one loop for reference, ERM and main runs (paper, Appendix A.1)."""

import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn
from torch.nn.functional import cross_entropy

from .batching import steps_per_epoch, training_batches
from .classifier import load_classifier, model_inputs, parameter_counts, predict_logits, supports_bfloat16
from .dynamics import DynamicsRecorder
from .errors import TrainingError
from .metrics import majority_score, score
from .progress import Progress
from .stopping import EarlyStopping
from .tokens import Tokens


@dataclass(frozen=True)
class TrainingData:
    """What a run reads: the training instances, and the development sets by name."""

    tokens: Tokens
    labels: np.ndarray
    rows: np.ndarray
    development: dict[str, tuple[Tokens, np.ndarray]]


@dataclass
class TrainingResult:
    """What a run leaves: the model it keeps, its dynamics, its scores at every checkpoint, its cost."""

    model: nn.Module
    epochs: list[np.ndarray]
    trajectory: list[dict] = field(default_factory=list)
    cost: dict = field(default_factory=dict)
    outcome: dict = field(default_factory=dict)


def planned_steps(recipe: dict, instances: int) -> int:
    """Steps of a run to its end: as configured, else epochs over all `instances` of the task.

    A run on a selection takes as many steps as one on all data (paper, section 3).
    """
    if "steps" in recipe:
        return recipe["steps"]
    return max(1, round(recipe["epochs"] * steps_per_epoch(instances, recipe["batch_size"])))


def checkpoint_interval(recipe: dict, steps: int) -> int:
    """Steps between checkpoints: as configured, else the run's length over their number."""
    return recipe.get("checkpoint_every") or max(1, -(-steps // recipe["checkpoints"]))


def learning_rate_factor(step: int, steps: int, warmup_fraction: float) -> float:
    """Linear warm-up over the first share of the planned steps, then linear decay to 0."""
    warmup = round(warmup_fraction * steps)
    if step < warmup:
        return step / warmup
    return max(0.0, (steps - step) / max(1, steps - warmup))


def make_accelerator(precision: str, runtime: dict) -> Accelerator:
    """The device and its precision: a visible GPU unless `runtime` says cpu.

    bfloat16 comes from autocast where the device has it; weights stay float32.
    Raises TrainingError where a GPU is required and none is visible.
    """
    use_gpu = runtime["device"] == "auto" and torch.cuda.is_available()
    if runtime["require_gpu"] and not use_gpu:
        raise TrainingError(
            "this run needs a GPU and finds none",
            got=f"runtime.device: {runtime['device']}, {torch.cuda.device_count()} CUDA device(s) visible",
            fix="run it where a GPU is visible, or set runtime.require_gpu: false",
        )
    device = torch.device("cuda" if use_gpu else "cpu")
    if precision == "auto":
        precision = "bfloat16" if supports_bfloat16(device) else "float32"
    return Accelerator(cpu=not use_gpu, mixed_precision="bf16" if precision == "bfloat16" else "no")


def train(
    spec: dict, encoder: str, data: TrainingData, seed: int, runtime: dict, progress: Progress
) -> TrainingResult:
    """Fine-tune the encoder in the folder `encoder` on the instances `data.rows`.

    `spec` is the run's slice of the configuration: `recipe`, `labels`, `development` (names, the
    in-distribution set first), `early_stopping` (None for a run to the end). A stopped run keeps the
    schedule of the full length and returns the best checkpoint; any other returns the last weights.
    Raises TrainingError where the loss is not finite or a required GPU is absent.
    """
    recipe, labels = spec["recipe"], spec["labels"]
    accelerator = make_accelerator(recipe["precision"], runtime)
    torch.manual_seed(seed)
    model = load_classifier(encoder, labels)
    counts = parameter_counts(model)
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=recipe["learning_rate"],
        eps=recipe["adam_epsilon"],
        weight_decay=recipe["weight_decay"],
        fused=True,
    )
    model, optimizer = accelerator.prepare(model, optimizer)
    plain = accelerator.unwrap_model(model)
    device = accelerator.device

    steps = planned_steps(recipe, len(data.labels))
    interval = checkpoint_interval(recipe, steps)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: learning_rate_factor(step, steps, recipe["warmup_fraction"])
    )
    stopping = EarlyStopping(spec["early_stopping"]["patience"]) if spec["early_stopping"] else None
    recorder = DynamicsRecorder(len(data.rows), len(labels))
    labels_on_device = torch.from_numpy(data.labels).to(device)
    result = TrainingResult(plain, recorder.epochs)
    best_state: dict[str, torch.Tensor] = {}
    lengths = data.tokens.lengths[data.rows]
    real_tokens = padded_tokens = 0
    progress.start(steps)
    started, evaluating = time.perf_counter(), 0.0

    model.train()
    batches = training_batches(recipe["batch_plan"], lengths, recipe["batch_size"], seed)
    for step, (_, positions) in zip(range(1, steps + 1), batches, strict=False):
        rows = data.rows[positions]
        inputs = model_inputs(data.tokens, rows, plain.config, device)
        with accelerator.autocast():
            logits = model(**inputs).logits.float()
        loss = cross_entropy(logits, labels_on_device[torch.from_numpy(rows).to(device)])
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(model.parameters(), recipe["max_grad_norm"])
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        recorder.record(torch.from_numpy(positions).to(device), logits)
        real_tokens += int(lengths[positions].sum())
        padded_tokens += inputs["input_ids"].numel()
        progress.step(step, loss)

        if step % interval == 0 or step == steps:
            _require_finite(loss, step, schedule.get_last_lr()[0])
            pause = time.perf_counter()
            checkpoint = -(-step // interval)
            scored = list(_score_checkpoint(plain, data, runtime["evaluation_batch_tokens"], accelerator))
            result.trajectory += [{"checkpoint": checkpoint, "step": step, **entry} for entry in scored]
            evaluating += time.perf_counter() - pause
            if stopping:
                monitored = monitored_score(scored, spec["early_stopping"])
                progress.checkpoint(checkpoint, monitored)
                if stopping.update(monitored):
                    best_state = _copy_state(plain)
                if stopping.stopped:
                    break
            else:
                progress.checkpoint(checkpoint, _development_mean(scored))

    progress.close()
    if stopping:
        plain.load_state_dict(best_state)
    kept = stopping.best_checkpoint if stopping else result.trajectory[-1]["checkpoint"]
    planned = max(1, steps // interval)
    consumed = min(planned, stopping.checkpoint if stopping else planned)
    result.outcome = {
        "planned_steps": steps,
        "steps": step,
        "checkpoint_interval": interval,
        "planned_checkpoints": planned,
        "consumed_checkpoints": consumed,
        "kept_checkpoint": kept,
        "stopped_early": bool(stopping and stopping.stopped and step < steps),
        "complete_epochs": len(recorder.epochs),
        "training_instances": len(data.rows),
        "validation": _validation(result.trajectory, kept, spec["development"][0]),
        "majority": majority_score(data.development[spec["development"][0]][1], len(labels)),
    }
    result.cost = {
        "parameters": counts,
        "real_tokens": real_tokens,
        "padded_tokens": padded_tokens,
        # Kaplan et al. (2020): 6 floating-point operations per parameter and token.
        "estimated_flops": 6 * counts["without_embeddings"] * real_tokens,
        "training_seconds": time.perf_counter() - started - evaluating,
        "evaluation_seconds": evaluating,
        "peak_memory_mb": _peak_memory_mb(device),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "precision": accelerator.mixed_precision if accelerator.mixed_precision != "no" else "float32",
        "threads": torch.get_num_threads(),
    }
    return result


def monitored_score(scored: list[dict], early_stopping: dict) -> float:
    """The mean of the monitored metric over the monitored development sets."""
    values = [
        entry["value"]
        for entry in scored
        if entry["metric"] == early_stopping["metric"] and entry["dataset"] in early_stopping["monitored"]
    ]
    return float(np.mean(values))


def _score_checkpoint(
    model: nn.Module, data: TrainingData, batch_tokens: int, accelerator: Accelerator
) -> Iterator[dict]:
    for dataset, (tokens, labels) in data.development.items():
        logits = predict_logits(model, tokens, batch_tokens, accelerator.autocast)
        for metric, value in score(labels, logits.argmax(-1), logits.shape[1]).items():
            yield {"dataset": dataset, "metric": metric, "value": value}


def _development_mean(scored: list[dict]) -> float:
    return float(np.mean([entry["value"] for entry in scored if entry["metric"] == "accuracy"]))


def _validation(trajectory: list[dict], checkpoint: int, dataset: str) -> dict[str, float]:
    return {
        entry["metric"]: entry["value"]
        for entry in trajectory
        if entry["checkpoint"] == checkpoint and entry["dataset"] == dataset
    }


def _copy_state(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}


def _require_finite(loss: torch.Tensor, step: int, learning_rate: float) -> None:
    if not torch.isfinite(loss):
        raise TrainingError(
            "training diverged",
            got=f"loss {loss.item()} at step {step}, learning rate {learning_rate:g}",
            expected="a finite loss",
            fix="lower the learning rate, or set training.precision: float32",
        )


def _peak_memory_mb(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
