"""Small convolutional networks for 28 to 64 pixels, quick enough to train on a CPU."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from likewise.encoders.encoder import Encoder


def convolution_block(width_in: int, width_out: int, stride: int) -> nn.Sequential:
    """3x3 convolution, batch normalisation, ReLU."""
    return nn.Sequential(
        nn.Conv2d(width_in, width_out, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(width_out),
        nn.ReLU(inplace=True),
    )


class ConvNet(Encoder):
    """A plain stack of 3x3 convolutions; each entry of ``widths`` is a stage, a stride of 2 halves the map."""

    def __init__(
        self, widths: Sequence[int], strides: Sequence[int], mean: Sequence[float], std: Sequence[float]
    ) -> None:
        super().__init__(widths[-1], mean, std)
        before = [len(mean), *widths[:-1]]
        self.blocks = nn.ModuleList(
            convolution_block(w_in, w_out, stride) for w_in, w_out, stride in zip(before, widths, strides, strict=True)
        )

    def stages(self) -> Sequence[nn.Module]:
        """One block after another."""
        return list(self.blocks)


SMALL: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "conv4": ((32, 64, 128, 128), (1, 2, 2, 1)),
    "conv4-wide": ((64, 128, 256, 256), (1, 2, 2, 1)),
}
"""Widths and strides of the stages, by name."""
