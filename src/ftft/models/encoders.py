"""Encoders as local folders: whatever the source, training reads config.json, weights and tokenizer.json."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from ..artifacts import MODEL_FILES, file_hashes, write_json
from ..data.dataset import Dataset
from ..errors import FtftError, ModelError
from .origins import description_files, locate, weight_files
from .pretrained import load_encoder, load_tokenizer
from .vocabulary import SPECIAL_TOKENS, train_tokenizer

INITIALISATION_SEED = 0


def prepare_encoder(spec: dict, train: Dataset | None, folder: str | Path) -> None:
    """Leave an encoder in `folder`: float32 safetensors without a head, configuration, fast tokenizer.

    `spec` is the model's slice of the configuration. `scratch` encoders get random weights and a
    tokenizer trained on the texts of `train`; `hub`, `folder` and `package` ones keep their weights, cut
    to the first `keep_layers` layers where that is asked for. The same files give the same bytes.
    provenance.json says what was read, under which hash and hub commit, and the hashes of what is written.
    Raises ModelError for an encoder that cannot be found, loaded or built.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        origin = _build(spec, train, folder) if spec["source"] == "scratch" else _convert(spec, folder)
    except FtftError:
        raise
    except Exception as error:  # transformers raises many kinds, all of them the user's to mend
        name = spec.get("id") or spec.get("path") or spec.get("package") or "scratch"
        raise ModelError(
            f"the encoder '{name}' cannot be prepared",
            got=f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}",
            expected="an encoder that transformers' AutoModel and AutoTokenizer load",
            fix="check the model's entry under models",
        ) from error
    write_json(folder / "provenance.json", {**spec, **origin}, file_hashes(folder, MODEL_FILES))


def _convert(spec: dict, folder: Path) -> dict:
    source = locate(spec)
    model, poolers = load_encoder(source, spec.get("keep_layers"))
    tokenizer = load_tokenizer(source, model.config)
    _check_length(model, tokenizer, spec["max_length"])
    _save(model, tokenizer, folder, without=poolers)
    commit = {"commit": source.name} if spec["source"] == "hub" else {}
    read = _hashes([*description_files(source), *weight_files(source)])
    return {**commit, "read": read, "left_to_the_head": poolers}


def _build(spec: dict, train: Dataset, folder: Path) -> dict:
    import torch
    from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=train_tokenizer(train, **spec["tokenizer"]),
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        **{f"{role}_token": token for role, token in SPECIAL_TOKENS.items()},
    )
    config = AutoConfig.for_model(
        **spec["architecture"], vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id
    )
    torch.manual_seed(INITIALISATION_SEED)
    model = AutoModel.from_config(config, dtype=torch.float32)
    _check_length(model, tokenizer, spec["max_length"])
    _save(model, tokenizer, folder)
    return {"seed": INITIALISATION_SEED}


def _check_length(model, tokenizer, max_length: int) -> None:
    """Refuse inputs longer than the encoder's positions reach; relative positions have no end."""
    if getattr(model.config, "relative_attention", False):
        return
    # RoBERTa counts positions from behind the padding's id.
    table = getattr(getattr(model, "embeddings", None), "position_embeddings", None)
    padding = getattr(table, "padding_idx", None)
    reserved = 0 if padding is None else padding + 1
    limit = min(model.config.max_position_embeddings - reserved, tokenizer.model_max_length)
    if max_length > limit:
        raise ModelError(
            "max_length is longer than the encoder's inputs may be",
            got=max_length,
            expected=f"at most {limit}",
            fix="lower training.max_length for this model",
        )


def _save(model, tokenizer, folder: Path, without: Iterable[str] = ()) -> None:
    weights = {name: tensor for name, tensor in model.state_dict().items() if name not in without}
    # transformers would give names of its first checkpoints (LayerNorm.gamma) back to what came with them.
    model.save_pretrained(folder, state_dict=weights, max_shard_size="100GB", save_original_format=False)
    tokenizer.save_pretrained(folder)


def _hashes(files: Iterable[Path]) -> dict[str, str]:
    hashes = {}
    for path in files:
        with open(path, "rb") as file:
            hashes[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return hashes
