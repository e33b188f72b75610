"""Blur of the lens, of frosted glass, of a moving and of a zooming camera.

Images are float32 [B, C, S, S] in [0, 1]; ``scale`` multiplies lengths in pixels (see ``severities``).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from likewise.evaluation.corruptions.linear_maps import (
    along_both,
    convolve,
    disk_kernel,
    gaussian_matrix,
    streak_kernels,
    zoom_matrix,
)
from likewise.evaluation.corruptions.random_fields import RandomFields


def defocus_blur(images: Tensor, radius: float, softness: float, *, scale: float) -> Tensor:
    """Every point becomes a disk."""
    kernel = disk_kernel(radius * scale, softness * scale, images.device)
    return convolve(images, kernel, "reflect")


def glass_blur(
    images: Tensor, fields: RandomFields, sigma: float, reach: float, rounds: float, *, scale: float
) -> Tensor:
    """Blurred, then pixels mixed with their neighbours, then blurred again.

    In the authors' code pixels are swapped one after the other, from the last to the first, which may carry a pixel
    far. Here every pixel takes the value of one up to ``reach`` pixels away, drawn evenly, all at once.
    """
    size = images.shape[-1]
    blur = gaussian_matrix(sigma * scale, size, images.device)
    most = max(1, round(reach * scale))
    images = along_both(images, blur)
    for number in range(int(rounds)):
        uniform = fields.stream(f"round {number}").uniform(2, size, size)
        moved = (uniform * (2 * most + 1)).long() - most  # [B, 2, S, S], -most to most
        images = _moved(images, moved)
    return along_both(images, blur)


def _moved(images: Tensor, moved: Tensor) -> Tensor:
    """Each pixel takes the value of another: images [B, C, S, S], rows and columns to go to it int64 [B, 2, S, S]."""
    last = images.shape[-1] - 1
    axis = torch.arange(last + 1, device=images.device)
    row = (axis[:, None] + moved[:, 0]).clamp(0, last)
    column = (axis + moved[:, 1]).clamp(0, last)
    index = (row * (last + 1) + column).flatten(1)  # [B, S*S]
    index = index[:, None].expand(-1, images.shape[1], -1)
    return images.flatten(2).gather(2, index).view_as(images)


def motion_blur(
    images: Tensor,
    fields: RandomFields,
    radius: float,
    sigma: float,
    *,
    scale: float,
) -> Tensor:
    """Every point drawn out in one direction, within 45 degrees of the horizontal."""
    angle = (fields.uniform() - 0.5) * (math.pi / 2)
    kernels = streak_kernels(radius * scale, sigma * scale, angle)
    return convolve(images, kernels, "replicate")


def zoom_blur(images: Tensor, further: float, step: float) -> Tensor:
    """The mean of the image and of ever larger enlargements of it, from 1 up to just below 1 + ``further``.

    The authors cut out whole pixels before they enlarge; here the enlargement is exact, so none is a repetition.
    """
    size = images.shape[-1]
    count = math.ceil(further / step - 1e-9)
    total = images.clone()
    for index in range(count):
        zoom = zoom_matrix(1 + index * step, size, images.device)
        total += along_both(images, zoom)
    return total / (count + 1)
