"""Answers to questions by their words: the steady one of several epochs; and texts without their words."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from .metrics import normalised


class Steady(NamedTuple):
    """A model's steady answer: its text, empty for none, the character of the context at which it begins, and
    in how many epochs it was given.
    """

    text: str
    start: int
    epochs: int


def steady_answer(context: str, spans: Sequence[tuple[int, int]]) -> Steady | None:
    """The answer that was given in most epochs, of several the one that was given last.

    spans: by epoch the first character of the answer and the one behind its last, equal where none was given;
    negative where it is not known, and so is then what is steady (None). Answers are alike where they have
    the same words (`metrics.normalised`); the last of them is taken, without white space around it.
    """
    if any(start < 0 for start, _ in spans):
        return None
    texts = [context[start:end] for start, end in spans]
    words = [tuple(normalised(text)) for text in texts]
    counts = Counter(words)
    most = max(counts.values())
    last = max(epoch for epoch, own in enumerate(words) if counts[own] == most)
    text = texts[last].strip()
    before = len(texts[last]) - len(texts[last].lstrip())
    return Steady(text, spans[last][0] + before if text else 0, most)


def is_one_of(text: str, answers: Sequence[str]) -> bool:
    """Whether an answer has the same words as one of these, compared as SQuAD's exact match does. Where there
    are no answers, only a text without words is right.
    """
    gold = [words for answer in answers if (words := normalised(answer))] or [[]]
    return normalised(text) in gold


def numbered(words: Sequence[str], numbers: dict[str, int]) -> str:
    """A text with a number in place of each of its words: beside others of these `numbers` it scores as
    before, where words are compared.

    Words that are new are given the next numbers.
    """
    return " ".join(str(numbers.setdefault(word, len(numbers))) for word in words)
