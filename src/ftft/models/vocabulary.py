"""Tokenizers of encoders with random weights, made from the task's own training texts."""

import math
from collections import Counter
from itertools import chain

from ..data.dataset import Dataset

SPECIAL_TOKENS = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}


def train_tokenizer(train: Dataset, kind: str, vocab_size: int):
    """Make a `tokenizers` tokenizer of `kind` wordpiece, unigram or bpe from the texts of `train`, and its
    targets where these are texts.

    wordpiece and unigram: single characters and the most frequent words, up to `vocab_size` pieces.
    The library's own trainers for these two break ties differently in every process.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    special = list(SPECIAL_TOKENS.values())
    # Targets that are texts are what a model is to write.
    written = train.labels if isinstance(train.labels[0], str) else ()
    values = chain.from_iterable([*train.texts, written])
    texts = [text for value in values for text in ([value] if isinstance(value, str) else value)]
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
