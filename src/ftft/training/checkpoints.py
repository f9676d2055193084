"""Checkpoints of a training run: development scores, the stop rule, the weights worth keeping."""

import time
from collections.abc import Callable, Sequence
from itertools import groupby
from operator import itemgetter

import numpy as np
import pyarrow as pa
import torch
from torch import nn

from ..data.dataset import target_column
from ..execution.processes import ALONE, ProcessGroup
from ..execution.sharding import is_sharded
from ..models.adapters import load_trained_state, trained_state
from ..models.flops import Workload
from ..models.tokens import Tokens
from ..tasks.base import Kind
from ..tasks.metrics import floors, scores
from ..tasks.prediction import predict_outputs, token_batches
from .feed import Development
from .stopping import EarlyStopping, monitored_score, read_early

PREDICTED = ("checkpoint", "dataset", "prediction")


class Checkpoints:
    """Scores `model` on the development sets whenever asked.

    `development` holds the sets by name, the in-distribution set first, `metrics` the names of those to
    record, the one to show first. `early_stopping` is None for a run to its end, which keeps its last
    weights; a stopped run keeps the best ones. `trajectory` holds one entry per checkpoint, data set and
    metric, `predictions` the tables of what was predicted, with a row per instance in data order: checkpoint,
    dataset, prediction; `seconds` is the time it took. Every process of a `group` predicts its share of each
    set and knows all scores.
    """

    def __init__(
        self,
        kind: Kind,
        model: nn.Module,
        development: dict[str, Development],
        metrics: Sequence[str],
        early_stopping: dict | None,
        batch_tokens: int,
        autocast: Callable,
        group: ProcessGroup = ALONE,
    ):
        self.trajectory: list[dict] = []
        self.predictions: list[pa.Table] = []
        self.seconds = 0.0
        self._kind, self._model, self._group = kind, model, group
        self._development, self._metrics = development, metrics
        self._batch_tokens, self._autocast = batch_tokens, autocast
        self._batches = {name: self._own_batches(part.tokens) for name, part in development.items()}
        self._rule = early_stopping
        self._stopping = EarlyStopping(early_stopping["patience"]) if early_stopping else None
        self._best: dict[str, torch.Tensor] = {}

    @property
    def count(self) -> int:
        """Checkpoints so far."""
        return self.trajectory[-1]["checkpoint"] if self.trajectory else 0

    @property
    def latest(self) -> list[dict]:
        """The last checkpoint's entries of the trajectory."""
        return [entry for entry in self.trajectory if entry["checkpoint"] == self.count]

    @property
    def step(self) -> int:
        """The step of the last checkpoint, 0 before the first."""
        return self.trajectory[-1]["step"] if self.trajectory else 0

    def score(self, step: int) -> float:
        """Take the next checkpoint after `step`; returns the score that is shown: the monitored one,
        or the mean of the first metric of a run to its end."""
        started = time.perf_counter()
        number = self.count + 1
        scored = [
            {"checkpoint": number, "step": step, "dataset": name, "metric": metric, "value": value}
            for name, part in self._development.items()
            for metric, value in self._score_set(number, name, part).items()
        ]
        self.trajectory += scored
        if self._stopping is None:
            shown = float(
                np.mean([entry["value"] for entry in scored if entry["metric"] == self._metrics[0]])
            )
        else:
            shown = monitored_score(scored, self._rule)
            if self._stopping.update(shown):
                self._best = {
                    name: tensor.detach().cpu().clone() for name, tensor in trained_state(self._model).items()
                }
        self.seconds += time.perf_counter() - started
        return shown

    @property
    def workload(self) -> Workload:
        """What the passes over the development sets at all checkpoints took, batched as by one process."""
        work = Workload()
        for part in self._development.values():
            for rows in token_batches(self._kind, part.tokens.total_lengths, self._batch_tokens):
                work.add_features(part.tokens, part.tokens.features_of(rows))
        return work.times(self.count)

    @property
    def stopped(self) -> bool:
        """Whether the stop rule ends the run here."""
        return self._stopping is not None and self._stopping.stopped

    def keep(self) -> int:
        """Give the model the weights that the run keeps; returns the number of their checkpoint."""
        if self._stopping is None:
            return self.count
        load_trained_state(self._model, self._best)
        return self._stopping.best_checkpoint

    def state(self) -> dict:
        """The scores so far and the best weights, if any are kept."""
        return {
            "trajectory": self.trajectory,
            "predictions": {str(place): _packed(table) for place, table in enumerate(self.predictions)},
            "seconds": self.seconds,
            "best_checkpoint": self._stopping.best_checkpoint if self._stopping else None,
            "best": self._best,
        }

    def can_go_on_from(self, state: dict) -> bool:
        """Whether this run, by its own stop rule, comes to `state` and finds its best weights there."""
        if self._rule is None:
            return True
        scores = self._monitored(state["trajectory"])
        reading = read_early(scores, self._rule["patience"])
        has_best = not scores or state["best_checkpoint"] == reading.best_checkpoint
        return reading.checkpoint == len(scores) and has_best

    def restore(self, state: dict) -> None:
        """Go on from a `state` that `can_go_on_from` accepts."""
        self.trajectory, self.seconds = state["trajectory"], state["seconds"]
        packed = state.get("predictions", {})
        self.predictions = [_unpacked(packed[place]) for place in sorted(packed, key=int)]
        if self._rule:
            self._stopping = read_early(self._monitored(self.trajectory), self._rule["patience"])
            self._best = state.get("best", {})

    def _monitored(self, trajectory: list[dict]) -> list[float]:
        """The monitored score of every checkpoint in a trajectory."""
        by_checkpoint = groupby(trajectory, key=itemgetter("checkpoint"))
        return [monitored_score(list(scored), self._rule) for _, scored in by_checkpoint]

    def validation(self, checkpoint: int) -> tuple[dict[str, float], dict[str, float]]:
        """Scores of a checkpoint on the in-distribution set, and those of the trivial answer there."""
        name, part = next(iter(self._development.items()))
        found = {
            entry["metric"]: entry["value"]
            for entry in self.trajectory
            if (entry["checkpoint"], entry["dataset"]) == (checkpoint, name)
        }
        return found, floors(self._metrics, part.dataset.labels, part.dataset.label_names)

    def _own_batches(self, tokens: Tokens) -> list[np.ndarray]:
        """The rows of each forward pass of this process over a set."""
        by_process = [
            [
                rows + share.start
                for rows in token_batches(self._kind, tokens.share(share).total_lengths, self._batch_tokens)
            ]
            for share in self._group.shares(len(tokens))
        ]
        own = by_process[self._group.rank]
        if is_sharded(self._model):
            # The processes gather a layer's weights together: all make as many passes.
            own += [np.arange(1)] * (max(map(len, by_process)) - len(own))
        return own

    def _score_set(self, checkpoint: int, name: str, part: Development) -> dict[str, float]:
        kind, dataset = self._kind, part.dataset
        width = kind.prediction_width(dataset)
        found = predict_outputs(
            kind, self._model, part.tokens, width, self._batch_tokens, self._autocast, self._batches[name]
        )
        own = torch.from_numpy(found[self._group.share(len(dataset))])
        outputs = self._group.gather(own, len(dataset)).numpy()
        predictions = kind.predictions(outputs, dataset)
        place = [pa.repeat(value, len(dataset)) for value in (checkpoint, name)]
        columns = dict(zip(PREDICTED, [*place, target_column(predictions)], strict=True))
        self.predictions.append(pa.table(columns))
        return scores(self._metrics, dataset.labels, predictions, dataset.label_names)


def _packed(table: pa.Table) -> np.ndarray:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return np.frombuffer(sink.getvalue(), np.uint8).copy()


def _unpacked(packed: torch.Tensor) -> pa.Table:
    return pa.ipc.open_stream(packed.numpy().tobytes()).read_all()
