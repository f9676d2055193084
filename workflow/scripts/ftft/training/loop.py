"""Fine-tuning: one loop for reference, ERM and main runs (paper, Appendix A.1)."""

import resource
import time
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn
from torch.nn.functional import cross_entropy

from ..cartography.dynamics import DynamicsRecorder
from ..errors import TrainingError
from ..models.classifier import load_classifier, model_inputs, parameter_counts, supports_bfloat16
from ..models.flops import Workload
from ..models.tokens import Tokens
from .batching import training_batches
from .checkpoints import Checkpoints
from .energy import EnergyMeter
from .progress import Progress
from .schedule import checkpoint_interval, learning_rate_factor, planned_steps


@dataclass(frozen=True)
class TrainingData:
    """What a run reads: the instances `rows` of the training set, and the development sets by name.

    `labels` [n] belong to all of the training set; development holds (tokens, labels), the
    in-distribution set first.
    """

    tokens: Tokens
    labels: np.ndarray
    rows: np.ndarray
    development: dict[str, tuple[Tokens, np.ndarray]]


@dataclass(frozen=True)
class TrainingResult:
    """What a run leaves: the model it keeps, its dynamics ([n, classes] logits per complete epoch),
    its scores at every checkpoint, how it ended and what it cost.

    Tokens, FLOPs, training seconds and joules of `cost` leave out development scores (`evaluation_seconds`);
    what cannot be measured is None.
    """

    model: nn.Module
    epochs: list[np.ndarray]
    trajectory: list[dict]
    outcome: dict
    cost: dict


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

    `spec` is the run's slice of the configuration: `recipe`, `labels`, `early_stopping` (None for a
    run to the end). A stopped run keeps the schedule of the full length and returns the best
    checkpoint; any other returns the last weights.
    Raises TrainingError where the loss is not finite or a required GPU is absent.
    """
    recipe, labels = spec["recipe"], spec["labels"]
    accelerator = make_accelerator(recipe["precision"], runtime)
    device = accelerator.device
    torch.manual_seed(seed)
    plain = load_classifier(encoder, labels)
    optimizer = torch.optim.AdamW(
        plain.parameters(),
        lr=recipe["learning_rate"],
        eps=recipe["adam_epsilon"],
        weight_decay=recipe["weight_decay"],
        fused=True,
    )
    model, optimizer = accelerator.prepare(plain, optimizer)
    steps = planned_steps(recipe, len(data.labels))
    interval = checkpoint_interval(recipe, steps)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: learning_rate_factor(step, steps, recipe["warmup_fraction"])
    )
    checkpoints = Checkpoints(
        plain,
        data.development,
        spec["early_stopping"],
        runtime["evaluation_batch_tokens"],
        accelerator.autocast,
    )
    recorder = DynamicsRecorder(len(data.rows), len(labels))
    gold = torch.from_numpy(data.labels[data.rows]).to(device)
    lengths = data.tokens.lengths[data.rows]
    workload = Workload()

    energy = EnergyMeter(device)
    started = time.perf_counter()
    progress.start(steps)
    model.train()
    batches = training_batches(recipe["batch_plan"], lengths, recipe["batch_size"], seed)
    for step, (_, batch) in zip(range(1, steps + 1), batches, strict=False):
        positions = torch.from_numpy(batch).to(device)
        inputs = model_inputs(data.tokens, data.rows[batch], plain.config, device)
        with accelerator.autocast():
            logits = model(**inputs).logits.float()
        loss = cross_entropy(logits, gold[positions])
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(model.parameters(), recipe["max_grad_norm"])
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        recorder.record(positions, logits)
        workload.add(lengths[batch], inputs["input_ids"].shape[1])
        energy.update()
        progress.step(step, loss)
        if step % interval == 0 or step == steps:
            _require_finite(loss, step, schedule.get_last_lr()[0])
            with energy.paused():
                shown = checkpoints.score(step)
            progress.checkpoint(shown, checkpoints.count)
            if checkpoints.stopped:
                break
    progress.close()

    energy.stop()
    seconds = time.perf_counter() - started - checkpoints.seconds
    kept = checkpoints.keep()
    validation, majority = checkpoints.validation(kept)
    planned = max(1, steps // interval)
    outcome = {
        "planned_steps": steps,
        "steps": step,
        "checkpoint_interval": interval,
        "planned_checkpoints": planned,
        # A checkpoint after the last whole interval counts as none (paper, Table 1: 12, not 13).
        "consumed_checkpoints": min(planned, checkpoints.count),
        "kept_checkpoint": kept,
        "stopped_early": checkpoints.stopped and step < steps,
        "complete_epochs": len(recorder.epochs),
        "training_instances": len(data.rows),
        "validation": validation,
        "majority": majority,
    }
    counts = parameter_counts(plain)
    cost = {
        "parameters": counts,
        "real_tokens": workload.tokens,
        "padded_tokens": workload.padded_tokens,
        # Kaplan et al. (2020): 6 floating-point operations per parameter and token.
        "estimated_flops": 6 * counts["without_embeddings"] * workload.tokens,
        "training_seconds": seconds,
        "evaluation_seconds": checkpoints.seconds,
        "energy_joules": energy.joules,
        "energy_scope": energy.scope,
        **_machine(accelerator),
        # Last, for the count is no part of the run's peak memory.
        **workload.flops(plain.config),
    }
    return TrainingResult(plain, recorder.epochs, checkpoints.trajectory, outcome, cost)


def _require_finite(loss: torch.Tensor, step: int, learning_rate: float) -> None:
    if not torch.isfinite(loss):
        raise TrainingError(
            "training diverged",
            got=f"loss {loss.item()} at step {step}, learning rate {learning_rate:g}",
            expected="a finite loss",
            fix="lower the learning rate, or set training.precision: float32",
        )


def _machine(accelerator: Accelerator) -> dict:
    device = accelerator.device
    on_gpu = device.type == "cuda"
    if on_gpu:
        peak = torch.cuda.max_memory_allocated(device) / 2**20
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    return {
        "peak_memory_mb": peak,
        "device": torch.cuda.get_device_name(device) if on_gpu else "cpu",
        "precision": {"no": "float32", "bf16": "bfloat16"}[accelerator.mixed_precision],
        "threads": torch.get_num_threads(),
    }
