"""Small convolutional networks for 28 to 64 pixels, quick enough to train on a CPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import nn

from likewise.encoders.encoder import Encoder


class Shape(NamedTuple):
    """Sizes of the convolutions, one entry a stage."""

    widths: tuple[int, ...]
    """output channels"""
    strides: tuple[int, ...]
    """2 halves the map"""
    kernels: tuple[int, ...]
    """side of the kernel"""


SMALL = {
    "conv4": Shape((32, 64, 128, 256), (2, 2, 2, 2), (5, 3, 3, 3)),
    "conv4-half": Shape((16, 32, 64, 128), (2, 2, 2, 2), (5, 3, 3, 3)),
    "conv4-double": Shape((64, 128, 256, 512), (2, 2, 2, 2), (5, 3, 3, 3)),
    "conv4-wide": Shape((64, 128, 256, 256), (1, 2, 2, 1), (3, 3, 3, 3)),
}
"""By name. conv4 halves the map at once: 7 MFLOP for a gray image of 28 pixels; half and double have that share of its
channels, and so about a quarter and four times its work; conv4-wide takes 117."""


def convolution_block(width_in: int, width_out: int, stride: int, kernel: int) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU."""
    return nn.Sequential(
        nn.Conv2d(width_in, width_out, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(width_out),
        nn.ReLU(inplace=True),
    )


class ConvNet(Encoder):
    """A plain stack of convolutions; each is a stage."""

    def __init__(self, shape: Shape, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__(shape.widths[-1], mean, std)
        before = (len(mean), *shape.widths[:-1])
        self.blocks = nn.ModuleList(map(convolution_block, before, *shape))

    def stages(self) -> Sequence[nn.Module]:
        """One block after another."""
        return list(self.blocks)

    def another_stage(self) -> nn.Module:
        """One more block."""
        return convolution_block(self.width, self.width, 1, 3)
