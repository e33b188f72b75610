"""A learned scale for cosines: the inverse of a temperature."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from likewise.field_types import ABOVE_ZERO, typed_arguments

MAX_SCALE = 100.0
"""the bound of CLIP (Radford et al. 2021, Sec. 2.5, https://arxiv.org/abs/2103.00020)"""


class LearnedScale(nn.Module):
    """exp(s), between 1 and 100.

    Args:
        start: the initial scale.
    """

    @typed_arguments(start=ABOVE_ZERO)
    def __init__(self, start: float) -> None:
        super().__init__()
        self.log = nn.Parameter(torch.tensor(math.log(start)))

    def forward(self) -> Tensor:
        """The scale, a scalar."""
        return self.log.exp()

    @torch.no_grad()
    def bound(self) -> None:
        """Clamp to [1, 100] after an update; a clamp in the loss would stop the gradient."""
        self.log.clamp_(0.0, math.log(MAX_SCALE))
