"""Prompts and the responses to them as a language model reads them: one row of tokens each, or a row for its
encoder and one for its decoder.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import ModelError
from .tokens import ROUND_WIDTH, Cut, Tokens, load_tokenizer, tell_of_unknown, unknown_share


def responses(
    prompts: Sequence[str] | Sequence[list[dict]],
    replies: Sequence[str],
    tokenizer_file: str | Path,
    max_length: int,
) -> Tokens:
    """The tokens of every prompt and, behind them, those of its response and the end token.

    Around a prompt stands what the tokenizer puts there, of an encoder-decoder's an end token too. A prompt
    is a text, or the messages of a conversation, which the tokenizer's chat template puts into one. Prompt
    and response are tokenised apart, as a prompt is when a response to it is generated. A row that is
    longer than `max_length` tokens loses the beginning of its prompt, and then the end of its response.
    Aligned with the tokens: `response`, 1 at those of the response, its end token included, 0 at all others.
    Raises ModelError where the tokenizer has no end token, or no chat template for messages.
    """
    tokenizer, settings = load_tokenizer(tokenizer_file)
    end = tokenizer.token_to_id(settings["end"]) if settings["end"] else None
    if end is None:
        raise ModelError(
            f"{tokenizer_file} has no token that ends a response",
            expected="an eos_token in tokenizer_config.json",
            fix="delete the model's folder and let snakemake make it again",
        )
    before, behind = _around_a_text(tokenizer)
    if prompts and not isinstance(prompts[0], str):
        prompts, replies = _rendered(prompts, replies, Path(tokenizer_file))
        # The template puts there what belongs there.
        before, behind = [], behind if end in behind else []
    asked, given = (
        tokenizer.encode_batch(list(texts), add_special_tokens=False) for texts in (prompts, replies)
    )
    rows, starts, longest, lost = [], [], 0, []
    for prompt, reply in zip(asked, given, strict=True):
        # Something must stand before a response for its first token to be predicted.
        first = before or ([] if prompt.ids or behind else [end])
        answer = _ended(reply.ids, end)
        frame = len(first) + len(behind)
        length = frame + len(prompt.ids) + len(answer)
        longest = max(longest, length)
        lost += [length - max_length] if length > max_length else []
        answer = answer[: max_length - max(1, frame)]
        room = max_length - frame - len(answer)
        question = first + prompt.ids[max(0, len(prompt.ids) - room) :] + behind
        rows.append(question + answer)
        starts.append(len(question))
    lengths = np.array(list(map(len, rows)), np.int64)
    ids = np.fromiter((token for row in rows for token in row), np.int32, lengths.sum())
    marks = [np.arange(length) >= start for length, start in zip(lengths, starts, strict=True)]
    tokens = Tokens(
        ids,
        np.zeros(len(ids), np.uint8),
        np.concatenate([[0], lengths.cumsum()]),
        cut=Cut(len(lost), len(rows), longest, tokens=sum(lost)),
        unknown=unknown_share(tokenizer, ids),
        aligned={"response": np.concatenate(marks).astype(np.int32)},
    )
    tell_of_unknown(tokens, tokenizer_file)
    return tokens


def responses_alone(tokens: Tokens, tokenizer_file: str | Path) -> Tokens:
    """The same responses without their prompts: behind the tokens that stand around a text, or the end token
    where none do.
    """
    tokenizer, settings = load_tokenizer(tokenizer_file)
    before, behind = _around_a_text(tokenizer)
    before = np.array(before + behind or [tokenizer.token_to_id(settings["end"])], np.int32)
    ours = tokens.aligned["response"] == 1
    lengths = np.add.reduceat(ours, tokens.offsets[:-1], dtype=np.int64)
    starts = (lengths.cumsum() - lengths).repeat(len(before))
    ids = np.insert(tokens.ids[ours], starts, np.tile(before, len(lengths)))
    marks = np.insert(np.ones(ours.sum(), np.int32), starts, 0)
    offsets = np.concatenate([[0], (lengths + len(before)).cumsum()])
    return replace(
        tokens, ids=ids, types=np.zeros(len(ids), np.uint8), offsets=offsets, aligned={"response": marks}
    )


def divided(
    tokens: Tokens, rows: np.ndarray, pad_id: int, start_id: int, round_width: bool
) -> dict[str, np.ndarray]:
    """The rows [b] as an encoder-decoder takes them, arrays [b, width] of int64, padded at the end.

    input_ids and attention_mask, of the prompts; decoder_input_ids, of the responses behind the token
    `start_id`; response, 1 at their tokens, 0 at the start, -1 at padding.
    """
    starts, lengths = tokens.offsets[rows], tokens.feature_lengths[rows]
    given = tokens.response_lengths[rows]
    asked = lengths - given

    def padded(first: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        width = int(counts.max())
        width += -width % ROUND_WIDTH if round_width else 0
        real = np.arange(width) < counts[:, None]
        places = np.where(real, first[:, None] + np.arange(width), 0)
        return np.where(real, tokens.ids[places], pad_id).astype(np.int64), real

    ids, mask = padded(starts, asked)
    # What stands before a response is taken with it, and is replaced by the start.
    decoded, real = padded(starts + asked - 1, given + 1)
    decoded[:, 0] = start_id
    response = np.where(real, 1, -1)
    response[:, 0] = 0
    return {
        "input_ids": ids,
        "attention_mask": mask.astype(np.int64),
        "decoder_input_ids": decoded,
        "response": response,
    }


def packed(tokens: Tokens, rows: np.ndarray, pad_id: int, round_width: bool) -> dict[str, np.ndarray]:
    """The rows [b] end to end in sequences no longer than the longest of them, arrays [sequences, width] of
    int64.

    input_ids, padded by `pad_id` at the end; position_ids, which begin at 0 with every row and the padding;
    row, the place among `rows` that a token is of, -1 at padding; response, as `responses` has it, -1 there.
    """
    lengths = tokens.feature_lengths[rows]
    width = int(lengths.max())
    sequences = _bins(lengths, width)
    if round_width:
        width += -width % ROUND_WIDTH
    shape = (len(sequences), width)
    arrays = {
        "input_ids": np.full(shape, pad_id, np.int64),
        "position_ids": np.zeros(shape, np.int64),
        "row": np.full(shape, -1, np.int64),
        "response": np.full(shape, -1, np.int64),
    }
    for sequence, members in enumerate(sequences):
        end = 0
        for place in members:
            own = slice(tokens.offsets[rows[place]], tokens.offsets[rows[place] + 1])
            there = slice(end, end + lengths[place])
            arrays["input_ids"][sequence, there] = tokens.ids[own]
            arrays["position_ids"][sequence, there] = np.arange(lengths[place])
            arrays["row"][sequence, there] = place
            arrays["response"][sequence, there] = tokens.aligned["response"][own]
            end = there.stop
        arrays["position_ids"][sequence, end:] = np.arange(width - end)
    return arrays


def _bins(lengths: np.ndarray, room: int) -> list[list[int]]:
    """Places by the sequence that they go to, the longest first, each into the first that has room."""
    sequences: list[list[int]] = []
    left: list[int] = []
    for place in np.argsort(-lengths, kind="stable").tolist():
        length = int(lengths[place])
        fitting = next((number for number, free in enumerate(left) if free >= length), None)
        if fitting is None:
            sequences.append([place])
            left.append(room - length)
        else:
            sequences[fitting].append(place)
            left[fitting] -= length
    return sequences


def _around_a_text(tokenizer) -> tuple[list[int], list[int]]:
    """The special tokens that the tokenizer puts before and behind a text."""
    frame = tokenizer.encode("a")
    places = [place for place, number in enumerate(frame.sequence_ids) if number is not None]
    return (frame.ids[: places[0]], frame.ids[places[-1] + 1 :]) if places else ([], [])


def _ended(ids: list[int], end: int) -> list[int]:
    """A response up to its last end token, or with one behind it."""
    if end not in ids:
        return [*ids, end]
    return ids[: len(ids) - ids[::-1].index(end)]


def _rendered(
    conversations: Sequence[list[dict]], replies: Sequence[str], tokenizer_file: Path
) -> tuple[list[str], list[str]]:
    """Prompts and responses as the chat template writes them."""
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast.from_pretrained(tokenizer_file.parent)
    if not tokenizer.chat_template:
        raise ModelError(
            f"{tokenizer_file.parent} has no chat template, and the task's rows are messages",
            expected="a chat_template in tokenizer_config.json",
            fix="take a model that was tuned to follow instructions, or rows of prompt and response",
        )
    prompts, answers = [], []
    for messages, reply in zip(conversations, replies, strict=True):
        prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        answered = [*messages, {"role": "assistant", "content": reply}]
        whole = tokenizer.apply_chat_template(answered, tokenize=False)
        if not whole.startswith(prompt):
            raise ModelError(
                f"the chat template of {tokenizer_file.parent} writes a prompt otherwise once it is answered",
                got=repr(whole[:200]),
                expected=f"a text that begins with {prompt[:200]!r}",
                fix="take rows of prompt and response, or another model",
            )
        prompts.append(prompt)
        answers.append(whole[len(prompt) :])
    return prompts, answers
