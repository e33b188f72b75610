"""What the backward of `gpu_tiles` needs of each query, such that no exponential leaves float32."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from likewise.losses.fused.devices import LOG2E

SAFE_SPREAD = 80.0
"""In the backward: how far, in powers of two, log-sums may lie apart to share one exponential. A score 126 below the
greatest is lost to float32; under the least of the log-sums it then weighs under 2**-46."""


class QueryWeights(NamedTuple):
    """What the backward kernel needs of each query: coefficient = weight * 2**(score - shift).

    Where ``bounded``, both shifts are in the weights already, relative to the one ``level``.
    """

    weight: Tensor
    shift: Tensor
    weight_same: Tensor | None
    shift_same: Tensor | None
    level: Tensor
    bounded: Tensor
    enlarged: Tensor | None
    """by what the weights were multiplied"""


def query_weights(
    queries: Tensor, log_sums: tuple[Tensor, Tensor | None], grads: tuple[Tensor, Tensor | None]
) -> QueryWeights:
    """Of log-sums [N], over all keys and over positives, and the gradients of both."""
    shifts = torch.stack([log_sum.float() * LOG2E for log_sum in log_sums if log_sum is not None])
    weights = torch.stack([grad.float() for grad in grads if grad is not None])
    nothing = shifts == -math.inf
    weights = weights.masked_fill(nothing, 0)  # [1 or 2, N]
    enlarged = None
    if queries.dtype == torch.float16:
        # Coefficients of 1 / N**2 would vanish; float16 ends at 65504, and four of them are added at most.
        enlarged = 2.0**13 / weights.abs().amax().clamp(min=1e-30)
        weights = weights * enlarged
    level = shifts.amax()
    least = shifts.masked_fill(nothing, math.inf).amin()
    bounded = (level - least).abs() < SAFE_SPREAD  # False for NaN, and where all log-sums are -inf
    powered = (weights * torch.exp2(level - shifts)).masked_fill(nothing, 0)
    weights = torch.where(bounded, powered, weights)
    shifts = shifts.masked_fill(nothing, math.inf)
    weight, *weight_same = weights
    shift, *shift_same = shifts
    return QueryWeights(
        weight,
        shift,
        weight_same[0] if weight_same else None,
        shift_same[0] if shift_same else None,
        level,
        bounded.int(),
        enlarged,
    )
