"""Text encoders: tokens to features. A small transformer of ours, or any of Hugging Face's by name or folder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from likewise.data.columns.tokens import NO_TOKEN

SMALL_TEXT = "small"
"""name of the small transformer"""


@dataclass(frozen=True)
class TextSettings:
    """Everything needed to rebuild a text encoder."""

    name: str = SMALL_TEXT
    """``small``, or a folder, a package or a Hub name of pretrained weights"""
    vocabulary: int = 8192
    """vocabulary size of the small transformer"""
    length: int = 32
    """maximum tokens of a text"""
    width: int = 128
    """feature width of the small transformer"""
    layers: int = 2
    """blocks of the small transformer"""
    finetune: bool = False
    """whether pretrained weights are trained too"""


class TextEncoder(nn.Module, ABC):
    """Tokens in, features out."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    @abstractmethod
    def states(self, tokens: Tensor, attention_mask: Tensor) -> Tensor:
        """States [B, L, width] of tokens int64 [B, L]; ``attention_mask`` is bool [B, L], false for padding."""

    def forward(self, tokens: Tensor) -> Tensor:
        """int64 [B, L], NO_TOKEN behind the end -> [B, width]: the mean of the states of its tokens.

        An empty text gives zeros.
        """
        is_token = tokens != NO_TOKEN
        attention_mask = is_token.clone()
        attention_mask[:, 0] = True  # a softmax over no token would be NaN
        states = self.states(tokens.clamp(min=0), attention_mask)
        weight = is_token.unsqueeze(2).to(states.dtype)  # [B, L, 1]
        count = weight.sum(dim=1).clamp(min=1)  # [B, 1]
        return (states * weight).sum(dim=1) / count


class SmallTransformer(TextEncoder):
    """A transformer that normalises before each block (Radford et al. 2019, as in CLIP's text encoder).

    CLIP's attention is causal and its feature is the state at the end token. Here attention is bidirectional and the
    feature is the mean over tokens, as in the code of clip-distill.
    """

    def __init__(self, settings: TextSettings) -> None:
        super().__init__(settings.width)
        self.tokens = nn.Embedding(settings.vocabulary, settings.width)
        self.positions = nn.Parameter(torch.empty(settings.length, settings.width))
        self.blocks = nn.ModuleList(_Block(settings.width) for _ in range(settings.layers))
        self.norm = nn.LayerNorm(settings.width)
        nn.init.normal_(self.tokens.weight, std=0.02)
        nn.init.normal_(self.positions, std=0.01)

    def states(self, tokens: Tensor, attention_mask: Tensor) -> Tensor:
        """A state for each token."""
        states = self.tokens(tokens) + self.positions[: tokens.shape[1]]
        for block in self.blocks:
            states = block(states, attention_mask)
        return self.norm(states)


class _Block(nn.Module):
    """Pre-norm self-attention with heads of width 64, then an MLP."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = max(width // 64, 1)
        self.before_attention = nn.LayerNorm(width)
        self.before_mlp = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width),
            nn.GELU(),
            nn.Linear(4 * width, width),
        )

    def forward(self, states: Tensor, attention_mask: Tensor) -> Tensor:
        """[B, L, width], bool [B, L] -> [B, L, width]."""
        joined = self.qkv(self.before_attention(states))  # [B, L, 3 width]
        split = joined.unflatten(2, (3, self.heads, -1))
        queries, keys, values = split.permute(2, 0, 3, 1, 4)  # each [B, heads, L, 64]
        mask = attention_mask[:, None, None, :]
        attended = functional.scaled_dot_product_attention(queries, keys, values, mask)
        states = states + self.out(attended.transpose(1, 2).flatten(2))
        return states + self.mlp(self.before_mlp(states))
