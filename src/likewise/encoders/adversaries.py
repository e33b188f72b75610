"""Generators and discriminators of images, for adversarial training."""

from __future__ import annotations

import math
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

MAX_START_SIDE = 7
"""Greatest side of the first map of a generator, which is doubled until it covers the image."""


class Generator(nn.Module):
    """Noise, and a class for a conditional generator, to images [B, C, S, S] in [0, 1].

    A linear map to a small map, then transposed convolutions that double it, with batch normalisation and ReLU (Radford
    et al. 2016, https://arxiv.org/abs/1511.06434). The tanh at its end is brought from [-1, 1] to [0, 1], where views
    lie. Of 32 pixels with ``width`` 128 the maps have 512, 256 and 128 channels, as in the code of Triple-GAN and of
    Bad-GAN; of larger images never more than 512. A class embedding is added to the first map, where
    Triple-GAN concatenates one-hot labels in every layer.

    Args:
        noise: width of the noise vector.
        channels: of the image.
        size: side of the image.
        width: channels before the last layer.
        classes: number of classes; 0 for an unconditional generator.
    """

    def __init__(self, noise: int, channels: int, size: int, width: int, classes: int = 0) -> None:
        super().__init__()
        doublings = max(math.ceil(math.log2(size / MAX_START_SIDE)), 1)
        side = math.ceil(size / 2**doublings)
        widths = []
        for remaining in reversed(range(doublings)):
            widths.append(width * min(2**remaining, 4))
        self.size = size
        self.shape = (widths[0], side, side)
        area = widths[0] * side**2
        self.input = nn.Linear(noise, area, bias=False)
        self.class_embedding = nn.Embedding(classes, area) if classes else None
        stages: list[nn.Module] = []
        for before, after in zip(widths, [*widths[1:], channels], strict=True):
            doubling = nn.ConvTranspose2d(before, after, kernel_size=4, stride=2, padding=1)
            stages += [nn.BatchNorm2d(before), nn.ReLU(inplace=True), doubling]
        self.stages = nn.Sequential(*stages)

    def forward(self, noise: Tensor, classes: Tensor | None = None) -> Tensor:
        """[B, noise], and int64 [B] for a conditional generator -> [B, C, S, S] in [0, 1]."""
        first_map = self.input(noise.to(self.input.weight.dtype))
        if self.class_embedding is not None and classes is not None:
            first_map = first_map + self.class_embedding(classes)
        images = self.stages(first_map.unflatten(1, self.shape))
        images = images[..., : self.size, : self.size]  # doubling may overshoot
        return (images.tanh() + 1) / 2


class PairDiscriminator(nn.Module):
    """Images and classes to logits [B] of "this is a real image of that class".

    Convolutions of stride 2 with leaky ReLU, without normalisation, so that images do not influence each other. The
    class enters by an inner product with the features (Miyato & Koyama 2018, https://arxiv.org/abs/1802.05637), where
    Triple-GAN's code concatenates one-hot labels in every layer, and has dropout and noise.

    Args:
        channels: of the images.
        width: channels of the first map; the next have twice and four times as many.
        classes: number of classes.
    """

    def __init__(self, channels: int, width: int, classes: int) -> None:
        super().__init__()
        widths = [channels, width, 2 * width, 4 * width]
        self.stages = nn.ModuleList(
            nn.Conv2d(before, after, 3, 2, 1) for before, after in pairwise(widths)
        )
        self.unconditional = nn.Linear(widths[-1], 1)
        self.class_embedding = nn.Embedding(classes, widths[-1])

    def forward(self, pixels: Tensor, classes: Tensor) -> Tensor:
        """Float [B, C, S, S] in [0, 1] and int64 [B] -> [B]."""
        maps = 2 * pixels.to(self.unconditional.weight.dtype) - 1
        for stage in self.stages:
            maps = F.leaky_relu(stage(maps), 0.2)
        features = maps.mean(dim=(2, 3))  # [B, 4 width]
        of_class = (features * self.class_embedding(classes)).sum(dim=1)  # [B]
        return self.unconditional(features).squeeze(1) + of_class
