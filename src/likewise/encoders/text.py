"""Text encoders: tokens to features. A small transformer of ours, or any of Hugging Face's by name or folder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from likewise.data.columns.tokens import NO_TOKEN

SMALL_TEXT = "small"
"""the name of our own transformer"""


@dataclass(frozen=True)
class TextSettings:
    """All that is needed to build a text encoder again."""

    name: str = SMALL_TEXT
    """``small``, or a folder or a name of pretrained weights"""
    vocabulary: int = 8192
    """tokens that it knows, where it is ours"""
    length: int = 32
    """tokens of a text at most"""
    width: int = 128
    """numbers in a feature, where it is ours"""
    layers: int = 2
    """blocks of the transformer, where it is ours"""
    tuned: bool = False
    """whether pretrained weights learn too"""


class TextEncoder(nn.Module, ABC):
    """Tokens in, features out."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    @abstractmethod
    def states(self, tokens: Tensor, there: Tensor) -> Tensor:
        """A state [B, L, width] for each token int64 [B, L]; ``there`` is bool [B, L], and false where none is."""

    def forward(self, tokens: Tensor) -> Tensor:
        """int64 [B, L], NO_TOKEN behind the end -> [B, width]: the mean of the states of the tokens that are there.

        A text of no tokens is a row of zeros.
        """
        there = tokens != NO_TOKEN
        attended = there.clone()
        attended[:, 0] = True  # attention to nothing at all would be NaN
        states = self.states(tokens.clamp(min=0), attended)
        weight = there.unsqueeze(2).to(states.dtype)
        return (states * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)


class SmallTransformer(TextEncoder):
    """A transformer that normalises before each block (Radford et al. 2019, as in CLIP's text encoder).

    CLIP's looks backwards only and takes the state at the end token; ours looks both ways and takes the mean over
    tokens, which the authors of clip-distill do too.
    """

    def __init__(self, settings: TextSettings) -> None:
        super().__init__(settings.width)
        self.tokens = nn.Embedding(settings.vocabulary, settings.width)
        self.positions = nn.Parameter(torch.empty(settings.length, settings.width))
        self.blocks = nn.ModuleList(_Block(settings.width) for _ in range(settings.layers))
        self.norm = nn.LayerNorm(settings.width)
        nn.init.normal_(self.tokens.weight, std=0.02)
        nn.init.normal_(self.positions, std=0.01)

    def states(self, tokens: Tensor, there: Tensor) -> Tensor:
        """A state for each token."""
        states = self.tokens(tokens) + self.positions[: tokens.shape[1]]
        for block in self.blocks:
            states = block(states, there)
        return self.norm(states)


class _Block(nn.Module):
    """Attention among tokens, then two layers on each token; heads of 64 numbers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = max(width // 64, 1)
        self.before_attention, self.before_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.asked, self.answered = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, states: Tensor, there: Tensor) -> Tensor:
        """[B, L, width], bool [B, L] -> [B, L, width]."""
        split = self.asked(self.before_attention(states)).unflatten(2, (3, self.heads, -1))
        queries, keys, values = split.permute(2, 0, 3, 1, 4)  # each [B, heads, L, 64]
        seen = functional.scaled_dot_product_attention(queries, keys, values, there[:, None, None, :])
        states = states + self.answered(seen.transpose(1, 2).flatten(2))
        return states + self.mlp(self.before_mlp(states))
