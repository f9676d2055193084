"""Batches from token ids: slices of flat arrays beside Hugging Face's data sets and collators."""

from collections.abc import Callable

import numpy as np
import torch
from torch.utils.data import DataLoader
from transformers import AutoConfig, DataCollatorWithPadding, default_data_collator

from ftft.models.heads import model_inputs
from ftft.training.batching import PLANS

from .corpora import Corpus, corpus, encoder_folder
from .harness import Work, interleave, rate
from .options import Options
from .ours import RECIPE
from .peers import hf_dataset, tokenizer
from .report import Row, Table, compared

WIDTH = 128
PEER = "HF dataset, DataCollatorWithPadding"
FIXED = f"HF dataset padded to {WIDTH}, default_data_collator"
PASSES = 10


def run(options: Options) -> list[Table]:
    """Rows per CPU second of one shuffled pass, batches of 32, without a model."""
    torch.set_num_threads(1)
    rows = corpus("MNLI", options.data, 256 if options.quick else None)
    everything = np.arange(len(rows.tokens))
    variants = {
        PEER: _hf(
            hf_dataset(rows.tokens, rows.labels, everything),
            DataCollatorWithPadding(tokenizer()),
            len(everything),
        ),
        FIXED: _hf(
            hf_dataset(rows.tokens, rows.labels, everything, WIDTH), default_data_collator, len(everything)
        ),
        **{f"ours, {plan} batches": _ours(rows, plan) for plan in PLANS},
    }
    runs = interleave(variants, options.repeats(5))
    torch.set_num_threads(options.threads)
    table = [Row(name, value=rate(runs[name]), unit="rows per CPU second") for name in (PEER, FIXED)]
    for plan in PLANS:
        name = f"ours, {plan} batches"
        table.append(compared(runs, name, PEER, goal=100, unit="rows"))
        table.append(compared(runs, name, FIXED, unit="rows"))
    return [Table("One shuffled pass, batches of 32", table, [rows.about])]


def _hf(data, collate: Callable, rows: int) -> Work:
    def work() -> int:
        for _ in DataLoader(data, RECIPE["batch_size"], shuffle=True, collate_fn=collate):
            pass
        return rows

    return work


def _ours(rows: Corpus, plan: str) -> Work:
    config = AutoConfig.from_pretrained(encoder_folder())
    labels, lengths, device = torch.from_numpy(rows.labels), rows.tokens.lengths, torch.device("cpu")

    def work() -> int:
        for epoch in range(PASSES):
            for batch in PLANS[plan](lengths, RECIPE["batch_size"], 0, epoch):
                model_inputs(rows.tokens, batch, config, device)
                labels[torch.from_numpy(batch)]
        return PASSES * len(lengths)

    return work
