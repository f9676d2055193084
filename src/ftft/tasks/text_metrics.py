"""Metrics of generation: the likelihood of responses, and generated texts beside them."""

import re
from collections import Counter
from collections.abc import Sequence
from functools import cache

import numpy as np

from .metrics import Metric, ratio, register

NUMBER = re.compile(r"(?:(?<!\w)-)?\d[\d,]*(?:\.\d+)?")


@register
class TokenLikelihood(Metric):
    """The geometric mean of the probabilities of all response tokens: one over the perplexity."""

    name, label, hub = "token_likelihood", "likelihood of a response token", "token_likelihood"
    kinds = ("generation",)
    definition = "the geometric mean of the probabilities of all response tokens, one over the perplexity"

    def statistics(self, targets: np.ndarray, predictions: np.ndarray, labels: Sequence[str]) -> np.ndarray:
        # The sum of log-probabilities of each response, and its tokens.
        return np.array([[own["log_p"], own["tokens"]] for own in predictions], np.float64)

    def value(self, sums: np.ndarray) -> np.ndarray:
        return np.exp(ratio(sums[..., 0], sums[..., 1]))

    def floor(self, targets: np.ndarray, labels: Sequence[str]) -> float:
        """0: of a model that knows nothing, one over its vocabulary."""
        return 0.0


@register
class NegativeLogLikelihood(TokenLikelihood):
    """Negative log-likelihood per response token, in nats; less is better."""

    name, label, hub = "nll", "negative log-likelihood per response token", "nll"
    definition = "the mean of the negative log-probabilities of all response tokens, in nats"
    monitored = in_tables = False

    def value(self, sums: np.ndarray) -> np.ndarray:
        return -ratio(sums[..., 0], sums[..., 1])

    def floor(self, targets: np.ndarray, labels: Sequence[str]) -> float:
        """None: it depends on the vocabulary."""
        return float("nan")


@register
class Perplexity(NegativeLogLikelihood):
    """The exponential of the negative log-likelihood per response token; less is better."""

    name, label, hub = "perplexity", "perplexity", "perplexity"
    definition = "the exponential of the negative log-likelihood per response token"

    def value(self, sums: np.ndarray) -> np.ndarray:
        return np.exp(super().value(sums))


@register
class ResponseMatch(Metric):
    """The share of generated responses that are the given ones but for white space."""

    name, label, hub = "response_match", "exact match", "exact_match"
    kinds = ("generation",)
    definition = "the share of generated responses that are word for word the given ones"
    monitored = False

    def statistics(self, targets: np.ndarray, predictions: np.ndarray, labels: Sequence[str]) -> np.ndarray:
        pairs = [(target, own.get("text")) for target, own in zip(targets, predictions, strict=True)]
        # What was not generated, or has nothing to be compared, does not count.
        scores = [None if text is None else self.compare(target, text) for target, text in pairs]
        return np.array([[score or 0.0, score is not None] for score in scores], np.float64)

    def compare(self, target: str, text: str) -> float | None:
        """The score, 0 to 1, of a generated text; None where the given one has nothing to be compared."""
        return float(target.split() == text.split())

    def value(self, sums: np.ndarray) -> np.ndarray:
        return ratio(sums[..., 0], sums[..., 1])

    def floor(self, targets: np.ndarray, labels: Sequence[str]) -> float:
        """That of always giving the most frequent response."""
        trivial = self.most_frequent(targets)
        return self.score(targets, np.array([{"text": trivial}] * len(targets), object), labels)

    def most_frequent(self, targets: np.ndarray) -> str:
        """The response that a model without input would give."""
        return Counter(targets).most_common(1)[0][0]


@register
class AnswerMatch(ResponseMatch):
    """The share of generated responses whose last number is that of the given one, as GSM8K is scored."""

    name, label = "answer_match", "answers right"
    definition = "the share of generated responses whose last number is that of the given response"
    by_words = False

    def compare(self, target: str, text: str) -> float | None:
        gold = last_number(target)
        return None if gold is None else float(gold == last_number(text))

    def most_frequent(self, targets: np.ndarray) -> str:
        """The most frequent last number."""
        numbers = Counter(number for number in map(last_number, targets) if number is not None)
        return str(numbers.most_common(1)[0][0]) if numbers else ""


@register
class RougeL(ResponseMatch):
    """F1 of the longest common subsequence of words, stemmed, by Google's rouge-score (Lin 2004)."""

    name, label, hub = "rouge_l", "ROUGE-L", "rouge"
    definition = "F1 of the longest common subsequence of stemmed words (ASCII) by rouge-score, the mean"
    by_words = False

    def compare(self, target: str, text: str) -> float | None:
        return float(_rouge().score(target, text)["rougeL"].fmeasure)


def last_number(text: str) -> float | None:
    """The last number in a text, commas between its thousands left out; None where there is none."""
    found = NUMBER.findall(text)
    return float(found[-1].replace(",", "")) if found else None


@cache
def _rouge():
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rougeL"], use_stemmer=True)
