"""Encoders with a head for a kind of task: loading, precision, size."""

import os
from collections.abc import Sequence
from pathlib import Path

# Everything after the preparation of encoders reads local folders only.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch
import transformers
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMultipleChoice,
    AutoModelForQuestionAnswering,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from ..errors import ModelError
from .fast import speed_up

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


def load_classifier(
    folder: str | Path, label_names: Sequence[str], own_kernels: bool = True, problem: str | None = None
) -> nn.Module:
    """Load an encoder's folder with a classification head for `label_names`, weights in float32.

    `problem` tells transformers what the outputs are where they are no classes of which one is right. With
    `own_kernels`, it runs our own code for its architecture (`fast`), otherwise that of transformers.
    A head that the folder lacks is drawn from torch's global generator: seed it first.
    Raises ModelError where the folder cannot be loaded.
    """
    further = {"problem_type": problem} if problem else {}
    model = _load(AutoModelForSequenceClassification, folder, **_named(label_names), **further)
    _keep_head_in_float32(model, len(label_names))
    return speed_up(model) if own_kernels else model


def load_tagger(folder: str | Path, tags: Sequence[str], own_kernels: bool = True) -> nn.Module:
    """Load an encoder's folder with a head that gives every token one of `tags`; otherwise as
    `load_classifier`.
    """
    model = _load(AutoModelForTokenClassification, folder, **_named(tags))
    _keep_head_in_float32(model, len(tags))
    return speed_up(model, first_token=False) if own_kernels else model


def load_multiple_choice(folder: str | Path, own_kernels: bool = True) -> nn.Module:
    """Load an encoder's folder with a head that scores one choice; otherwise as `load_classifier`."""
    model = _load(AutoModelForMultipleChoice, folder)
    _keep_head_in_float32(model, 1)
    return speed_up(model) if own_kernels else model


def load_answerer(folder: str | Path, own_kernels: bool = True) -> nn.Module:
    """Load an encoder's folder with a head that scores every token as start and as end of an answer;
    otherwise as `load_classifier`.
    """
    model = _load(AutoModelForQuestionAnswering, folder)
    _keep_head_in_float32(model, 2)
    return speed_up(model, first_token=False) if own_kernels else model


def load_generator(folder: str | Path) -> nn.Module:
    """Load a causal or encoder-decoder language model, weights in float32. Raises ModelError where it cannot
    be loaded.
    """
    config = _load(AutoConfig, folder)
    return _load(AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM, folder)


def logits_of_next(model: nn.Module, inputs: dict[str, torch.Tensor], wanted: torch.Tensor) -> torch.Tensor:
    """Logits [wanted tokens, vocabulary] of those tokens [b, tokens] of the ids that are `wanted`, row after
    row, each from what stands before it; padding stands behind the tokens.

    The ids are those of the decoder where the model has an encoder too. The head computes no others: of a
    prompt none are needed. The ids need no mask, as no token sees what is behind. With `position_ids`
    [b, tokens], the rows of a batch lie end to end in it, each beginning at place 0, and a token sees those
    of its own row alone.
    """
    # The state at a token gives the logits of the next.
    states = torch.zeros_like(wanted)
    states[:, :-1] = wanted[:, 1:]
    head = getattr(model, "module", model).get_output_embeddings()
    hook = head.register_forward_pre_hook(lambda _, inputs: (inputs[0][states],))
    try:
        return model(**inputs, use_cache=False).logits
    finally:
        hook.remove()


def _named(labels: Sequence[str]) -> dict:
    """The settings of a head with an output for each of these labels."""
    return {
        "num_labels": len(labels),
        "id2label": dict(enumerate(labels)),
        "label2id": {name: index for index, name in enumerate(labels)},
    }


def _load(auto_class, folder: str | Path, **settings) -> nn.Module:
    try:
        return auto_class.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, local_files_only=True, **settings
        )
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"the encoder in {folder} cannot be loaded",
            got=str(error).strip().splitlines()[0],
            fix="delete the folder and let snakemake make it again",
        ) from error


def _keep_head_in_float32(model: nn.Module, classes: int) -> None:
    # Logits rounded to bfloat16 move p_true by up to 0.005; the last layer costs nothing in float32.
    heads = [
        layer for layer in model.modules() if isinstance(layer, nn.Linear) and layer.out_features == classes
    ]
    plain = heads[-1].forward

    def forward(inputs: torch.Tensor) -> torch.Tensor:
        with torch.autocast(inputs.device.type, enabled=False):
            return plain(inputs.float())

    heads[-1].forward = forward


def keep_layer_inputs_alone(model: nn.Module) -> None:
    """Have a model keep no more than the input of every layer for the backward pass (gradient checkpointing).

    Raises ModelError for an architecture that transformers cannot do this with.
    """
    if not model.supports_gradient_checkpointing:
        raise ModelError(
            f"a model of the kind {model.config.model_type} cannot compute its layers again",
            expected="an architecture with gradient checkpointing in transformers",
            fix="set runtime.gradient_checkpointing: false, and a smaller runtime.micro_batch_size",
        )
    model.activation_checkpointing_enable({"use_reentrant": False})


def parameter_counts(model: nn.Module) -> dict[str, int]:
    """Parameters in all, without input embeddings, and those that are trained, again without these."""
    embeddings = model.get_input_embeddings().weight
    total = sum(parameter.numel() for parameter in model.parameters())
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    return {
        "total": total,
        "without_embeddings": total - embeddings.numel(),
        "trained": trained - embeddings.numel() * embeddings.requires_grad,
    }
