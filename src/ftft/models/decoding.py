"""Greedy responses of a language model to the prompts of a data set."""

from pathlib import Path

import numpy as np
import torch
from torch import nn
from transformers import GenerationConfig

from .tokens import Tokens, budget_batches, load_tokenizer


@torch.inference_mode()
def greedy_responses(
    model: nn.Module, tokens: Tokens, folder: str | Path, max_new_tokens: int, batch_tokens: int
) -> list[str]:
    """What the model responds to the prompt of every instance, the likeliest token each time, in data order.

    Prompts are what stands before the response in `tokens`; a batch holds at most `batch_tokens` tokens, the
    new ones included, or one prompt. `folder` holds the tokenizer. A text ends before the end token, or after
    `max_new_tokens`.
    """
    tokenizer, settings = load_tokenizer(Path(folder) / "tokenizer.json")
    end = tokenizer.token_to_id(settings["end"])
    device = next(model.parameters()).device
    rows = np.split(tokens.ids, tokens.offsets[1:-1])
    marks = np.split(tokens.aligned["response"], tokens.offsets[1:-1])
    prompts = [row[mark == 0] for row, mark in zip(rows, marks, strict=True)]
    padding = model.config.get_text_config().pad_token_id
    config = GenerationConfig(
        do_sample=False,
        num_beams=1,
        max_new_tokens=max_new_tokens,
        eos_token_id=end,
        pad_token_id=end if padding is None else padding,
        decoder_start_token_id=getattr(model.config, "decoder_start_token_id", None),
    )
    # An encoder reads a prompt from its first place on; what goes on with the response ends in its last.
    encoded = model.config.is_encoder_decoder
    lengths = np.array([len(prompt) for prompt in prompts])
    texts = [""] * len(prompts)
    for batch in budget_batches(lengths + max_new_tokens, batch_tokens):
        width = lengths[batch].max()
        ids = torch.full((len(batch), width), config.pad_token_id)
        mask = torch.zeros_like(ids)
        for place, row in enumerate(batch):
            own = slice(lengths[row]) if encoded else slice(width - lengths[row], width)
            ids[place, own] = torch.from_numpy(prompts[row].astype(np.int64))
            mask[place, own] = 1
        found = model.generate(ids.to(device), attention_mask=mask.to(device), generation_config=config)
        # A decoder of its own gives its start, then the response.
        for row, new in zip(batch, found[:, 1 if encoded else width :].tolist(), strict=True):
            new = new[: new.index(end)] if end in new else new
            texts[row] = tokenizer.decode(new, skip_special_tokens=True).strip()
    return texts
