"""View parameters in which nothing is random, and images to make views of."""

import torch
from sklearn.datasets import load_sample_image
from torch import Tensor

from likewise.views.image.view_params import ColourParams, ViewParams


def whole_images(rows: int, **parts: Tensor) -> ViewParams:
    """The whole image of each row, changed by the parts named and no others."""
    never = torch.zeros(rows, dtype=torch.bool)
    colour = {
        "factors": torch.ones(rows, 4),
        "order": torch.full((rows, 4), -1),
        "grey": never,
        "blurred": never,
        "sigma": torch.ones(rows),
        "solarized": never,
    }
    return ViewParams(torch.eye(2, 3).repeat(rows, 1, 1), ColourParams(**(colour | parts)))


def natural(rows: int, channels: int, side: int = 24) -> Tensor:
    """Patches of two photographs, uint8 [B, C, S, S]."""
    photographs = [
        torch.from_numpy(load_sample_image(name).copy()) for name in ("china.jpg", "flower.jpg")
    ]
    random = torch.Generator().manual_seed(5)
    patches = []
    for row in range(rows):
        top, left = (torch.rand(2, generator=random) * (400 - side)).long().tolist()
        patches.append(photographs[row % 2][top : top + side, left : left + side].permute(2, 0, 1))
    return torch.stack(patches)[:, :channels].contiguous()


def synthetic(rows: int, channels: int) -> Tensor:
    """Noise, and the images at which HSV is touchy: black, white, greys, pure colours, ties between channels."""
    random = torch.Generator().manual_seed(7)
    images = torch.rand(rows, channels, 12, 12, generator=random)
    images[0], images[1] = 0, 1
    images[2] = images[2, :1]
    images[3:8] = images[3:8].round()
    images[8:12] = (images[8:12] * 3).round() / 3
    return (images * 255).round().to(torch.uint8)
