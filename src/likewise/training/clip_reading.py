"""How much of each video a run keeps, and what its encoder sees of that."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from likewise.data.images import default_size, stored_size
from likewise.data.manifest import Manifest
from likewise.data.pixel_source import VIDEO_MODE, UnreadableImage
from likewise.data.video.clip_columns import START
from likewise.data.video.clips import as_clips
from likewise.data.video.video_decoding import ClipShape, seconds_of
from likewise.encoders.build import WHOLE, EncoderSettings
from likewise.encoders.clips_by_name import reads_clips
from likewise.errors import LikewiseError
from likewise.methods import Method
from likewise.methods.clip_sampling import ClipSampling
from likewise.training.settings import TrainSettings

USUAL = ClipSampling(16, 8.0)
"""What an encoder of clips sees where the method does not say: two seconds."""

CLIP_SIZE = 64
"""The side to which larger clips are brought unless a size is named."""

LONGEST = 10.0
"""Seconds kept of each video unless told otherwise, at most."""

ASKED = 64
"""Videos whose length is looked up to find the median."""


def clip_sampling(
    method: Method | None, settings: TrainSettings, start: EncoderSettings | None = None
) -> ClipSampling | None:
    """What the encoder sees of videos at a time; None where it learns from still pictures.

    Args:
        method: None where the labels are to choose it; then it is one that learns from whatever it is given.
        settings: what was typed, which wins.
        start: the encoder of another run that this one starts from.

    Raises:
        LikewiseError: settings for clips were given, but neither the method nor the encoder reads them.
    """
    started = clip_sampling_of(start) if start is not None else None
    own = method.time if method is not None else None
    title = type(method).title if method is not None else "The method that the labels choose"
    if own is not None and started is not None and (own.frames == 1) != (started.frames == 1):
        raise LikewiseError(
            f"The encoder of {settings.from_run} sees {started.frames} frames at a time, which does not suit {title}. "
            f"Leave --from out."
        )
    usual = USUAL if reads_clips(settings.encoder) else None
    known = started or own or usual
    if known is None:
        for name in ("frames", "frame_rate", "seconds", "region"):
            if (given := getattr(settings, name)) is not None:
                raise LikewiseError(
                    f"--{name.replace('_', '-')} {given} was given, but the encoder reads still pictures. Name one for "
                    f"clips, for instance --encoder r2plus1d-small, or a method that learns from them."
                )
        return None
    if known.frames == 1 and (settings.frames or 1) > 1:
        raise LikewiseError(f"--frames {settings.frames} was given, but the encoder of {title} reads stills.")
    return ClipSampling(settings.frames or known.frames, settings.frame_rate or known.frame_rate)


def inherit_input_config(start: EncoderSettings | None, settings: TrainSettings) -> TrainSettings:
    """The settings with the size and the region that the encoder to start from has been shown, where none was typed."""
    if start is None:
        return settings
    region = settings.region or (start.region if start.region != WHOLE else None)
    return replace(settings, image_size=settings.image_size or start.image_size, region=region)


def with_clips(manifest: Manifest, settings: TrainSettings, time: ClipSampling | None, size: int | None) -> Manifest:
    """The manifest with its videos decoded, where clips are wanted; else as it is.

    Args:
        manifest: of any source.
        settings: how much is kept.
        time: what the encoder sees at a time; None: stills.
        size: pixels along a side that it is shown; None: `clip_size`.
    """
    if time is None:
        return manifest
    stored = stored_size(manifest, size or clip_size(manifest))
    seconds = settings.seconds or _usual_seconds(manifest, time)
    frames = max(round(seconds * time.frame_rate), time.frames, 2)
    shape = ClipShape(stored, frames, time.frame_rate, region=settings.region or WHOLE)
    return as_clips(manifest, shape, stills_will_do=time.frames == 1)


def clip_size(manifest: Manifest) -> int:
    """The side at which clips are shown when none is named."""
    return min(default_size(manifest), CLIP_SIZE)


def with_clip_sampling(encoder: EncoderSettings, time: ClipSampling | None, settings: TrainSettings) -> EncoderSettings:
    """The encoder's settings with what it is shown of videos."""
    if time is None:
        return encoder
    return replace(encoder, frames=time.frames, frame_rate=time.frame_rate, region=settings.region or WHOLE)


def clip_sampling_of(encoder: EncoderSettings) -> ClipSampling | None:
    """What a trained encoder is shown of videos; None where it learned from still pictures."""
    return ClipSampling(encoder.frames, encoder.frame_rate) if encoder.frame_rate > 0 else None


def _usual_seconds(manifest: Manifest, time: ClipSampling) -> float:
    """The median video's length, at most `LONGEST`; of examples that begin inside a video, what is seen at a time."""
    if START in manifest.columns:
        return time.frames / time.frame_rate
    return min(statistics.median(list(_lengths(manifest)) or [LONGEST]), LONGEST)


def _lengths(manifest: Manifest) -> Iterator[float]:
    """Seconds of some of the videos, spread over all."""
    moving = np.flatnonzero(manifest.pixels.headers.modes == VIDEO_MODE)
    for row in moving[np.linspace(0, len(moving) - 1, min(ASKED, len(moving))).astype(int)]:
        try:
            seconds = seconds_of(manifest.pixels.encoded(int(row)).content)
        except UnreadableImage:
            continue
        if seconds:
            yield seconds
