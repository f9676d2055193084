"""What a tokenizer leaves open and a classifier needs: a padding token, and a border between two texts."""

import logging

from ..errors import ModelError

logger = logging.getLogger(__name__)


def bare(tokenizer):
    """A copy of the `tokenizers` object inside a tokenizer that neither pads nor cuts."""
    from tokenizers import Tokenizer

    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    backend.no_padding()
    backend.no_truncation()
    return backend


def set_option(tokenizer, name: str, value: object) -> None:
    """Set an option of a tokenizer so that its tokenizer_config.json says it too."""
    setattr(tokenizer, name, value)
    tokenizer.init_kwargs[name] = value


def settle_padding(config, tokenizer) -> None:
    """Give `config` the id that batches are padded with, and `tokenizer` that token, on the right.

    It is the configuration's own where that is an id, else the tokenizer's padding token, else its end token;
    padding is masked everywhere. A classifier of a decoder reads the last token that is not this id, so that
    no text may end in it: where the tokenizer ends texts so, it is another special token.
    Raises ModelError where there is none.
    """
    settings = config.get_text_config()
    last = (bare(tokenizer).encode("a").ids or [None])[-1]
    own = settings.pad_token_id
    rows = getattr(settings, "vocab_size", None) or len(tokenizer)
    known = [own if isinstance(own, int) and 0 <= own < rows else None]
    known += [tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id, tokenizer.bos_token_id]
    ids = [number for number in known if number is not None and number != last]
    if not ids:
        raise ModelError(
            "the encoder's tokenizer has no token to pad with",
            got="no padding token, and no end token that texts do not end in",
            expected="a pad_token in tokenizer_config.json",
            fix="name one there: any special token that stands at no text's end",
        )
    settings.pad_token_id = config.pad_token_id = ids[0]
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(ids[0])
    set_option(tokenizer, "padding_side", "right")


def settle_decoder_start(model) -> None:
    """Name the token that an encoder-decoder's decoder begins with: the padding, as T5 was pretrained, where
    the configuration names none. Other kinds are left as they are.
    """
    config = model.config
    if not config.is_encoder_decoder:
        return
    if getattr(config, "decoder_start_token_id", None) is None:
        config.decoder_start_token_id = config.pad_token_id
    settings = getattr(model, "generation_config", None)
    if settings is not None:
        settings.decoder_start_token_id = config.decoder_start_token_id


def settle_end(config, tokenizer) -> None:
    """Have texts end in the token that an encoder-decoder's classifier looks for.

    Other kinds are left as they are. Raises ModelError where the tokenizer ends no text in a special token.
    """
    if not config.is_encoder_decoder:
        return
    ids = bare(tokenizer).encode("a").ids
    if config.eos_token_id in ids:
        return
    if not ids or ids[-1] not in tokenizer.all_special_ids:
        raise ModelError(
            "the encoder's tokenizer does not end texts in the token that the classifier reads",
            got=f"the tokens {bare(tokenizer).encode('a').tokens} of the text 'a'",
            expected=f"the id {config.eos_token_id} at the end, which config.json calls eos_token_id",
            fix="use the tokenizer that the model was pretrained with",
        )
    logger.warning(
        "the tokenizer ends texts in %r, not in config.json's eos_token_id %s: the classifier reads there",
        tokenizer.convert_ids_to_tokens(ids[-1]),
        config.eos_token_id,
    )
    config.eos_token_id = ids[-1]


def settle_response_end(model, tokenizer) -> None:
    """Give a language model and its tokenizer one token that ends a response; none ends the prompt of a
    causal model, which goes on with the response.

    It is the tokenizer's end token, else its separator token. Raises ModelError where there is neither.
    """
    from tokenizers import processors

    token = tokenizer.eos_token or tokenizer.sep_token
    if token is None:
        raise ModelError(
            "the model's tokenizer has no token that ends a response",
            got="neither an end token nor a separator token",
            expected="an eos_token in tokenizer_config.json",
            fix="name one there: a special token that stands in no text",
        )
    tokenizer.eos_token = token
    for settings in (model.config, model.generation_config):
        settings.eos_token_id = tokenizer.eos_token_id
    if model.config.is_encoder_decoder:
        return
    frame = bare(tokenizer).encode("a")
    if frame.ids and frame.sequence_ids[-1] is None:
        before = frame.tokens[: next(place for place, part in enumerate(frame.sequence_ids) if part == 0)]
        numbers = dict(zip(frame.tokens, frame.ids, strict=True))
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single=[*before, "$A"],
            pair=[*before, "$A", "$B:1"],
            special_tokens=[(token, numbers[token]) for token in dict.fromkeys(before)],
        )


def settle_pairs(tokenizer, separator: str | None) -> None:
    """Have `tokenizer` put something between the two texts of a pair, where it runs them together.

    That is the text `separator`, else its separator token, else its end token. With a `separator`, pairs are
    joined by it whatever the tokenizer does of itself. Raises ModelError where there is nothing to join by.
    """
    from tokenizers import processors

    backend = bare(tokenizer)
    if separator is None and _separates(backend.encode("a", "a").sequence_ids):
        return
    single = backend.encode("a")
    inner = [place for place, sequence in enumerate(single.sequence_ids) if sequence is not None]
    first, last = (inner[0], inner[-1] + 1) if inner else (0, 0)
    token = tokenizer.sep_token or tokenizer.eos_token
    if separator is not None:
        ids = backend.encode(separator, add_special_tokens=False).ids
    else:
        ids = [] if token is None else [backend.token_to_id(token)]
    if not ids:
        raise ModelError(
            "the encoder's tokenizer runs the two texts of a pair together",
            got="neither a separator token nor an end token",
            expected="something between them",
            fix='give the model a separator, for example: separator: "\\n"',
        )
    parts = {"<start>": single.ids[:first], "<between>": ids, "<end>": single.ids[last:]}
    names = {part: part if numbers else "" for part, numbers in parts.items()}
    template = [names["<start>"], "$A", names["<between>"], "$B", names["<end>"]]
    pair = [part for part in template if part]
    special = [
        {"id": part, "ids": numbers, "tokens": [backend.id_to_token(number) for number in numbers]}
        for part, numbers in parts.items()
        if numbers
    ]
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=[part for part in pair if part not in ("$B", "<between>")], pair=pair, special_tokens=special
    )


def _separates(sequences: list[int | None]) -> bool:
    return 1 in sequences and None in sequences[sequences.index(0) : sequences.index(1)]
