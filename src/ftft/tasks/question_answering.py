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

from ..data.dataset import object_array
from ..data.targets import answer_spans, required_texts
from .answers import Steady, is_one_of, numbered, steady_answer
from .base import ABSENT, Batch, Kind, Suggestions
from .metrics import normalised

# As the BERT paper's code for SQuAD: tokens of an answer at most.
LONGEST_ANSWER = 30
# Words of an answer from which on its length counts as the same.
LONG_WORDS = 5
START, END = 1, 2
NO_ANSWER = "no answer"
# In place of a best span and its margin that a loop of somebody else did not record.
UNKNOWN_SPAN = (-1.0, -1.0, 1.0)


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
    shows_dynamics = True

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
        """Log-probabilities of the answer's start and end, whether the best span is the answer, and what
        `prediction_width` says.
        """
        return 3 + self.prediction_width(dataset)

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

    def taken(self, outputs: np.ndarray, rows: np.ndarray, dataset, words: np.ndarray | None) -> np.ndarray:
        """What `width` says, [m, 6], or without the best spans, [m, 3]."""
        if outputs.ndim == 2 and outputs.shape[1] + len(UNKNOWN_SPAN) == self.width(dataset):
            outputs = np.column_stack([outputs, np.tile(np.float32(UNKNOWN_SPAN), (len(outputs), 1))])
        return super().taken(outputs, rows, dataset, words)

    def dynamics(self, epochs: Sequence[np.ndarray], dataset) -> Iterator[dict[str, np.ndarray]]:
        """p_true, correct, log_p_start, log_p_end, and of the predicted answer its first character and the
        one behind its last: both 0 for no answer, -1 where they were not recorded.
        """
        has_answer = _has_answer(dataset)
        for recorded in epochs:
            is_given = _is_given(recorded[:, 5], has_answer)
            start, end = np.where(is_given, recorded[:, 3:5].T, 0).astype(np.int32)
            yield {
                "p_true": np.exp(recorded[:, :2].astype(np.float64).mean(1)).astype(np.float32),
                "correct": (recorded[:, 2] > 0.5) & (is_given | ~has_answer),
                "log_p_start": np.ascontiguousarray(recorded[:, 0]),
                "log_p_end": np.ascontiguousarray(recorded[:, 1]),
                "answer_start": start,
                "answer_end": end,
            }

    def suggestions(self, logits: None, own: dict[str, np.ndarray], dataset) -> Suggestions:
        """The steady answers, where they have other words than all given ones."""
        epochs = len(own["answer_start"])
        suggested, remarks = [""] * len(dataset), {}
        for row, steady in enumerate(_steady_answers(own, dataset.texts[1])):
            if steady is None or is_one_of(steady.text, dataset.labels[row]["texts"]):
                continue
            texts, starts = ([steady.text], [steady.start]) if steady.text else ([], [])
            suggested[row] = _as_in_squad(texts, starts)
            says = f"answers {steady.text!r}" if steady.text else "gives no answer"
            of_several = f" in {steady.epochs} of {epochs} epochs" if epochs > 1 else ""
            remarks[row] = f" The model {says}{of_several}."
        return Suggestions(self.in_words(dataset.labels, dataset), suggested, remarks=remarks)

    def predictions(self, outputs: np.ndarray, dataset) -> np.ndarray:
        """The texts of the best spans, empty for no answer: an object array. Where every question of a data
        set has an answer, one is always given.
        """
        is_given = _is_given(outputs[:, 2], _has_answer(dataset))
        found = np.empty(len(outputs), object)
        for row, (start, end) in enumerate(outputs[:, :2].astype(np.int64).tolist()):
            found[row] = dataset.texts[1][row][start:end] if is_given[row] and end > start else ""
        return found

    def prediction_columns(self, outputs: np.ndarray) -> dict[str, pa.Array]:
        """The first character of the best span, the one behind its last, and its margin over no answer."""
        start, end, margin = outputs.T
        return {
            "start": pa.array(start.astype(np.int32)),
            "end": pa.array(end.astype(np.int32)),
            "margin": pa.array(margin.astype(np.float32)),
        }

    def numbered(self, values: np.ndarray, numbers: dict[str, int]) -> np.ndarray:
        """Answers, or all given ones of a question, with numbers in place of their words."""
        return object_array(
            [
                numbered(normalised(own), numbers)
                if isinstance(own, str)
                else {**own, "texts": [numbered(normalised(text), numbers) for text in own["texts"]]}
                for own in values
            ]
        )

    def in_words(self, targets: np.ndarray, dataset) -> list[str]:
        """SQuAD's objects, which a correction may hold in place of the answers."""
        return [_as_in_squad(own["texts"], own["starts"]) for own in targets]

    def readable(self, label: str, texts: Sequence) -> str:
        """The words of the answers."""
        return ", ".join(json.loads(label)["text"]) or NO_ANSWER

    def marked(self, labels: np.ndarray) -> tuple[int, np.ndarray]:
        """The first answer in the context."""
        return 1, np.array(_first_spans(labels), np.int64).reshape(-1, 2)

    def beside(
        self, texts: Sequence[list], labels: np.ndarray, own: dict[str, np.ndarray]
    ) -> dict[str, list[str]]:
        """The given answers line by line, and the steady answer with the number of epochs that gave it."""
        epochs = len(own["answer_start"])
        return {
            "given answers": ["\n".join(dict.fromkeys(answers["texts"])) or NO_ANSWER for answers in labels],
            "model's steady answer": [
                f"{steady.text or NO_ANSWER} ({steady.epochs} of {epochs} epochs)"
                if steady
                else "not recorded"
                for steady in _steady_answers(own, texts[1])
            ],
        }

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
        """What `width` says, [b, 6]."""
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
        correct = hit.where(answered, spans[:, 2] <= 0).float()
        return torch.cat([torch.stack([*parts, correct], 1), spans], 1)

    def predicted(self, outputs, batch: Batch):
        """What `prediction_width` says, [b, 3]: the span with the largest sum of scores in any stride."""
        import torch
        from torch.nn.functional import pad

        inside = (batch.aligned["start"] >= 0)[..., None]
        start, end = outputs.masked_fill(~inside, ABSENT).unbind(-1)
        # Of every token the ends that a span from there may have: [features, tokens, LONGEST_ANSWER].
        ends = pad(end, (0, LONGEST_ANSWER - 1), value=ABSENT).unfold(1, LONGEST_ANSWER, 1)
        scores, places = (start[..., None] + ends).flatten(1).max(1)
        first = places // LONGEST_ANSWER
        last = (first + places % LONGEST_ANSWER).clamp(max=start.shape[1] - 1)
        characters = [
            batch.aligned[name].gather(1, place[:, None])[:, 0].float()
            for name, place in (("start", first), ("end", last))
        ]
        best = _over_strides("amax", scores, batch)
        chosen = scores == _repeated(best, batch)
        spans = [_over_strides("amax", part.masked_fill(~chosen, -1.0), batch) for part in characters]
        # Padding may stand before the first token.
        first_token = batch.inputs["attention_mask"].argmax(1, keepdim=True)
        of_no_answer = outputs.sum(-1).gather(1, first_token)[:, 0]
        no_answer = -_over_strides("amax", -of_no_answer, batch)
        return torch.stack([*spans, best - no_answer], 1)


def _first_spans(labels: np.ndarray) -> list[tuple[int, int]]:
    """First character of every first answer, and the one behind its last; (0, 0) without an answer."""
    return [
        (own["starts"][0], own["starts"][0] + len(own["texts"][0])) if own["texts"] else (0, 0)
        for own in labels
    ]


def _as_in_squad(texts: list[str], starts: list[int]) -> str:
    return json.dumps({"text": texts, "answer_start": starts}, ensure_ascii=False)


def _has_answer(dataset) -> np.ndarray:
    return np.array([bool(answers["texts"]) for answers in dataset.labels])


def _is_given(margins: np.ndarray, has_answer: np.ndarray) -> np.ndarray:
    """Whether the best spans [n] are given as answers, by how far they score above no answer."""
    return (margins > 0) | has_answer.all()


def _steady_answers(own: dict[str, np.ndarray], contexts: Sequence[str]) -> Iterator[Steady | None]:
    starts, ends = (own[name].T.tolist() for name in ("answer_start", "answer_end"))
    for context, *spans in zip(contexts, starts, ends, strict=True):
        yield steady_answer(context, list(zip(*spans, strict=True)))


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
