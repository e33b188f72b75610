"""Clouds and ice from noise at every scale."""

from __future__ import annotations

import torch
from torch import Tensor

from likewise.evaluation.corruptions.random_fields import RandomFields


def plasma(fields: RandomFields, size: int, decay: float) -> Tensor:
    """Clouds: float32 [B, size, size], each from 0 to 1, by the diamond-square algorithm on a torus.

    Fournier et al. 1982, https://doi.org/10.1145/358523.358553. A grid is doubled until it is large enough: a new
    point is the mean of its four nearest plus an even draw, whose width shrinks with each doubling by the square of
    ``decay``, as in the code that made ImageNet-C.
    """
    grid = torch.zeros(len(fields.keys), 1, 1, device=fields.keys.device)
    width = 1.0
    while grid.shape[1] < size:
        side = grid.shape[1]
        noise = fields.stream(f"octave {side}").uniform(3, side, side)
        noise = noise.mul_(2).sub_(1).mul_(width)
        grid = _doubled(grid, noise)
        width = width / decay**2
    return _from_0_to_1(grid[:, :size, :size])


def _doubled(grid: Tensor, noise: Tensor) -> Tensor:
    """One step of the diamond-square algorithm: [B, S, S] and [B, 3, S, S] -> [B, 2S, 2S]."""
    below = grid.roll(-1, 1)
    right = grid.roll(-1, 2)
    below_right = below.roll(-1, 2)
    for_middle, for_top, for_left = noise.unbind(1)
    middle = (grid + below + right + below_right) / 4 + for_middle
    middle_above = middle.roll(1, 1)
    middle_before = middle.roll(1, 2)
    top = (grid + right + middle + middle_above) / 4 + for_top
    left = (grid + below + middle + middle_before) / 4 + for_left
    upper = torch.stack([grid, top], dim=3)  # [B, S, S, 2]
    lower = torch.stack([left, middle], dim=3)
    pairs = torch.stack([upper, lower], dim=2)  # [B, S, 2, S, 2]
    return pairs.flatten(3, 4).flatten(1, 2)


def ice(fields: RandomFields, size: int) -> Tensor:
    """A stand-in for photographs of frost: float32 [B, size, size] in [0, 1], bright veins on a cloudy ground.

    Veins lie where a cloud crosses its own middle height, fine ones over coarse ones.
    """
    coarse = plasma(fields.stream("coarse"), size, 1.7)
    fine = plasma(fields.stream("fine"), size, 1.3)
    veins = torch.maximum(_vein(coarse, 12.0), 0.8 * _vein(fine, 6.0))
    ground = plasma(fields.stream("ground"), size, 1.5)
    return (0.1 + 0.35 * ground + 0.6 * veins).clamp_(0, 1)


def _vein(cloud: Tensor, sharpness: float) -> Tensor:
    mean = cloud.mean(dim=(1, 2), keepdim=True)
    return torch.exp(-sharpness * (cloud - mean).abs())


def _from_0_to_1(grid: Tensor) -> Tensor:
    low = grid.amin(dim=(1, 2), keepdim=True)
    high = grid.amax(dim=(1, 2), keepdim=True)
    return (grid - low) / (high - low).clamp(min=1e-12)
