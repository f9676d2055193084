"""The workflow's own training as a variant: the functions that its jobs call, in the order of its loop."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from ftft.models.heads import load_classifier, model_inputs
from ftft.models.tokens import Tokens
from ftft.training.loop import make_accelerator
from ftft.training.nonfinite import FiniteWatch
from ftft.training.recording import LogitsRecorder
from ftft.training.step import TrainingStep

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


def fast_classifier() -> nn.Module:
    """The benchmark's encoder as the workflow loads it."""
    torch.manual_seed(0)
    return load_classifier(encoder_folder(), LABELS)


def accelerator(precision: str, device: str = "cpu"):
    """The workflow's accelerator; `device` is "auto" for a GPU."""
    return make_accelerator(precision, {"device": device, "require_gpu": False})


def training(
    model: nn.Module,
    tokens: Tokens,
    labels: np.ndarray,
    batches: Sequence[np.ndarray],
    precision: str,
    recipe: dict = RECIPE,
    device: str = "cpu",
) -> Work:
    """Steps over `batches`, their training dynamics recorded and their losses watched."""
    accelerate = accelerator(precision, device)
    step = TrainingStep(model.train(), recipe, PLANNED_STEPS, accelerate)
    recorder = LogitsRecorder(len(tokens), len(LABELS))
    watch = FiniteWatch(step, accelerate.device)
    gold = torch.from_numpy(labels).to(accelerate.device)

    def work() -> int:
        for batch in batches:
            positions = torch.from_numpy(batch).to(accelerate.device)
            inputs = model_inputs(tokens, batch, model.config, accelerate.device)
            loss, logits = step(inputs, gold[positions])
            recorder.record(positions, logits)
            watch.see(loss, logits)
        watch.check()
        return sum(map(len, batches))

    return work
