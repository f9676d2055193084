"""All that stands around the loop of a training: model, device, states, checkpoints, measures."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from accelerate.utils import set_seed
from torch import nn

from ..errors import TrainingError
from ..execution.identity import Execution
from ..execution.interruption import Interrupted, Termination
from ..execution.memory import FreedMemory, evaluation_tokens, trained_tokens
from ..execution.meter import Meter, peak_memory, total_energy, total_work
from ..execution.processes import ProcessGroup, make_accelerator
from ..execution.progress import Progress
from ..execution.scratch import Scratch
from ..execution.sharding import is_sharded, whole
from ..execution.state import random_state, restore_random_state
from ..models.adapters import adapt, load_trained_state, trained_state
from ..models.flops import Workload, count_flops
from ..models.heads import keep_layer_inputs_alone, parameter_counts
from ..models.precision import lower_weights
from .checkpoints import Checkpoints
from .feed import Feed, TrainingData
from .nonfinite import FiniteWatch
from .recording import EpochRecorder
from .schedule import checkpoint_interval, planned_steps
from .step import AtOnce, TrainingStep

# Is given what was recorded in all complete epochs, [n, width] each.
AfterEpoch = Callable[[list[np.ndarray]], None]


@dataclass(frozen=True)
class TrainingResult:
    """What a run leaves: the model it keeps, what it recorded ([n, width] per complete epoch), its
    scores and predictions of the development sets at every checkpoint (`Checkpoints`), how it ended and what
    it cost.

    FLOPs, training seconds and joules of `cost` leave out development scores (`evaluation_flops`,
    `evaluation_seconds`); what cannot be measured is None.
    """

    model: nn.Module
    epochs: list[np.ndarray]
    trajectory: list[dict]
    predictions: list[pa.Table]
    outcome: dict
    cost: dict


class Session:
    """A training of `loop.train` from its start, or its last state, to its result."""

    def __init__(
        self,
        spec: dict,
        encoder: str,
        data: TrainingData,
        seed: int,
        runtime: dict,
        progress: Progress,
        scratch: Scratch | None,
        execution: Execution,
        group: ProcessGroup,
        after_epoch: AfterEpoch | None = None,
    ):
        recipe = spec["recipe"]
        self._recipe, self._data, self._seed, self._execution = recipe, data, seed, execution
        self._progress, self._scratch, self._group = progress, scratch, group
        self._after_epoch = after_epoch
        self._accelerator = make_accelerator(execution, group, progress.tracking)
        self._device = self._accelerator.device
        set_seed(seed)
        self._adapter, self._encoder = spec.get("adapter"), encoder
        self._model = self._untrained()
        masters = lower_weights(self._model.to(self._device)) if execution.low_weights else {}
        if runtime.get("gradient_checkpointing"):
            keep_layer_inputs_alone(self._model)
        self._steps = planned_steps(recipe, len(data.dataset))
        self._interval = checkpoint_interval(recipe, self._steps)
        if group.size > 1:
            set_seed(group.seed(seed))
        at_once = AtOnce(runtime.get("micro_batch_size"), trained_tokens(runtime, self._device))
        # The step moves the model to its device, the feed its data.
        feed = Feed(data, self._model.config, self._device)
        sharded = execution.sharding == "fsdp2"
        self.step = TrainingStep(
            self._model, feed, recipe, self._steps, self._accelerator, group, at_once, sharded, masters
        )
        self.recorder = EpochRecorder(len(data.supervision.rows), feed.width)
        self._checkpoints = Checkpoints(
            data.kind,
            self._model,
            data.development,
            spec["metrics"],
            spec["early_stopping"],
            evaluation_tokens(runtime, self._device),
            self._accelerator.autocast,
            group,
        )
        self._workload, self._meter, self._memory = Workload(), Meter(self._device), FreedMemory()
        self._watch = FiniteWatch(self.step, self._device)
        self._saved = {"step": self.step, "checkpoints": self._checkpoints, "dynamics": self.recorder}

    def _untrained(self) -> nn.Module:
        kind, names = self._data.kind, self._data.dataset.label_names
        model = kind.load(self._encoder, names, self._execution.kernels == "own")
        return adapt(model, self._adapter) if self._adapter else model

    def resume(self) -> None:
        """Go on from the furthest saved state that this run, by its own stop rule, comes to."""
        for state in self._scratch.states() if self._scratch else ():
            if self._checkpoints.can_go_on_from(state["checkpoints"]):
                for name, part in self._saved.items():
                    part.restore(state[name])
                own = state["processes"][self._group.rank]
                self._workload.restore(own["workload"])
                self._meter.restore(own["meter"])
                restore_random_state(own["random"], self._device)
                self._watch.last_state = self.step.number
                break
        numbers = self._group.collect(self.step.number)
        if len(set(numbers)) > 1:
            raise TrainingError(
                "the processes of this training found different states to go on from",
                got=f"the states of steps {', '.join(map(str, numbers))}, 0 for none",
                fix="let runtime.scratch be a folder that all machines see",
            )

    @contextmanager
    def running(self) -> Iterator[None]:
        """The time of the loop: progress is shown, SIGTERM or Ctrl-C is a request, the end leaves a state
        where it is wanted.
        """
        self._model.train()
        settings = {**self._recipe, "seed": self._seed}
        self._progress.start(
            self._steps, self.step.number, self._accelerator, settings, self.step.learning_rate
        )
        with Termination() as self._termination:
            try:
                yield
            except Interrupted:
                if self._scratch:
                    self._save()
                raise
            if any(self._group.any(bool(self._scratch and self._scratch.keeps_end(self.stopped_early)))):
                self._save()
        self._meter.stop()
        self._progress.close()

    @property
    def checkpoint_due(self) -> bool:
        """Whether the step just made ends an interval between checkpoints, or the run."""
        number = self.step.number
        return number > self._checkpoints.step and (number % self._interval == 0 or number == self._steps)

    @property
    def ended(self) -> bool:
        """Whether the run is over."""
        return self.step.number == self._steps or self._checkpoints.stopped

    @property
    def stopped_early(self) -> bool:
        """Whether the stop rule ended the run."""
        return self._checkpoints.stopped and self.step.number < self._steps

    def score(self) -> None:
        """Take a checkpoint."""
        # If one of several processes left a checkpoint halfway, the others would wait for it for ever.
        at_once = self._termination.at_once if self._group.size == 1 else nullcontext
        self._watch.check()
        with self._meter.paused(), at_once():
            shown = self._checkpoints.score(self.step.number)
        self._progress.checkpoint(shown, self._checkpoints.latest)

    def after_step(self, positions: np.ndarray, loss: torch.Tensor, outputs: torch.Tensor) -> None:
        """Take account of a step on the instances at `positions`; save a state where one is due, end where
        asked.
        """
        own = self._data.supervision.rows[positions[self._group.share(len(positions))]]
        self._workload.add_features(self._data.tokens, self._data.tokens.features_of(own))
        self._watch.see(loss, outputs)
        self._meter.update()
        self._memory.give_back()
        self._progress.step(loss)
        if self._after_epoch and self.recorder.at_start:
            with self._meter.paused():
                self._after_epoch(self.recorder.epochs)
        due, asked = self._group.any(bool(self._scratch and self._scratch.due()), self._termination.requested)
        if due:
            self._save()
        if asked:
            raise Interrupted

    def _save(self) -> None:
        self._watch.check()
        own = {
            "workload": self._workload.state(),
            "meter": self._meter.state(),
            "random": random_state(self._device),
        }
        processes = dict(enumerate(self._group.collect(own)))
        parts = {name: part.state() for name, part in self._saved.items()}
        self._scratch.save(self.step.number, {**parts, "processes": processes})
        # Barrier: the first process to exit would tear down the group.
        self._group.wait()
        self._watch.last_state = self.step.number

    def result(self) -> TrainingResult:
        """The model that the run keeps, and everything that is known of the run."""
        kept = self._checkpoints.keep()
        validation, floor = self._checkpoints.validation(kept)
        planned = max(1, self._steps // self._interval)
        outcome = {
            "planned_steps": self._steps,
            "steps": self.step.number,
            "checkpoint_interval": self._interval,
            "planned_checkpoints": planned,
            # A checkpoint after the last whole interval counts as none (paper, Table 1: 12, not 13).
            "consumed_checkpoints": min(planned, self._checkpoints.count),
            "kept_checkpoint": kept,
            "stopped_early": self.stopped_early,
            "complete_epochs": len(self.recorder.epochs),
            "training_instances": len(self._data.supervision.rows),
            "validation": validation,
            "floor": floor,
        }
        cost = {
            "parameters": parameter_counts(self._model),
            "training_seconds": self._meter.seconds,
            "evaluation_seconds": self._checkpoints.seconds,
            "energy_joules": total_energy(self._group.collect(self._meter.reading)),
            "peak_memory_mb": sum(self._group.collect(peak_memory(self._device))),
            # Last, for the counts are no part of the run's peak memory.
            **self._flops(),
        }
        model = self._whole_model()
        self._group.leave()
        checkpoints = self._checkpoints
        recorded = self.recorder.epochs, checkpoints.trajectory, checkpoints.predictions
        return TrainingResult(model, *recorded, outcome, cost)

    def _flops(self) -> dict[str, int | None]:
        """What all processes computed in training, and on development sets."""
        trained, scored = total_work(self._group.collect(self._workload.state())), self._checkpoints.workload
        config = self._model.config
        head = self._data.kind.head_of(config.is_encoder_decoder)
        counts = count_flops(config, max(trained.longest, scored.longest), head, self._adapter)
        return {
            "flops": trained.flops(counts and counts.step),
            "evaluation_flops": scored.flops(counts and counts.forward),
        }

    def _whole_model(self) -> nn.Module:
        """The model with all its weights, in float32; where they are sharded, in process 0 alone, on the
        CPU.
        """
        if not is_sharded(self._model):
            return self._model.float()
        state = whole(trained_state(self._model), keep=self._group.rank == 0)
        if self._group.rank != 0:
            return self._model
        model = self._untrained()
        load_trained_state(model, state)
        return model
