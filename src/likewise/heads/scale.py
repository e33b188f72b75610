"""A factor for cosines that is learned: one over a temperature."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

MOST = 100.0
"""CLIP's bound (Radford et al. 2021, Sec. 2.5, https://arxiv.org/abs/2103.00020)"""


class LearnedScale(nn.Module):
    """exp(s), between 1 and 100.

    Args:
        start: the factor at first.
    """

    def __init__(self, start: float) -> None:
        super().__init__()
        self.log = nn.Parameter(torch.tensor(math.log(start)))

    def forward(self) -> Tensor:
        """The factor, a scalar."""
        return self.log.exp()

    @torch.no_grad()
    def bound(self) -> None:
        """Bring it back between 1 and 100, after an update: clamped in the loss it would have no gradient any more."""
        self.log.clamp_(0.0, math.log(MOST))
