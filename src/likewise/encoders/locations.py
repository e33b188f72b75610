"""The places of an image: cells of one of the encoder's maps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, grid_sample

from likewise.errors import LikewiseError
from likewise.randomness import BatchRNG

LEAST = 7
"""Places along a side that a map needs to be worth reading place by place: 224 pixels make 7 x 7 in a ResNet."""


def dense_stage(sides: Sequence[int], stage: int | None = None) -> int:
    """Which of an encoder's maps has the places, counted from 1.

    The deepest of at least `LEAST` a side, else the finest: 7 x 7 of 224 pixels as in the papers, 8 x 8 of 64 pixels.

    Args:
        sides: of the maps of `Encoder.forward_with_maps`.
        stage: the one asked for; None leaves it to the rule.

    Raises:
        LikewiseError: the encoder has no such map.
    """
    if stage is not None:
        if not 1 <= stage <= len(sides):
            raise LikewiseError(f"Map {stage} of the encoder was asked for; it has maps 1 to {len(sides)}.")
        return stage
    enough = [number for number, side in enumerate(sides, start=1) if side >= LEAST]
    return enough[-1] if enough else list(sides).index(max(sides)) + 1


def dense_map(maps: Sequence[Tensor], stage: int | None = None, at_most: int | None = None) -> Tensor:
    """The map [B, D, s, s] that has the places, averaged down to at most so many a side."""
    chosen = maps[dense_stage([each.shape[3] for each in maps], stage) - 1]
    return adaptive_avg_pool2d(chosen, at_most) if at_most and chosen.shape[3] > at_most else chosen


def as_places(features: Tensor) -> Tensor:
    """[B, D, s, s] -> [B, s^2, D], row by row."""
    return features.flatten(2).mT


def read_at(features: Tensor, places: Tensor) -> Tensor:
    """Features [B, D, s, s] at places [B, P, 2] (to the right, down) of the image's [-1, 1] plane: [B, P, D].

    Bilinear; equal to enlarging the map by ``interpolate(mode="bilinear", align_corners=False)`` and reading the pixels
    there.
    """
    wider = torch.promote_types(features.dtype, places.dtype)
    grid = places[:, None].to(features.device, wider)
    read = grid_sample(features.to(wider), grid, mode="bilinear", padding_mode="border", align_corners=False)
    return read[:, :, 0].mT


def hypercolumns(maps: Sequence[Tensor], places: Tensor) -> Tensor:
    """What all maps [B, D_i, s_i, s_i] say of the same places [B, P, 2], side by side: [B, P, sum of D_i].

    Hariharan et al. 2015, https://arxiv.org/abs/1411.5752; sparse, as in Larsson et al. 2016, Sec. 3.2,
    https://arxiv.org/abs/1603.06668: only what is asked for is read, no map is enlarged.
    """
    return torch.cat([read_at(each, places) for each in maps], dim=2)


def all_locations(side: int) -> Tensor:
    """The centres of the pixels of a square, row by row: float [side * side, 2] in the [-1, 1] plane."""
    line = (torch.arange(side) * 2 + 1) / side - 1
    return torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=-1).flatten(0, 1)


def sample_locations(rng: BatchRNG, count: int, heights: Tensor, share: float) -> Tensor:
    """Places of each image, drawn evenly but for a share of them: [B, count, 2] in the [-1, 1] plane.

    Args:
        rng: numbers for B rows, on the CPU.
        count: how many of each image.
        heights: [B, S, S], where to look: the first places are centres of pixels of the highest quarter.
        share: of the places that are drawn there; 0 to 1.
    """
    anywhere = rng.uniform(-1, 1, columns=2 * count).unflatten(1, (-1, 2))
    chosen, side = round(share * count), heights.shape[-1]
    if not chosen:
        return anywhere
    highest = heights.flatten(1).topk(side * side // 4).indices.cpu()
    drawn = highest.gather(1, (rng.uniform(columns=chosen) * highest.shape[1]).long())
    return torch.cat([all_locations(side)[drawn], anywhere[:, chosen:]], dim=1)
