"""Images of a few sparse features under dense noise, and the augmentation that tells the two apart.

The sparse coding model of Wen & Li 2021 (https://arxiv.org/abs/2105.15134): an image is x = M z + xi. The
columns of M are the features, z says which few of them are there, and xi is dense: it touches every pixel of every
image, and holds far more of an image's energy than the features do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from likewise.errors import LikewiseError

Augmentation = Callable[[Tensor, Generator], tuple[Tensor, Tensor]]
"""Images [N, P] to two views of each, [N, P] both."""


@dataclass(frozen=True)
class SparseCoding:
    """How images are made. The defaults hold 8 times as much energy in the dense part as in the sparse one."""

    features: int = 16
    """sparse features"""
    pixels: int = 256
    """numbers in an image; many more than features"""
    chance: float = 0.12
    """probability that a feature is in an image; both signs are equally likely"""
    noise: float = 0.25
    """standard deviation of the dense part in each pixel"""

    def __post_init__(self) -> None:
        if not 0 < self.features < self.pixels:
            raise LikewiseError(
                f"An image of {self.pixels} pixels holds 1 to {self.pixels - 1} features; got {self.features}."
            )
        if not 0 < self.chance <= 1 or self.noise < 0:
            raise LikewiseError(
                f"chance is in (0, 1] and noise 0 or more; got {self.chance} and {self.noise}."
            )

    def dictionary(self, generator: Generator) -> Tensor:
        """M [P, F]: orthonormal columns in random directions, so that every feature is spread over all pixels."""
        directions = torch.randn(self.pixels, self.features, generator=generator)
        return torch.linalg.qr(directions).Q

    def sparse(self, rows: int, generator: Generator) -> Tensor:
        """Z [N, F]: independent entries, -1 or 1 with half the chance each, else 0."""
        uniform = torch.rand(rows, self.features, generator=generator)
        positive = uniform < self.chance / 2
        negative = uniform >= 1 - self.chance / 2
        return positive.float() - negative.float()

    def dense(self, rows: int, generator: Generator) -> Tensor:
        """Xi [N, P]: normal and independent from pixel to pixel."""
        return self.noise * torch.randn(rows, self.pixels, generator=generator)

    def images(self, rows: int, dictionary: Tensor, generator: Generator) -> Tensor:
        """X = z Mᵀ + xi, [N, P]."""
        return self.sparse(rows, generator) @ dictionary.T + self.dense(rows, generator)


def random_mask(x: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """Each pixel goes to one view, doubled, and is 0 in the other; a fair coin says to which.

    The views share no pixel, so their dense parts are independent, while each keeps M z on average: what the two have
    in common is sparse. Off the diagonal E[first secondᵀ] = E[x xᵀ]; on it, where all the noise is, 0.

    Args:
        x: [N, P].
        generator: of the mask, one draw for each pixel of each image.

    Returns:
        2 D x and 2 (I - D) x, [N, P] both (RandomMask of Wen & Li 2021).
    """
    coins = torch.randint(0, 2, x.shape, generator=generator, dtype=torch.uint8)
    first = 2 * coins * x
    return first, 2 * x - first


def no_augmentation(x: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """The image twice: the noise is a better sign than the features of which image it was."""
    return x, x
