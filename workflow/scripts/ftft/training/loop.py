"""Fine-tuning: one loop for reference, ERM and main runs (paper, Appendix A.1)."""

import resource
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import nn

from ..errors import TrainingError
from ..models.classifier import load_classifier, model_inputs, parameter_counts, supports_bfloat16
from ..models.cpu import keep_freed_memory
from ..models.flops import Workload
from ..models.tokens import Tokens
from .batching import training_batches
from .checkpoints import Checkpoints
from .interruption import Interrupted, Termination
from .meter import Meter
from .progress import Progress
from .recording import DynamicsRecorder
from .schedule import checkpoint_interval, planned_steps
from .scratch import Scratch
from .state import random_state, restore_random_state
from .step import TrainingStep
from .watch import FiniteWatch


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
    if not use_gpu:
        keep_freed_memory()
    if precision == "auto":
        precision = "bfloat16" if supports_bfloat16(device) else "float32"
    return Accelerator(cpu=not use_gpu, mixed_precision="bf16" if precision == "bfloat16" else "no")


def train(
    spec: dict,
    encoder: str,
    data: TrainingData,
    seed: int,
    runtime: dict,
    progress: Progress,
    scratch: Scratch | None = None,
) -> TrainingResult:
    """Fine-tune the encoder in the folder `encoder` on the instances `data.rows`.

    `spec` is the run's slice of the configuration: `recipe`, `labels`, `early_stopping` (None for a
    run to the end). A stopped run keeps the schedule of the full length and returns the best
    checkpoint; any other returns the last weights. With a `scratch`, the run goes on from the furthest
    state there that fits and saves its own, the last one at SIGTERM.
    Raises TrainingError where loss or logits are not finite or a required GPU is absent, and
    Interrupted at SIGTERM.
    """
    recipe, labels = spec["recipe"], spec["labels"]
    accelerator = make_accelerator(recipe["precision"], runtime)
    device = accelerator.device
    set_seed(seed)
    model = load_classifier(encoder, labels, runtime["fast_models"])
    steps = planned_steps(recipe, len(data.labels))
    interval = checkpoint_interval(recipe, steps)
    step = TrainingStep(model, recipe, steps, accelerator)
    checkpoints = Checkpoints(
        model,
        data.development,
        spec["early_stopping"],
        runtime["evaluation_batch_tokens"],
        accelerator.autocast,
    )
    recorder = DynamicsRecorder(len(data.rows), len(labels))
    workload, meter = Workload(), Meter(device)
    parts = {
        "step": step,
        "checkpoints": checkpoints,
        "dynamics": recorder,
        "workload": workload,
        "meter": meter,
    }
    watch = FiniteWatch(step, device)

    for state in scratch.states() if scratch else ():
        if checkpoints.can_go_on_from(state["checkpoints"]):
            for name, part in parts.items():
                part.restore(state[name])
            restore_random_state(state["random"], device)
            watch.last_state = step.number
            break

    def save() -> None:
        watch.check()
        state = {name: part.state() for name, part in parts.items()}
        scratch.save(step.number, {**state, "random": random_state(device)})
        watch.last_state = step.number

    gold = torch.from_numpy(data.labels[data.rows]).to(device)
    lengths = data.tokens.lengths[data.rows]
    batches = training_batches(recipe["batch_plan"], lengths, recipe["batch_size"], seed, step.number)
    model.train()
    progress.start(steps, step.number)
    with Termination() as termination:
        try:
            while True:
                number = step.number
                if number > checkpoints.step and (number % interval == 0 or number == steps):
                    watch.check()
                    with meter.paused(), termination.at_once():
                        shown = checkpoints.score(number)
                    progress.checkpoint(shown, checkpoints.count)
                if number == steps or checkpoints.stopped:
                    break
                batch = next(batches)
                positions = torch.from_numpy(batch).to(device)
                inputs = model_inputs(data.tokens, data.rows[batch], model.config, device)
                loss, logits = step(inputs, gold[positions])
                recorder.record(positions, logits)
                workload.add(lengths[batch], inputs["input_ids"].shape[1])
                watch.see(loss, logits)
                meter.update()
                progress.step(loss)
                if scratch and scratch.due():
                    save()
                termination.check()
        except Interrupted:
            if scratch:
                save()
            raise
        stopped_early = checkpoints.stopped and step.number < steps
        if scratch and scratch.keeps_end(stopped_early):
            save()
    meter.stop()
    progress.close()

    kept = checkpoints.keep()
    validation, majority = checkpoints.validation(kept)
    planned = max(1, steps // interval)
    outcome = {
        "planned_steps": steps,
        "steps": step.number,
        "checkpoint_interval": interval,
        "planned_checkpoints": planned,
        # A checkpoint after the last whole interval counts as none (paper, Table 1: 12, not 13).
        "consumed_checkpoints": min(planned, checkpoints.count),
        "kept_checkpoint": kept,
        "stopped_early": stopped_early,
        "complete_epochs": len(recorder.epochs),
        "training_instances": len(data.rows),
        "validation": validation,
        "majority": majority,
    }
    counts = parameter_counts(model)
    cost = {
        "parameters": counts,
        "real_tokens": workload.tokens,
        "padded_tokens": workload.padded_tokens,
        # Kaplan et al. (2020): 6 floating-point operations per parameter and token.
        "estimated_flops": 6 * counts["without_embeddings"] * workload.tokens,
        "training_seconds": meter.seconds,
        "evaluation_seconds": checkpoints.seconds,
        "energy_joules": meter.joules,
        "energy_scope": meter.scope,
        **_machine(accelerator),
        # Last, for the count is no part of the run's peak memory.
        **workload.flops(model.config),
    }
    return TrainingResult(model, recorder.epochs, checkpoints.trajectory, outcome, cost)


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
