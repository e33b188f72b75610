"""Learned points on the sphere that embeddings are compared with."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from likewise.field_types import SIZE, typed_arguments


class Prototypes(nn.Module):
    """``count`` unit vectors; SwAV's clusters (Caron et al. 2020, https://arxiv.org/abs/2006.09882).

    An optimiser's step leaves the sphere: `renormalise` puts them back, and is to be called after each.
    """

    @typed_arguments(width=SIZE, count=SIZE)
    def __init__(self, width: int, count: int) -> None:
        super().__init__()
        points = torch.randn(count, width)
        self.weight = nn.Parameter(F.normalize(points, dim=1))

    def forward(self, z: Tensor, frozen: bool = False) -> Tensor:
        """Cosines [B, count] of unit vectors [B, width], in float32 or better.

        ``frozen`` prototypes take a gradient of zero rather than none, as data parallelism wants one of everything;
        weight decay, which shortens them all the same, is undone by `renormalise`.
        """
        with torch.autocast(z.device.type, enabled=False):
            weight = self.weight
            if frozen:
                weight = weight.detach() + 0.0 * weight
            return z @ weight.T

    @torch.no_grad()
    def renormalise(self) -> None:
        """Back to length 1."""
        self.weight.copy_(F.normalize(self.weight, dim=1))
