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

    Sampled by inverting the distribution function at a uniform number: each value is found by bisection in a table of
    the function for every brightness of a file (brightnesses in between take the nearest).
    """
    table = _poisson_functions(photons)
    most = table.shape[1]
    level = (images.clamp(0, 1) * LEVELS).round()
    uniform = fields.uniform(*images.shape[1:])
    # Row l of the table lies between l and l + 1, so one bisection serves all rows. In float32, 255 and a share have
    # 16 bits.
    wanted = level + uniform.clamp(max=1 - 2**-16)
    boundaries = table.flatten().float().to(images.device)
    index = torch.searchsorted(boundaries, wanted.contiguous(), right=True)
    count = index - level * most
    return count / photons


def _poisson_functions(photons: float) -> Tensor:
    """Distribution functions of Poisson counts, one row for each brightness plus its number: float64 [256, counts]."""
    most = math.ceil(photons + 6 * math.sqrt(photons) + 8)
    counts = torch.arange(most, dtype=torch.float64)
    levels = torch.arange(LEVELS + 1, dtype=torch.float64)[:, None]
    rate = photons * levels / LEVELS
    log_probability = torch.xlogy(counts, rate) - rate - torch.lgamma(counts + 1)
    below = log_probability.exp().cumsum(dim=1)
    return below.clamp(max=1) + levels


def impulse_noise(images: Tensor, fields: RandomFields, share: float) -> Tensor:
    """A share of the values made black or white, half of them each."""
    uniform = fields.uniform(2, *images.shape[1:])
    hit = uniform[:, 0] < share
    black_or_white = (uniform[:, 1] < 0.5).float()
    return torch.where(hit, black_or_white, images)
