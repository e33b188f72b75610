"""Attention pooling of a feature map by a query: a sound, a word, another view."""

from __future__ import annotations

import torch
from torch import Tensor


def attention_weights(queries: Tensor, features: Tensor, temperature: float) -> Tensor:
    """Softmax over locations of the products of query and features.

    Args:
        queries: [B, D], of unit length for cosines.
        features: [B, L, D], one for each location.
        temperature: divides the products.

    Returns:
        [B, L], each row adding up to 1.
    """
    return (torch.einsum("bd,bld->bl", queries, features) / temperature).softmax(dim=1)


def attention_pooling(maps: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean over the locations of a map, with the same weights at each time step.

    Args:
        maps: [B, D, T, s, s].
        weights: [B, L], L = s * s row by row, adding up to 1.

    Returns:
        [B, T, D].
    """
    return torch.einsum("bdtl,bl->btd", maps.flatten(3), weights.to(maps.dtype))
