"""Training steps of a small language model beside TRL's SFTTrainer, and what its recorder costs."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from torch import nn
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PrinterCallback
from trl import SFTConfig, SFTTrainer

from ftft.cartography.supervision import Supervision
from ftft.data.dataset import Dataset, object_array
from ftft.models.tokens import Tokens, tokenize
from ftft.tasks.base import Batch, kind_of
from ftft.tasks.generation import Generation
from ftft.training.batching import PLANS
from ftft.training.feed import TrainingData
from ftft.training.recording import EpochRecorder

from . import ours
from .corpora import encoder_folder
from .harness import Work, interleave, percent, rate
from .options import Options
from .peers import QUIET, one_epoch, with_own_accelerate
from .report import Goal, Row, Table, compared
from .sampling import bias_note, representative

# SmolLM2-135M with the first ten of its thirty layers: 64 million parameters, nearly half in no layer.
SHAPE = {
    "vocab_size": 49_152,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 10,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": True,
    "pad_token_id": 0,
}
SHAPE_NAME = "SmolLM2-135M's shape with ten layers, random weights"
RECIPE = {**ours.RECIPE, "batch_size": 16}
MAX_LENGTH = 512
BATCHES = 3
FILE = "gen/alpaca_train.parquet"
# Median and shape of the lognormal lengths that stand in for Alpaca's prompts and responses.
DRAWN_ROWS, DRAWN_PROMPT, DRAWN_RESPONSE = 4000, (16, 0.5), (45, 1.0)
PADDED, PACKED = "SFTTrainer, fp32, padded", "SFTTrainer, fp32, packed"
RANDOM, GROUPED = "ours, fp32, random batches", "ours, fp32, length_grouped"
OWN_PACKED = "ours, fp32, random batches, packed"
RECORDER = "recorder"
GOAL = 1.3
KIND = kind_of("generation")


class Packing(Generation):
    """The workflow's task with its rows packed on a CPU too."""

    def packs(self, config, device) -> bool:
        """Always."""
        return True


def run(options: Options) -> list[Table]:
    """Tokens per CPU second, padding left out, and the recorder's share of a step."""
    torch.set_num_threads(options.threads)
    tokens, about = _rows(options.data)
    lengths = tokens.lengths
    plans = {name: plan(lengths, RECIPE["batch_size"], 0, 0) for name, plan in PLANS.items()}
    count = 1 if options.quick else BATCHES
    samples = {name: representative(plan, lengths, count) for name, plan in plans.items()}
    shape = {**SHAPE, "num_hidden_layers": 1, "vocab_size": 2000} if options.quick else SHAPE
    tokens.ids[:] = 1 + tokens.ids % (shape["vocab_size"] - 1)

    def model() -> nn.Module:
        torch.manual_seed(0)
        return LlamaForCausalLM(LlamaConfig(**shape))

    def own(plan: str, kind: Generation = KIND) -> Work:
        train = ours.training(model(), _data(kind, tokens), samples[plan], "float32", RECIPE)
        tokens_of_all = float(lengths[np.concatenate(samples[plan])].sum())
        return lambda: train() and tokens_of_all

    makers = {
        PADDED: lambda: _sft(model(), tokens, samples["random"]),
        PACKED: lambda: _sft(model(), tokens, samples["random"], packing=True),
        RANDOM: lambda: own("random"),
        GROUPED: lambda: own("length_grouped"),
        OWN_PACKED: lambda: own("random", Packing()),
    }
    variants = {name: with_own_accelerate(make) for name, make in makers.items()}
    variants[RECORDER] = _recorder(tokens, samples["random"])
    runs = interleave(variants, options.repeats(3))
    unit = "tokens per CPU second"
    rows = [
        Row(PADDED, value=rate(runs[PADDED]), unit=unit),
        compared(runs, PACKED, PADDED, unit="tokens"),
        compared(runs, RANDOM, PADDED, GOAL, unit="tokens"),
        compared(runs, GROUPED, PADDED, GOAL, unit="tokens"),
        compared(runs, OWN_PACKED, PACKED, unit="tokens"),
        Row("ours: recording", value=percent(runs, RECORDER, RANDOM), unit="% of a step", goal=Goal(1, True)),
    ]
    notes = [
        f"{SHAPE_NAME}; {RECIPE['batch_size']} rows a batch, gradients clipped at 1. {about}",
        "All variants run in one process, on the same rows in the same order but for length_grouped. Our"
        " variants record every response; SFTTrainer does not, and its layers are not computed again.",
        "Padding is not counted. Rows that SFTTrainer packs see each other here, as it keeps them apart with"
        " FlashAttention alone; ours do not.",
        *(bias_note(name, samples[name], plans[name], lengths) for name in samples),
    ]
    return [Table("real Alpaca rows" if options.data else "drawn lengths", rows, notes)]


def _rows(data: Path | None) -> tuple[Tokens, str]:
    """Rows as long as Alpaca's, in tokens of the benchmarks' encoder, with random ids."""
    generator = np.random.default_rng(0)
    if data:
        table = pq.read_table(data / FILE)
        tokenizer = encoder_folder() / "tokenizer.json"
        asked, given = (
            tokenize((table[name].to_pylist(),), tokenizer, MAX_LENGTH).lengths
            for name in ("prompt", "response")
        )
    else:
        asked, given = (
            generator.lognormal(np.log(median), shape, DRAWN_ROWS).round().astype(np.int64) + 2
            for median, shape in (DRAWN_PROMPT, DRAWN_RESPONSE)
        )
    lengths = np.minimum(asked + given, MAX_LENGTH)
    offsets = np.concatenate([[0], lengths.cumsum()])
    marks = [np.arange(length) >= start for length, start in zip(lengths, lengths - given, strict=True)]
    tokens = Tokens(
        generator.integers(1, 2**30, offsets[-1], dtype=np.int32),
        np.zeros(offsets[-1], np.uint8),
        offsets,
        aligned={"response": np.concatenate(marks).astype(np.int32)},
    )
    size = f"{lengths.mean():.0f} tokens in the mean, {given.mean():.0f} of them of the response"
    return tokens, f"{len(lengths):,} rows: {size}."


def _data(kind: Generation, tokens: Tokens) -> TrainingData:
    uids = list(map(str, range(len(tokens))))
    responses = object_array([""] * len(tokens))
    rows = Dataset(uids, ([""] * len(tokens),), responses, [], kind="generation")
    return TrainingData(kind, tokens, rows, Supervision.of(np.arange(len(tokens))))


def _sft(model: nn.Module, tokens: Tokens, batches: Sequence[np.ndarray], packing: bool = False) -> Work:
    """SFTTrainer over the rows of `batches`, tokenised before, the loss on the responses alone."""
    from datasets import Dataset as HFDataset

    order = np.concatenate(batches)
    spans = [slice(tokens.offsets[row], tokens.offsets[row + 1]) for row in order]
    columns = {"input_ids": tokens.ids, "completion_mask": tokens.aligned["response"]}
    rows = {name: [values[span].tolist() for span in spans] for name, values in columns.items()}
    arguments = SFTConfig(
        **QUIET,
        **one_epoch({**RECIPE, "batch_size": 1} if packing else RECIPE),
        completion_only_loss=True,
        packing=packing,
        # A sequence holds about as many tokens as the batch of rows that it replaces.
        max_length=int(tokens.lengths[order].sum() / len(batches)) if packing else MAX_LENGTH,
        gradient_checkpointing=False,
        bf16=False,
    )
    loop = SFTTrainer(
        model,
        arguments,
        train_dataset=HFDataset.from_dict(rows),
        processing_class=AutoTokenizer.from_pretrained(encoder_folder(), eos_token="[SEP]"),
    )
    loop.remove_callback(PrinterCallback)

    def work() -> float:
        loop.train()
        return float(tokens.lengths[order].sum())

    return work


def _recorder(tokens: Tokens, batches: Sequence[np.ndarray]) -> Work:
    """What a step does for the record alone, on outputs that are there."""
    config, device = LlamaConfig(**SHAPE), torch.device("cpu")
    made: list[tuple[np.ndarray, Batch, torch.Tensor]] = []
    for rows in batches:
        batch = KIND.collate(tokens, rows, config, device, 4)
        made.append((rows, batch, torch.randn(int((batch.aligned["response"] > 0).sum()), 2)))
    recorder = EpochRecorder(len(tokens), 4)

    def work() -> float:
        for rows, batch, outputs in made:
            recorder.record(rows, KIND.recorded(outputs, batch, 4))
        return float(tokens.lengths[np.concatenate(batches)].sum())

    return work
