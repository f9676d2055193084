"""Extractive question answering: the answer to a question is a span of its context, or there is none.

A context that is longer than the model reads is cut into strides that overlap; strides are what is trained
on, questions are what is recorded and selected. p_true is the geometric mean of the probabilities of the
answer's start and end, the largest over the strides that hold it; of a question without answer, of the first
token as both, over all strides. An answer that no stride holds whole counts as none.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..data.targets import answer_spans, required_texts
from .base import ABSENT, Batch, Kind

# As the BERT paper's code for SQuAD: tokens of an answer at most.
LONGEST_ANSWER = 30
# Words of an answer from which on its length counts as the same.
LONG_WORDS = 5
START, END = 1, 2


class QuestionAnswering(Kind):
    """Texts: questions and contexts. Labels: an object array [n] of {texts, starts}, in characters; none of a
    question without answer. The first of several answers is learnt, any of them counts as right.
    """

    name = "question_answering"
    optional = ("answer_starts",)
    metrics = ("span_f1", "exact_match")
    learns = "the span of a context that answers a question"
    title = "model that answers questions from a text"
    head = "QuestionAnswering"
    pipeline = "question-answering"
    fewest_texts = 2
    first_token = False
    shows_targets = True

    def columns(self, spec: dict) -> list[str]:
        """The columns of question, context and answers, and that of their starts, if it is one of its own."""
        return [*super().columns(spec), *filter(None, [spec.get("answer_starts")])]

    def lists(self, spec: dict) -> list[str]:
        """The answers and their starts."""
        return [spec["label"], *filter(None, [spec.get("answer_starts")])]

    def read(self, records: pa.Table, spec: dict, name: str) -> tuple[tuple[list, ...], np.ndarray]:
        """Questions and contexts, and the answers."""
        questions, contexts = (required_texts(records, column, spec, name) for column in spec["text"])
        return (questions, contexts), answer_spans(records, contexts, spec, name)

    def width(self, dataset) -> int:
        """Log-probabilities of the answer's start and end, and whether the best span is the answer."""
        return 3

    def prediction_width(self, dataset) -> int:
        """First and last character of the best span, and how far its score is above that of no answer."""
        return 3

    def targets(self, dataset) -> np.ndarray:
        """Nothing: the answers are aligned with the tokens."""
        return np.zeros(len(dataset), np.int64)

    def chance(self, dataset) -> float:
        """None to speak of: one over the tokens of a context."""
        return 0.0

    def make_up(self, dataset) -> np.ndarray:
        """The number of words of the first answer, five or more being alike; 0 without an answer."""
        first = ((answers["texts"] or [""])[0] for answers in dataset.labels)
        return np.array([min(len(text.split()), LONG_WORDS) for text in first], np.int64)

    def groups(self, dataset) -> tuple[np.ndarray, list[str]]:
        """The same, in words."""
        names = ["no answer", "1 word", *(f"{count} words" for count in range(2, LONG_WORDS))]
        return self.make_up(dataset), [*names, f"{LONG_WORDS} words or more"]

    def tokenize(self, dataset, tokenizer_file: str | Path, max_length: int):
        """The strides of every context, each beside its question: a feature each. Beside every token of the
        context its first character and the one behind its last; and which tokens begin and end the answer.
        """
        from ..models.strides import strides

        return strides(*dataset.texts, _first_spans(dataset.labels), tokenizer_file, max_length)

    def dynamics(self, epochs: Sequence[np.ndarray], dataset) -> Iterator[dict[str, np.ndarray]]:
        """p_true, correct, log_p_start and log_p_end."""
        for recorded in epochs:
            yield {
                "p_true": np.exp(recorded[:, :2].astype(np.float64).mean(1)).astype(np.float32),
                "correct": recorded[:, 2] > 0.5,
                "log_p_start": np.ascontiguousarray(recorded[:, 0]),
                "log_p_end": np.ascontiguousarray(recorded[:, 1]),
            }

    def predictions(self, outputs: np.ndarray, dataset) -> np.ndarray:
        """The texts of the best spans, empty for no answer: an object array. Where every question of a data
        set has an answer, one is always given.
        """
        some_have_none = any(not answers["texts"] for answers in dataset.labels)
        found = np.empty(len(outputs), object)
        for row, (start, end, margin) in enumerate(outputs.tolist()):
            given = margin > 0 or not some_have_none
            found[row] = dataset.texts[1][row][int(start) : int(end)] if given and end > start else ""
        return found

    def prediction_columns(self, outputs: np.ndarray) -> dict[str, pa.Array]:
        """The first character of the best span, the one behind its last, and its margin over no answer."""
        start, end, margin = outputs.T
        return {
            "start": pa.array(start.astype(np.int32)),
            "end": pa.array(end.astype(np.int32)),
            "margin": pa.array(margin.astype(np.float32)),
        }

    def in_words(self, targets: np.ndarray, dataset) -> list[str]:
        """SQuAD's objects, which a correction may hold in place of the answers."""
        return [
            json.dumps({"text": own["texts"], "answer_start": own["starts"]}, ensure_ascii=False)
            for own in targets
        ]

    def shown(self, texts: Sequence[list], labels: np.ndarray, label_names: Sequence[str]) -> list[list[str]]:
        """Questions, and contexts with the answer in brackets."""
        contexts = [
            f"{context[:start]}[{context[start:end]}]{context[end:]}" if end > start else context
            for context, (start, end) in zip(texts[1], _first_spans(labels), strict=True)
        ]
        return [texts[0], contexts]

    def usage(self, text: Sequence[str], encoder_decoder: bool = False) -> str:
        """The library's model itself: it has no pipeline for extractive answers any more."""
        return (
            "from transformers import AutoModelForQuestionAnswering, AutoTokenizer\n\n"
            'tokenizer = AutoTokenizer.from_pretrained("path/of/this/folder")\n'
            'model = AutoModelForQuestionAnswering.from_pretrained("path/of/this/folder")\n'
            'inputs = tokenizer("a question", "a text", return_tensors="pt")\n'
            "scores = model(**inputs)\n"
            "first, last = scores.start_logits.argmax(), scores.end_logits.argmax()\n"
            'answer = tokenizer.decode(inputs["input_ids"][0, first : last + 1])'
        )

    def load(self, folder: str | Path, label_names: Sequence[str], own_kernels: bool):
        """An encoder with a head that scores every token as start and as end."""
        from ..models.heads import load_answerer

        return load_answerer(folder, own_kernels)

    def outputs(self, model, batch: Batch):
        """Scores as start and as end, [features, tokens, 2]; `base.ABSENT` at padding."""
        import torch

        found = model(**batch.inputs)
        scores = torch.stack([found.start_logits, found.end_logits], -1).float()
        return scores.masked_fill(batch.inputs["attention_mask"][..., None] == 0, ABSENT)

    def compared(self, targets, batch: Batch):
        """The batch: answers, characters and strides are aligned with its tokens."""
        return batch

    def losses(self, outputs, targets: Batch):
        """Mean cross-entropy of start and end, the mean over an instance's strides."""
        start, end = _gold_log_probabilities(outputs, targets)
        return _over_strides("sum", -(start + end) / 2, targets) / targets.features

    def recorded(self, outputs, targets: Batch, width: int):
        """What `width` says, [b, 3]."""
        import torch

        start, end = _gold_log_probabilities(outputs, targets)
        # Outside the context the first token stands for no answer.
        holds = ((targets.aligned["gold"] > 0) & (targets.aligned["start"] >= 0)).any(1)
        answered = _over_strides("amax", holds.float(), targets) > 0
        together = (start + end).masked_fill(~holds, ABSENT)
        best = _over_strides("amax", together, targets)
        chosen = holds & (together == _repeated(best, targets))
        within = [_over_strides("amax", part.masked_fill(~chosen, ABSENT), targets) for part in (start, end)]
        without = [_over_strides("sum", part, targets) for part in (start, end)]
        parts = [own.where(answered, none) for own, none in zip(within, without, strict=True)]
        spans = self.predicted(outputs, targets)
        characters = [
            _over_strides("amax", _gold_character(targets, name, mark), targets)
            for name, mark in (("start", START), ("end", END))
        ]
        hit = (spans[:, 0] == characters[0]) & (spans[:, 1] == characters[1])
        return torch.stack([*parts, hit.where(answered, spans[:, 2] <= 0).float()], 1)

    def predicted(self, outputs, batch: Batch):
        """What `prediction_width` says, [b, 3]: the span with the largest sum of scores in any stride."""
        import torch

        start, end = outputs.unbind(-1)
        inside = batch.aligned["start"] >= 0
        sums = start[:, :, None] + end[:, None, :]
        tokens = torch.arange(sums.shape[1], device=sums.device)
        distance = tokens[None, :] - tokens[:, None]
        legal = (distance >= 0) & (distance < LONGEST_ANSWER)
        legal = legal & inside[:, :, None] & inside[:, None, :]
        scores, places = sums.masked_fill(~legal, 2 * ABSENT).flatten(1).max(1)
        first, last = places // len(tokens), places % len(tokens)
        characters = [
            batch.aligned[name].gather(1, place[:, None])[:, 0].float()
            for name, place in (("start", first), ("end", last))
        ]
        best = _over_strides("amax", scores, batch)
        chosen = scores == _repeated(best, batch)
        spans = [_over_strides("amax", part.masked_fill(~chosen, -1.0), batch) for part in characters]
        # Padding may stand before the first token.
        first_token = batch.inputs["attention_mask"].argmax(1, keepdim=True)
        of_no_answer = (start + end).gather(1, first_token)[:, 0]
        no_answer = -_over_strides("amax", -of_no_answer, batch)
        return torch.stack([*spans, best - no_answer], 1)


def _first_spans(labels: np.ndarray) -> list[tuple[int, int]]:
    """First character of every first answer, and the one behind its last; (0, 0) without an answer."""
    return [
        (own["starts"][0], own["starts"][0] + len(own["texts"][0])) if own["texts"] else (0, 0)
        for own in labels
    ]


def _gold_log_probabilities(outputs, batch: Batch):
    """Log-probabilities [features] of the tokens that begin and end the answer."""
    shares = outputs.log_softmax(1)
    gold = batch.aligned["gold"]
    return [
        (shares[..., place] * ((gold >= 0) & (gold & mark > 0))).sum(1)
        for place, mark in ((0, START), (1, END))
    ]


def _gold_character(batch: Batch, name: str, mark: int):
    """The character [features] at which the answer begins or ends, -1 where a stride does not hold it."""
    gold = batch.aligned["gold"]
    held = (gold >= 0) & (gold & mark > 0)
    return batch.aligned[name].masked_fill(~held, -1).amax(1).float()


def _repeated(values, batch: Batch):
    return values.repeat_interleave(batch.features)


def _over_strides(how: str, values, batch: Batch):
    """The sum or largest of each instance's strides: [features] -> [b]."""
    import torch

    instance = torch.arange(len(batch.features), device=values.device).repeat_interleave(batch.features)
    return values.new_zeros(len(batch.features)).scatter_reduce(0, instance, values, how, include_self=False)
