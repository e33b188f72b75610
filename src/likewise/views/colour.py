"""Changes of colour, each row by its own factor.

Images are float32 [B, C, H, W] in [0, 1] with C = 3 (RGB) or 1 (grey); factors are float32 [B]. Every function equals
torchvision's float functional of the same purpose, applied image by image. None changes its input but ``jitter``.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

RED, GREEN, BLUE = 0.2989, 0.587, 0.114
"""Weights of luminance (ITU-R BT.601), rounded as torchvision rounds them."""


def luminance(images: Tensor) -> Tensor:
    """[B, C, H, W] -> [B, 1, H, W]; a grey image is its own luminance."""
    if images.shape[1] == 1:
        return images
    red, green, blue = images.unbind(dim=1)
    return (red * RED).add_(green, alpha=GREEN).add_(blue, alpha=BLUE).unsqueeze(1)


def brighten(images: Tensor, factor: Tensor) -> Tensor:
    """Multiplied by the factor."""
    return (images * _per_row(factor)).clamp_(max=1)


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Moved away from (factor > 1) or towards the image's mean luminance."""
    return _blend(luminance(images).mean(dim=(1, 2, 3), keepdim=True), images, factor)


def saturate(images: Tensor, factor: Tensor) -> Tensor:
    """Moved away from (factor > 1) or towards each pixel's luminance; does nothing to a grey image."""
    return images if images.shape[1] == 1 else _blend(luminance(images), images, factor)


def shift_hue(images: Tensor, turn: Tensor) -> Tensor:
    """Hue turned by a share of the circle, in [-0.5, 0.5]; does nothing to a grey image.

    HSV's chroma and value stay as they are, so the way back needs neither saturation nor the table of six sectors:
    each channel is a trapezium of the hue, between the pixel's least and greatest channel.
    """
    if images.shape[1] == 1:
        return images
    red, green, blue = images.unbind(dim=1)
    least, greatest = images.amin(dim=1), images.amax(dim=1)
    chroma = greatest - least
    by_blue = (red - green).div_(divisor := chroma.clamp(min=1e-12)).add_(4)
    by_green = (blue - red).div_(divisor).add_(2)
    by_red = (green - blue).div_(divisor)
    hue = torch.where(greatest == red, by_red, torch.where(greatest == green, by_green, by_blue))  # in sixths
    hue.add_(turn.view(-1, 1, 1) * 6)
    hue.sub_((hue / 6).floor_(), alpha=6)
    # Red is full around sixth 0 (it is the complement of a trapezium around 3), green around 2 and blue around 4.
    channels = (
        (hue - 3).abs_().sub_(1),
        (hue - 2).abs_().neg_().add_(2),
        (hue - 4).abs_().neg_().add_(2),
    )
    return torch.stack([torch.addcmul(least, channel.clamp_(0, 1), chroma) for channel in channels], dim=1)


def grey(images: Tensor) -> Tensor:
    """Luminance in every channel."""
    return luminance(images).expand_as(images)


def solarize(images: Tensor, threshold: float = 0.5) -> Tensor:
    """Values at the threshold or above, inverted."""
    return torch.where(images >= threshold, 1 - images, images)


CHANGES: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (brighten, contrast, saturate, shift_hue)
"""What ``jitter`` applies, in the order of its columns."""


def jitter(images: Tensor, factors: Tensor, order: Tensor) -> Tensor:
    """Brightness, contrast, saturation and hue, in each row's own order. Changes ``images`` and returns it.

    Args:
        images: float32 [B, C, H, W].
        factors: float32 [B, 4], a column for each of ``CHANGES``.
        order: int64 [B, K], each row's places in ``CHANGES``, first to last; -1 leaves out. Best kept on the CPU even
            where images are not: which rows a change touches is then known without waiting for the device.
    """
    factors = factors.to(images.device)
    for places in order.unbind(dim=1):
        for place, change in enumerate(CHANGES):
            rows = (places == place).nonzero()[:, 0].to(images.device)
            if len(rows):
                images.index_copy_(0, rows, change(images[rows], factors[rows, place]))
    return images


def _per_row(factor: Tensor) -> Tensor:
    return factor.view(-1, 1, 1, 1)


def _blend(other: Tensor, images: Tensor, factor: Tensor) -> Tensor:
    return torch.lerp(other, images, _per_row(factor)).clamp_(0, 1)
