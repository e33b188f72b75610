"""Pooling of a map by how well each of its places fits something else: a sound, a word, another view."""

from __future__ import annotations

import torch
from torch import Tensor


def attention(asked: Tensor, places: Tensor, temperature: float) -> Tensor:
    """Softmax over places of their product with what is asked for.

    Args:
        asked: [B, D], of length 1 for cosines.
        places: [B, L, D].
        temperature: divides the products.

    Returns:
        [B, L], each row adding up to 1.
    """
    return (torch.einsum("bd,bld->bl", asked, places) / temperature).softmax(dim=1)


def attended(maps: Tensor, weights: Tensor) -> Tensor:
    """The mean over a map's places by weights that are the same at each of its instants.

    Args:
        maps: [B, D, T, s, s].
        weights: [B, L], L = s * s row by row, adding up to 1.

    Returns:
        [B, T, D].
    """
    return torch.einsum("bdtl,bl->btd", maps.flatten(3), weights.to(maps.dtype))
