"""Locations of an image: the cells of one of the encoder's feature maps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, grid_sample

from likewise.counts import amount, span
from likewise.errors import LikewiseError
from likewise.randomness import BatchRNG

MIN_SIDE = 7
"""Least side of a feature map for dense learning: a ResNet has 7 x 7 for 224 pixels."""


def dense_stage(sides: Sequence[int], stage: int | None = None) -> int:
    """The stage whose map is used for dense learning, counted from 1.

    The deepest map with a side of at least `MIN_SIDE`, else the largest: 7 x 7 for 224 pixels, as in the papers, and
    8 x 8 for 64 pixels.

    Args:
        sides: of the maps of `Encoder.forward_with_maps`.
        stage: a fixed stage; None applies the rule above.

    Raises:
        LikewiseError: the encoder has no such stage.
    """
    if stage is not None:
        if not 1 <= stage <= len(sides):
            raise LikewiseError(
                f"stage={stage} was given, but the encoder has {amount(len(sides), 'stage')}; allowed: "
                f"{span(1, len(sides))}."
            )
        return stage
    large_enough = [number for number, side in enumerate(sides, start=1) if side >= MIN_SIDE]
    return large_enough[-1] if large_enough else list(sides).index(max(sides)) + 1


def dense_map(
    maps: Sequence[Tensor], stage: int | None = None, max_side: int | None = None
) -> Tensor:
    """The map [B, D, s, s] for dense learning, average-pooled to a side of at most ``max_side``."""
    sides = [each.shape[3] for each in maps]
    chosen = maps[dense_stage(sides, stage) - 1]
    if max_side and chosen.shape[3] > max_side:
        return adaptive_avg_pool2d(chosen, max_side)
    return chosen


def flatten_locations(features: Tensor) -> Tensor:
    """[B, D, s, s] -> [B, s^2, D], row by row."""
    return features.flatten(2).mT


def sample_features(features: Tensor, locations: Tensor) -> Tensor:
    """Features [B, D, s, s] at locations [B, P, 2] (x, y) in the image's [-1, 1] plane: [B, P, D].

    Bilinear; equal to enlarging the map by ``interpolate(mode="bilinear", align_corners=False)`` and reading its
    pixels.
    """
    wider = torch.promote_types(features.dtype, locations.dtype)
    grid = locations[:, None].to(features.device, wider)
    sampled = grid_sample(
        features.to(wider), grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    return sampled[:, :, 0].mT


def hypercolumns(maps: Sequence[Tensor], locations: Tensor) -> Tensor:
    """Features of all maps [B, D_i, s_i, s_i] at locations [B, P, 2], concatenated: [B, P, sum of D_i].

    Hariharan et al. 2015, https://arxiv.org/abs/1411.5752; sparse, as in Larsson et al. 2016, Sec. 3.2,
    https://arxiv.org/abs/1603.06668: only these locations are read, and no map is enlarged.
    """
    return torch.cat([sample_features(each, locations) for each in maps], dim=2)


def all_locations(side: int, device: torch.device | None = None) -> Tensor:
    """The centres of the pixels of a square, row by row: float [side * side, 2] in the [-1, 1] plane."""
    line = (torch.arange(side, device=device) * 2 + 1) / side - 1
    x, y = torch.meshgrid(line, line, indexing="xy")  # [side, side] each
    return torch.stack([x, y], dim=-1).flatten(0, 1)


def sample_locations(rng: BatchRNG, count: int, heights: Tensor, share: float) -> Tensor:
    """Random locations of each image: [B, count, 2] in the [-1, 1] plane, on the device of the heights.

    A share of them is where ``heights`` are greatest; the others are uniform.

    Args:
        rng: random numbers for B rows.
        count: locations of each image.
        heights: [B, S, S]; the first locations are centres of pixels of the highest quarter.
        share: of the locations that are sampled there; 0 to 1.
    """
    rng = rng.on(heights.device)
    coordinates = rng.uniform(-1, 1, columns=2 * count)
    anywhere = coordinates.unflatten(1, (-1, 2))  # [B, count, 2]
    chosen = round(share * count)
    if not chosen:
        return anywhere
    side = heights.shape[-1]
    # [B, S * S / 4], of the pixels
    highest = heights.flatten(1).topk(side * side // 4).indices
    drawn = (rng.uniform(columns=chosen) * highest.shape[1]).long()  # [B, chosen]
    pixels = highest.gather(1, drawn)
    high = all_locations(side, heights.device)[pixels]  # [B, chosen, 2]
    return torch.cat([high, anywhere[:, chosen:]], dim=1)
