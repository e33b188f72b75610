"""Loss of contrast, a warped sheet, coarse pixels and JPEG.

Images are float32 [B, C, S, S] in [0, 1].
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from likewise.evaluation.corruptions.linear_maps import (
    along_both,
    gaussian_matrix,
    pixelation_matrix,
)
from likewise.evaluation.corruptions.random_fields import RandomFields


def contrast(images: Tensor, factor: float) -> Tensor:
    """Each channel drawn towards its mean over the image."""
    mean = images.mean(dim=(2, 3), keepdim=True)
    return (images - mean) * factor + mean


def elastic(
    images: Tensor,
    fields: RandomFields,
    amount: float,
    sigma: float,
    corners: float,
) -> Tensor:
    """Warped: three points of the image are moved evenly by up to ``corners``, and every pixel by a smooth field.

    The field is even noise in [-1, 1], blurred by ``sigma`` and multiplied by ``amount``; all three are shares of the
    side. The authors resample twice, first the points' affine map, then the field; here both are one bilinear
    resampling, with the image mirrored beyond its edges.
    """
    size = images.shape[-1]
    noise = fields.stream("field").uniform(2, size, size) * 2 - 1
    blur = gaussian_matrix(sigma * size, size, images.device)
    smooth = along_both(noise * (amount * size), blur)  # [B, 2, S, S]: x, then y
    points = fields.stream("corners").uniform(3, 2) * 2 - 1
    moved = smooth + _affine(points, size) * (corners * size)
    axis = torch.arange(size, dtype=torch.float32, device=images.device)
    x = axis + moved[:, 0]
    y = axis[:, None] + moved[:, 1]
    source = torch.stack([x, y], dim=3)
    grid = (2 * source + 1) / size - 1  # as grid_sample counts: -1 and 1 are the outer edges
    return F.grid_sample(
        images, grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )


def _affine(draws: Tensor, size: int) -> Tensor:
    """How far each pixel moves, if three corners of the middle third do as drawn: [B, 3, 2] -> [B, 2, S, S]."""
    third = size / 3
    middle = (size - 1) / 2
    lower_right, upper_right, upper_left = draws[..., None, None].unbind(dim=1)  # [B, 2, 1, 1] each
    axis = torch.arange(size, dtype=torch.float32, device=draws.device)
    across = (axis - middle - third) / (2 * third)
    down = (axis - middle + third) / (2 * third)
    by_column = across * (upper_right - upper_left)
    by_row = down[:, None] * (lower_right - upper_right)
    return upper_right + by_column + by_row


def pixelate(images: Tensor, share: float) -> Tensor:
    """Brought to a share of the side and back, without smoothing."""
    size = images.shape[-1]
    count = max(1, int(size * share))
    return along_both(images, pixelation_matrix(count, size, images.device))


def jpeg(images: Tensor, quality: float) -> Tensor:
    """Written as JPEG files of that quality and read again, one after the other on the CPU whatever the device."""
    files = (images * 255).round().byte().cpu()
    read = torch.stack([_rewritten(each, int(quality)) for each in files.unbind()])
    return read.to(images.device).float() / 255


def _rewritten(image: Tensor, quality: int) -> Tensor:
    """uint8 [C, S, S] -> uint8 [C, S, S]."""
    from torchvision.io import decode_jpeg, encode_jpeg  # torchvision takes a second to import

    written = encode_jpeg(image, quality=quality)
    assert isinstance(written, Tensor)
    read = decode_jpeg(written)
    assert isinstance(read, Tensor)
    return read
