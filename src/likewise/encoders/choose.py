"""Which encoder a run gets: its name, stem and normalisation where these are left open."""

from __future__ import annotations

from dataclasses import replace

import torch

from likewise.encoders import clip_networks, lite0
from likewise.encoders.checkpoints import has_small_stem
from likewise.encoders.clips_by_name import names_for_clips, reads_clips
from likewise.encoders.encoder_settings import OURS, EncoderSettings
from likewise.errors import LikewiseError, did_you_mean
from likewise.field_types import SIZE, typed_arguments

SMALL_IMAGE = 64
"""Up to this side a ResNet gets the 3x3 stride-1 stem; with the usual one, 28 pixels would give a map of 1x1."""


@typed_arguments(image_size=SIZE, frames=SIZE)
def choose_encoder(
    name: str,
    image_size: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    stem: str = "auto",
    pretrained: str = "",
    frames: int = 1,
    allow_missing: bool = False,
) -> EncoderSettings:
    """Settings of an encoder by name; ``auto`` values are decided here.

    Args:
        name: ``auto`` takes ``conv4`` up to 64 pixels and ``timm/resnet18`` above, or for pretrained weights; for
            clips ``r2plus1d-small`` and ``torchvision/r3d_18``; for ``lite0`` its network.
        image_size: side in pixels.
        mean: of the training images, per channel; pretrained weights bring their own.
        std: of the training images, per channel.
        stem: ``auto`` (small for ResNets up to 64 pixels that start at random; that of a weights file), ``small``,
            ``standard``.
        pretrained: empty, ``lite0``, ``timm`` or a file.
        frames: frames per clip; 1 for images.
        allow_missing: whether tensors that a weights file lacks may stay random.

    Raises:
        LikewiseError: there is no such stem, the encoder cannot read images or clips of this kind, or the pretrained
            weights do not fit it.
    """
    settings = EncoderSettings(
        name, image_size, mean, std, False, pretrained, allow_missing, frames
    )
    if frames > 1 or reads_clips(name):
        return _clip_settings(settings, stem)
    if pretrained == lite0.LITE0:
        return _lite0_settings(name, image_size, len(mean), stem)
    if name == "auto":
        name = "conv4" if image_size <= SMALL_IMAGE and not pretrained else "timm/resnet18"
    if name not in OURS and not name.startswith("timm/"):
        name = f"timm/{name}"
    if stem not in ("auto", "small", "standard"):
        raise LikewiseError(
            f"There is no stem {stem!r}. {did_you_mean(stem, ('auto', 'small', 'standard'))}"
        )
    settings = replace(settings, name=name)
    if name in OURS:
        return settings
    if pretrained:
        mean, std = _statistics_of_weights(name, mean, std)
        settings = replace(settings, mean=mean, std=std)
    small_stem = stem == "small" or (stem == "auto" and _wants_small_stem(settings))
    return replace(settings, small_stem=small_stem)


def _statistics_of_weights(
    name: str, mean: tuple[float, ...], std: tuple[float, ...]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation that a network's weights expect; the data's own where they are not RGB or grey."""
    from likewise.encoders import from_timm

    full_mean, full_std = from_timm.statistics(name.removeprefix("timm/"))
    if len(mean) == 1:
        return (sum(full_mean) / 3,), (sum(full_std) / 3,)
    return (full_mean, full_std) if len(mean) == 3 else (mean, std)


def _wants_small_stem(settings: EncoderSettings) -> bool:
    """Whether a network of timm gets the stem for small images where that is left open: a weights file decides."""
    from likewise.encoders import from_timm

    if settings.pretrained == "timm":
        return False
    is_small = (
        has_small_stem(settings.pretrained)
        if settings.pretrained
        else settings.image_size <= SMALL_IMAGE
    )
    if not is_small:
        return False
    name = settings.name.removeprefix("timm/")
    with torch.device("meta"):
        probe = from_timm.timm_encoder(
            name, settings.image_size, False, settings.mean, settings.std, False
        )
    return from_timm.has_large_stem(probe.network)


def _lite0_settings(name: str, image_size: int, channels: int, stem: str) -> EncoderSettings:
    lite0.require_lite0(name, channels)
    if stem == "small":
        raise LikewiseError(f"{lite0.ENCODER} has one stem only. Leave --stem at auto.")
    mean, std = channels * (lite0.MEAN,), channels * (lite0.STD,)
    return EncoderSettings(lite0.ENCODER, image_size, mean, std, False, lite0.LITE0)


def _clip_settings(settings: EncoderSettings, stem: str) -> EncoderSettings:
    name, pretrained, frames = settings.name, settings.pretrained, settings.frames
    if name == "auto":
        is_small = settings.image_size <= SMALL_IMAGE and not pretrained
        name = clip_networks.OURS if is_small else "torchvision/r3d_18"
    if not reads_clips(name):
        raise LikewiseError(
            f"{name} reads single images, but clips of {frames} frames were requested. Choose an encoder for clips: "
            f"{', '.join(names_for_clips())}."
        )
    if frames == 1:
        raise LikewiseError(
            f"{name} reads clips, but single frames were requested. Choose an encoder for images, for instance "
            f"timm/resnet18, or give more --frames."
        )
    if stem not in ("auto", "standard"):
        raise LikewiseError(f"{name} has one stem only. Leave --stem at auto.")
    if pretrained in ("timm", lite0.LITE0):
        raise LikewiseError(
            f"{pretrained} has no weights for {name}. Give a local file: --pretrained path/to/weights.pth."
        )
    return replace(settings, name=name)
