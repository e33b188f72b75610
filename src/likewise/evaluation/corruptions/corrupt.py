"""The fifteen corruptions of ImageNet-C by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from likewise.errors import LikewiseError, did_you_mean
from likewise.evaluation.corruptions import blurs, digital, noise, weather
from likewise.evaluation.corruptions.random_fields import RandomFields
from likewise.evaluation.corruptions.severities import PUBLISHED, Figures, scale_of


class Corruption(NamedTuple):
    """A function of images and of the figures of a severity; its result may lie outside [0, 1]."""

    function: Callable[..., Tensor]
    is_random: bool = False
    """whether it takes random fields after the images"""
    has_lengths: bool = False
    """whether some figures are lengths in pixels, which ``scale`` multiplies"""

    def apply(self, images: Tensor, fields: RandomFields, figures: Figures, scale: float) -> Tensor:
        """The corrupted images, float32 [B, C, S, S] -> the same."""
        first = (images, fields) if self.is_random else (images,)
        if self.has_lengths:
            return self.function(*first, *figures, scale=scale)
        return self.function(*first, *figures)


CORRUPTIONS: dict[str, Corruption] = {
    "gaussian_noise": Corruption(noise.gaussian_noise, is_random=True),
    "shot_noise": Corruption(noise.shot_noise, is_random=True),
    "impulse_noise": Corruption(noise.impulse_noise, is_random=True),
    "defocus_blur": Corruption(blurs.defocus_blur, has_lengths=True),
    "glass_blur": Corruption(blurs.glass_blur, is_random=True, has_lengths=True),
    "motion_blur": Corruption(blurs.motion_blur, is_random=True, has_lengths=True),
    "zoom_blur": Corruption(blurs.zoom_blur),
    "snow": Corruption(weather.snow, is_random=True, has_lengths=True),
    "frost": Corruption(weather.frost, is_random=True),
    "fog": Corruption(weather.fog, is_random=True),
    "brightness": Corruption(weather.brightness),
    "contrast": Corruption(digital.contrast),
    "elastic": Corruption(digital.elastic, is_random=True),
    "pixelate": Corruption(digital.pixelate),
    "jpeg": Corruption(digital.jpeg),
}

KINDS = tuple(CORRUPTIONS)
"""Names of the corruptions, in the paper's order."""

SEVERITIES = (1, 2, 3, 4, 5)


def corrupt(images: Tensor, kind: str, severity: int, fields: RandomFields) -> Tensor:
    """Images spoilt as Hendrycks and Dietterich 2019 spoil them (https://arxiv.org/abs/1903.12261, Sec. 3).

    The fifteen kinds and their published strengths (see ``severities``), written anew for batches on any device. Frost
    is made from noise instead of photographs, glass blur and the warped sheet are simplified (each function says how),
    and ImageNet-C's files were stored as JPEG once more; so scores on these images can be compared with each other,
    and not with published ones. As in a file, values are multiples of 1/255.

    Args:
        images: float32 [B, C, S, S] in [0, 1], C = 1 or 3.
        kind: one of ``KINDS``.
        severity: 1 (mild) to 5.
        fields: the images' draws; the same for all kinds and severities.

    Returns:
        Float32 [B, C, S, S] in [0, 1], a function of the image, its id, the seed, the kind and the severity.

    Raises:
        LikewiseError: there is no such kind or severity, or the images are not of that shape.
    """
    require_known((kind,), (severity,))
    is_square = images.ndim == 4 and images.shape[2] == images.shape[3]
    if not is_square or images.shape[1] not in (1, 3):
        raise LikewiseError(
            f"Images of shape {list(images.shape)} were given; corruptions take [B, 1 or 3, S, S]."
        )
    published, lengths = scale_of(images.shape[-1])
    figures = PUBLISHED[published][kind][severity - 1]
    # bfloat16 keeps fewer bits than a pixel has
    with torch.autocast(images.device.type, enabled=False):
        corrupted = CORRUPTIONS[kind].apply(images.float(), fields.stream(kind), figures, lengths)
    return corrupted.clamp(0, 1).mul(255).round().div(255)


def require_known(kinds: tuple[str, ...], severities: tuple[int, ...]) -> None:
    """Refuse kinds and severities that there are not.

    Raises:
        LikewiseError: naming what there is.
    """
    for kind in kinds:
        if kind not in CORRUPTIONS:
            raise LikewiseError(
                f"There is no corruption {kind!r}. {did_you_mean(kind, CORRUPTIONS)}"
            )
    for severity in severities:
        if severity not in SEVERITIES:
            raise LikewiseError(f"A severity of {severity} was given; choose 1, 2, 3, 4 or 5.")
    if not kinds or not severities:
        raise LikewiseError(
            "No kind or no severity of corruption was given; leave the setting out to take all."
        )
