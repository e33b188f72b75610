"""The default start of a run: whether from pretrained weights, and the image size for them."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from torch import nn

from likewise.data.manifest import Manifest
from likewise.data.open_images import PHOTO_SIZE, default_channels
from likewise.data.splitter import DataSplitter
from likewise.encoders import pretrained_at_hand
from likewise.encoders.choose import SMALL_IMAGE
from likewise.encoders.lite0 import LITE0
from likewise.methods import Method
from likewise.runs.settings import TrainSettings

PRETRAINED_SIZE = PHOTO_SIZE
"""Side of images for weights of ImageNet, to which smaller images are enlarged: such weights know photographs of 224
pixels. A linear probe of lite0 on CIFAR-10 (JPEG) with 600 labels: 0.35 at 32 px, 0.56 at 64, 0.66 at 96, 0.67 at 128
and 0.72 at 160."""


class PretrainedStart(NamedTuple):
    """The settings with the start decided."""

    settings: TrainSettings
    reason: str
    """why pretrained weights were taken; empty where that was not decided here"""


def default_image_size(settings: TrainSettings) -> int | None:
    """The size as given, or that of pretrained weights by name; None: as the data suggest."""
    by_name = settings.pretrained_weights in (LITE0, "timm")
    return settings.image_size or (PRETRAINED_SIZE if by_name else None)


def choose_pretrained_start(
    settings: TrainSettings,
    named: Method | None,
    module: nn.Module | None,
    manifest: Manifest,
    splitter: DataSplitter,
) -> PretrainedStart:
    """Pretrained weights for photographs where neither method nor network was named and weights are on this machine.

    Small images keep the small network, trained from scratch: enlarged to the size that the weights need, each would
    take some twenty times as long.

    Args:
        settings: of the run.
        named: the method; None where the labels are to choose it.
        module: a user's network.
        manifest: the examples.
        splitter: knows the size at which the network would see them.
    """
    is_open = named is None and module is None and settings.encoder == settings.stem == "auto"
    is_named = settings.pretrained is not None or settings.from_run
    if not is_open or is_named or splitter.sampling is not None:
        return PretrainedStart(settings, "")
    weights = pretrained_at_hand(default_channels(manifest))
    if weights is None or splitter.image_size(manifest) <= SMALL_IMAGE:
        return PretrainedStart(settings, "")
    size = settings.image_size or PRETRAINED_SIZE
    reason = (
        "its package is installed and these are photographs; --pretrained none starts at random"
    )
    return PretrainedStart(replace(settings, pretrained=weights, image_size=size), reason)
