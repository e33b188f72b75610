"""Blurs and resamplings as matrix products along each axis, and convolutions with any kernel by Fourier transform."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def along_both(images: Tensor, matrix: Tensor) -> Tensor:
    """One matrix [T, S] applied to the rows and to the columns: float [..., S, S] -> [..., T, T]."""
    return matrix @ images @ matrix.T


def gaussian_matrix(sigma: float, size: int, device: torch.device) -> Tensor:
    """Gaussian blur of one axis, cut off at 3 sigma, the image mirrored beyond its edges: float32 [size, size]."""
    radius = max(1, math.ceil(3 * sigma))
    offset = torch.arange(-radius, radius + 1)
    weight = torch.exp(-0.5 * (offset.double() / max(sigma, 1e-3)) ** 2)
    weight = weight / weight.sum()
    # A mirrored axis repeats after two sides, and its second side runs backwards.
    source = torch.arange(size)[:, None] + offset  # [size, taps]
    source = source.remainder(2 * size)
    source = torch.minimum(source, 2 * size - 1 - source)
    matrix = torch.zeros(size, size, dtype=torch.float64)
    matrix.scatter_add_(1, source, weight.expand(size, -1))
    return matrix.float().to(device)


def zoom_matrix(factor: float, size: int, device: torch.device) -> Tensor:
    """The axis enlarged about its middle by linear interpolation, factor 1 or more: float32 [size, size]."""
    middle = (size - 1) / 2
    pixel = torch.arange(size, dtype=torch.float64)
    source = (pixel - middle) / factor + middle
    distance = (source[:, None] - torch.arange(size)).abs()  # [size, size]
    weight = 1 - distance
    return weight.clamp(min=0).float().to(device)


def pixelation_matrix(count: int, size: int, device: torch.device) -> Tensor:
    """The axis brought to ``count`` values and back as Pillow's box filter does it: float32 [size, size].

    Each coarse value is the mean of the pixels whose centre is in its interval; each pixel takes the coarse value
    of its own centre.
    """
    scale = size / count
    middle = torch.arange(size, dtype=torch.float64) + 0.5
    coarse_middle = (torch.arange(count, dtype=torch.float64)[:, None] + 0.5) * scale
    apart = (middle - coarse_middle) / scale  # [count, size], in coarse pixels
    inside = (apart > -0.5) & (apart <= 0.5)
    down = inside.double()
    down /= down.sum(dim=1, keepdim=True)
    up = (middle / scale).floor().long()
    up = up.clamp(max=count - 1)
    return down[up].float().to(device)


def disk_kernel(radius: float, softness: float, device: torch.device) -> Tensor:
    """An evenly lit disk, its edge softened by a Gaussian: float32 [1, K, K] with sum 1.

    A pixel within half a pixel of the edge counts in part, so that the radius may be any number.
    """
    reach = math.ceil(radius + 0.5) + math.ceil(3 * softness)
    axis = torch.arange(-reach, reach + 1, dtype=torch.float32)
    distance = torch.hypot(axis, axis[:, None])
    disk = (radius + 0.5 - distance).clamp(0, 1)
    blur = gaussian_matrix(softness, len(axis), torch.device("cpu"))
    kernel = along_both(disk, blur)
    kernel = kernel / kernel.sum()
    return kernel[None].to(device)


def streak_kernels(radius: float, sigma: float, angle: Tensor) -> Tensor:
    """One-sided Gaussian streaks, as ImageMagick's motion blur has them: float32 [B, K, K], each with sum 1.

    Weights exp(-i^2 / 2 sigma^2) at i = 0, 1, ... 2 radius pixels from the middle along the angle; ImageMagick moves
    each to the nearest pixel, here it is shared between the four around it.

    Args:
        radius: half the length in pixels.
        sigma: of the Gaussian in pixels.
        angle: [B], in radians, from the horizontal.
    """
    # Beyond 3.5 sigma there is nothing to see.
    length = min(math.ceil(2 * radius), math.ceil(3.5 * sigma))
    along = torch.arange(length + 1, dtype=torch.float32, device=angle.device)
    weight = torch.exp(-0.5 * (along / sigma) ** 2)
    axis = torch.arange(-length - 1, length + 2, dtype=torch.float32, device=angle.device)
    x = along * angle.cos()[:, None]  # [B, L]
    y = along * angle.sin()[:, None]
    across = _shares(x, axis)
    down = _shares(y, axis)
    kernel = torch.einsum("l,bly,blx->byx", weight, down, across)
    return kernel / kernel.sum(dim=(1, 2), keepdim=True)


def _shares(position: Tensor, axis: Tensor) -> Tensor:
    """What each pixel of an axis gets of points between pixels, linearly: [B, L] and [K] -> [B, L, K]."""
    distance = (axis - position[..., None]).abs()
    return (1 - distance).clamp(min=0)


def convolve(images: Tensor, kernels: Tensor, edge: str) -> Tensor:
    """Each image convolved with its kernel, by Fourier transform in float32.

    Args:
        images: float [B, C, H, W].
        kernels: float [B, K, K] or [1, K, K], K odd.
        edge: padding outside the image, as ``torch.nn.functional.pad`` names it: reflect, replicate.
    """
    from scipy.fft import next_fast_len  # SciPy's import waits until it is needed

    height, width = images.shape[-2:]
    reach = kernels.shape[-1] // 2
    padded = F.pad(images, (reach,) * 4, mode=edge)
    size = [next_fast_len(side, real=True) for side in padded.shape[-2:]]
    of_images = torch.fft.rfft2(padded, s=size)
    of_kernels = torch.fft.rfft2(kernels, s=size)
    full = torch.fft.irfft2(of_images * of_kernels[:, None], s=size)
    first = 2 * reach  # a full convolution begins half a kernel before the padding does
    return full[..., first : first + height, first : first + width]
