"""Batches without padding: real tokens end to end, padded to grids [rows, width] for attention alone."""

from dataclasses import dataclass

import torch
from torch.autograd.function import once_differentiable
from torch.autograd.graph import get_gradient_edge
from torch.nn.functional import pad

from .cpu import kept_places, kept_scale

# A row shorter than this part of its grid's width starts the next grid.
LIKE_LENGTH = 0.75
# In evaluation, so many are made at a time: 4 MB of them stay in the cache.
SCORES_AT_ONCE = 2**20


class PackedBatch:
    """The real tokens of a batch end to end, longest rows first.

    `real` [batch, width] tells them from padding; the first of every row is real.
    """

    def __init__(self, real: torch.Tensor):
        lengths, order = real.sum(1).sort(descending=True, stable=True)
        row, column = real[order].nonzero(as_tuple=True)
        self.source = order[row] * real.shape[1] + column
        self.starts = lengths.cumsum(0) - lengths
        self.inverse = order.argsort()
        self.grids = []
        lengths = lengths.tolist()
        top = 0
        for bottom in range(1, len(lengths) + 1):
            if bottom == len(lengths) or lengths[bottom] < LIKE_LENGTH * lengths[top]:
                self.grids.append(Grid.of(lengths[top:bottom]))
                top = bottom

    def tokens(self, hidden_states):
        return hidden_states.flatten(0, 1).index_select(0, self.source)

    def first(self, states):
        return states.index_select(0, self.starts)

    def in_order(self, states):
        return states.index_select(0, self.inverse)

    def attend(self, query, key, value, heads, rate):
        tokens = [grid.tokens for grid in self.grids]
        queries = tokens if len(query) == len(key) else [grid.rows for grid in self.grids]
        parts = zip(query.split(queries), key.split(tokens), value.split(tokens), self.grids, strict=True)
        return torch.cat([GridAttention.apply(*part, heads, rate) for part in parts])


@dataclass(frozen=True)
class Grid:
    """Rows of tokens end to end and as a grid [rows, width].

    `token` [rows * width] is the token at every place, one past the last at padding, and `place` [tokens] its
    inverse; both are None where no place is padding. `bias` [rows, 1, 1, width] is added to scores: minus
    infinity at padding.
    """

    rows: int
    width: int
    tokens: int
    token: torch.Tensor | None
    place: torch.Tensor | None
    bias: torch.Tensor

    @classmethod
    def of(cls, lengths: list[int]) -> "Grid":
        """The grid of rows of these lengths, the longest first."""
        rows, width, tokens = len(lengths), lengths[0], sum(lengths)
        counts = torch.tensor(lengths)
        real = torch.arange(width) < counts[:, None]
        bias = torch.zeros(real.shape).masked_fill_(~real, -torch.inf)[:, None, None]
        if tokens == rows * width:
            return cls(rows, width, tokens, None, None, bias)
        token = (counts.cumsum(0) - counts)[:, None] + torch.arange(width)
        token = token.where(real, tokens).flatten()
        return cls(rows, width, tokens, token, real.flatten().nonzero()[:, 0], bias)

    def by_head(self, states: torch.Tensor, heads: int) -> torch.Tensor:
        """[tokens, heads * size], or one token a row, as [rows * heads, width or 1, size]; padding is 0."""
        if len(states) == self.tokens and self.token is not None:
            states = pad(states, (0, 0, 0, 1)).index_select(0, self.token)
        split = states.view(self.rows, -1, heads, states.shape[-1] // heads)
        return split.transpose(1, 2).reshape(self.rows * heads, -1, split.shape[-1])

    def flat(self, grid: torch.Tensor, heads: int) -> torch.Tensor:
        """The inverse of `by_head`; what stands at padding is left out."""
        _, width, size = grid.shape
        states = grid.view(self.rows, heads, width, size).transpose(1, 2).reshape(-1, heads * size)
        return states if width != self.width or self.place is None else states.index_select(0, self.place)


class GridAttention(torch.autograd.Function):
    """Scaled dot-product attention of every row of a grid to itself, with dropout of the probabilities.

    Gradients are read at the tokens' places: index_select's own would be added up. Of arrays as large as the
    scores, the probabilities and a byte for each that says whether it was kept stay for the backward pass.
    """

    @staticmethod
    def forward(ctx, query, key, value, grid, heads, rate):
        """Context [queries, heads * size]: of all tokens, or of one a row; `key` and `value` are of all."""
        query, key, value = (grid.by_head(states, heads) for states in (query, key, value))
        if not rate and not any(ctx.needs_input_grad):
            return grid.flat(_contexts(query, key, value, grid.bias, heads), heads)
        ctx.grid, ctx.heads, ctx.rate, ctx.scale = grid, heads, rate, query.shape[-1] ** -0.5
        products = torch.bmm(query, key.transpose(1, 2)).view(grid.rows, heads, -1, grid.width)
        if any(ctx.needs_input_grad):
            with torch.enable_grad():
                scores = torch.add(grid.bias.detach().requires_grad_(), products, alpha=ctx.scale)
                softmax = scores.softmax(-1)
            # Edges alone, and the tensors as saved ones: gradient checkpointing can let these go.
            ctx.scores, ctx.softmax = get_gradient_edge(scores), get_gradient_edge(softmax)
            probabilities = softmax.detach()
        else:
            probabilities = _probabilities(products, grid.bias, ctx.scale)
        kept = kept_places(probabilities.shape, rate) if rate else None
        ctx.save_for_backward(query, key, value, kept, probabilities)
        weights = _drop(probabilities.to(value.dtype), kept, rate).flatten(0, 1)
        return grid.flat(torch.bmm(weights, value), heads)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        """Gradients by query, key and value."""
        query, key, value, kept, probabilities = ctx.saved_tensors
        grid, heads = ctx.grid, ctx.heads
        gradient = grid.by_head(gradient, heads)
        weights = _drop(probabilities.to(value.dtype), kept, ctx.rate).flatten(0, 1)
        of_value = torch.bmm(weights.transpose(1, 2), gradient)
        del weights
        of_weights = torch.bmm(gradient, value.transpose(1, 2)).view(probabilities.shape)
        of_probabilities = _drop(of_weights, kept, ctx.rate).to(probabilities.dtype)
        (of_scores,) = torch.autograd.grad(ctx.softmax, ctx.scores, of_probabilities)
        of_products = of_scores.mul_(ctx.scale).to(query.dtype).flatten(0, 1)
        gradients = (torch.bmm(of_products, key), torch.bmm(of_products.transpose(1, 2), query), of_value)
        return *(grid.flat(states, heads) for states in gradients), None, None, None


def _probabilities(products: torch.Tensor, bias: torch.Tensor, scale: float) -> torch.Tensor:
    return torch.add(bias, products, alpha=scale).softmax(-1)


def _contexts(query, key, value, bias: torch.Tensor, heads: int) -> torch.Tensor:
    """Attention of which nothing is kept, as many rows at a time as `SCORES_AT_ONCE` lets."""
    each = max(1, SCORES_AT_ONCE // (heads * query.shape[1] * key.shape[1])) * heads
    contexts = torch.empty_like(query, dtype=value.dtype)
    for own in (slice(start, start + each) for start in range(0, len(query), each)):
        rows = bias[own.start // heads : own.stop // heads]
        products = torch.bmm(query[own], key[own].transpose(1, 2)).view(len(rows), heads, -1, key.shape[1])
        probabilities = _probabilities(products, rows, query.shape[-1] ** -0.5).to(value.dtype)
        torch.bmm(probabilities.flatten(0, 1), value[own], out=contexts[own])
    return contexts


def _drop(weights: torch.Tensor, kept: torch.Tensor | None, rate: float) -> torch.Tensor:
    return weights if kept is None else weights * kept.to(weights.dtype).mul_(kept_scale(rate))
