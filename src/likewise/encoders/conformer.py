"""Conformer blocks: self-attention and convolution over a sequence."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class Conformer(nn.Module):
    """Blocks of feed-forward, attention, convolution and feed-forward layers (Gulati et al. 2020).

    https://arxiv.org/abs/2005.08100, Sec. 2; attention by relative position as in Dai et al. 2019, App. B,
    https://arxiv.org/abs/1901.02860. The input is multiplied by the square root of the width first.

    Args:
        width: features of each state; a multiple of ``heads`` and of 2.
        heads: attention heads.
        hidden: width inside the feed-forward layers.
        kernel: kernel size of the convolution, an odd number.
        layers: number of blocks.
        dropout: dropout probability after each layer.
    """

    def __init__(
        self, width: int, heads: int, hidden: int, kernel: int, layers: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.scale = math.sqrt(width)
        self.blocks = nn.ModuleList(
            ConformerBlock(width, heads, hidden, kernel, dropout) for _ in range(layers)
        )

    def forward(self, states: Tensor, valid: Tensor | None = None) -> Tensor:
        """[B, T, width] -> the same shape.

        Args:
            states: one for each time step.
            valid: bool [B, T], false where there is only padding, at least one true in each row: padding
                does not influence other steps. None: all are valid.
        """
        states = states * self.scale
        for block in self.blocks:
            states = block(states, valid)
        return states


class ConformerBlock(nn.Module):
    """One block with residual connections; the feed-forward layers have residual weight 1/2."""

    def __init__(
        self, width: int, heads: int, hidden: int, kernel: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.first = _feed_forward(width, hidden, dropout)
        self.last = _feed_forward(width, hidden, dropout)
        self.before_attention = nn.LayerNorm(width)
        self.attention = RelativeAttention(width, heads, dropout)
        self.dropout = nn.Dropout(dropout)
        self.convolution = _Convolution(width, kernel, dropout)
        self.norm = nn.LayerNorm(width)

    def forward(self, states: Tensor, valid: Tensor | None = None) -> Tensor:
        """[B, T, width] -> the same shape; ``valid`` as in `Conformer.forward`."""
        states = states + self.first(states) / 2
        states = states + self.dropout(self.attention(self.before_attention(states), valid))
        states = states + self.convolution(states, valid)
        return self.norm(states + self.last(states) / 2)


class RelativeAttention(nn.Module):
    """Self-attention with relative positions: weights depend on content and on distance.

    The weight of step j for step i is the softmax over j of ``(q_i + u) k_j + (q_i + v) W r_{i - j}``, divided by
    the square root of the head's width; r are sinusoids, u and v are learned for each head.
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.distance = nn.Linear(width, width, bias=False)
        self.content_bias = nn.Parameter(torch.empty(heads, width // heads))
        self.distance_bias = nn.Parameter(torch.empty(heads, width // heads))
        nn.init.xavier_uniform_(self.content_bias)
        nn.init.xavier_uniform_(self.distance_bias)

    def forward(self, states: Tensor, valid: Tensor | None = None) -> Tensor:
        """[B, T, width] -> the same shape; steps that are not valid get no attention."""
        _, length, width = states.shape
        query = self._split(self.query(states))  # [B, heads, T, d]
        key = self._split(self.key(states))
        value = self._split(self.value(states))
        by_distance = sinusoids(length, width).to(states)  # [2 T - 1, width]
        distances = self._split(self.distance(by_distance))  # [heads, 2 T - 1, d]
        scores = (query + self.distance_bias[:, None]) @ distances.mT  # [B, heads, T, 2 T - 1]
        bias = _distance_to_position(scores) / math.sqrt(query.shape[-1])  # [B, heads, T, T]
        if valid is not None:
            bias = bias.masked_fill(~valid[:, None, None, :], -math.inf)
        query = query + self.content_bias[:, None]
        # The bias makes the query float32 under autocast; the kernel wants one type of all.
        key, value, bias = key.to(query), value.to(query), bias.to(query)
        dropout = self.dropout if self.training else 0.0
        # [B, heads, T, d]
        attended = functional.scaled_dot_product_attention(query, key, value, bias, dropout)
        return self.out(attended.transpose(-2, -3).flatten(-2))

    def _split(self, states: Tensor) -> Tensor:
        """[..., T, width] -> [..., heads, T, width of a head]."""
        return states.unflatten(-1, (self.heads, -1)).transpose(-2, -3)


def sinusoids(length: int, width: int) -> Tensor:
    """Float32 [2 * length - 1, width]: distances from ``length - 1`` (back in time) down to ``1 - length``.

    Even columns are sines and odd ones cosines, of periods from 2 pi to 20,000 pi.
    """
    distances = torch.arange(length - 1, -length, -1, dtype=torch.float32)
    step = -math.log(10_000.0) / width
    frequencies = torch.exp(torch.arange(0, width, 2) * step)  # [width / 2]
    angles = distances[:, None] * frequencies  # [2 length - 1, width / 2]
    sines_and_cosines = torch.stack([angles.sin(), angles.cos()], dim=2)
    return sines_and_cosines.flatten(1)


def _distance_to_position(by_distance: Tensor) -> Tensor:
    """[..., T, 2 T - 1] by distance, greatest first, -> [..., T, T]: entry (i, j) has distance i - j.

    Row i of the result begins at column T - 1 - i. Padding the rows by one and reshaping shifts each row by one,
    without a loop.
    """
    length = by_distance.shape[-2]
    padded = functional.pad(by_distance, (0, 1)).flatten(-2)  # [..., T * 2 T]
    shifted = padded[..., length - 1 : -1]  # [..., T * (2 T - 1)]
    return shifted.unflatten(-1, (length, 2 * length - 1))[..., :length]


class _Convolution(nn.Module):
    """Gated depthwise convolution over time with batch normalisation; padding counts as zeros."""

    def __init__(self, width: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.gated = nn.Linear(width, 2 * width)
        self.over_time = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.batch_norm = nn.BatchNorm1d(width)
        self.out = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, states: Tensor, valid: Tensor | None) -> Tensor:
        gated = functional.glu(self.gated(self.norm(states)))
        if valid is not None:
            gated = gated * valid[:, :, None]
        mixed = functional.silu(self.batch_norm(self.over_time(gated.mT)))
        return self.dropout(self.out(mixed.mT))


def _feed_forward(width: int, hidden: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(width),
        nn.Linear(width, hidden),
        nn.SiLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, width),
        nn.Dropout(dropout),
    )
