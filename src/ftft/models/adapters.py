"""Adapters: small matrices that are trained beside an encoder's frozen weights (LoRA, Hu et al. 2021)."""

from collections.abc import Iterable

from ..errors import ModelError

# The part of an encoder that belongs to the head: pretrained for another task, or not at all.
POOLER = "pooler"
# peft writes the name of the adapter into those of its parameters, and leaves it out of its files.
NAMED = ".default."


def adapted_layers(encoder, targets: Iterable[str] | None) -> list[str]:
    """The names in `encoder` of the linear layers that `targets` name by their ends; all of them where it
    is None. Those of a pooler are no part of it.

    Raises ModelError for a target that names no linear layer.
    """
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    linear = [
        name
        for name, module in encoder.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and POOLER not in name.split(".")
    ]
    if targets is None:
        return linear
    chosen = {target: [name for name in linear if f".{name}".endswith(f".{target}")] for target in targets}
    for target, names in chosen.items():
        if not names:
            ends = sorted({name.rpartition(".")[2] for name in linear})
            raise ModelError(
                "the adapter is to change layers that the encoder does not have",
                got=f"the target {target!r}",
                expected=f"the end of a linear layer's name, such as {', '.join(ends)}",
                fix="correct the model's adapter.targets",
            )
    return [name for name in linear if any(name in names for names in chosen.values())]


def adapt(model, adapter: dict):
    """Freeze the encoder in `model` and put an adapter into it, in place: `kind`, `rank`, `alpha`, `dropout`
    and, where not all linear layers get one, `targets`. Head and pooler are trained whole, but for the head
    of a language model, which is pretrained and stays as it is.

    The adapter changes nothing at first: of its two factors one is drawn from torch's global generator, the
    other is 0. Returns the model. Raises ModelError for targets that the encoder does not have.
    """
    from peft import LoraConfig, inject_adapter_in_model
    from peft.tuners.lora import LoraLayer

    pretrained = model.get_output_embeddings()
    # A model such as T5's has no part without its head.
    prefix = "" if model.base_model is model else f"{model.base_model_prefix}."
    named = [prefix + name for name in adapted_layers(model.base_model, adapter.get("targets"))]
    layers = [name for name in named if model.get_submodule(name) is not pretrained]
    settings = LoraConfig(
        r=adapter["rank"],
        lora_alpha=adapter["alpha"],
        lora_dropout=adapter["dropout"],
        target_modules=layers,
    )
    inject_adapter_in_model(settings, model)
    kept = set() if pretrained is None else set(pretrained.parameters())
    for name, parameter in model.named_parameters():
        if (not name.startswith(prefix) or POOLER in name.split(".")) and parameter not in kept:
            parameter.requires_grad_(True)
    for module in model.modules():
        if isinstance(module, LoraLayer):
            # Under autocast its inputs would be made float32, and then bfloat16 again.
            module.cast_input_dtype_enabled = False
    return model


def is_adapted(model) -> bool:
    """Whether `adapt` has changed this model."""
    return hasattr(model, "peft_config")


def trained_state(model) -> dict:
    """The tensors of a model that a training may change, by name: all, or adapter and head. What several
    modules share, such as the embeddings of a language model and its head, is there once.
    """
    state = model.state_dict()
    own = dict(model.named_parameters())
    if is_adapted(model):
        return {name: state[name] for name, parameter in own.items() if parameter.requires_grad}
    shared = dict(model.named_parameters(remove_duplicate=False)).keys() - own.keys()
    return {name: tensor for name, tensor in state.items() if name not in shared}


def load_trained_state(model, state: dict) -> None:
    """Give a model what `trained_state` took of one like it; raises RuntimeError where that is not all."""
    missing = trained_state(model).keys() - state.keys()
    found = model.load_state_dict(state, strict=False)
    if missing or found.unexpected_keys:
        raise RuntimeError(
            f"not what a training changes of this model: {sorted(missing)[:3]}, {found.unexpected_keys[:3]}"
        )


def portable_state(model) -> dict:
    """The adapter and the head of a model, by the names that peft gives them in its files."""
    return {name.replace(NAMED, "."): tensor for name, tensor in trained_state(model).items()}


def load_portable_state(model, state: dict) -> None:
    """Give a model what `portable_state` took of one like it."""
    names = {name.replace(NAMED, "."): name for name in trained_state(model)}
    load_trained_state(model, {names.get(name, name): tensor for name, tensor in state.items()})


def merge(model):
    """Work the adapter into the encoder's weights, in place, so that nothing of it is left; returns the
    model.
    """
    from peft.tuners.lora import LoraLayer

    for name, module in list(model.named_modules()):
        if isinstance(module, LoraLayer):
            module.merge()
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, module.get_base_layer())
    del model.peft_config
    return model.requires_grad_(True)
