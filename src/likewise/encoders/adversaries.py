"""The networks of adversarial games on images: generators, which make some of noise, and the one that judges them."""

from __future__ import annotations

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

LEAST = 7
"""Side of the map that a generator begins with at most; it is doubled until the image is covered."""


class Generator(nn.Module):
    """Noise, and a class if it is told one, to images [B, C, S, S] in [0, 1].

    A linear map to a small map, then transposed convolutions that double it, with batch normalisation and ReLU (Radford
    et al. 2016, https://arxiv.org/abs/1511.06434). The tanh at its end is brought from [-1, 1] to [0, 1], where views
    lie. Of 32 pixels with ``width`` 128 the maps have 512, 256 and 128 channels, as in the code of Triple-GAN and of
    Bad-GAN; of larger images never more than 512. What a class adds to the first map stands for the one-hot labels that
    Triple-GAN joins to every layer.

    Args:
        noise: numbers that an image is made of.
        channels: of the image.
        size: side of the image.
        width: channels before the last layer.
        classes: how many there are to be told; 0 for a generator that is told none.
    """

    def __init__(self, noise: int, channels: int, size: int, width: int, classes: int = 0) -> None:
        super().__init__()
        doublings = next(n for n in range(1, 12) if -(-size // 2**n) <= LEAST)
        widths = [width * min(2 ** (doublings - 1 - n), 4) for n in range(doublings)]
        self.size, self.shape = size, (widths[0], *(2 * [-(-size // 2**doublings)]))
        area = widths[0] * self.shape[1] ** 2
        self.begin = nn.Linear(noise, area, bias=False)
        self.of_class = nn.Embedding(classes, area) if classes else None
        stages: list[nn.Module] = []
        for before, after in zip(widths, [*widths[1:], channels], strict=True):
            stages += [nn.BatchNorm2d(before), nn.ReLU(inplace=True), nn.ConvTranspose2d(before, after, 4, 2, 1)]
        self.stages = nn.Sequential(*stages)

    def forward(self, noise: Tensor, classes: Tensor | None = None) -> Tensor:
        """[B, noise], and int64 [B] if it is told classes -> [B, C, S, S] in [0, 1]."""
        begun = self.begin(noise.to(self.begin.weight.dtype))
        if self.of_class is not None and classes is not None:
            begun = begun + self.of_class(classes)
        made = self.stages(begun.unflatten(1, self.shape))[..., : self.size, : self.size]
        return (made.tanh() + 1) / 2


class PairDiscriminator(nn.Module):
    """Images and classes to logits [B] of "this is a real image of that class".

    Convolutions of stride 2 with leaky ReLU, without normalisation, so that each image is judged by itself. The class
    enters by an inner product with the features (Miyato & Koyama 2018, https://arxiv.org/abs/1802.05637), where
    Triple-GAN's code joins one-hot labels to every layer, drops units and adds noise.

    Args:
        channels: of the images.
        width: channels of the first map; the next have twice and four times as many.
        classes: how many there are.
    """

    def __init__(self, channels: int, width: int, classes: int) -> None:
        super().__init__()
        widths = [channels, width, 2 * width, 4 * width]
        self.stages = nn.ModuleList(nn.Conv2d(before, after, 3, 2, 1) for before, after in pairwise(widths))
        self.any_class = nn.Linear(widths[-1], 1)
        self.of_class = nn.Embedding(classes, widths[-1])

    def forward(self, pixels: Tensor, classes: Tensor) -> Tensor:
        """Float [B, C, S, S] in [0, 1] and int64 [B] -> [B]."""
        maps = 2 * pixels.to(self.any_class.weight.dtype) - 1
        for stage in self.stages:
            maps = F.leaky_relu(stage(maps), 0.2)
        features = maps.mean(dim=(2, 3))
        return self.any_class(features).squeeze(1) + (features * self.of_class(classes)).sum(dim=1)
