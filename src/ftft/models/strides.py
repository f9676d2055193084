"""Questions beside their contexts, cut into strides that overlap where they are longer than a model reads."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .tokens import Cut, Tokens, load_tokenizer, tell_of_unknown, unknown_share

# Of the longest stride: how far one reaches into the next, and how much of it a question may take.
OVERLAP, QUESTION = 0.25, 0.5


def strides(
    questions: Sequence[str],
    contexts: Sequence[str],
    spans: Sequence[tuple[int, int]],
    tokenizer_file: str | Path,
    max_length: int,
) -> Tokens:
    """The strides of every instance as its features, of `max_length` tokens at most.

    spans: first character of every answer, and the one behind its last, (0, 0) for none. A question longer
    than half a stride is cut. Aligned with the tokens: `start` and `end`, the characters of the context that
    a token covers, -1 outside the context; `gold`, 1 where the answer begins, plus 2 where it ends; both at
    the first token of a stride that does not hold the whole answer.
    """
    tokenizer, settings = load_tokenizer(tokenizer_file)
    kept, cut = _shortened(tokenizer, questions, int(QUESTION * max_length))
    tokenizer.enable_truncation(max_length, stride=int(OVERLAP * max_length), strategy="only_second")
    encodings = tokenizer.encode_batch(list(zip(kept, contexts, strict=True)))
    features, counts = [], []
    for encoding, span in zip(encodings, spans, strict=True):
        own = [encoding, *encoding.overflowing]
        counts.append(len(own))
        features += [(part, *_aligned(part, span)) for part in own]
    lengths = np.array([len(part) for part, *_ in features], np.int64)
    ids = np.array([token for part, *_ in features for token in part.ids], np.int32)
    types = np.array([kind for part, *_ in features for kind in part.type_ids], np.uint8)
    aligned = {
        name: np.concatenate([own[place] for own in features]).astype(np.int32)
        for place, name in ((1, "start"), (2, "end"), (3, "gold"))
    }
    tokens = Tokens(
        ids,
        types,
        np.concatenate([[0], lengths.cumsum()]),
        np.cumsum([0, *counts]),
        cut=cut,
        unknown=unknown_share(tokenizer, ids),
        left=settings["left"],
        aligned=aligned,
    )
    tell_of_unknown(tokens, tokenizer_file)
    return tokens


def _shortened(tokenizer, questions: Sequence[str], tokens: int) -> tuple[list[str], Cut]:
    """Questions of so many tokens at most, and how many were longer."""
    encodings = tokenizer.encode_batch(list(questions), add_special_tokens=False)
    lengths = list(map(len, encodings))
    kept = [
        question[: encoding.offsets[tokens - 1][1]] if len(encoding) > tokens else question
        for question, encoding in zip(questions, encodings, strict=True)
    ]
    lost = [length - tokens for length in lengths if length > tokens]
    return kept, Cut(len(lost), len(kept), max(lengths, default=0), tokens=sum(lost))


def _aligned(encoding, span: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    offsets = np.array(encoding.offsets, np.int64)
    context = np.array([part == 1 for part in encoding.sequence_ids])
    # A token without characters, as some tokenizers make them, is no place for an answer.
    context &= offsets[:, 1] > offsets[:, 0]
    start, end = (np.where(context, offsets[:, place], -1) for place in (0, 1))
    gold = np.zeros(len(offsets), np.int64)
    begins = np.flatnonzero(context & (start <= span[0]) & (end > span[0]))
    ends = np.flatnonzero(context & (start < span[1]) & (end >= span[1]))
    if span[1] > span[0] and len(begins) and len(ends):
        gold[begins[0]] += 1
        gold[ends[-1]] += 2
    else:
        gold[0] = 3
    return start, end, gold
