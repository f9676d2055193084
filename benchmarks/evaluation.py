"""Evaluation: batches by token budget, longest first, beside a loop over the data set in its own order."""

from functools import partial

import numpy as np
import torch
from torch.utils.data import DataLoader
from transformers import DataCollatorWithPadding

from ftft.execution.memory import CPU_TOKENS
from ftft.models.precision import supports_bfloat16
from ftft.models.tokens import Tokens

from . import ours
from .corpora import ENCODER_NAME, Corpus, corpus
from .harness import Spread, Work, interleave, rate
from .options import Options
from .peers import NAMES, hf_dataset, stock_classifier, tokenizer
from .report import Row, Table, compared

BATCH_SIZE = 64
ROWS = {"MNLI": 1024, "ANLI": 512}
BATCH_TOKENS = CPU_TOKENS
PEER = f"HF loop: dataset order, batches of {BATCH_SIZE} padded to the longest, fp32"
OURS = {"bfloat16": "ours, bf16", "float32": "ours, fp32"}


def run(options: Options) -> list[Table]:
    """Rows per CPU second of evaluation, on the lengths of two corpora."""
    torch.set_num_threads(options.threads)
    return [
        _table(corpus(name, options.data, 128 if options.quick else ROWS[name]), options) for name in ROWS
    ]


def _table(rows: Corpus, options: Options) -> Table:
    kept: dict[str, np.ndarray] = {}
    variants: dict[str, Work] = {PEER: _peer(rows, kept)}
    for precision, name in OURS.items():
        if precision == "float32" or supports_bfloat16(torch.device("cpu")):
            variants[name] = _ours(rows.tokens, precision, name, kept)
    runs = interleave(variants, options.repeats(3))
    table = [Row(PEER, value=rate(runs[PEER]), unit="rows per CPU second")]
    for name in variants:
        if name == PEER:
            continue
        goal = 10 if name == OURS["bfloat16"] and rows.name == "MNLI" else None
        table.append(compared(runs, name, PEER, goal, unit="rows"))
        gap = float(np.abs(kept[name] - kept[PEER]).max())
        table.append(
            Row(f"{name}: largest difference of a logit", value=Spread(gap, gap, gap), unit="logits")
        )
    notes = [f"{ENCODER_NAME}; batches of at most {BATCH_TOKENS:,} padded tokens. {rows.about}"]
    return Table(rows.title, table, notes)


def _peer(rows: Corpus, kept: dict[str, np.ndarray]) -> Work:
    model = stock_classifier().eval()
    data = hf_dataset(rows.tokens, rows.labels, np.arange(len(rows.tokens)))
    collate = DataCollatorWithPadding(tokenizer())

    @torch.inference_mode()
    def work() -> int:
        loader = DataLoader(data, BATCH_SIZE, collate_fn=collate)
        logits = [model(**{name: batch[name] for name in NAMES}).logits for batch in loader]
        kept[PEER] = torch.cat(logits).numpy()
        return len(data)

    return work


def _ours(tokens: Tokens, precision: str, name: str, kept: dict[str, np.ndarray]) -> Work:
    model = ours.fast_classifier()
    autocast = partial(torch.autocast, "cpu", torch.bfloat16, enabled=precision == "bfloat16")

    def work() -> int:
        kept[name] = ours.predictions(model, tokens, BATCH_TOKENS, autocast)
        return len(tokens)

    return work
