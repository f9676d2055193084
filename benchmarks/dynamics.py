"""What recording training dynamics costs: the recorder's calls beside the steps that they follow."""

import numpy as np
import torch

from ftft.models.precision import supports_bfloat16
from ftft.models.tokens import Tokens
from ftft.training.batching import PLANS, random_plan
from ftft.training.recording import EpochRecorder

from . import ours
from .corpora import ENCODER_NAME, LABELS, Corpus, corpus
from .evaluation import BATCH_TOKENS
from .harness import Work, interleave, percent
from .options import Options
from .peers import with_own_accelerate
from .report import Goal, Row, Table
from .sampling import representative

# As many as MNLI has, so that the copy at an epoch's end is spread over as many steps.
INSTANCES = 392_702
STEPS, RECORDER, PASS = "steps", "recorder", "evaluation pass"


def run(options: Options) -> list[Table]:
    """The share of a step that its record takes, and that an evaluation pass at every epoch would take."""
    torch.set_num_threads(options.threads)
    rows = corpus("MNLI", options.data, 640 if options.quick else None)
    plan = PLANS["length_grouped"](rows.tokens.lengths, ours.RECIPE["batch_size"], 0, 0)
    batches = representative(plan, rows.tokens.lengths, 1 if options.quick else 8)
    precision = "bfloat16" if supports_bfloat16(torch.device("cpu")) else "float32"
    instances = 20_000 if options.quick else INSTANCES
    variants = {
        STEPS: with_own_accelerate(lambda: _steps(rows, batches, precision)),
        PASS: with_own_accelerate(lambda: _evaluation_pass(rows, batches, precision)),
        RECORDER: _recorder(instances),
    }
    runs = interleave(variants, options.repeats(5))
    table = [
        Row(
            "recorder, from the training pass",
            value=percent(runs, RECORDER, STEPS),
            unit="% of a step",
            goal=Goal(0.5, True),
        ),
        Row(
            "alternative: an evaluation pass at every epoch",
            value=percent(runs, PASS, STEPS),
            unit="% of a step",
        ),
    ]
    notes = [
        f"{ENCODER_NAME}; length_grouped batches of 32 in {precision}, the cheapest steps here. {rows.about}",
        f"CPU seconds of one epoch of records of {instances:,} instances, its copy included, per step.",
    ]
    return [Table("Share of a training step", table, notes)]


def _steps(rows: Corpus, batches: list[np.ndarray], precision: str) -> Work:
    data = ours.classified(rows.tokens, rows.labels)
    train = ours.training(ours.fast_classifier(), data, batches, precision)
    return lambda: train() / ours.RECIPE["batch_size"]


def _evaluation_pass(rows: Corpus, batches: list[np.ndarray], precision: str) -> Work:
    accelerator, model = ours.accelerator(precision), ours.fast_classifier()
    tokens = _taken(rows.tokens, np.concatenate(batches))

    def work() -> int:
        ours.predictions(model, tokens, BATCH_TOKENS, accelerator.autocast)
        return len(batches)

    return work


def _taken(tokens: Tokens, rows: np.ndarray) -> Tokens:
    spans = [slice(tokens.offsets[row], tokens.offsets[row + 1]) for row in rows]
    ids, types = (np.concatenate([array[span] for span in spans]) for array in (tokens.ids, tokens.types))
    return Tokens(ids, types, np.concatenate([[0], np.cumsum(tokens.lengths[rows])]))


def _recorder(instances: int) -> Work:
    positions = random_plan(np.zeros(instances), ours.RECIPE["batch_size"], 0, 0)
    logits = torch.randn(ours.RECIPE["batch_size"], len(LABELS))

    def work() -> int:
        recorder = EpochRecorder(instances, len(LABELS))
        for batch in positions:
            recorder.record(batch, logits[: len(batch)])
        return len(positions)

    return work
