"""The encoders that arms start from, and what they cost on this machine."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from likewise.advice.clock import in_words
from likewise.advice.opened_data import LabelledData
from likewise.data.batch import UNLABELLED
from likewise.data.images import Images
from likewise.data.open_images import default_channels, default_size
from likewise.data.splits import channel_statistics
from likewise.encoders import (
    Encoder,
    EncoderSettings,
    build_encoder,
    choose_encoder,
    pretrained_at_hand,
)
from likewise.encoders.from_timm import TimmEncoder, with_intermediates
from likewise.errors import LikewiseError
from likewise.evaluation.features import extract
from likewise.randomness import generator, seed_networks
from likewise.training.memory_layout import channels_last
from likewise.views.centre_view import CentreView

PRETRAINED_SIZES = (128, 224)
"""pixels along a side at which a pretrained encoder sees images, smaller ones enlarged: it knows no smaller objects.
224 is what it was trained at, and takes three times as long"""

LARGER_SHARE = 0.15
"""of the time at most, for encoding all images once more at the larger size"""

INTERMEDIATES = 3
"""maps of earlier stages whose pooled features serve frozen arms too: they tell textures and parts apart"""

SCRATCH_SIZE = 64
"""at most, for an encoder without pretrained weights: what a CPU can train in minutes"""

TRIAL = 16
"""images by which the time of one is measured"""

MOST_UNLABELLED = 5000
"""images without a label that are used at most"""

ENCODING_SHARE = 0.4
"""of the time, for encoding the labelled images; half of that for the others"""

READINGS = 3
"""times that an image is decoded which memory has no room for: to see that it can be, as the key of the cached
features, and to encode it"""


class Cost(NamedTuple):
    """Seconds for one image."""

    decoding: float
    forward: float
    """one pass through the encoder"""

    @property
    def both(self) -> float:
        """Decoding and one pass."""
        return self.decoding + self.forward


class StartingPoint(NamedTuple):
    """An encoder before any arm, with the images as it sees them."""

    encoder: Encoder
    settings: EncoderSettings
    images: Images
    cost: Cost

    @property
    def name(self) -> str:
        """As arms are called after it."""
        settings = self.settings
        return f"{settings.pretrained or settings.name.removeprefix('timm/')} at {settings.image_size} px"


def pretrained_settings(data: LabelledData, pretrained: str, size: int) -> EncoderSettings:
    """The encoder with pretrained weights, for images of some size."""
    flat = (0.5,) * default_channels(data.manifest)
    chosen = choose_encoder("auto", size, flat, flat, pretrained=pretrained)
    return data.seen_by(chosen)


def several_stages(start: StartingPoint) -> tuple[Encoder, EncoderSettings]:
    """The encoder whose features are followed by those of earlier stages; as it is where it cannot give them."""
    if not isinstance(start.encoder, TimmEncoder):
        return start.encoder, start.settings
    encoder = with_intermediates(start.encoder, INTERMEDIATES)
    return encoder, replace(start.settings, intermediates=INTERMEDIATES)


def scratch_settings(data: LabelledData) -> EncoderSettings:
    """A small encoder with random weights."""
    size = min(default_size(data.manifest), SCRATCH_SIZE)
    chosen = choose_encoder("auto", size, *channel_statistics(data.images(size, sample=TRIAL * 8)))
    return data.seen_by(chosen)


def weights_at_hand(data: LabelledData) -> str | None:
    """The pretrained weights for images of these channels, or None."""
    return pretrained_at_hand(default_channels(data.manifest))


def starting_point(
    images: Images, settings: EncoderSettings, cost: Cost, seed: int
) -> StartingPoint:
    """The encoder, with all images decoded for it."""
    seed_networks(seed, "weights")
    return StartingPoint(_encoder(settings), settings, images, cost)


def at_larger_size(
    start: StartingPoint, data: LabelledData, seconds: float, seed: int
) -> StartingPoint | None:
    """The same encoder for larger images, where encoding takes a small share of the seconds that are left."""
    sizes = [size for size in PRETRAINED_SIZES if size > start.settings.image_size]
    if not sizes:
        return None
    factor = (sizes[0] / start.settings.image_size) ** 2
    cost = Cost(start.cost.decoding * factor, start.cost.forward * factor)
    if cost.both * len(data.labels) > LARGER_SHARE * seconds:
        return None
    settings = pretrained_settings(data, start.settings.pretrained, sizes[0])
    return starting_point(data.images(settings.image_size), settings, cost, seed)


def _encoder(settings: EncoderSettings) -> Encoder:
    """Channels come last in its weights: lite0 then takes half the time on a CPU."""
    encoder = build_encoder(settings).eval()
    channels_last(encoder)
    return encoder


def cost_of(data: LabelledData, settings: EncoderSettings, device: torch.device) -> Cost:
    """What one image costs, measured on a few, after one to warm up."""
    encoder = _encoder(settings)
    view = CentreView(settings.image_size)
    began = time.perf_counter()
    images = data.images(settings.image_size, sample=TRIAL)
    decoded = time.perf_counter()
    rows = images.readable(torch.arange(len(images))).positions
    extract(encoder, images, rows[:1], view, device=device)
    warm = time.perf_counter()
    extract(encoder, images, rows, view, device=device)
    done = time.perf_counter()
    return Cost((decoded - began) / len(images), (done - warm) / len(rows))


def that_fit(
    data: LabelledData, size: int, cost: Cost, seconds: float, seed: int
) -> tuple[LabelledData, float]:
    """The images that can be encoded in a share of the time, and how long that takes.

    Args:
        data: all images.
        size: side in pixels that the encoder reads.
        cost: of one image.
        seconds: of the whole advice.
        seed: of which.

    Raises:
        LikewiseError: not even two labels of each class can be encoded.
    """
    each = cost.both
    chosen = as_many_as_fit(data, each, seconds, seed)
    if not chosen.fits_in_memory(size):
        each += (READINGS - 1) * cost.decoding
        chosen = as_many_as_fit(data, each, seconds, seed)
    return chosen, each * len(chosen.labels)


def as_many_as_fit(data: LabelledData, each: float, seconds: float, seed: int) -> LabelledData:
    """The images that can be encoded in a share of the time: labelled ones first, as many of each class.

    Args:
        data: all images.
        each: seconds for one.
        seconds: of the whole advice.
        seed: of which.

    Raises:
        LikewiseError: not even two labels of each class can be encoded.
    """
    labelled = int(ENCODING_SHARE * seconds / each)
    if labelled < min(2 * data.classes, len(data.labelled)):
        least = min(2 * data.classes, len(data.labelled)) * each / ENCODING_SHARE
        raise too_short(seconds, least)
    order = torch.randperm(len(data.labels), generator=generator(seed, "advice images"))
    unlabelled = order[data.labels[order] == UNLABELLED][: min(MOST_UNLABELLED, labelled // 2)]
    known = _spread_over_classes(order[data.labels[order] != UNLABELLED], data.labels, labelled)
    return data.take(torch.cat([known, unlabelled]).sort().values)


def _spread_over_classes(rows: Tensor, labels: Tensor, count: int) -> Tensor:
    """So many of the rows, equally many of each class as far as there are."""
    if len(rows) <= count:
        return rows
    rank = torch.zeros_like(rows)
    for label in labels[rows].unique():
        own = (labels[rows] == label).nonzero().flatten()
        rank[own] = torch.arange(len(own))
    return rows[rank.argsort(stable=True)[:count]]


def too_short(seconds: float, least: float) -> LikewiseError:
    """What to say where the time suffices for nothing."""
    return LikewiseError(
        f"--time {in_words(seconds)} is too short for these images on this machine, so nothing was tried and nothing "
        f"written. Give at least --time {in_words(max(least * 1.25, seconds + 1))}."
    )
