"""Changes of tone and sharpness, each row by its own amount: those of RandAugment that colour jitter does not have.

Images are float32 [B, C, H, W] in [0, 1] with C = 3 (RGB) or 1 (grey). Every function equals torchvision v2's float
functional of the same purpose, applied image by image, and leaves its input as it is.
"""

from __future__ import annotations

import torch
from torch import Tensor

LEVELS = 256
"""Of a byte."""


def autocontrast(images: Tensor) -> Tensor:
    """Each channel stretched to reach from 0 to 1; one of a single value stays."""
    least = images.amin(dim=(2, 3), keepdim=True)  # [B, C, 1, 1]
    greatest = images.amax(dim=(2, 3), keepdim=True)
    flat = least == greatest
    offset = least.masked_fill(flat, 0)
    span = (greatest - least).masked_fill(flat, 1)
    return ((images - offset) / span).clamp_(0, 1)


def equalize(images: Tensor) -> Tensor:
    """Each channel's values spread so that all 256 levels are used equally often, by Pillow's rule for whole levels."""
    levels = (images * (LEVELS - 1e-3)).to(torch.uint8)
    levels = levels.flatten(2).long()  # [B, C, H*W]
    counts = _histograms(levels)
    brightest = counts.gather(2, levels.amax(dim=2, keepdim=True))
    per_level = (levels.shape[2] - brightest) // (LEVELS - 1)  # [B, C, 1]
    below = counts.cumsum(dim=2) - counts
    table = (below + per_level // 2).div(per_level.clamp(min=1), rounding_mode="floor")
    table = table.clamp_(max=LEVELS - 1)
    # Where a single level has nearly all pixels, nothing is left to spread.
    spread = torch.where(per_level > 0, table.gather(2, levels), levels)
    return (spread / (LEVELS - 1)).view_as(images)


def _histograms(levels: Tensor) -> Tensor:
    """How often each channel has each level: int64 [B, C, N] -> [B, C, LEVELS]."""
    rows, channels, _ = levels.shape
    planes = rows * channels
    # Each plane counts in bins of its own, so that one bincount serves all.
    first_bin = LEVELS * torch.arange(planes, device=levels.device)
    bins = levels + first_bin.view(rows, channels, 1)
    counts = bins.flatten().bincount(minlength=LEVELS * planes)
    return counts.view(rows, channels, LEVELS)


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Values rounded down to 2^bits levels; bits are whole numbers [B]."""
    levels = torch.exp2(bits).view(-1, 1, 1, 1)
    number = (images * levels).floor_().clamp_(min=0)
    return number.minimum(levels - 1) / levels


def sharpen(images: Tensor, factor: Tensor) -> Tensor:
    """Moved away from (factor > 1) or towards the image smoothed over 3 x 3 pixels; its outermost pixels stay."""
    if min(images.shape[-2:]) <= 2:
        return images
    inner = images[..., 1:-1, 1:-1]
    # Pillow's kernel: all ones but 5 in the middle, divided by 13.
    # Sums of three pixels.
    columns = images[..., :-2, :] + images[..., 1:-1, :] + images[..., 2:, :]
    squares = columns[..., :-2] + columns[..., 1:-1] + columns[..., 2:]
    smooth = (squares + 4 * inner) / 13
    moved = smooth + factor.view(-1, 1, 1, 1) * (inner - smooth)
    sharpened = images.clone()
    sharpened[..., 1:-1, 1:-1] = moved.clamp_(0, 1)
    return sharpened
