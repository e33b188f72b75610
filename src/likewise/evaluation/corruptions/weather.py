"""Snow, frost, fog and glare.

Images are float32 [B, C, S, S] in [0, 1], C = 1 or 3; results may leave that range.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from likewise.evaluation.corruptions.fractals import ice, plasma
from likewise.evaluation.corruptions.linear_maps import convolve, streak_kernels
from likewise.evaluation.corruptions.random_fields import RandomFields
from likewise.views.image.colour import luminance

TINT = (0.85, 0.95, 1.0)
"""Red, green and blue of ice."""


def snow(
    images: Tensor,
    fields: RandomFields,
    mean: float,
    deviation: float,
    flake: float,
    threshold: float,
    radius: float,
    sigma: float,
    contrast: float,
    *,
    scale: float,
) -> Tensor:
    """Flakes that fall in streaks, twice (once turned by half a circle), over a scene made paler.

    Args:
        images: the scene.
        fields: its draws.
        mean: of the normal noise that flakes are the peaks of.
        deviation: of that noise.
        flake: pixels that a grain of it is wide.
        threshold: what counts as a peak.
        radius: half the length of a streak.
        sigma: of the streak.
        contrast: share of the scene that is not made paler.
        scale: multiplies lengths.
    """
    size = images.shape[-1]
    grains = math.ceil(size / max(flake * scale, 1.0))
    layer = mean + deviation * fields.stream("flakes").normal(1, grains, grains)
    layer = F.interpolate(layer, (size, size), mode="bilinear", align_corners=True)
    layer = torch.where(layer < threshold, 0, layer).clamp(0, 1)
    angle = -(0.25 + 0.5 * fields.stream("wind").uniform()) * math.pi
    streaks = streak_kernels(radius * scale, sigma * scale, angle)
    layer = convolve(layer, streaks, "replicate")
    turned = layer.rot90(2, (2, 3))
    paler = torch.maximum(images, luminance(images) * 1.5 + 0.5)
    scene = contrast * images + (1 - contrast) * paler
    return scene + layer + turned


def frost(images: Tensor, fields: RandomFields, contrast: float, laid_on: float) -> Tensor:
    """Ice over the scene.

    The authors lay on pieces of six photographs of frost. We bring none: the ice is made from noise (see
    ``fractals.ice``), about as bright as those and as uneven, so accuracy under this kind is not that of ImageNet-C.
    """
    layer = ice(fields, images.shape[-1])[:, None]
    if images.shape[1] == 3:
        layer = layer * torch.tensor(TINT, device=images.device)[:, None, None]
    return contrast * images + laid_on * layer


def fog(images: Tensor, fields: RandomFields, thickness: float, decay: float) -> Tensor:
    """Clouds in front of the scene; the whole is then dimmed to the scene's own greatest brightness."""
    brightest = images.amax(dim=(1, 2, 3), keepdim=True)
    clouds = plasma(fields, images.shape[-1], decay)[:, None]
    return (images + thickness * clouds) * brightest / (brightest + thickness)


def brightness(images: Tensor, added: float) -> Tensor:
    """HSV's value raised: hue and saturation stay, so all channels grow by one factor, and black turns grey."""
    value = images.amax(dim=1, keepdim=True)
    raised = (value + added).clamp(max=1)
    growth = raised / value.clamp(min=1e-12)
    return torch.where(value > 0, images * growth, raised)
