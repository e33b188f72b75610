"""The fifteen corruptions of ImageNet-C by name."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from likewise.errors import LikewiseError, did_you_mean
from likewise.evaluation.corruptions import blurs, digital, noise, weather
from likewise.evaluation.corruptions.random_fields import RandomFields
from likewise.evaluation.corruptions.severities import PUBLISHED, Figures, scale_of

Corruption = Callable[[Tensor, RandomFields, Figures, float], Tensor]
"""Images, draws, figures of the severity, factor for lengths -> images that may lie outside [0, 1]"""

CORRUPTIONS: dict[str, Corruption] = {
    "gaussian_noise": lambda images, fields, figures, scale: noise.gaussian_noise(images, fields, *figures),
    "shot_noise": lambda images, fields, figures, scale: noise.shot_noise(images, fields, *figures),
    "impulse_noise": lambda images, fields, figures, scale: noise.impulse_noise(images, fields, *figures),
    "defocus_blur": lambda images, fields, figures, scale: blurs.defocus_blur(images, *figures, scale=scale),
    "glass_blur": lambda images, fields, figures, scale: blurs.glass_blur(images, fields, *figures, scale=scale),
    "motion_blur": lambda images, fields, figures, scale: blurs.motion_blur(images, fields, *figures, scale=scale),
    "zoom_blur": lambda images, fields, figures, scale: blurs.zoom_blur(images, *figures),
    "snow": lambda images, fields, figures, scale: weather.snow(images, fields, *figures, scale=scale),
    "frost": lambda images, fields, figures, scale: weather.frost(images, fields, *figures),
    "fog": lambda images, fields, figures, scale: weather.fog(images, fields, *figures),
    "brightness": lambda images, fields, figures, scale: weather.brightness(images, *figures),
    "contrast": lambda images, fields, figures, scale: digital.contrast(images, *figures),
    "elastic": lambda images, fields, figures, scale: digital.elastic(images, fields, *figures),
    "pixelate": lambda images, fields, figures, scale: digital.pixelate(images, *figures),
    "jpeg": lambda images, fields, figures, scale: digital.jpeg(images, *figures),
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
    if images.ndim != 4 or images.shape[1] not in (1, 3) or images.shape[2] != images.shape[3]:
        raise LikewiseError(f"Images of shape {list(images.shape)} were given; corruptions take [B, 1 or 3, S, S].")
    published, lengths = scale_of(images.shape[-1])
    figures = PUBLISHED[published][kind][severity - 1]
    with torch.autocast(images.device.type, enabled=False):  # bfloat16 keeps fewer bits than a pixel has
        spoilt = CORRUPTIONS[kind](images.float(), fields.stream(kind), figures, lengths)
    return spoilt.clamp(0, 1).mul(255).round().div(255)


def require_known(kinds: tuple[str, ...], severities: tuple[int, ...]) -> None:
    """Refuse kinds and severities that there are not.

    Raises:
        LikewiseError: naming what there is.
    """
    for kind in kinds:
        if kind not in CORRUPTIONS:
            raise LikewiseError(f"There is no corruption {kind!r}. {did_you_mean(kind, CORRUPTIONS)}")
    for severity in severities:
        if severity not in SEVERITIES:
            raise LikewiseError(f"A severity of {severity} was given; choose 1, 2, 3, 4 or 5.")
    if not kinds or not severities:
        raise LikewiseError("No kind or no severity of corruption was given; leave the setting out to take all.")
