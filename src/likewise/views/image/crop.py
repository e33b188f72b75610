"""The box of a view in its image, and the resampling of that box.

A box is the affine map of ``View.box``: from the view's [-1, 1] plane to the image's. Fractions of the image's sides
mean the same in the stored square as in the file, so only the drawing of a box needs to know the file's aspect.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from likewise.randomness import BatchRNG, Uniform

TRIES = 10
"""Attempts at a box that fits, as in torchvision's ``RandomResizedCrop``."""


class BoxDraws(NamedTuple):
    """The random numbers of a batch of boxes."""

    share: Tensor
    """float32 [B, TRIES], of the image's area"""
    log_ratio: Tensor
    """float32 [B, TRIES], the logarithm of width / height in the file"""
    across: Tensor
    """float32 [B] in [-1, 1), position of the box within the remaining space"""
    down: Tensor
    """float32 [B], the same below and above"""
    mirror: Tensor
    """float32 [B] in [0, 1), mirrored below the chance of that"""


BOX_DRAWS = len(BoxDraws._fields)
"""Ranges that are drawn for a box."""


def random_boxes(
    rng: BatchRNG,
    aspect: Tensor,
    area: tuple[float, float],
    ratio: tuple[float, float],
    flip: float,
) -> Tensor:
    """Boxes of random area, aspect ratio and position, some of them mirrored: float32 [B, 2, 3].

    Area is uniform and the ratio log-uniform, both in the file's geometry, drawn again until the box fits: Szegedy et
    al. 2015, Sec. 6 (https://arxiv.org/abs/1409.4842) by torchvision's ``RandomResizedCrop``. Ours differs twice:
    edges are not rounded to whole pixels (a 28-pixel image has few of them), and where ten tries fail, as on
    panoramas, the largest box of an allowed ratio is put at a random position instead of the centre.

    Args:
        rng: random numbers for the B rows.
        aspect: float [B], width / height in the file.
        area: least and greatest share of the image.
        ratio: least and greatest width / height of the box.
        flip: probability of a mirrored box, which has a negative width.
    """
    return boxes_of(rng.uniforms(box_ranges(area, ratio)), aspect, ratio, flip)


def box_ranges(area: tuple[float, float], ratio: tuple[float, float]) -> list[Uniform]:
    """What is drawn for a random box: the parts of `BoxDraws` in their order."""
    least, greatest = ratio
    return [
        Uniform(*area, columns=TRIES),
        Uniform(math.log(least), math.log(greatest), columns=TRIES),
        Uniform(-1, 1),
        Uniform(-1, 1),
        Uniform(),
    ]


def boxes_of(
    drawn: Sequence[Tensor], aspect: Tensor, ratio: tuple[float, float], flip: float
) -> Tensor:
    """The boxes from what was drawn in `box_ranges`; see `random_boxes`."""
    random = BoxDraws(*drawn)
    share = random.share
    width, height = _first_that_fits(share, random.log_ratio.exp(), aspect.to(share), ratio)
    signed = torch.where(random.mirror < flip, -width, width)
    across = random.across * (1 - width)
    down = random.down * (1 - height)
    return _box(signed, height, across, down)


def centre_boxes(aspect: Tensor, share: float) -> Tensor:
    """The largest square of the file's centre, its side multiplied by ``share``: float32 [B, 2, 3]."""
    width = (1 / aspect).clamp(max=1) * share
    height = aspect.clamp(max=1) * share
    nought = torch.zeros_like(width)
    return _box(width, height, nought, nought)


def resample(images: Tensor, box: Tensor, size: int) -> Tensor:
    """The pixels inside each box, resized with antialiasing: uint8 [B, C, H, W] -> [B, C, size, size] in [0, 1].

    Equals torchvision's float ``resized_crop(antialias=True)`` where a box has whole-pixel edges.
    """
    shrinks = max(images.shape[-2:]) > size
    make = _shrink if shrinks else _enlarge
    return make(images, box, size).mul_(1 / 255).clamp_(max=1)


def as_they_are(images: Tensor, box: Tensor) -> Tensor:
    """Images that are their views already, mirrored where a box has a negative width: float32 in [0, 1]."""
    view = images.float().div_(255)
    mirrored = (box[:, 0, 0] < 0)[:, None, None, None]
    return torch.where(mirrored, view.flip(3), view)


def _enlarge(images: Tensor, box: Tensor, size: int) -> Tensor:
    """Boxes of at most ``size`` pixels a side, where antialiasing has nothing to do: bilinear in one gather."""
    rows, _, height, width = images.shape
    target = (torch.arange(size, device=box.device) * 2 + 1) / size - 1
    extent = box[:, None, (0, 1), (0, 1)]  # [B, 1, 2]
    centre = box[:, None, :, 2]  # [B, 1, 2]
    # Pixels outside the box must not affect its edge, so its outermost pixels are repeated past their centres.
    half_pixel = 1 / torch.tensor([width, height], device=box.device)
    inner = (extent.abs() - half_pixel).clamp_(min=0)
    points = (target[:, None] * extent).clamp(-inner, inner).add_(centre)  # [B, size, 2]
    across, down = points.unbind(dim=2)  # [B, size] each
    shape = rows, size, size
    every_across = across[:, None, :].expand(shape)
    every_down = down[:, :, None].expand(shape)
    grid = torch.stack([every_across, every_down], dim=3)
    return functional.grid_sample(images.float(), grid, padding_mode="border", align_corners=False)


def _shrink(images: Tensor, box: Tensor, size: int) -> Tensor:
    """Any boxes. The filter is separable: each line of the view sums a few lines of the image, down and then across."""
    rows, channels, height, width = images.shape
    lines = images.transpose(1, 2).to(torch.float32, memory_format=torch.contiguous_format)
    lines = lines.view(rows, height, channels * width)
    down = filter_taps(box[:, 1, 1], box[:, 1, 2], height, size)
    lines = _sum_lines(lines, *down)  # [B, size, C*W]
    lines = lines.view(rows, size * channels, width).mT.contiguous()
    across = filter_taps(box[:, 0, 0], box[:, 0, 2], width, size)
    lines = _sum_lines(lines, *across)  # [B, size, size*C]
    view = lines.view(rows, size, size, channels)  # across, down
    return view.permute(0, 3, 2, 1).contiguous()


def filter_taps(extent: Tensor, centre: Tensor, pixels: int, size: int) -> tuple[Tensor, Tensor]:
    """The input pixels that each pixel of the view sums along an axis: int64 indices, float32 weights [B, size, taps].

    The filter is Pillow's bilinear one: a triangle that spans one input pixel either way when enlarging and one output
    pixel when shrinking. A pixel outside the box does not count; one cut by the box's edge counts by the part inside.

    Args:
        extent: [B], the box's half side in the image's [-1, 1] plane, negative if mirrored.
        centre: [B], the box's centre there.
        pixels: length of the image's axis.
        size: length of the view's axis.
    """
    target = (torch.arange(size, device=extent.device) * 2 + 1) / size - 1
    middle = (centre + 1)[:, None] * (pixels / 2)
    wanted = middle + extent[:, None] * (target * (pixels / 2))  # [B, size], in pixels
    reach = (extent.abs() * (pixels / size))[:, None].clamp(min=1)  # [B, 1]
    taps = math.ceil(2 * max(1, pixels / size))  # no box is wider than its image
    first = (wanted - reach + 0.5).floor_()
    index = first[:, :, None] + torch.arange(taps, device=extent.device)
    pixel_centre = index + 0.5
    triangle = 1 - (pixel_centre - wanted[:, :, None]).abs_() / reach[:, :, None]
    half_side = (extent.abs() * (pixels / 2))[:, None, None]  # [B, 1, 1]
    inside = half_side + 0.5 - (pixel_centre - middle[:, :, None]).abs_()
    weights = triangle.clamp_(min=0).mul_(inside.clamp_(0, 1))
    weights.div_(weights.sum(dim=2, keepdim=True))
    return index.clamp_(0, pixels - 1).long(), weights


def _sum_lines(lines: Tensor, index: Tensor, weights: Tensor) -> Tensor:
    """[B, lines, D], [B, size, taps] -> [B, size, D]: gather and sum fused, where a matrix product has mostly zeros."""
    rows, height, _ = lines.shape
    index = index + height * torch.arange(rows, device=index.device)[:, None, None]
    summed = functional.embedding_bag(
        index.flatten(0, 1),
        lines.flatten(0, 1),
        per_sample_weights=weights.flatten(0, 1),
        mode="sum",
    )
    return summed.view(rows, index.shape[1], -1)


def _first_that_fits(
    share: Tensor,
    shape: Tensor,
    aspect: Tensor,
    ratio: tuple[float, float],
) -> tuple[Tensor, Tensor]:
    """[B, TRIES] areas and ratios -> widths and heights [B], as fractions of the image's sides."""
    # Width / height, each now in units of its own side of the image.
    shape = shape / aspect[:, None]
    width = (share * shape).sqrt()
    height = (share / shape).sqrt()
    fits = (width <= 1) & (height <= 1)  # [B, TRIES]
    any_fits = fits.any(dim=1)
    first = fits.to(torch.uint8).argmax(dim=1, keepdim=True)
    first_width = width.gather(1, first)[:, 0]
    first_height = height.gather(1, first)[:, 0]
    closest = aspect.clamp(*ratio) / aspect
    width = torch.where(any_fits, first_width, closest.clamp(max=1))
    height = torch.where(any_fits, first_height, (1 / closest).clamp(max=1))
    return width, height


def _box(width: Tensor, height: Tensor, across: Tensor, down: Tensor) -> Tensor:
    nought = torch.zeros_like(width)
    entries = torch.stack([width, nought, across, nought, height, down], dim=1)
    return entries.view(-1, 2, 3)
