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
    size, device = images.shape[-1], images.device
    blur, most = gaussian_matrix(sigma * scale, size, device), max(1, round(reach * scale))
    images = along_both(images, blur)
    rows, columns = torch.arange(size, device=device)[:, None], torch.arange(size, device=device)
    for turn in range(int(rounds)):
        moved = (fields.stream(f"round {turn}").uniform(2, size, size) * (2 * most + 1)).long() - most
        neighbours = (rows + moved[:, 0]).clamp(0, size - 1) * size + (columns + moved[:, 1]).clamp(0, size - 1)
        neighbours = neighbours.flatten(1)[:, None].expand(-1, images.shape[1], -1)
        images = images.flatten(2).gather(2, neighbours).view_as(images)
    return along_both(images, blur)


def motion_blur(images: Tensor, fields: RandomFields, radius: float, sigma: float, *, scale: float) -> Tensor:
    """Every point drawn out in one direction, within 45 degrees of the horizontal."""
    angle = (fields.uniform() - 0.5) * (math.pi / 2)
    return convolve(images, streak_kernels(radius * scale, sigma * scale, angle), "replicate")


def zoom_blur(images: Tensor, further: float, step: float) -> Tensor:
    """The mean of the image and of ever larger enlargements of it, from 1 up to just below 1 + ``further``.

    The authors cut out whole pixels before they enlarge; here the enlargement is exact, so none is a repetition.
    """
    size, count = images.shape[-1], math.ceil(further / step - 1e-9)
    total = images.clone()
    for index in range(count):
        total += along_both(images, zoom_matrix(1 + index * step, size, images.device))
    return total / (count + 1)
