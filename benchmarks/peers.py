"""The peers' training loops and batches: Hugging Face's Trainer, and a plain accelerate loop.

Every peer is given the batches of one plan in order, so that all variants of a repeat see like rows.
"""

import tempfile
from collections.abc import Callable, Sequence

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader
from tqdm.auto import tqdm
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    PreTrainedTokenizerFast,
    PrinterCallback,
    Trainer,
    TrainingArguments,
    default_data_collator,
    get_scheduler,
)

from ftft.models.tokens import Tokens

from .corpora import LABELS, encoder_folder
from .harness import Work

NAMES = ("input_ids", "token_type_ids", "attention_mask")
# A trainer that neither saves nor shows anything.
QUIET = {
    "output_dir": tempfile.gettempdir(),
    "save_strategy": "no",
    "logging_strategy": "no",
    "report_to": "none",
    "disable_tqdm": True,
    "use_cpu": True,
    "dataloader_pin_memory": False,
}


def stock_classifier() -> nn.Module:
    """The benchmark's encoder as transformers loads it."""
    torch.manual_seed(0)
    return AutoModelForSequenceClassification.from_pretrained(
        encoder_folder(), num_labels=len(LABELS), dtype=torch.float32
    )


def tokenizer() -> PreTrainedTokenizerFast:
    """The benchmark's tokenizer as transformers loads it, without the padding of its file."""
    return AutoTokenizer.from_pretrained(encoder_folder())


def records(tokens: Tokens, labels: np.ndarray, rows: np.ndarray, width: int | None = None) -> list[dict]:
    """Tokenised rows as dictionaries with their position; cut and padded to `width` where it is given."""
    found = []
    for position, row in enumerate(rows):
        span = slice(tokens.offsets[row], tokens.offsets[row + 1])
        ids, types = tokens.ids[span].tolist()[:width], tokens.types[span].tolist()[:width]
        padding = [0] * ((width or len(ids)) - len(ids))
        values = (ids + padding, types + padding, [1] * len(ids) + padding)
        found.append(
            {**dict(zip(NAMES, values, strict=True)), "labels": int(labels[row]), "data_idx": position}
        )
    return found


def hf_dataset(tokens: Tokens, labels: np.ndarray, rows: np.ndarray, width: int | None = None):
    """`records` as a Hugging Face dataset."""
    from datasets import Dataset

    return Dataset.from_list(records(tokens, labels, rows, width))


def one_epoch(recipe: dict) -> dict:
    """Settings of a trainer that sees its rows once, in their order."""
    return {
        "per_device_train_batch_size": recipe["batch_size"],
        "num_train_epochs": 1,
        "learning_rate": recipe["learning_rate"],
        "max_grad_norm": recipe["max_grad_norm"],
        "train_sampling_strategy": "sequential",
    }


def trainer(
    tokens: Tokens,
    labels: np.ndarray,
    batches: Sequence[np.ndarray],
    recipe: dict,
    width: int | None,
    model: nn.Module | None = None,
) -> Work:
    """transformers' Trainer as its run_glue example uses it: float32, padded to `width` or to the longest.

    It trains `model`, by default the benchmark's encoder.
    """
    rows = np.concatenate(batches)
    arguments = TrainingArguments(**QUIET, **one_epoch(recipe))
    collator = default_data_collator if width else DataCollatorWithPadding(tokenizer())
    loop = Trainer(model or stock_classifier(), arguments, collator, hf_dataset(tokens, labels, rows, width))
    loop.remove_callback(PrinterCallback)

    def work() -> int:
        loop.train()
        return len(rows)

    return work


def trainer_predictions(tokens: Tokens, labels: np.ndarray, batch_size: int, model: nn.Module) -> Work:
    """The Trainer's predictions in float32, in batches of the data's order, padded to the longest."""
    arguments = TrainingArguments(**QUIET, per_device_eval_batch_size=batch_size)
    loop = Trainer(model, arguments, DataCollatorWithPadding(tokenizer()))
    data = hf_dataset(tokens, labels, np.arange(len(tokens)))

    def work() -> int:
        loop.predict(data)
        return len(tokens)

    return work


def accelerate_loop(
    model: nn.Module,
    data: Sequence[dict],
    recipe: dict,
    steps: int,
    collate: Callable,
    bfloat16: bool,
    cpu: bool,
) -> Work:
    """A loop shaped as the paper's authors' code is, over `data` in its order.

    Batches are padded when drawn, AdamW has two groups, positions and logits go to the host every step.
    """
    accelerator = Accelerator(cpu=cpu, mixed_precision="bf16" if bfloat16 else "no")
    optimizer = torch.optim.AdamW(
        _parameter_groups(model, recipe["weight_decay"]),
        lr=recipe["learning_rate"],
        eps=recipe["adam_epsilon"],
    )
    schedule = get_scheduler("linear", optimizer, round(recipe["warmup_fraction"] * steps), steps)
    loader = DataLoader(data, batch_size=recipe["batch_size"], collate_fn=collate)
    model, optimizer, schedule, loader = accelerator.prepare(model.train(), optimizer, schedule, loader)

    def work() -> int:
        average, seen_rows, seen_logits = 0.0, [], []
        bar = tqdm(total=len(loader), disable=True)
        for step, batch in enumerate(loader, 1):
            with accelerator.accumulate(model):
                logits = model(**{name: batch[name] for name in NAMES if name in batch}).logits
                loss = cross_entropy(logits, batch["labels"], reduction="none").mean()
                accelerator.backward(loss)
                accelerator.clip_grad_norm_(model.parameters(), recipe["max_grad_norm"])
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
            bar.update(1)
            average = (step - 1) / step * average + loss.detach() / step
            indices, logits = accelerator.gather((batch["data_idx"], logits))
            seen_rows.append(indices.cpu())
            seen_logits.append(logits.detach().float().cpu())
        epoch = torch.zeros(len(data), logits.shape[-1])
        epoch[torch.cat(seen_rows)] = torch.cat(seen_logits)
        return len(data)

    return work


def _parameter_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    named = list(model.named_parameters())
    plain = {name for name, _ in named if name.endswith("bias") or "LayerNorm.weight" in name}
    return [
        {"params": [value for name, value in named if name not in plain], "weight_decay": weight_decay},
        {"params": [value for name, value in named if name in plain], "weight_decay": 0.0},
    ]


def with_own_accelerate(make: Callable[[], Work]) -> Work:
    """A variant with accelerate's state to itself: accelerate keeps one precision for a whole process."""
    AcceleratorState._reset_state(reset_partial_state=True)
    work = make()
    own = dict(AcceleratorState._shared_state)

    def run() -> float:
        AcceleratorState._shared_state.clear()
        AcceleratorState._shared_state.update(own)
        return work()

    return run
