"""DeBERTa-v2 and -v3: the disentangled attention of transformers, exact and faster.

A score is q_i.k_j + q_i.kr(i-j) + k_j.qr(i-j) (He et al. 2021, equation 4): kr and qr depend on the distance
alone. The stock code multiplies by the whole table of relative embeddings, copied for every instance, and
gathers. Here the 2L-1 distances are multiplied once for the batch and read as a skewed view (Dai et al. 2019,
appendix B): no gather, so no atomic additions in the backward pass.
"""

import math
from functools import reduce

import torch
from torch import nn
from torch.nn.functional import embedding
from transformers import DebertaV2ForSequenceClassification
from transformers.models.deberta_v2.modeling_deberta_v2 import DebertaV2Layer, DisentangledSelfAttention


def speed_up(model: nn.Module, first_token: bool) -> nn.Module:
    """Switch a DeBERTa-v2 or -v3 encoder to the faster attention, in place; leave any other model as it is.

    With `first_token`, the last layer of a classifier computes the first token alone, which is all that its
    head reads: the last hidden state is [batch, 1, hidden]. Parameters, their names and saved files stay
    as they are.
    """
    for module in model.modules():
        if type(module) is DisentangledSelfAttention and _has_relative_terms(module):
            module.__class__ = SkewedSelfAttention
    if first_token and isinstance(model, DebertaV2ForSequenceClassification):
        last = model.deberta.encoder.layer[-1]
        if isinstance(last.attention.self, SkewedSelfAttention):
            last.__class__ = FirstTokenLayer
    return model


def _has_relative_terms(attention: DisentangledSelfAttention) -> bool:
    return attention.relative_attention and not {"c2p", "p2c"}.isdisjoint(attention.pos_att_type)


def skew(scores: torch.Tensor) -> torch.Tensor:
    """View contiguous scores by distance as scores by position: [n, rows, w] as [n, rows, w - rows + 1].

    Row i of the view starts at column rows - 1 - i, so that one row down is one more in distance.
    """
    count, rows, width = scores.shape
    size = (count, rows, width - rows + 1)
    return scores.as_strided(size, (rows * width, width - 1, 1), scores.storage_offset() + rows - 1)


class SkewedSelfAttention(DisentangledSelfAttention):
    """`DisentangledSelfAttention` with the same parameters and results, for the encoder's own positions.

    Asked for the attention probabilities, it runs the stock code.
    """

    def forward(
        self,
        hidden_states,
        attention_mask,
        output_attentions=False,
        query_states=None,
        relative_pos=None,
        rel_embeddings=None,
    ):
        """Attend to `hidden_states` [batch, keys, hidden]: (context [batch, queries, hidden], None).

        `query_states` are the first positions of the sequence, by default all of them. `attention_mask`
        [batch, 1, queries, keys] is true where they may attend, `relative_pos` [1, queries, keys] is the
        encoder's bucket of each distance, and `rel_embeddings` has a row per bucket.
        """
        if output_attentions:
            return super().forward(
                hidden_states, attention_mask, True, query_states, relative_pos, rel_embeddings
            )
        if query_states is None:
            query_states = hidden_states
        batch, keys, _ = hidden_states.shape
        queries = query_states.shape[1]
        count, size = batch * self.num_attention_heads, self.attention_head_size
        query = self._by_head(self.query_proj(query_states))
        key = self._by_head(self.key_proj(hidden_states))
        value = self._by_head(self.value_proj(hidden_states))

        rows, buckets = self._relative_rows(rel_embeddings, relative_pos)
        terms = []
        if "c2p" in self.pos_att_type:
            relative_key = self.key_proj if self.share_att_key else self.pos_key_proj
            terms.append(self._term(query, queries, relative_key(rows), buckets))
        if "p2c" in self.pos_att_type:
            relative_query = self.query_proj if self.share_att_key else self.pos_query_proj
            terms.append(self._term(key, keys, relative_query(rows), buckets.flip(0)).transpose(1, 2))

        scale = 1 / math.sqrt(size * (1 + len(terms)))
        query, key, value = (states.view(count, -1, size) for states in (query, key, value))
        scores = torch.baddbmm(reduce(torch.add, terms), query, key.transpose(1, 2), beta=scale, alpha=scale)
        scores = scores.view(-1, batch, queries, keys)
        masked = ~attention_mask.bool().transpose(0, 1)
        scores = scores.masked_fill(masked, torch.finfo(scores.dtype).min)
        probabilities = self.dropout(scores.softmax(dim=-1))
        context = torch.bmm(probabilities.view(count, queries, keys), value)
        context = context.view(-1, batch, queries, size).permute(1, 2, 0, 3)
        return context.reshape(batch, queries, self.all_head_size), None

    def _by_head(self, states: torch.Tensor) -> torch.Tensor:
        # [..., heads * size] -> [heads, rows, size]
        split = states.view(-1, self.num_attention_heads, self.attention_head_size)
        return split.transpose(0, 1).contiguous()

    def _relative_rows(self, rel_embeddings, relative_pos) -> tuple[torch.Tensor, torch.Tensor]:
        # The rows that can occur, and for the distances queries - 1, ..., 1 - keys the index of theirs.
        _, queries, keys = relative_pos.shape
        span = self.pos_ebd_size
        one_to_one = self.position_buckets // 2 if self.position_buckets > 0 else span
        reach = keys if keys <= one_to_one else span
        rows = self.pos_dropout(rel_embeddings[span - reach : span + reach])
        buckets = torch.cat((relative_pos[0, -1], relative_pos[0, 0, keys - queries + 1 :]))
        return rows, (buckets + reach).clamp(0, 2 * reach - 1)

    def _term(self, content, length: int, rows, buckets) -> torch.Tensor:
        # content [heads, batch * length, size] times the row of every distance, read by position.
        relative = self._by_head(embedding(buckets, rows))
        by_distance = torch.bmm(content, relative.transpose(1, 2))
        return skew(by_distance.view(-1, length, len(buckets)))


class FirstTokenLayer(DebertaV2Layer):
    """A `DebertaV2Layer` whose output is the first token's alone, [batch, 1, hidden].

    Asked for the attention probabilities, it runs the stock code.
    """

    def forward(
        self,
        hidden_states,
        attention_mask,
        query_states=None,
        relative_pos=None,
        rel_embeddings=None,
        output_attentions=False,
    ):
        """Arguments and result of the stock layer."""
        if not output_attentions:
            attention_mask, relative_pos = attention_mask[:, :, :1], relative_pos[:, :1]
            query_states = hidden_states[:, :1]
        return super().forward(
            hidden_states, attention_mask, query_states, relative_pos, rel_embeddings, output_attentions
        )
