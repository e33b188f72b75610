"""Changes of colour, each row by its own factor.

Images are float32 [B, C, H, W] in [0, 1]; factors are float32 [B]. With C = 3 (RGB) or 1 (grey) every function equals
torchvision's float functional of the same purpose, applied image by image. With any other C there is no colour:
saturation and hue do nothing, and contrast treats each channel by itself. None changes its input but ``jitter``.
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
    weighted = (red * RED).add_(green, alpha=GREEN).add_(blue, alpha=BLUE)
    return weighted.unsqueeze(1)


def brighten(images: Tensor, factor: Tensor) -> Tensor:
    """Multiplied by the factor."""
    return (images * _per_row(factor)).clamp_(0, 1)


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Moved away from (factor > 1) or towards the image's mean luminance; of C channels each towards its own mean."""
    if images.shape[1] in (1, 3):
        mean = luminance(images).mean(dim=(1, 2, 3), keepdim=True)  # [B, 1, 1, 1]
    else:
        mean = images.mean(dim=(2, 3), keepdim=True)  # [B, C, 1, 1]
    return _blend(mean, images, factor)


def scale_channels(images: Tensor, factors: Tensor) -> Tensor:
    """[B, C, H, W], each channel multiplied by its own factor [B, C]."""
    return (images * factors[:, :, None, None]).clamp_(0, 1)


def saturate(images: Tensor, factor: Tensor) -> Tensor:
    """Moved away from (factor > 1) or towards each pixel's luminance; does nothing where there is no RGB."""
    if images.shape[1] != 3:
        return images
    return _blend(luminance(images), images, factor)


def shift_hue(images: Tensor, turn: Tensor) -> Tensor:
    """Hue turned by a share of the circle, in [-0.5, 0.5]; does nothing where there is no RGB.

    HSV's chroma and value stay as they are, so the way back needs neither saturation nor the table of six sectors:
    each channel is a trapezium of the hue, between the pixel's least and greatest channel.
    """
    if images.shape[1] != 3:
        return images
    red, green, blue = images.unbind(dim=1)
    least = torch.minimum(torch.minimum(red, green), blue)
    greatest = torch.maximum(torch.maximum(red, green), blue)
    chroma = greatest - least
    hue = _hue(red, green, blue, greatest, chroma)
    hue.add_(turn.view(-1, 1, 1) * 6)
    hue.sub_((hue / 6).floor_(), alpha=6)
    # Green is full around sixth 2, blue around 4, and red is lacking around 3.
    red_share = (hue - 3).abs_().sub_(1)
    green_share = (hue - 2).abs_().neg_().add_(2)
    blue_share = (hue - 4).abs_().neg_().add_(2)
    channels = []
    for share in (red_share, green_share, blue_share):
        channels.append(torch.addcmul(least, share.clamp_(0, 1), chroma))
    return torch.stack(channels, dim=1)


def grey(images: Tensor) -> Tensor:
    """Luminance in every channel."""
    return luminance(images).expand_as(images)


def solarize(images: Tensor, threshold: Tensor | float = 0.5) -> Tensor:
    """Values at the threshold, one or each row's [B], or above, inverted."""
    limit = torch.as_tensor(threshold).view(-1, 1, 1, 1)
    return torch.where(images >= limit, 1 - images, images)


ColourOp = Callable[[Tensor, Tensor], Tensor]

COLOUR_OPS: tuple[ColourOp, ...] = (brighten, contrast, saturate, shift_hue)
"""The operations of torchvision's ``ColorJitter``."""


def jitter(images: Tensor, factors: Tensor, order: Tensor) -> Tensor:
    """ColorJitter with an order of operations for each row. Changes ``images`` in place and returns it.

    Args:
        images: float32 [B, C, H, W].
        factors: float32 [B, 4], a column for each of ``COLOUR_OPS``.
        order: int64 [B, 4], each row's indices into ``COLOUR_OPS``, in the order of application; -1 is skipped. Keep it
            on the CPU even if the images are on a GPU: choosing the rows of an operation then needs no synchronisation.
    """
    factors = factors.to(images.device)
    # Skipped operations come last, so that more rows share an operation in the same column.
    is_skipped = (order < 0).to(torch.uint8)
    order = order.gather(1, is_skipped.argsort(dim=1, stable=True))
    for column in order.unbind(dim=1):  # [B]
        for index, operation in enumerate(COLOUR_OPS):
            rows = (column == index).nonzero()[:, 0].to(images.device)
            if len(rows):
                changed = operation(images.index_select(0, rows), factors[rows, index])
                images.index_copy_(0, rows, changed)
    return images


def _hue(
    red: Tensor,
    green: Tensor,
    blue: Tensor,
    greatest: Tensor,
    chroma: Tensor,
) -> Tensor:
    """Hue in sixths of the circle, red at 0: five times [B, H, W] -> [B, H, W]; of no use where chroma is 0."""
    per_chroma = chroma.clamp(min=1e-12).reciprocal_()
    by_red = (green - blue).mul_(per_chroma)
    by_green = (blue - red).mul_(per_chroma).add_(2)
    by_blue = (red - green).mul_(per_chroma).add_(4)
    # 0 or 1 as floats, and lerp for choosing: on a CPU a third of the time of comparisons and torch.where.
    not_red = (greatest - red).ceil_()
    not_green = (greatest - green).ceil_()
    by_green_or_blue = by_green.lerp_(by_blue, not_green)
    return by_red.lerp_(by_green_or_blue, not_red)


def _per_row(factor: Tensor) -> Tensor:
    return factor.view(-1, 1, 1, 1)


def _blend(other: Tensor, images: Tensor, factor: Tensor) -> Tensor:
    share = _per_row(factor)
    blended = (images * share).add_(other * (1 - share))
    return blended.clamp_(0, 1)
