"""Which locations of two views belong together: the matchers of SetSim, without any gradient.

Wang et al. 2021, Sec. 3, https://arxiv.org/abs/2107.08712. Locations are the cells of a feature map, row by row.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from likewise.errors import LikewiseError
from likewise.losses.float32 import in_float32

TINY = 1e-10
"""Keeps a map of zeros from dividing by zero, as in the authors' code: its attention is zero everywhere."""


@dataclass(frozen=True)
class Matcher:
    """Pairs of locations found by attention, by nearest neighbours, by geometry, or by several of them."""

    attention: bool = True
    """match locations that stand out in both views and are similar (paper: yes)"""
    nearest: bool = True
    """add a location's nearest neighbour in the other view: for locations that attention or geometry have matched, or
    for all where neither is on, as DenseCL does (paper: yes; authors' command: no)"""
    geometry: bool = False
    """match locations that lie close together in the image (paper: no; authors' command: yes)"""
    attention_above: float = 0.7
    """attention, 0 to 1 in each view, from which a location stands out (paper: delta = 0.7)"""
    cosine_above: float = 0.2
    """least cosine of two such locations (authors' code: eta = 0.2)"""
    within: float = 0.5
    """greatest distance of a match, in diagonals of a cell (authors' command: 0.5; their code's default: 0.7)"""

    def __call__(
        self, first: Tensor, second: Tensor, boxes: tuple[Tensor, Tensor], aspect: Tensor
    ) -> Tensor:
        """Pairs of locations, bool [B, U, V].

        Args:
            first: features [B, U, D] of one view's locations, as the encoder gives them.
            second: features [B, V, D] of the other's.
            boxes: where the views lie in the image, [B, 2, 3] each.
            aspect: [B], width / height of the images.
        """
        if not (self.attention or self.geometry):
            return nearest(first, second)
        images, locations = first.shape[:2]
        pairs = first.new_zeros(images, locations, second.shape[1], dtype=torch.bool)
        if self.attention:
            pairs = pairs | attentive(first, second, self.attention_above, self.cosine_above)
        if self.geometry:
            side = round(locations**0.5)
            pairs = pairs | nearby(*boxes, side, aspect, self.within)
        if self.nearest:
            is_matched = pairs.any(dim=2, keepdim=True)  # [B, U, 1]
            pairs = pairs | (nearest(first, second) & is_matched)
        return pairs

    def __post_init__(self) -> None:
        if not (self.attention or self.nearest or self.geometry):
            raise LikewiseError(
                "Matcher: attention, nearest and geometry are all off; switch one on."
            )


@torch.no_grad()
@in_float32
def attention(features: Tensor) -> Tensor:
    """How strongly each location responds, [B, U, D] -> [B, U] from 0 to 1: mean square over channels, stretched.

    Over its length first, then from least to greatest of the image. A map that is the same everywhere gets zeros.
    """
    strength = features.square().mean(dim=2)
    strength = strength / strength.norm(dim=1, keepdim=True).clamp(min=TINY)
    strength = strength - strength.amin(dim=1, keepdim=True)
    return strength / (strength.amax(dim=1, keepdim=True) + TINY)


@torch.no_grad()
@in_float32
def cosine_similarities(first: Tensor, second: Tensor) -> Tensor:
    """Cosines [B, U, V] of the features [B, U, D] of one view's locations and those [B, V, D] of the other's."""
    unit = torch.nn.functional.normalize
    return unit(first, dim=2) @ unit(second, dim=2).mT


def attentive(first: Tensor, second: Tensor, attention_above: float, cosine_above: float) -> Tensor:
    """Pairs of locations that both stand out and are similar, bool [B, U, V].

    Args:
        first: features [B, U, D] of one view, as the encoder gives them.
        second: features [B, V, D] of the other.
        attention_above: least `attention` of either location (delta).
        cosine_above: least cosine between them (eta).
    """
    first_salient = attention(first) >= attention_above  # [B, U]
    second_salient = attention(second) >= attention_above  # [B, V]
    similar = cosine_similarities(first, second) >= cosine_above  # [B, U, V]
    return first_salient[:, :, None] & second_salient[:, None, :] & similar


def nearby(first: Tensor, second: Tensor, side: int, aspect: Tensor, within: float) -> Tensor:
    """Pairs of locations whose centres lie close together in the image, bool [B, side^2, side^2].

    The distance is measured in diagonals of a cell, of the view whose cells are larger (as in PixPro, Xie et al. 2020,
    https://arxiv.org/abs/2011.10043). Ours is the distance in the file's geometry; the authors' code measures each axis
    by the image's own side, so on an image of 2:1 a horizontal distance counts half.

    Args:
        first: boxes [B, 2, 3] of one view, as ``View.box``; a mirrored one has a negative width.
        second: boxes of the other.
        side: locations along a side of either map.
        aspect: [B], width / height of the images.
        within: greatest distance.
    """
    size = torch.stack([aspect, torch.ones_like(aspect)], dim=1).to(first)  # [B, 2] of the images
    first = first * size[:, :, None]
    second = second * size[:, :, None]
    here = _centres(first, side)  # [B, U, 2]
    there = _centres(second, side)  # [B, V, 2]
    apart = (here[:, :, None] - there[:, None, :]).norm(dim=3)  # [B, U, V]
    diagonal = torch.maximum(_diagonal(first, side), _diagonal(second, side))  # [B]
    return apart / diagonal[:, None, None] < within


def nearest(first: Tensor, second: Tensor) -> Tensor:
    """Each location with the most similar location of the other view, bool [B, U, V].

    DenseCL's correspondence (Wang et al. 2020, Sec. 3.3, https://arxiv.org/abs/2011.09157).
    """
    similarities = cosine_similarities(first, second)
    best = similarities.argmax(dim=2, keepdim=True)  # [B, U, 1]
    return torch.zeros_like(similarities, dtype=torch.bool).scatter_(2, best, True)


def _centres(box: Tensor, side: int) -> Tensor:
    """Where the cells' centres lie in the image, [B, side^2, 2], x before y."""
    line = (torch.arange(side, device=box.device) * 2 + 1) / side - 1
    down, across = torch.meshgrid(line, line, indexing="ij")
    centres = torch.stack([across, down, torch.ones_like(down)], dim=2)  # [side, side, 3]
    return centres.flatten(0, 1).to(box) @ box.mT


def _diagonal(box: Tensor, side: int) -> Tensor:
    """Length of a cell's diagonal in the image, [B]."""
    edges = box[:, :, :2] * 2 / side  # [B, 2, 2]
    return edges.sum(dim=2).norm(dim=1)
