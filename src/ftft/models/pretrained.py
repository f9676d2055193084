"""Pretrained encoders and their tokenizers, as the files of their sources describe them."""

import json
import pickle
import re
from pathlib import Path

from ..errors import ModelError
from .origins import weight_files


def load_encoder(folder: Path, keep_layers: int | None = None, generates: bool = False):
    """The encoder in `folder` without heads, in float32, cut to its first `keep_layers` layers; with its head
    as a language model where it `generates`.

    Returns the model, and the names of those parameters of its pooler that the weights lack: they belong
    to the new head. Raises ModelError for weights that leave other parameters unfilled or hold more than
    tensors, and for an architecture that transformers does not have.
    """
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    weights = {name: tensor for file in weight_files(folder) for name, tensor in _read_tensors(file).items()}
    config = _read_config(folder, weights)
    if keep_layers is not None:
        if config.is_encoder_decoder:
            raise ModelError(
                f"keep_layers is for models with one stack of layers: {folder} has two",
                got=f"keep_layers: {keep_layers}, and a model of the kind {config.model_type}",
                expected="a model with an encoder or a decoder alone",
                fix="leave keep_layers out, or choose another model",
            )
        if keep_layers > config.num_hidden_layers:
            raise ModelError(
                f"keep_layers asks for more layers than {folder} has",
                got=keep_layers,
                expected=f"at most {config.num_hidden_layers}",
            )
        config.num_hidden_layers = keep_layers
    kind = generator_class(config) if generates else encoder_class(config)
    model, report = kind.from_pretrained(
        None,
        config=config,
        state_dict=weights,
        dtype=torch.float32,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
    )
    poolers = {name for name in report["missing_keys"] if name.startswith("pooler.")}
    reshaped = {name for name, *_ in report["mismatched_keys"]}
    if lacking := sorted((report["missing_keys"] - poolers) | reshaped):
        raise ModelError(
            f"the weights in {folder} do not fill the encoder that its config.json describes",
            got=f"{len(lacking)} parameters missing or of another shape: {', '.join(lacking[:5])}",
            expected="a pretrained weight for every parameter but a pooler's",
            fix="check that weights and config.json belong together",
        )
    return model, sorted(poolers)


def generator_class(config):
    """The causal or encoder-decoder language model of a configuration; raises ModelError where transformers
    has none.
    """
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING

    both = MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING
    mapping = both[config.is_encoder_decoder]
    if type(config) not in mapping:
        raise ModelError(
            f"a model of the kind {config.model_type} is no language model that generates texts",
            got=f"model_type {config.model_type}",
            expected="one such as gpt2, llama, qwen2 or mistral, or with an encoder and a decoder t5 or bart",
            fix="choose another model, or another kind of task",
        )
    return mapping[type(config)]


def encoder_class(config):
    """The class of transformers that a configuration's encoder without heads is of."""
    from transformers import MODEL_MAPPING

    kind = MODEL_MAPPING[type(config)]
    # Funnel has two: the last is without its decoder, as its classifier is.
    return kind[-1] if isinstance(kind, tuple) else kind


def _read_tensors(file: Path) -> dict:
    import torch
    from safetensors.torch import load_file

    if file.suffix == ".safetensors":
        return load_file(file)
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        called = re.search(r"GLOBAL (\S+)", str(error))
        raise ModelError(
            f"{file} is refused: it cannot be read as tensors alone",
            got=f"a pickle that calls {called[1]}" if called else "a torn pickle",
            expected="tensors only: anything else in a pickle is code, which is never run",
            fix="choose a revision that has model.safetensors",
        ) from error


def _read_config(folder: Path, weights: dict):
    from transformers import CONFIG_MAPPING

    values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    code = values.pop("auto_map", None)
    # The oldest configurations name no kind; their weights do: "bert.embeddings.word_embeddings.weight".
    roots = {name.partition(".")[0] for name in weights if "word_embeddings" in name}
    kind = values.setdefault("model_type", min(roots, default=None))
    if kind not in CONFIG_MAPPING:
        raise ModelError(
            f"the encoder in {folder} is of no kind that transformers has",
            got=f"model_type {kind}" + (", with code of its own, which is never run" if code else ""),
            expected="a config.json with a model_type of transformers",
        )
    return CONFIG_MAPPING[kind].from_dict(values)


def load_tokenizer(folder: Path, config, chat: bool = False):
    """The tokenizer in `folder`, in a class that saves and loads its tokenizer.json unchanged; with its chat
    template where `chat` asks for it.

    A tokenizer.json of the source is kept as it is; where there are only vocabulary files, transformers
    makes one. Raises ModelError where none can be made.
    """
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    whole, pieces = folder / "tokenizer.json", folder / "spm.model"
    only_pieces = config.model_type == "deberta-v2" and pieces.is_file() and not whole.is_file()
    sentencepiece = _read_sentencepiece(pieces) if only_pieces else None
    described = AutoTokenizer.from_pretrained(
        folder, config=config, trust_remote_code=False, local_files_only=True
    )
    if not whole.is_file() and not hasattr(described, "backend_tokenizer"):
        raise ModelError(
            f"the tokenizer in {folder} has no fast form",
            got=type(described).__name__,
            expected="a tokenizer that transformers converts to tokenizer.json",
        )
    backend = Tokenizer.from_file(str(whole)) if whole.is_file() else described.backend_tokenizer
    if sentencepiece is not None:
        _complete(backend, sentencepiece, described.do_lower_case)
    template = {"chat_template": described.chat_template} if chat and described.chat_template else {}
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        **template,
        model_max_length=described.model_max_length,
        model_input_names=described.model_input_names,
        **described.special_tokens_map,
    )


def _read_sentencepiece(file: Path):
    try:
        from sentencepiece.sentencepiece_model_pb2 import ModelProto
    except ImportError as error:
        raise ModelError(
            f"{file} cannot be converted to tokenizer.json",
            got=error,
            fix="pip install sentencepiece protobuf",
        ) from error
    return ModelProto.FromString(file.read_bytes())


def _complete(backend, sentencepiece, lowercase: bool) -> None:
    """Give a DeBERTa's converted tokenizer what transformers 5 leaves out: normalisation and byte pieces.

    Its tokens then are SentencePiece's own, but for combining marks (and conjoining Hangul) after
    compatibility characters, and for text that spells out a byte piece such as <0x41>.
    """
    from tokenizers import Regex, models, normalizers

    backend.model = models.Unigram(
        [(piece.piece, piece.score) for piece in sentencepiece.pieces],
        unk_id=sentencepiece.trainer_spec.unk_id,
        byte_fallback=sentencepiece.trainer_spec.byte_fallback,
    )
    steps = [normalizers.Lowercase()] if lowercase else []
    if sentencepiece.normalizer_spec.precompiled_charsmap:
        steps.append(normalizers.Precompiled(sentencepiece.normalizer_spec.precompiled_charsmap))
    steps += [normalizers.Replace(Regex("^ +| +$"), ""), normalizers.Replace(Regex(" {2,}"), " ")]
    backend.normalizer = normalizers.Sequence(steps)
