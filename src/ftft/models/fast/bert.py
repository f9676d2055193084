"""BERT, RoBERTa and ELECTRA classifiers without padding: the same function, exact and faster.

On a CPU the layers see the real tokens of a batch end to end, [tokens, hidden]; attention alone sees grids
[rows, width], each of rows of like length. Elsewhere the padded grid stays, for packing it would make
the host wait for the device. A classifier reads the first token alone, so that the last layer computes no
other.
"""

import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.checkpoint import checkpoint
from transformers import (
    BertForSequenceClassification,
    ElectraForSequenceClassification,
    RobertaForSequenceClassification,
)
from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions
from transformers.models.bert.modeling_bert import BertEncoder
from transformers.models.electra.modeling_electra import ElectraEncoder
from transformers.models.roberta.modeling_roberta import RobertaEncoder

from .packed import PackedBatch


def read_first_token(model: nn.Module) -> nn.Module:
    """Switch the encoder of a BERT, RoBERTa or ELECTRA classifier in place; leave any other model as it is.

    Its last hidden state is then the first token's alone, [batch, 1, hidden]. Parameters, their names and
    saved files stay as they are.
    """
    if isinstance(model, CLASSIFIERS) and not model.config.is_decoder:
        encoder = model.base_model.encoder
        encoder.__class__ = FAST_ENCODERS.get(type(encoder), type(encoder))
    return model


class FirstTokenEncoder:
    """The stock encoder's forward pass up to the first token's last state; asked for more, the stock code."""

    def forward(self, hidden_states, attention_mask=None, **options):
        """Encode `hidden_states` [batch, width, hidden] under the mask that sdpa takes: None or
        [batch, 1, queries, keys] of bool."""
        batch = None if self._needs_stock(options) else _batch(hidden_states, attention_mask)
        if batch is None:
            return super().forward(hidden_states, attention_mask, **options)
        states = batch.tokens(hidden_states)
        for layer in self.layer[:-1]:
            states = self._through(layer, states, states, batch)
        states = self._through(self.layer[-1], batch.first(states), states, batch)
        return BaseModelOutputWithPastAndCrossAttentions(last_hidden_state=batch.in_order(states)[:, None])

    def _through(self, layer, queried, states, batch):
        if not (self.training and layer.gradient_checkpointing):
            return _layer(layer, queried, states, batch)
        return checkpoint(_layer, layer, queried, states, batch, use_reentrant=False)

    def _needs_stock(self, options: dict) -> bool:
        return (
            self.config._attn_implementation != "sdpa"
            or any(options.get(name, getattr(self.config, name, False)) for name in _OUTPUTS)
            or any(options.get(name) is not None for name in _DECODING)
        )


_OUTPUTS = ("output_attentions", "output_hidden_states")
_DECODING = ("encoder_hidden_states", "past_key_values")


class FastBertEncoder(FirstTokenEncoder, BertEncoder):
    """BERT's."""


class FastRobertaEncoder(FirstTokenEncoder, RobertaEncoder):
    """RoBERTa's."""


class FastElectraEncoder(FirstTokenEncoder, ElectraEncoder):
    """ELECTRA's."""


CLASSIFIERS = (
    BertForSequenceClassification,
    RobertaForSequenceClassification,
    ElectraForSequenceClassification,
)
FAST_ENCODERS = {
    BertEncoder: FastBertEncoder,
    RobertaEncoder: FastRobertaEncoder,
    ElectraEncoder: FastElectraEncoder,
}


def _layer(layer, queried, states, batch):
    # The layer's output for the tokens `queried` [queries, hidden]; they attend to `states` [tokens, hidden].
    attention = layer.attention.self
    rate = attention.dropout.p if layer.training else 0.0
    context = batch.attend(
        attention.query(queried),
        attention.key(states),
        attention.value(states),
        attention.num_attention_heads,
        rate,
    )
    return layer.feed_forward_chunk(layer.attention.output(context, queried))


def _batch(hidden_states, mask):
    # How the batch is laid out, or None where the mask needs the stock code.
    if hidden_states.device.type != "cpu":
        return PaddedBatch(hidden_states, mask)
    rows, width, _ = hidden_states.shape
    if mask is None:
        return PackedBatch(torch.ones(rows, width, dtype=torch.bool))
    if mask.dtype != torch.bool or not torch.equal(mask, mask[:, :1, :1].expand_as(mask)):
        return None
    real = mask[:, 0, 0]
    return PackedBatch(real) if real[:, 0].all() else None


class PaddedBatch:
    """The padded grid as it is: every token of every row, [batch * width, hidden]."""

    def __init__(self, hidden_states, mask):
        self.rows, self.width, _ = hidden_states.shape
        self.mask = mask

    def tokens(self, hidden_states):
        return hidden_states.flatten(0, 1)

    def first(self, states):
        return states.view(self.rows, self.width, -1)[:, 0]

    def in_order(self, states):
        return states

    def attend(self, query, key, value, heads, rate):
        grids = (
            states.view(self.rows, -1, heads, states.shape[-1] // heads) for states in (query, key, value)
        )
        query, key, value = (grid.transpose(1, 2) for grid in grids)
        mask = self.mask if self.mask is None else self.mask[:, :, : query.shape[2]]
        context = scaled_dot_product_attention(query, key, value, mask, dropout_p=rate)
        return context.transpose(1, 2).reshape(-1, context.shape[1] * context.shape[3])
