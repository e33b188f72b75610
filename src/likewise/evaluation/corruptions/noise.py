"""Noise of the sensor: Gaussian, of single photons, and of dead pixels.

Images are float32 [B, C, S, S] in [0, 1]; results may leave that range. A severity changes the strength alone and never
the draws, so of one image a higher severity is the same corruption further on.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from likewise.evaluation.corruptions.random_fields import RandomFields

LEVELS = 255
"""Brightnesses that the photon counts are tabulated for: those of a file."""


def gaussian_noise(images: Tensor, fields: RandomFields, deviation: float) -> Tensor:
    """Independent normal noise in every value."""
    return images + deviation * fields.normal(*images.shape[1:])


def shot_noise(images: Tensor, fields: RandomFields, photons: float) -> Tensor:
    """Poisson counts, as if full brightness were that many photons.

    Drawn by inverting the distribution at an even draw: a table of its sums for every brightness of a file, one below
    the other, in which each value is found by bisection (brightnesses in between take the nearest).
    """
    most = math.ceil(photons + 6 * math.sqrt(photons) + 8)
    counts = torch.arange(most, dtype=torch.float64)
    rate = photons * torch.arange(LEVELS + 1, dtype=torch.float64)[:, None] / LEVELS
    log_share = torch.xlogy(counts, rate) - rate - torch.lgamma(counts + 1)
    sums = log_share.exp().cumsum(dim=1).clamp(max=1) + torch.arange(LEVELS + 1, dtype=torch.float64)[:, None]
    level = (images.clamp(0, 1) * LEVELS).round()
    wanted = level + fields.uniform(*images.shape[1:]).clamp(max=1 - 2**-16)  # in float32, 255 and a share have 16 bits
    count = torch.searchsorted(sums.flatten().float().to(images.device), wanted.contiguous(), right=True)
    return (count - level * most) / photons


def impulse_noise(images: Tensor, fields: RandomFields, share: float) -> Tensor:
    """A share of the values made black or white, half of them each."""
    draw = fields.uniform(2, *images.shape[1:])
    return torch.where(draw[:, 0] < share, (draw[:, 1] < 0.5).float(), images)
