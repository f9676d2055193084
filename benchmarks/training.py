"""Training steps of a small pretrained encoder beside the Trainer and an accelerate loop."""

from collections.abc import Sequence

import numpy as np
import torch
from transformers import DataCollatorWithPadding

from ftft.models.heads import parameter_counts
from ftft.models.precision import supports_bfloat16
from ftft.training.batching import PLANS

from . import ours, peers
from .corpora import ENCODER_NAME, Corpus, corpus
from .harness import Run, Work, interleave, rate
from .options import Options
from .rates import matrix_rate, operations
from .report import Row, Table, compared
from .sampling import bias_note, padded_tokens, representative

WIDTH = 128
BATCHES = 4
TRAINER = f"HF Trainer as in run_glue, padded to {WIDTH}, fp32"
DYNAMIC = "HF Trainer, padded to the longest, fp32"
LOOP, LOOP_BF16 = "accelerate loop as the authors', fp32", "accelerate loop as the authors', bf16"
GROUPED, GROUPED_FP32 = "ours, length_grouped, bf16", "ours, length_grouped, fp32"
RANDOM, RANDOM_FP32 = "ours, random batches, bf16", "ours, random batches, fp32"
# (variant, peer) -> goal, by corpus; every other variant is shown beside the Trainer without one.
GOALS = {
    "MNLI": {
        (GROUPED, TRAINER): 12,
        (GROUPED, LOOP): 9,
        (GROUPED, LOOP_BF16): 4.5,
        (GROUPED_FP32, TRAINER): 7,
        (RANDOM, TRAINER): 8,
    },
    "ANLI": {(GROUPED, TRAINER): 5},
}
PLAN_OF = {GROUPED: "length_grouped", GROUPED_FP32: "length_grouped", RANDOM: "random", RANDOM_FP32: "random"}
MATRIX = 1024
CPU = torch.device("cpu")


def run(options: Options) -> list[Table]:
    """Rows per CPU second of all variants, on real and drawn lengths of two corpora."""
    torch.set_num_threads(options.threads)
    rows = 640 if options.quick else None
    corpora = [corpus(name, options.data, rows) for name in GOALS]
    if any(one.real for one in corpora):
        # The goals were set for MNLI-like lengths of 42 tokens in the mean; real rows may be shorter.
        corpora.insert(0, corpus("MNLI", None, rows))
    return [_table(one, options) for one in corpora]


def _table(rows: Corpus, options: Options) -> Table:
    lengths = rows.tokens.lengths
    plans = {name: plan(lengths, ours.RECIPE["batch_size"], 0, 0) for name, plan in PLANS.items()}
    samples = {
        name: representative(plan, lengths, 1 if options.quick else BATCHES) for name, plan in plans.items()
    }
    runs = interleave(_variants(rows, samples), options.repeats(3))
    goals = {pair: goal for pair, goal in GOALS[rows.name].items() if set(pair) <= set(runs)}
    others = [(name, TRAINER) for name in runs if name != TRAINER and (name, TRAINER) not in goals]
    limits = {
        name: _use(name, runs, samples[plan], lengths) for name, plan in PLAN_OF.items() if name in runs
    }
    first = Row(TRAINER, value=rate(runs[TRAINER]), unit="rows per CPU second")
    table = [first] + [
        compared(runs, variant, against, goals.get((variant, against)), limits.get(variant, ""), unit="rows")
        for variant, against in (*goals, *others)
    ]
    notes = [
        f"{ENCODER_NAME}; batch 32, dropout 0.1, gradients clipped at 1. {rows.about}",
        f"Rows above {WIDTH} tokens are cut by the first variant and by no other."
        f" {(lengths > WIDTH).mean():.1%} of the rows are.",
        "All variants run in one process.",
        f"Matrix rate: that of products of matrices {MATRIX} wide, in the variant's precision.",
        *(bias_note(name, samples[name], plans[name], lengths) for name in samples),
    ]
    return Table(rows.title, table, notes)


def _use(name: str, runs: dict[str, list[Run]], sample: Sequence[np.ndarray], lengths: np.ndarray) -> str:
    """How far a variant is from the machine's matrix products, and its batches from no padding."""
    dtype = torch.bfloat16 if name.endswith("bf16") else torch.float32
    parameters = parameter_counts(ours.fast_classifier())["without_embeddings"]
    real = lengths[np.concatenate(sample)].mean()
    rows_per_second = rate(runs[name]).median
    used = operations(parameters, real * rows_per_second) / matrix_rate(CPU, dtype, MATRIX)
    filled = real / padded_tokens(sample, lengths)
    return f"{used:.0%} of the matrix rate goes into real tokens, which are {filled:.0%} of the padded ones"


def _variants(rows: Corpus, samples: dict[str, Sequence[np.ndarray]]) -> dict[str, Work]:
    data = (rows.tokens, rows.labels)
    classified = ours.classified(*data)
    random, grouped = samples["random"], samples["length_grouped"]

    def loop(bfloat16: bool) -> Work:
        collate = DataCollatorWithPadding(peers.tokenizer())
        rows_in_order = peers.hf_dataset(*data, np.concatenate(random))
        return peers.accelerate_loop(
            peers.stock_classifier(),
            rows_in_order,
            ours.RECIPE,
            ours.PLANNED_STEPS,
            collate,
            bfloat16,
            cpu=True,
        )

    def own(batches: Sequence[np.ndarray], precision: str) -> Work:
        return ours.training(ours.fast_classifier(), classified, batches, precision)

    makers = {
        TRAINER: lambda: peers.trainer(*data, random, ours.RECIPE, WIDTH),
        DYNAMIC: lambda: peers.trainer(*data, random, ours.RECIPE, None),
        LOOP: lambda: loop(False),
        LOOP_BF16: lambda: loop(True),
        GROUPED: lambda: own(grouped, "bfloat16"),
        GROUPED_FP32: lambda: own(grouped, "float32"),
        RANDOM: lambda: own(random, "bfloat16"),
        RANDOM_FP32: lambda: own(random, "float32"),
    }
    if not supports_bfloat16(CPU):
        makers = {name: make for name, make in makers.items() if "bf16" not in name}
    return {name: peers.with_own_accelerate(make) for name, make in makers.items()}
