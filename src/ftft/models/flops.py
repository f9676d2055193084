"""Floating-point operations, measured by torch's flop counter on a model without weights."""

import copy
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
import torch
import transformers
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import PretrainedConfig

from .adapters import adapt

FIT_STEP = 4  # the form is solved from one instance of 4, 8 and 12 tokens and two of 4


class FlopCount(NamedTuple):
    """FLOPs of passes over b instances of L tokens each:

    per_batch + b (per_instance + L per_token + L² per_pair), as for every encoder with full attention:
    the head is paid per instance, linear layers per token, attention per pair of tokens, and
    DeBERTa's projections of relative positions per batch.
    """

    per_batch: int
    per_instance: int
    per_token: int
    per_pair: int

    def of(self, batches: int, instances: int, tokens: int, pairs: int) -> int:
        """FLOPs of so many batches, instances, tokens and pairs of tokens (the sum of L²)."""
        return (
            self.per_batch * batches
            + self.per_instance * instances
            + self.per_token * tokens
            + self.per_pair * pairs
        )


def count_flops(
    config: PretrainedConfig,
    longest: int,
    head: str = "SequenceClassification",
    training: bool = True,
    adapter: dict | None = None,
) -> FlopCount | None:
    """Measure the model of a configuration with this head; None where it cannot be measured.

    With an `adapter`, the gradients of the frozen weights are not computed, and not counted.

    Counted are matrix products and convolutions of the forward and, in `training`, the backward pass, two
    FLOPs per multiplication and addition. The count belongs to the architecture as transformers writes it,
    however a run computes it. It is solved from four shapes and has to hold at a fifth, that of the `longest`
    instance: an architecture may have another form. Meta tensors take no memory and no arithmetic,
    and leave all random generators alone.
    """
    try:
        model = _without_weights(config, head, adapter)
        first, second, third = (_measure(model, 1, factor * FIT_STEP, training) for factor in (1, 2, 3))
        two = _measure(model, 2, FIT_STEP, training)
        check = _measure(model, 3, longest, training)
    except Exception:  # models fail on meta tensors in many ways, and no run may fail for its ledger
        return None
    per_pair = (third - 2 * second + first) // (2 * FIT_STEP**2)
    per_token = (second - first) // FIT_STEP - 3 * FIT_STEP * per_pair
    per_instance = two - first - FIT_STEP * per_token - FIT_STEP**2 * per_pair
    count = FlopCount(2 * first - two, per_instance, per_token, per_pair)
    return count if count.of(1, 3, 3 * longest, 3 * longest**2) == check else None


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


def _measure(model: nn.Module, instances: int, length: int, training: bool) -> int:
    # Embeddings and no mask: models look for padding in ids and masks, and meta tensors hold no values.
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        embedded = model.get_input_embeddings()(torch.zeros((instances, length), dtype=torch.long))
        if "MultipleChoice" in type(model).__name__:
            # Instances of one choice each.
            embedded = embedded[:, None]
        outputs = model(inputs_embeds=embedded)
        if training:
            sum(values.sum() for name, values in outputs.items() if name.endswith("logits")).backward()
    return counter.get_total_flops()


@dataclass
class Workload:
    """What a run has computed: sums over the features of its batches."""

    batches: int = 0
    features: int = 0
    tokens: int = 0
    pairs: int = 0
    longest: int = 0

    def add(self, lengths: np.ndarray) -> None:
        """A batch of features of `lengths` tokens."""
        self.batches += 1
        self.features += len(lengths)
        self.tokens += int(lengths.sum())
        self.pairs += int(lengths @ lengths)
        self.longest = max(self.longest, int(lengths.max(initial=0)))

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

    def flops(
        self, config: PretrainedConfig, head: str, training: bool = True, adapter: dict | None = None
    ) -> int | None:
        """The ledger's measured FLOPs, on real tokens; None where `count_flops` has no count."""
        if not self.batches:
            return 0
        count = count_flops(config, self.longest, head, training, adapter)
        return count and count.of(self.batches, self.features, self.tokens, self.pairs)
