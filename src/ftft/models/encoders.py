"""Encoders as local folders: whatever the source, training reads config.json, weights and tokenizer.json."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from ..artifacts import MODEL_FILES, file_hashes, write_json
from ..data.dataset import Dataset
from ..errors import FtftError, ModelError
from .adapters import adapted_layers
from .checks import (
    CHECKED_PARAMETERS,
    check_causal,
    check_classifier,
    has_head,
    refuse_pointers,
    require_head,
    require_length,
    require_vocabulary,
)
from .origins import description_files, locate, require_tokenizer, weight_files
from .pretrained import encoder_class, generator_class, load_encoder, load_tokenizer
from .settling import (
    set_option,
    settle_decoder_start,
    settle_end,
    settle_padding,
    settle_pairs,
    settle_response_end,
)
from .vocabulary import SPECIAL_TOKENS, train_tokenizer

INITIALISATION_SEED = 0
CLASSIFIER, GENERATOR = "SequenceClassification", "CausalLM"
# Of tokenizers that are made here: a line for each message.
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


def prepare_encoder(spec: dict, train: Dataset | None, folder: str | Path) -> None:
    """Leave an encoder in `folder`: float32 safetensors without a head, configuration, fast tokenizer; where
    the `head` is CausalLM, a causal or encoder-decoder language model with it.

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
    files = [*description_files(source), *weight_files(source)]
    refuse_pointers(files)
    require_tokenizer(source)
    generates = spec.get("head") == GENERATOR
    model, poolers = load_encoder(source, spec.get("keep_layers"), generates)
    tokenizer = load_tokenizer(source, model.config, generates)
    _finish(spec, model, tokenizer, folder, poolers)
    commit = {"commit": source.name} if spec["source"] == "hub" else {}
    return {**commit, "read": _hashes(files), "left_to_the_head": poolers}


def _build(spec: dict, train: Dataset, folder: Path) -> dict:
    import torch
    from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

    generates = spec.get("head") == GENERATOR
    types = [] if generates else ["token_type_ids"]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=train_tokenizer(train, **spec["tokenizer"]),
        model_input_names=["input_ids", *types, "attention_mask"],
        **{f"{role}_token": token for role, token in SPECIAL_TOKENS.items()},
    )
    ends = {"bos_token_id": tokenizer.cls_token_id, "eos_token_id": tokenizer.sep_token_id}
    config = AutoConfig.for_model(
        **spec["architecture"],
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        **(ends if generates else {}),
    )
    if config.is_encoder_decoder:
        config.eos_token_id = tokenizer.sep_token_id
    # Where there are several, AutoModel wants to be told which.
    config.architectures = [encoder_class(config).__name__]
    torch.manual_seed(INITIALISATION_SEED)
    if generates:
        tokenizer.chat_template = CHAT_TEMPLATE
        model = generator_class(config)._from_config(config, dtype=torch.float32)
    else:
        model = AutoModel.from_config(config, dtype=torch.float32)
    _finish(spec, model, tokenizer, folder)
    return {"seed": INITIALISATION_SEED}


def _finish(spec: dict, model, tokenizer, folder: Path, poolers: Iterable[str] = ()) -> None:
    """Settle what tokenizer and configuration leave open, refuse what cannot be trained, and save."""
    generates = spec.get("head") == GENERATOR
    if not generates:
        require_head(model.config, spec.get("head", CLASSIFIER))
    adapted_layers(model, spec.get("targets"))
    require_vocabulary(model, tokenizer)
    require_length(model, tokenizer, spec["max_length"])
    if generates:
        check_causal(model, tokenizer)
        settle_response_end(model, tokenizer)
    settle_padding(model.config, tokenizer)
    settle_decoder_start(model)
    if not generates:
        settle_end(model.config, tokenizer)
    settle_pairs(tokenizer, spec.get("separator"))
    # Their classifiers read the state at the end token, and fail where a text spells another.
    if model.config.is_encoder_decoder and not generates:
        set_option(tokenizer, "split_special_tokens", True)
    _save(model, tokenizer, folder, without=poolers)
    untrained = spec["source"] == "scratch"
    checked = not generates and has_head(model.config, CLASSIFIER)
    if not checked or model.num_parameters() > CHECKED_PARAMETERS:
        return
    if check_classifier(folder, tokenizer, poolers, untrained):
        return
    set_option(tokenizer, "padding_side", "left")
    tokenizer.save_pretrained(folder)
    if not check_classifier(folder, tokenizer, poolers, untrained):
        raise ModelError(
            f"a model of the kind {model.config.model_type} does not mask padding",
            got="other logits for a row in a batch of unequal lengths than for the row alone",
            expected="the same: what is predicted of a row must not depend on its batch",
            fix="choose another model",
        )


def _save(model, tokenizer, folder: Path, without: Iterable[str] = ()) -> None:
    weights = {name: tensor for name, tensor in model.state_dict().items() if name not in without}
    # transformers would give names of its first checkpoints (LayerNorm.gamma) back to what came with them.
    model.save_pretrained(folder, state_dict=weights, max_shard_size="100GB", save_original_format=False)
    # A chat template in a file of its own would be left behind.
    tokenizer.save_pretrained(folder, save_jinja_files=False)


def _hashes(files: Iterable[Path]) -> dict[str, str]:
    hashes = {}
    for path in files:
        with open(path, "rb") as file:
            hashes[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return hashes
