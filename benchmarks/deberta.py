"""DeBERTaV3's layers at the paper's lengths: our attention beside transformers' and disentangled-flash's."""

import copy
from collections.abc import Callable
from importlib.util import find_spec

import torch
from torch import nn
from transformers import DebertaV2Config, DebertaV2ForSequenceClassification

from ftft.models.fast import speed_up
from ftft.models.precision import supports_bfloat16

from .harness import Work, interleave
from .options import Options
from .report import Row, Table, compared

# DeBERTaV3-base but for the vocabulary, which no layer sees.
BASE = {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "num_hidden_layers": 12}
SMALLEST = {"hidden_size": 128, "intermediate_size": 256, "num_attention_heads": 2, "num_hidden_layers": 2}
V3 = {
    "relative_attention": True,
    "position_buckets": 256,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": ["p2c", "c2p"],
    "max_position_embeddings": 512,
    "type_vocab_size": 0,
    "position_biased_input": False,
    "layer_norm_eps": 1e-7,
    "num_labels": 3,
    "pad_token_id": 0,
}
LENGTHS = (40, 88, 128)
BATCH_SIZE = 16
GOAL_PART = "One layer"
STOCK, FAST, FLASH = "transformers", "ours", "disentangled-flash, torch backend"


def classifier(shape: dict, vocabulary: int) -> nn.Module:
    """A DeBERTaV3 classifier with random weights as transformers makes it."""
    torch.manual_seed(0)
    return DebertaV2ForSequenceClassification(
        DebertaV2Config(**V3, **shape, pooler_hidden_size=shape["hidden_size"], vocab_size=vocabulary)
    )


def models(shape: dict) -> dict[str, nn.Module]:
    """The same random weights under each implementation."""
    stock = classifier(shape, vocabulary=1000).train()
    found = {STOCK: stock, FAST: speed_up(copy.deepcopy(stock))}
    if find_spec("disentangled_flash"):
        from disentangled_flash import optimize_deberta_training

        found[FLASH] = copy.deepcopy(stock)
        optimize_deberta_training(found[FLASH].deberta, backend="torch")
    return found


def run(options: Options) -> list[Table]:
    """Forward and backward passes per CPU second, in training mode with dropout 0.1."""
    torch.set_num_threads(options.threads)
    shape = SMALLEST if options.quick else BASE
    found = models(shape)
    size = "{num_hidden_layers} layers, hidden size {hidden_size}, {num_attention_heads} heads".format(
        **shape
    )
    precisions = ["fp32", *(["bf16"] if supports_bfloat16(torch.device("cpu")) else [])]
    tables = []
    for part, works in PARTS.items():
        rows = []
        for length in LENGTHS[:1] if options.quick else LENGTHS:
            for precision in precisions:
                goal = 2 if part == GOAL_PART and length == LENGTHS[0] else None
                rows += _rows(works(found, length), precision, length, goal, options)
        tables.append(Table(part, rows, [f"{NOTES[part]} {size}; batch {BATCH_SIZE}."]))
    return tables


def _rows(
    passes: dict[str, Callable], precision: str, length: int, goal: float | None, options: Options
) -> list[Row]:
    def work(step: Callable) -> Work:
        def timed() -> int:
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
                output = step()
            output.float().square().sum().backward()
            return BATCH_SIZE

        return timed

    variants = {f"{name}, {precision}, {length} tokens": work(step) for name, step in passes.items()}
    runs = interleave(variants, options.repeats(5))
    stock, ours, *others = variants
    return [
        compared(runs, ours, stock, goal, unit="rows"),
        *(compared(runs, other, stock, unit="rows") for other in others),
    ]


def _inputs(length: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, 1000, (BATCH_SIZE, length), generator=generator)
    # A length-grouped batch: its rows are within a few tokens of the longest.
    lengths = torch.linspace(0.9 * length, length, BATCH_SIZE).round()
    mask = (torch.arange(length)[None] < lengths[:, None]).long()
    return {"input_ids": ids * mask, "attention_mask": mask}


def _whole(found: dict[str, nn.Module], length: int) -> dict[str, Callable]:
    inputs = _inputs(length)
    return {name: lambda model=model: model(**inputs).logits for name, model in found.items()}


def _layer(found: dict[str, nn.Module], length: int) -> dict[str, Callable]:
    return {name: _pass(found[name], length, lambda layer: layer) for name in (STOCK, FAST)}


def _attention(found: dict[str, nn.Module], length: int) -> dict[str, Callable]:
    return {name: _pass(found[name], length, lambda layer: layer.attention.self) for name in (STOCK, FAST)}


def _pass(model: nn.Module, length: int, part_of: Callable) -> Callable:
    encoder = model.deberta.encoder
    hidden = torch.randn(BATCH_SIZE, length, model.config.hidden_size, requires_grad=True)
    mask = encoder.get_attention_mask(_inputs(length)["attention_mask"])
    position = encoder.get_rel_pos(hidden)
    table = encoder.get_rel_embedding().detach().requires_grad_()
    part = part_of(encoder.layer[0])
    return lambda: part(hidden, mask, relative_pos=position, rel_embeddings=table)[0]


PARTS = {"Attention": _attention, "One layer": _layer, "The whole classifier": _whole}
NOTES = {
    "Attention": "Disentangled self-attention with its projections.",
    "One layer": "Attention, output and feed-forward layer.",
    "The whole classifier": "All layers with the head. Ours computes the last layer for the first token"
    " alone, which is all that the head reads.",
}
