"""Peak memory of training and evaluation beside the Hugging Face Trainer, every variant in its own process.

`python -m benchmarks.memory VARIANT SHAPE ROWS WIDTH ...` is one of these processes.
"""

import json
import os
import sys
import time

import numpy as np
import torch
from torch import nn

from ftft.execution.memory import CPU_TOKENS
from ftft.models.fast import speed_up
from ftft.models.heads import keep_layer_inputs_alone
from ftft.models.tokens import Tokens

from . import ours, peers
from .corpora import ENCODER_NAME, LABELS, MADE, encoder_folder
from .harness import alternate, peak_mb
from .options import Options
from .report import Goal, Row, Table

# What is trained, the rows of a batch, and the widths of batches in the order in which they come.
SHAPES = {
    "minilm": (f"{ENCODER_NAME}, up to 300 tokens", 32, (300, 120, 240, 60)),
    "base": ("BERT base, 12 layers, hidden size 768, up to 512 tokens", 8, (512, 200, 400, 100)),
}
QUICK_ROWS = 8
TRAINER, EVALUATION_PEER = "HF Trainer, fp32", "HF Trainer's evaluation, fp32"
TRAINED = {
    "ours, fp32": {},
    "ours, fp32, micro-batches of a quarter": {"quarters": True},
    "ours, fp32, layers computed again": {"again": True},
    "ours, fp32, both": {"quarters": True, "again": True},
}
EVALUATION = "ours, evaluation, fp32"
# Of MiniLM on CAD (MiB); of the rest the peak of the Trainer.
MINILM_GOAL = 2048


def run(options: Options) -> list[Table]:
    """Peak memory of every variant, by shape."""
    shapes = ["minilm"] if options.quick else list(SHAPES)
    # Not in the processes that are measured: making it takes more than an evaluation does.
    os.environ[MADE] = str(encoder_folder())
    return [_table(shape, options) for shape in shapes]


def _table(shape: str, options: Options) -> Table:
    title, rows, widths = SHAPES[shape]
    rows, widths = (QUICK_ROWS, widths[:2]) if options.quick else (rows, widths)
    names = [TRAINER, *TRAINED, EVALUATION_PEER, EVALUATION]
    arguments = [shape, str(options.threads), str(rows), *map(str, widths)]
    commands = {name: [sys.executable, "-m", "benchmarks.memory", name, *arguments] for name in names}
    # A peak hardly varies.
    runs = alternate(commands, 1, warm_up=False)
    peaks = {name: peak_mb(runs[name]) for name in names}
    table = []
    for name in names:
        peer = EVALUATION_PEER if name == EVALUATION else TRAINER
        least = peaks[peer].median
        if shape == "minilm" and "both" in name:
            least = min(least, MINILM_GOAL)
        goal = None if name in (TRAINER, EVALUATION_PEER) or options.quick else Goal(round(least), True)
        table.append(Row(name, value=peaks[name], unit="MiB", goal=goal))
    seconds = {name: np.median([run.cpu for run in runs[name]]) for name in names}
    notes = [
        f"Batches of {rows} rows of {', '.join(map(str, widths))} tokens, in this order; random token ids.",
        "The peak is that of the whole process, with Python and its libraries (about 600 MiB).",
        f"The Trainer evaluates {rows} rows at once, ours at most {CPU_TOKENS:,} padded tokens, fewer of"
        " long rows.",
        f"CPU seconds of the work: {'; '.join(f'{name}: {taken:.1f}' for name, taken in seconds.items())}.",
    ]
    return Table(title, table, notes)


def _model(shape: str, own: bool) -> nn.Module:
    if shape == "minilm":
        return ours.fast_classifier() if own else peers.stock_classifier()
    from transformers import AutoModelForSequenceClassification, BertConfig

    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(BertConfig(num_labels=len(LABELS)))
    return speed_up(model) if own else model


def _data(rows: int, widths: list[int]) -> tuple[Tokens, np.ndarray, list[np.ndarray]]:
    """Rows of random ids, their labels, and a batch of `rows` of them for every width."""
    generator = np.random.default_rng(0)
    lengths = np.repeat(widths, rows)
    offsets = np.concatenate([[0], lengths.cumsum()])
    ids = generator.integers(1000, 30_000, offsets[-1]).astype(np.int32)
    ids[offsets[:-1]] = 101
    tokens = Tokens(ids, np.zeros(offsets[-1], np.uint8), offsets)
    labels = generator.integers(0, len(LABELS), len(lengths))
    return tokens, labels, np.split(np.arange(len(lengths)), len(widths))


def one(name: str, shape: str, rows: int, widths: list[int]) -> None:
    """Do the work of one variant and print how long it took."""
    tokens, labels, batches = _data(rows, widths)
    model = _model(shape, own=name in TRAINED or name == EVALUATION)
    if name in TRAINED:
        if TRAINED[name].get("again"):
            keep_layer_inputs_alone(model)
        micro = rows // 4 if TRAINED[name].get("quarters") else None
        data = ours.classified(tokens, labels)
        work = ours.training(model, data, batches, "float32", micro_batch_size=micro)
    elif name == TRAINER:
        recipe = {**ours.RECIPE, "batch_size": rows}
        work = peers.trainer(tokens, labels, batches, recipe, None, model)
    elif name == EVALUATION:
        accelerate = ours.accelerator("float32")

        def work() -> None:
            ours.predictions(model, tokens, CPU_TOKENS, accelerate.autocast)

    else:
        work = peers.trainer_predictions(tokens, labels, rows, model)
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    print(json.dumps({"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}))


if __name__ == "__main__":
    variant, shape, threads, rows, *widths = sys.argv[1:]
    torch.set_num_threads(int(threads))
    one(variant, shape, int(rows), list(map(int, widths)))
