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
    rows, side, width = len(fields.keys), 1, 1.0
    grid = torch.zeros(rows, 1, 1, device=fields.keys.device)
    while side < size:
        draw = fields.stream(f"octave {side}").uniform(3, side, side).mul_(2).sub_(1).mul_(width)
        below, right = grid.roll(-1, 1), grid.roll(-1, 2)
        middle = (grid + below + right + below.roll(-1, 2)) / 4 + draw[:, 0]
        top = (grid + right + middle + middle.roll(1, 1)) / 4 + draw[:, 1]
        left = (grid + below + middle + middle.roll(1, 2)) / 4 + draw[:, 2]
        pairs = torch.stack([torch.stack([grid, top], dim=3), torch.stack([left, middle], dim=3)], dim=2)
        side, width = 2 * side, width / decay**2
        grid = pairs.reshape(rows, side, side)
    return _from_0_to_1(grid[:, :size, :size])


def ice(fields: RandomFields, size: int) -> Tensor:
    """A stand-in for photographs of frost: float32 [B, size, size] in [0, 1], bright veins on a cloudy ground.

    Veins lie where a cloud crosses its own middle height, fine ones over coarse ones.
    """
    coarse, fine = (plasma(fields.stream(name), size, decay) for name, decay in (("coarse", 1.7), ("fine", 1.3)))
    veins = torch.maximum(_vein(coarse, 12.0), 0.8 * _vein(fine, 6.0))
    ground = plasma(fields.stream("ground"), size, 1.5)
    return (0.1 + 0.35 * ground + 0.6 * veins).clamp_(0, 1)


def _vein(cloud: Tensor, sharpness: float) -> Tensor:
    return torch.exp(-sharpness * (cloud - cloud.mean(dim=(1, 2), keepdim=True)).abs())


def _from_0_to_1(grid: Tensor) -> Tensor:
    low, high = grid.amin(dim=(1, 2), keepdim=True), grid.amax(dim=(1, 2), keepdim=True)
    return (grid - low) / (high - low).clamp(min=1e-12)
