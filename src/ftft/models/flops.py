"""Floating-point operations, measured by torch's flop counter on a model without weights."""

import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache, partial
from typing import NamedTuple

import numpy as np
import torch
import transformers
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import PretrainedConfig

from .adapters import adapt
from .tokens import Tokens

# The head of a model whose decoder reads other tokens than its encoder.
SEQUENCE_TO_SEQUENCE = "Seq2SeqLM"
FIT_STEP = 4  # the form is solved from one instance of 4, 8 and 12 tokens and two of 4


class FlopCount(NamedTuple):
    """FLOPs of passes over b instances of L tokens each:

    per_batch + b (per_instance + L per_token + L² per_pair), as for every encoder with full attention:
    the head is paid per instance, linear layers per token, attention per pair of tokens, and
    DeBERTa's projections of relative positions per batch. Where a decoder reads R tokens of each instance
    beside the L of the encoder: + b (R per_response + R² per_response_pair + L R per_crossing).
    """

    per_batch: int
    per_instance: int
    per_token: int
    per_pair: int
    per_response: int = 0
    per_response_pair: int = 0
    per_crossing: int = 0

    @property
    def decodes(self) -> bool:
        """Whether a decoder reads other tokens than the encoder."""
        return self.per_response > 0

    def of(
        self,
        batches: int,
        instances: int,
        tokens: int,
        pairs: int,
        responses: int = 0,
        response_pairs: int = 0,
        crossings: int = 0,
    ) -> int:
        """FLOPs of so many batches, instances, tokens, pairs of tokens (the sum of L²), and of a decoder's
        tokens, their pairs (R²), and pairs of both (L R).
        """
        counts = batches, instances, tokens, pairs, responses, response_pairs, crossings
        return sum(number * flops for number, flops in zip(counts, self, strict=True))


class FlopCounts(NamedTuple):
    """FLOPs of the forward pass alone, and of a step of training: forward and backward."""

    forward: FlopCount
    step: FlopCount


def count_flops(
    config: PretrainedConfig,
    longest: int,
    head: str = "SequenceClassification",
    adapter: dict | None = None,
) -> FlopCounts | None:
    """Measure the model of a configuration with this head; None where it cannot be measured.

    With an `adapter`, the gradients of the frozen weights are not computed, and not counted.

    Counted are matrix products and convolutions, two FLOPs per multiplication and addition. The count
    belongs to the architecture as transformers writes it, however a run computes it. It is solved from four
    shapes and has to hold at a fifth, that of the `longest` instance: an architecture may have another form.
    Meta tensors take no memory and no arithmetic, and leave all random generators alone.
    """
    try:
        measured = cache(partial(_measure, _without_weights(config, head, adapter)))
        both = head == SEQUENCE_TO_SEQUENCE
        counts = FlopCounts(*(_counted(measured, both, part) for part in range(2)))
        check = measured(3, longest, longest if both else None)
    except Exception:  # models fail on meta tensors in many ways, and no run may fail for its ledger
        return None
    tokens, pairs = 3 * longest, 3 * longest**2
    expected = tuple(count.of(1, 3, tokens, pairs, tokens, pairs, pairs) for count in counts)
    return counts if expected == check else None


def _counted(measured: Callable[..., tuple[int, int]], both: bool, part: int) -> FlopCount:
    """One `part` of what is measured: of instances for an encoder and a decoder, or for one of them."""
    if both:
        return _solve_both(lambda *shape: measured(*shape)[part])
    return _solve(lambda *shape: measured(*shape, None)[part])


def _solve(measured: Callable[[int, int], int]) -> FlopCount:
    """From what instances of so many tokens take."""
    first, second, third = (measured(1, factor * FIT_STEP) for factor in (1, 2, 3))
    two = measured(2, FIT_STEP)
    per_pair = (third - 2 * second + first) // (2 * FIT_STEP**2)
    per_token = (second - first) // FIT_STEP - 3 * FIT_STEP * per_pair
    per_instance = two - first - FIT_STEP * per_token - FIT_STEP**2 * per_pair
    return FlopCount(2 * first - two, per_instance, per_token, per_pair)


def _solve_both(measured: Callable[[int, int, int], int]) -> FlopCount:
    """From what instances of so many tokens for the encoder and for the decoder take."""
    step = FIT_STEP
    encoder = _solve(lambda instances, tokens: measured(instances, tokens, step))
    decoder = _solve(lambda instances, tokens: measured(instances, step, tokens))
    corners = measured(1, 2 * step, 2 * step) + measured(1, step, step)
    per_crossing = (corners - measured(1, 2 * step, step) - measured(1, step, 2 * step)) // step**2
    per_response = decoder.per_token - step * per_crossing
    return FlopCount(
        encoder.per_batch,
        encoder.per_instance - step * per_response - step**2 * decoder.per_pair,
        encoder.per_token - step * per_crossing,
        encoder.per_pair,
        per_response,
        decoder.per_pair,
        per_crossing,
    )


def _without_weights(config: PretrainedConfig, head: str, adapter: dict | None) -> nn.Module:
    # Eager attention: of the fused ones torch counts those on the CPU not at all, and those on a GPU
    # with the scores that they compute a second time.
    with torch.device("meta"):
        model = getattr(transformers, f"AutoModelFor{head}").from_config(
            copy.deepcopy(config), attn_implementation="eager"
        )
        if adapter:
            adapt(model, adapter)
    return model.eval()


def _measure(model: nn.Module, instances: int, length: int, response: int | None) -> tuple[int, int]:
    """FLOPs of the forward pass, and of both passes."""
    # Embeddings and no mask: models look for padding in ids and masks, and meta tensors hold no values.
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        embedded = model.get_input_embeddings()(torch.zeros((instances, length), dtype=torch.long))
        if "MultipleChoice" in type(model).__name__:
            # Instances of one choice each.
            embedded = embedded[:, None]
        further = {}
        if response is not None:
            ids = torch.zeros((instances, response), dtype=torch.long)
            further = {"decoder_inputs_embeds": model.get_input_embeddings()(ids)}
        outputs = model(inputs_embeds=embedded, **further)
        forward = counter.get_total_flops()
        sum(values.sum() for name, values in outputs.items() if name.endswith("logits")).backward()
    return forward, counter.get_total_flops()


@dataclass
class Workload:
    """What a run has computed: sums over the features of its batches, of all their tokens, and of those of
    the responses among them.
    """

    batches: int = 0
    features: int = 0
    tokens: int = 0
    pairs: int = 0
    longest: int = 0
    responses: int = 0
    response_pairs: int = 0
    crossings: int = 0

    def add(self, lengths: np.ndarray, responses: np.ndarray | None = None) -> None:
        """A batch of features of `lengths` tokens, of which `responses` are those of a response."""
        responses = np.zeros_like(lengths) if responses is None else responses
        self.batches += 1
        self.features += len(lengths)
        self.tokens += int(lengths.sum())
        self.pairs += int(lengths @ lengths)
        self.longest = max(self.longest, int(lengths.max(initial=0)))
        self.responses += int(responses.sum())
        self.response_pairs += int(responses @ responses)
        self.crossings += int(lengths @ responses)

    def add_features(self, tokens: Tokens, features: np.ndarray) -> None:
        """A batch of some `features` of `tokens`."""
        self.add(tokens.feature_lengths[features], tokens.response_lengths[features])

    def state(self) -> dict[str, int]:
        """The sums so far."""
        return asdict(self)

    def restore(self, state: dict[str, int]) -> None:
        """Add on to the `state` of the same run."""
        vars(self).update(state)

    def times(self, number: int) -> "Workload":
        """The same work so many times."""
        sums = {name: number * value for name, value in asdict(self).items()}
        return Workload(**{**sums, "longest": self.longest})

    def flops(self, count: FlopCount | None) -> int | None:
        """The ledger's FLOPs, on real tokens, by what a pass takes; None where that has no count."""
        if not self.batches:
            return 0
        if count is None or not count.decodes:
            return count and count.of(self.batches, self.features, self.tokens, self.pairs)
        # An encoder reads the prompt, the rest of every row: P = L - R.
        return count.of(
            self.batches,
            self.features,
            self.tokens - self.responses,
            self.pairs - 2 * self.crossings + self.response_pairs,
            self.responses,
            self.response_pairs,
            self.crossings - self.response_pairs,
        )
