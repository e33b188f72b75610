"""Percentile bootstrap over test images, for scores that are no mean over images."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from likewise.evaluation.statistics.confidence import CONFIDENCE, Interval
from likewise.randomness import generator

RESAMPLES = 1000
"""bootstrap samples"""


def bootstrap(tables: Tensor, statistic: Callable[[Tensor], Tensor], seed: int = 0) -> Interval:
    """A statistic of summed tables with its percentile interval over images drawn anew, with replacement.

    Efron 1979, https://doi.org/10.1214/aos/1176344552: for what is no mean over images, as the mean intersection over
    union. The same seed draws the same images, so two encoders are compared on equal draws.

    Args:
        tables: [N, ...], one an image.
        statistic: sums of tables [R, ...] -> [R].
        seed: of the draws.
    """
    counts = resampled_counts(len(tables), generator(seed, "bootstrap"))  # [R, N]
    sums = counts @ tables.double().flatten(1)
    sums = sums.unflatten(1, tables.shape[1:])  # [R, ...]
    value = float(statistic(tables.double().sum(dim=0, keepdim=True)))
    return percentiles(value, statistic(sums))


def resampled_counts(images: int, random: torch.Generator) -> Tensor:
    """How often each image is in each of the bootstrap samples: float64 [R, N]."""
    drawn = torch.randint(images, (RESAMPLES, images), generator=random)
    once = torch.ones_like(drawn).double()
    counts = torch.zeros(RESAMPLES, images, dtype=torch.float64)
    return counts.scatter_add_(1, drawn, once)


def percentiles(value: float, resampled: Tensor) -> Interval:
    """An estimate with the percentiles of its bootstrap samples [R]; NaN are left out."""
    tail = (1 - CONFIDENCE) / 2
    ends = torch.tensor([tail, 1 - tail], dtype=resampled.dtype)
    low, high = resampled.nanquantile(ends).tolist()
    return Interval(value, min(low, value), max(high, value))
