"""Models and the recipe that they are trained with."""

from typing import Annotated

from pydantic import ConfigDict, Field

from .. import registry
from .base import (
    AtLeastOne,
    Commit,
    Maybe,
    Number,
    OneOf,
    Package,
    Part,
    PlainText,
    Repository,
    Text,
    Whole,
    key,
)

TOKENIZERS = ("wordpiece", "unigram", "bpe")
ADAPTERS = ("lora",)
# The pretrained matrices are kept in bfloat16 too; as `models.precision`, which imports torch.
LOW_WEIGHTS = "bfloat16_weights"
PRECISIONS = ("auto", "float32", "bfloat16", LOW_WEIGHTS)
ROLES = (
    "deberta-v3-small",
    "deberta-v3-base",
    "deberta-v3-large",
    "electra-small",
    "electra-base",
    "electra-large",
    "bert-large",
    "roberta-large",
    "bert-tiny",
)
# Two keys for one thing: of each pair one is given, else the default applies.
ALTERNATIVES = (
    ("steps", "epochs", {"epochs": 4.0}),
    ("checkpoints", "checkpoint_every", {"checkpoints": 12}),
)


class Recipe(Part):
    """How a model is trained (paper, Appendix A.1)."""

    epochs: Maybe[Annotated[Number, Field(gt=0, le=100_000)]] = key(
        None,
        meaning="length of a run to its end: passes over all training data. Runs on a supervision take "
        "as many steps",
        shown="`4`, without `steps`",
    )
    steps: Maybe[Annotated[Whole, Field(ge=1)]] = key(
        None, meaning="the same length in optimiser steps, in place of `epochs`", shown="by `epochs`"
    )
    learning_rate: Annotated[Number, Field(gt=0)] = key(
        2.0e-5, meaning="peak learning rate of AdamW", shown="`2.0e-5`"
    )
    batch_size: Annotated[Whole, Field(ge=1)] = key(32, meaning="instances per step, over all devices")
    warmup_fraction: Annotated[Number, Field(ge=0, le=1)] = key(
        0.1, meaning="share of the planned steps with rising learning rate; it then falls linearly to 0"
    )
    weight_decay: Annotated[Number, Field(ge=0)] = key(0.0, meaning="AdamW's weight decay")
    adam_epsilon: Annotated[Number, Field(gt=0)] = key(1.0e-6, meaning="AdamW's epsilon", shown="`1.0e-6`")
    max_grad_norm: Annotated[Number, Field(gt=0)] = key(1.0, meaning="clipping of the global gradient norm")
    max_length: Annotated[Whole, Field(ge=4)] = key(300, meaning="tokens per instance, longer ones are cut")
    precision: Annotated[str, OneOf(lambda: PRECISIONS)] = key(
        "auto",
        meaning="`auto` (bfloat16 where the device has it), `float32`, `bfloat16` (computed in it, weights "
        "in float32), `bfloat16_weights` (the pretrained matrices kept in it too, with float32 masters of "
        "those that are trained: one process, transformers' code)",
    )
    batch_plan: Annotated[str, OneOf(lambda: registry.BATCH_PLANS)] = key(
        "random", meaning="`random` as in the paper, or `length_grouped` (less padding)"
    )
    checkpoints: Maybe[Annotated[Whole, Field(ge=1)]] = key(
        None, meaning="number of checkpoints in a run", shown="`12`, without `checkpoint_every`"
    )
    checkpoint_every: Maybe[Annotated[Whole, Field(ge=1)]] = key(
        None, meaning="steps between checkpoints, in place of `checkpoints`", shown="by `checkpoints`"
    )

    def overridden(self, own: "Recipe") -> "Recipe":
        """This recipe with the keys that `own` gives, complete."""
        shared, written = self.given(), own.given()
        for one, other, default in ALTERNATIVES:
            if one in written or other in written:
                shared = {name: value for name, value in shared.items() if name not in (one, other)}
            elif one not in shared and other not in shared:
                shared |= default
        return Recipe.model_validate({**shared, **written})


class Architecture(Part):
    """Keys of the transformers configuration class of `model_type`."""

    model_config = ConfigDict(extra="allow")

    model_type: PlainText = key(meaning="the family of the model, as transformers names it")


class Tokenizer(Part):
    """A tokenizer that is trained on the task's training texts."""

    kind: Annotated[str, OneOf(lambda: TOKENIZERS)] = key(meaning="`wordpiece`, `unigram` or `bpe`")
    vocab_size: Annotated[Whole, Field(ge=64)] = key(1000, meaning="number of tokens")


class Adapter(Part):
    """Small matrices that are trained in place of an encoder's weights."""

    kind: Annotated[str, OneOf(lambda: ADAPTERS)] = key(
        "lora",
        meaning="`lora` (Hu et al. 2021): to the weights of a layer the product of two factors is added",
    )
    rank: Annotated[Whole, Field(ge=1)] = key(8, meaning="columns of the one factor, rows of the other")
    alpha: Annotated[Number, Field(gt=0)] = key(
        16.0, meaning="the product counts alpha / rank times", shown="`16`"
    )
    dropout: Annotated[Number, Field(ge=0, lt=1)] = key(
        0.0, meaning="dropout of what the factors are given", shown="`0`"
    )
    targets: Maybe[AtLeastOne[Text]] = key(
        None,
        meaning="ends of the names of the layers that get one, e.g. `[query, value]`",
        shown="all linear layers of the encoder",
    )


class Model(Part):
    """An encoder: where it comes from, and what differs in its training."""

    source: Annotated[str, OneOf(lambda: registry.MODEL_SOURCES)] = key(
        meaning="`hub`, `folder`, `package` (a Python package that carries an encoder) or `scratch` "
        "(random weights)"
    )
    id: Maybe[Repository] = key(None, meaning="`hub`: the repository, as owner/name", shown="required there")
    revision: Maybe[Commit] = key(
        None,
        meaning="`hub`: pinned commit of 40 digits (branches and tags move, and are refused)",
        shown="required there",
    )
    path: Maybe[Text] = key(None, meaning="`folder`: a folder that `AutoModel` loads", shown="required there")
    package: Maybe[Package] = key(None, meaning="`package`: its import name", shown="required there")
    keep_layers: Maybe[Annotated[Whole, Field(ge=1)]] = key(
        None, meaning="keep the first so many layers of a pretrained encoder", shown="all"
    )
    architecture: Maybe[Architecture] = key(
        None,
        meaning="`scratch`: `model_type` and any keys of its transformers configuration",
        shown="required there",
    )
    tokenizer: Maybe[Tokenizer] = key(
        None,
        meaning="`scratch`: `kind` (`wordpiece`, `unigram`, `bpe`) and `vocab_size` (1000) of a "
        "tokenizer trained on the task's training texts",
        shown="required there",
    )
    separator: Maybe[Text] = key(
        None,
        meaning="text between the two texts of a pair, in place of what the tokenizer puts there",
        shown="the tokenizer's own, else its separator token, else its end token",
    )
    parameters_m: Maybe[Annotated[Number, Field(gt=0)]] = key(
        None,
        meaning="millions of parameters for the cost column; used if all models of a table have it",
        reruns="tables",
        shown="counted, without input embeddings",
    )
    stands_for: Maybe[Annotated[str, OneOf(lambda: ROLES)]] = key(
        None,
        meaning="the paper's model that this one plays the part of, e.g. `deberta-v3-large`; see \"The "
        "paper's tables\"",
        reruns="tables",
        shown="its own name",
    )
    adapter: Maybe[Adapter] = key(
        None,
        meaning="train an adapter and the head, and leave the encoder's own weights as they are, see below",
        reruns="its runs",
        shown="all weights are trained",
    )
    training: Recipe = key(
        Recipe, meaning="recipe keys that differ for this encoder", reruns="its runs", shown="none"
    )
