"""A thin network for clips without stride in time, as the fast pathway next to an encoder."""

from __future__ import annotations

from torch import nn

from likewise.encoders.clip_networks import FactoredConvolution

WIDTHS = (8, 16, 32, 64)
"""Channels of its stages."""
STRIDES = (2, 2, 2, 1)
"""Their strides in space; none in time."""


class ThinPathway(nn.Sequential):
    """The fast pathway of SlowFast (Feichtenhofer et al. 2019, Sec. 3.2, https://arxiv.org/abs/1812.03982).

    Few channels, no stride in time: normalised clips [B, C, T, S, S] -> [B, 64, T, S / 8, S / 8]. Its convolutions are
    factored as those of `clip_networks`, and it has no lateral connections.

    Args:
        channels: colours of the clips.
    """

    width = WIDTHS[-1]
    """channels that it gives"""

    def __init__(self, channels: int) -> None:
        super().__init__()
        before = channels
        for width, stride in zip(WIDTHS, STRIDES, strict=True):
            self.append(FactoredConvolution(before, width, (1, stride)))
            before = width
