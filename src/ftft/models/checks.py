"""What an encoder must be before anything is trained: what a folder lacks is told when it is prepared."""

import re
from collections.abc import Iterable
from pathlib import Path

from ..errors import ModelError
from .settling import bare

LFS_POINTER = b"version https://git-lfs.github.com/spec/"
# Lengths above this, negative ones and None are ways to say "no limit".
NO_LIMIT = 10**9
# The check of the padding runs a model of this many parameters at most, on rows of these lengths.
CHECKED_PARAMETERS = 2_000_000_000
LENGTHS = (24, 7)
# Of the difference between two rows' logits, and of the logits themselves, which are rounded.
TOLERANCE, ROUNDING = 1e-3, 1e-5
LARGE_WEIGHTS = 0.15


def refuse_pointers(files: Iterable[Path]) -> None:
    """Raise ModelError for a file that Git LFS left a pointer in place of."""
    for file in files:
        with open(file, "rb") as opened:
            if opened.read(len(LFS_POINTER)) == LFS_POINTER:
                raise ModelError(
                    f"{file} is a Git LFS pointer, not the file itself",
                    got=f"{file.stat().st_size} bytes of text that name the file",
                    expected="the file's own content",
                    fix=f"git lfs pull, in {file.parent}",
                )


def has_head(config, head: str) -> bool:
    """Whether transformers has a model of this kind with what it calls AutoModelFor`head`."""
    import transformers

    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", head).upper()
    return type(config) in getattr(transformers, f"MODEL_FOR_{words}_MAPPING")


def require_head(config, head: str) -> None:
    """Raise ModelError for a kind of model that transformers has no such head for."""
    if not has_head(config, head):
        raise ModelError(
            f"transformers has no head for this kind of task on a model of the kind {config.model_type}",
            got=f"no AutoModelFor{head} for {config.model_type}",
            expected="for text classification, a kind that docs/architectures.md lists",
            fix="choose another model",
        )


def require_vocabulary(model, tokenizer) -> None:
    """Raise ModelError where the tokenizer knows no words, or makes ids without an embedding."""
    vocabulary = tokenizer.get_vocab()
    words = vocabulary.keys() - set(tokenizer.all_special_tokens)
    if not words:
        raise ModelError(
            "the encoder's tokenizer knows no words",
            got=f"{len(vocabulary)} special tokens and nothing else",
            expected="the tokenizer that the encoder was pretrained with",
            fix="put its tokenizer.json into the encoder's folder",
        )
    rows = model.get_input_embeddings().weight.shape[0]
    token = max(vocabulary, key=vocabulary.get)
    if vocabulary[token] >= rows:
        raise ModelError(
            "the encoder's tokenizer makes ids that the model has no embedding of",
            got=f"the token {token!r} has the id {vocabulary[token]}, and there are {rows} embeddings",
            expected=f"ids from 0 to {rows - 1}",
            fix="use the tokenizer that the model was pretrained with, or give the model the embeddings:"
            " model.resize_token_embeddings(len(tokenizer)), and save it",
        )


def require_length(model, tokenizer, max_length: int) -> None:
    """Raise ModelError for inputs longer than the encoder's positions reach.

    Relative positions have no end, and neither has a length of None, -1 or 1e30.
    """
    config = model.config
    relative = getattr(config, "relative_attention", False) and not getattr(
        config, "position_biased_input", True
    )
    if relative or hasattr(config, "relative_attention_num_buckets"):
        return
    # RoBERTa counts positions from behind the padding's id.
    table = getattr(getattr(model, "embeddings", None), "position_embeddings", None)
    padding = getattr(table, "padding_idx", None)
    reserved = 0 if padding is None else padding + 1
    positions = _limit(getattr(config, "max_position_embeddings", None))
    limits = [
        limit for limit in (positions and positions - reserved, _limit(tokenizer.model_max_length)) if limit
    ]
    if limits and max_length > min(limits):
        raise ModelError(
            "max_length is longer than the encoder's inputs may be",
            got=max_length,
            expected=f"at most {min(limits)}",
            fix="lower training.max_length for this model",
        )


def _limit(length: float | None) -> int | None:
    return int(length) if length is not None and 0 < length < NO_LIMIT else None


def check_classifier(folder: Path, tokenizer, headless: Iterable[str], untrained: bool) -> bool:
    """Run the classifier in `folder` on two rows of unequal lengths, together and one by one.

    Returns whether the logits agree, so that padding is masked and the same token is classified. The small
    weights of an `untrained` model hardly tell two rows apart, so that larger ones are drawn for this. Raises
    ModelError where the model cannot be loaded, runs on no batch, or would draw other weights than its head's
    and those named `headless`. Torch's random generators are left as they were.
    """
    import torch
    from transformers import AutoModelForSequenceClassification

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model, report = AutoModelForSequenceClassification.from_pretrained(
            folder, num_labels=3, dtype=torch.float32, local_files_only=True, output_loading_info=True
        )
        _require_weights(model, report["missing_keys"], set(headless))
        if untrained:
            for parameter in model.parameters():
                if parameter.dim() > 1:
                    torch.nn.init.normal_(parameter, std=LARGE_WEIGHTS)
        rows = _rows(tokenizer)
        batch = _pad(rows, model.config.get_text_config().pad_token_id, tokenizer.padding_side == "left")
        with torch.inference_mode():
            model.eval()
            together = model(**batch).logits
            alone = torch.cat([model(**_pad([row], 0, False)).logits for row in rows])
            # Some kinds take other lengths in training than in evaluation.
            model.train()(**batch)
    allowed = TOLERANCE * (alone[0] - alone[1]).abs().max() + ROUNDING * alone.abs().max()
    return bool((together - alone).abs().max() <= allowed)


def check_causal(model, tokenizer) -> None:
    """Raise ModelError for a language model that sees the tokens behind the one that it predicts; of one with
    an encoder, the decoder is looked at.
    """
    import torch

    first, second = (torch.tensor([row[: min(LENGTHS)]]) for row in _rows(tokenizer))
    second = torch.cat([first[:, :-1], second[:, -1:]], 1)
    model.eval()
    read = "decoder_input_ids" if model.config.is_encoder_decoder else "input_ids"
    with torch.inference_mode():
        one, other = (model(**{"input_ids": first, read: ids}).logits[:, :-1] for ids in (first, second))
    if (one - other).abs().max() > ROUNDING * one.abs().max():
        raise ModelError(
            f"a model of the kind {model.config.model_type} sees tokens that come after the one it predicts",
            got="other predictions where only the last token differs",
            expected="a causal language model",
            fix="choose another model, or another kind of task",
        )


def _require_weights(model, missing: Iterable[str], headless: set[str]) -> None:
    base = f"{model.base_model_prefix}."
    own = {name.removeprefix(base) for name in missing if name.startswith(base)}
    drawn = sorted(name for name in own - headless if not name.startswith("pooler."))
    if drawn:
        raise ModelError(
            "the classifier does not find the encoder's weights",
            got=f"{len(drawn)} parameters that would be drawn at random: {', '.join(drawn[:5])}",
            expected="no random weights but the head's",
            fix="choose another model",
        )


def _rows(tokenizer) -> list[list[int]]:
    """Two rows of words between the tokens that the tokenizer puts around a text."""
    frame = bare(tokenizer).encode("a")
    sides = [number is None for number in frame.sequence_ids]
    start = sides.index(False) if False in sides else 0
    end = len(sides) - sides[::-1].index(False) if False in sides else 0
    special = set(tokenizer.all_special_ids)
    words = [number for number in sorted(tokenizer.get_vocab().values()) if number not in special]
    rows = []
    for length in LENGTHS:
        inner = [words[(7919 * place + length) % len(words)] for place in range(length)]
        rows.append([*frame.ids[:start], *inner, *frame.ids[end:]])
    return rows


def _pad(rows: list[list[int]], pad_id: int | None, left: bool) -> dict:
    import torch

    width = max(map(len, rows))
    ids = torch.full((len(rows), width), pad_id or 0)
    mask = torch.zeros_like(ids)
    for number, row in enumerate(rows):
        place = slice(width - len(row), width) if left else slice(len(row))
        ids[number, place], mask[number, place] = torch.tensor(row), 1
    return {"input_ids": ids, "attention_mask": mask}
