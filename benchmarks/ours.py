"""The workflow's own training as a variant: the functions that its jobs call, in the order of its loop."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from ftft.cartography.supervision import Supervision
from ftft.data.dataset import Dataset
from ftft.execution.identity import resolve_execution
from ftft.execution.memory import FreedMemory, trained_tokens
from ftft.execution.processes import make_accelerator
from ftft.models.tokens import Tokens
from ftft.tasks.base import kind_of
from ftft.tasks.prediction import predict_outputs
from ftft.training.feed import Feed, TrainingData
from ftft.training.nonfinite import FiniteWatch
from ftft.training.recording import EpochRecorder
from ftft.training.step import AtOnce, TrainingStep

from .corpora import LABELS, encoder_folder
from .harness import Work

# The paper's recipe for fine-tuning (Appendix A.1).
RECIPE = {
    "learning_rate": 2.0e-5,
    "batch_size": 32,
    "warmup_fraction": 0.1,
    "weight_decay": 0.0,
    "adam_epsilon": 1.0e-6,
    "max_grad_norm": 1.0,
}
PLANNED_STEPS = 49_088
KIND = kind_of("classification")


def fast_classifier() -> nn.Module:
    """The benchmark's encoder as the workflow loads it."""
    torch.manual_seed(0)
    return KIND.load(encoder_folder(), LABELS, own_kernels=True)


def accelerator(precision: str, device: str = "cpu"):
    """The workflow's accelerator; `device` is "auto" for a GPU."""
    runtime = {"device": device, "require_gpu": False, "fast_models": True}
    return make_accelerator(resolve_execution(precision, runtime))


def classified(tokens: Tokens, labels: np.ndarray) -> TrainingData:
    """All of these rows, to be learnt with weight 1."""
    rows = Dataset(list(map(str, range(len(tokens)))), (), labels, LABELS)
    return TrainingData(KIND, tokens, rows, Supervision.of(np.arange(len(tokens))))


def training(
    model: nn.Module,
    data: TrainingData,
    batches: Sequence[np.ndarray],
    precision: str,
    recipe: dict = RECIPE,
    device: str = "cpu",
    micro_batch_size: int | None = None,
) -> Work:
    """Steps over `batches`, their training dynamics recorded and their losses watched."""
    accelerate = accelerator(precision, device)
    feed = Feed(data, model.config, accelerate.device)
    runtime = {"micro_batch_size": micro_batch_size}
    at_once = AtOnce(micro_batch_size, trained_tokens(runtime, accelerate.device))
    step = TrainingStep(model.train(), feed, recipe, PLANNED_STEPS, accelerate, at_once=at_once)
    recorder = EpochRecorder(len(data.dataset), data.kind.width(data.dataset))
    watch, memory = FiniteWatch(step, accelerate.device), FreedMemory()

    def work() -> int:
        for batch in batches:
            loss, outputs = step(batch)
            recorder.record(batch, outputs)
            watch.see(loss, outputs)
            memory.give_back()
        watch.check()
        return sum(map(len, batches))

    return work


def predictions(model: nn.Module, tokens: Tokens, batch_tokens: int, autocast) -> np.ndarray:
    """Logits [n, classes] of an evaluation pass as the workflow makes it."""
    return predict_outputs(KIND, model, tokens, len(LABELS), batch_tokens, autocast)
