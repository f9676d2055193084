"""Fine-tuning: one loop for reference, ERM and main runs (paper, Appendix A.1)."""

from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import nn

from ..errors import TrainingError
from ..execution.interruption import Interrupted, Termination
from ..execution.meter import Meter, peak_memory, total_energy, total_work
from ..execution.processes import ALONE, Team, make_accelerator
from ..execution.progress import Progress
from ..execution.scratch import Scratch
from ..execution.state import random_state, restore_random_state
from ..models.classifier import load_classifier, model_inputs, parameter_counts
from ..models.flops import Workload
from ..models.tokens import Tokens
from .batching import training_batches
from .checkpoints import Checkpoints
from .nonfinite import FiniteWatch
from .recording import LogitsRecorder
from .schedule import checkpoint_interval, planned_steps
from .step import TrainingStep


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


def train(
    spec: dict,
    encoder: str,
    data: TrainingData,
    seed: int,
    runtime: dict,
    progress: Progress,
    scratch: Scratch | None = None,
    team: Team = ALONE,
) -> TrainingResult:
    """Fine-tune the encoder in the folder `encoder` on the instances `data.rows`.

    `spec` is the run's slice of the configuration: `recipe`, `labels`, `early_stopping` (None for a
    run to the end). A stopped run keeps the schedule of the full length and returns the best
    checkpoint; any other returns the last weights. With a `scratch`, the run goes on from the furthest
    state there that fits and saves its own, the last one at SIGTERM. All processes of a `team` call this
    and get the same result: the batches are those of one process, shared out.
    Raises TrainingError where loss or logits are not finite or a required GPU is absent, and
    Interrupted at SIGTERM.
    """
    recipe, labels = spec["recipe"], spec["labels"]
    accelerator = make_accelerator(recipe["precision"], runtime, team, progress.tracking)
    device = accelerator.device
    set_seed(seed)
    model = load_classifier(encoder, labels, runtime["fast_models"])
    steps = planned_steps(recipe, len(data.labels))
    interval = checkpoint_interval(recipe, steps)
    if team.size > 1:
        set_seed(team.seed(seed))
    step = TrainingStep(model, recipe, steps, accelerator, team)
    checkpoints = Checkpoints(
        model,
        data.development,
        spec["early_stopping"],
        runtime["evaluation_batch_tokens"],
        accelerator.autocast,
        team,
    )
    recorder = LogitsRecorder(len(data.rows), len(labels))
    workload, meter = Workload(), Meter(device)
    common = {"step": step, "checkpoints": checkpoints, "dynamics": recorder}
    watch = FiniteWatch(step, device)

    for state in scratch.states() if scratch else ():
        if checkpoints.can_go_on_from(state["checkpoints"]):
            for name, part in common.items():
                part.restore(state[name])
            own = state["processes"][team.rank]
            workload.restore(own["workload"])
            meter.restore(own["meter"])
            restore_random_state(own["random"], device)
            watch.last_state = step.number
            break
    _require_one_start(team.collect(step.number))

    def save() -> None:
        watch.check()
        own = {"workload": workload.state(), "meter": meter.state(), "random": random_state(device)}
        processes = dict(enumerate(team.collect(own)))
        scratch.save(
            step.number, {**{name: part.state() for name, part in common.items()}, "processes": processes}
        )
        # Who is done first would end the others.
        team.wait()
        watch.last_state = step.number

    gold = torch.from_numpy(data.labels[data.rows]).to(device)
    lengths = data.tokens.lengths[data.rows]
    batches = training_batches(recipe["batch_plan"], lengths, recipe["batch_size"], seed, step.number)
    model.train()
    progress.start(steps, step.number, accelerator, {**recipe, "seed": seed}, step.learning_rate)
    with Termination() as termination:
        # Several processes that leave a checkpoint in the midst would wait for each other.
        at_once = termination.at_once if team.size == 1 else nullcontext
        try:
            while True:
                number = step.number
                if number > checkpoints.step and (number % interval == 0 or number == steps):
                    watch.check()
                    with meter.paused(), at_once():
                        shown = checkpoints.score(number)
                    progress.checkpoint(shown, checkpoints.latest)
                if number == steps or checkpoints.stopped:
                    break
                batch = next(batches)
                positions = torch.from_numpy(batch).to(device)
                own = batch[team.share(len(batch))]
                # A process without a share goes through the same motions, for the others wait for it.
                rows = own if len(own) else batch[:1]
                inputs = model_inputs(data.tokens, data.rows[rows], model.config, device)
                loss, logits = step(inputs, gold[positions])
                recorder.record(positions, logits)
                workload.add(lengths[own], inputs["input_ids"].shape[1])
                watch.see(loss, logits)
                meter.update()
                progress.step(loss)
                due, asked = team.any(bool(scratch and scratch.due()), termination.requested)
                if due:
                    save()
                if asked:
                    raise Interrupted
        except Interrupted:
            if scratch:
                save()
            raise
        stopped_early = checkpoints.stopped and step.number < steps
        (keeps_end,) = team.any(bool(scratch and scratch.keeps_end(stopped_early)))
        if keeps_end:
            save()
    meter.stop()
    progress.close()

    kept = checkpoints.keep()
    validation, floor = checkpoints.validation(kept)
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
        "floor": floor,
    }
    counts = parameter_counts(model)
    work = total_work(team.collect(workload.state()))
    joules, scope = total_energy(team.collect(meter.reading))
    cost = {
        "parameters": counts,
        "processes": team.size,
        "real_tokens": work.tokens,
        "padded_tokens": work.padded_tokens,
        # Kaplan et al. (2020): 6 floating-point operations per parameter and token.
        "estimated_flops": 6 * counts["without_embeddings"] * work.tokens,
        "training_seconds": meter.seconds,
        "evaluation_seconds": checkpoints.seconds,
        "energy_joules": joules,
        "energy_scope": scope,
        "peak_memory_mb": sum(team.collect(peak_memory(device))),
        **_machine(accelerator),
        # Last, for the count is no part of the run's peak memory.
        **work.flops(model.config),
    }
    team.leave()
    return TrainingResult(model, recorder.epochs, checkpoints.trajectory, outcome, cost)


def _require_one_start(numbers: list[int]) -> None:
    if len(set(numbers)) > 1:
        raise TrainingError(
            "the processes of this training found different states to go on from",
            got=f"the states of steps {', '.join(map(str, numbers))}, 0 for none",
            fix="let runtime.scratch be a folder that all machines see",
        )


def _machine(accelerator: Accelerator) -> dict:
    device = accelerator.device
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "precision": {"no": "float32", "bf16": "bfloat16"}[accelerator.mixed_precision],
        "threads": torch.get_num_threads(),
    }
