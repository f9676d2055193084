"""Trained models on disk: whole ones as transformers has them; of adapted ones adapter and head alone."""

import json
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import nn

from ..artifacts import (
    MODEL_FILES,
    WEIGHTS,
    file_hashes,
    read_folder,
    read_json,
    write_json,
)
from ..models.adapters import POOLER, adapt, load_portable_state, merge, portable_state
from ..replacing import replacing_files
from ..tasks.base import Kind

CONFIG = "config.json"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
PROVENANCE = "provenance.json"
# What peft calls the file, and puts before the names of a model's parameters.
ADAPTER_WEIGHTS = "adapter_model.safetensors"
PEFT_PREFIX = "base_model.model."
# What peft calls the kinds of task, by what transformers calls their heads.
PEFT_TASKS = {
    "SequenceClassification": "SEQ_CLS",
    "TokenClassification": "TOKEN_CLS",
    "QuestionAnswering": "QUESTION_ANS",
    "CausalLM": "CAUSAL_LM",
    "Seq2SeqLM": "SEQ_2_SEQ_LM",
}


def save_model(model: nn.Module, run: dict, adapter: dict | None, encoder: Path, folder: Path) -> None:
    """Leave a folder that transformers' Auto classes for the kind of task and AutoTokenizer load; of an
    adapted model, what `load_model` puts on its `encoder` again, and Auto classes refuse.

    Its configuration says which run the files are of, by which adapter, and their hashes.
    """
    with replacing_files(folder) as temporary:
        if adapter:
            config = {}
            save_file(_contiguous(portable_state(model)), temporary / WEIGHTS, {"format": "pt"})
        else:
            model.save_pretrained(temporary, max_shard_size="100GB")
            config = json.loads((temporary / CONFIG).read_text(encoding="utf-8"))
        for name in TOKENIZER_FILES:
            (temporary / name).write_bytes((encoder / name).read_bytes())
        files = file_hashes(temporary, [name for name in MODEL_FILES if name != CONFIG])
        ours = {"run": run, "adapter": adapter} if adapter else {"run": run}
        write_json(temporary / CONFIG, {**config, "ftft": ours}, files, place=folder / CONFIG)


def load_model(
    kind: Kind, folder: Path, encoder: Path | None, label_names: list[str], own_kernels: bool
) -> nn.Module:
    """The model that `save_model` left in `folder`; where it is an adapter, on the encoder in `encoder`."""
    adapter = read_json(folder / CONFIG)["ftft"].get("adapter")
    if adapter is None:
        return kind.load(folder, label_names, own_kernels)
    read_folder(encoder / PROVENANCE)
    model = adapt(kind.load(encoder, label_names, own_kernels), adapter)
    load_portable_state(model, load_file(folder / WEIGHTS))
    return model


def write_merged(
    kind: Kind, folder: Path, encoder: Path, label_names: list[str], base: dict, merged: Path, alone: Path
) -> None:
    """Leave in `merged` the whole model of the adapter in `folder`, and in `alone` what peft loads: the
    adapter, with the `name` and `revision` of its `base`.
    """
    model = load_model(kind, folder, encoder, label_names, own_kernels=False)
    state = portable_state(model)
    settings = model.peft_config["default"]
    settings.task_type = PEFT_TASKS.get(kind.head_of(model.config.is_encoder_decoder))
    settings.base_model_name_or_path, settings.revision = base["name"], base.get("revision")
    settings.modules_to_save = sorted({_module_of(name) for name in state if ".lora_" not in name})
    settings.inference_mode = True
    settings.save_pretrained(alone)
    weights = {PEFT_PREFIX + name: tensor for name, tensor in state.items()}
    save_file(_contiguous(weights), alone / ADAPTER_WEIGHTS, {"format": "pt"})
    merge(model).save_pretrained(merged, max_shard_size="100GB")
    for name in TOKENIZER_FILES:
        (merged / name).write_bytes((folder / name).read_bytes())


def _module_of(name: str) -> str:
    """The module that a parameter of the head is in, as peft is told of it."""
    parts = name.split(".")
    return POOLER if POOLER in parts else parts[0]


def _contiguous(state: dict) -> dict:
    return {name: tensor.detach().contiguous() for name, tensor in state.items()}
