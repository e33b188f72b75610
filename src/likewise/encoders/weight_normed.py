"""A network without batch normalisation, whose features can be compared between real and generated images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from likewise.encoders.encoder import Encoder

NINE = {"conv9": (128, 256), "conv9-half": (64, 128)}
"""Channels of the first two stages. conv9 is that of Triple-GAN's code for CIFAR-10; conv9-half is about as wide as
Bad-GAN's for SVHN, and does a quarter of the work: 0.5 GFLOP for an image of 32 pixels."""


class WeightNormedConvolution(nn.Conv2d):
    """A convolution whose weights are a direction and a length for each output channel (Salimans & Kingma 2016).

    https://arxiv.org/abs/1602.07868, Sec. 2. The lengths begin at those of He's initialisation; the paper, and the code
    of both parents of UGAN, set them by a first batch instead, which would make first weights depend on the data.
    """

    def reset_parameters(self) -> None:
        """He initialisation of the weights; their lengths become the gain parameters."""
        nn.init.kaiming_normal_(self.weight, a=0.2)
        if self.bias is not None:
            nn.init.zeros_(self.bias)
        lengths = self.weight.detach().flatten(1).norm(dim=1)
        if "length" in self._parameters:
            self.length.data.copy_(lengths)
        else:
            self.length = nn.Parameter(lengths)

    def forward(self, input: Tensor) -> Tensor:
        """[B, C, S, S] -> [B, channels out, s, s]."""
        # One length for each output channel.
        norm = torch.linalg.vector_norm(self.weight, dim=(1, 2, 3), keepdim=True)
        length = self.length.view(-1, 1, 1, 1)
        weight = self.weight / norm * length
        return self._conv_forward(input, weight, self.bias)


def convolution(width_in: int, width_out: int, kernel: int, padding: int) -> nn.Sequential:
    """Weight-normed convolution and leaky ReLU."""
    return nn.Sequential(
        WeightNormedConvolution(width_in, width_out, kernel, padding=padding), nn.LeakyReLU(0.2)
    )


class NineLayers(Encoder):
    """Nine convolutions in three stages, with weight norm and dropout (Triple-GAN, App. D; Bad-GAN, App. E).

    Dropout of 0.2 on the pixels and 0.5 after each halving. Its features are the mean over the last map.
    """

    def __init__(
        self, first: int, second: int, mean: Sequence[float], std: Sequence[float]
    ) -> None:
        super().__init__(first, mean, std)
        colours = three(len(mean), first)
        middle = three(first, second)
        last = nn.Sequential(
            convolution(second, 2 * second, 3, 0),
            convolution(2 * second, second, 1, 0),
            convolution(second, first, 1, 0),
        )
        self.blocks = nn.ModuleList()
        self.blocks.append(nn.Sequential(nn.Dropout(0.2), *colours, *halving()))
        self.blocks.append(nn.Sequential(*middle, *halving()))
        self.blocks.append(last)

    def stages(self) -> Sequence[nn.Module]:
        """Three convolutions each."""
        return list(self.blocks)

    def another_stage(self) -> nn.Module:
        """Three more 1x1 convolutions."""
        layers = [convolution(self.width, self.width, 1, 0) for _ in range(3)]
        return nn.Sequential(*layers)


def halving() -> list[nn.Module]:
    """What follows a stage: a map of half the side, and dropout."""
    return [nn.MaxPool2d(2), nn.Dropout(0.5)]


def three(width_in: int, width: int) -> list[nn.Module]:
    """Three convolutions of 3x3 that keep the map's size."""
    return [convolution(before, width, 3, 1) for before in (width_in, width, width)]
