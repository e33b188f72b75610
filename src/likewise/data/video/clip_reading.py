"""How much of each video is decoded and stored."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

import numpy as np

from likewise.data.decode_file import UnreadableImage
from likewise.data.even_sample import evenly_spaced
from likewise.data.manifest import Manifest
from likewise.data.open_images import default_size, stored_size
from likewise.data.pixel_source import VIDEO_MODE
from likewise.data.video.clip_columns import START
from likewise.data.video.clip_sampling import WHOLE_FRAME, ClipSampling, Region
from likewise.data.video.clips import as_clips
from likewise.data.video.video_decoding import ClipShape, seconds_of

CLIP_SIZE = 64
"""The side in pixels to which larger clips are brought unless a size is given."""

MAX_SECONDS = 10.0
"""Seconds stored of each video unless another length is given."""

MEASURED = 64
"""Videos whose length is looked up to find the median."""


def with_clips(
    manifest: Manifest,
    sampling: ClipSampling | None,
    size: int | None,
    seconds: float | None = None,
    region: Region | None = None,
) -> Manifest:
    """The manifest with its videos decoded, where clips are wanted; else as it is.

    Args:
        manifest: of any source.
        sampling: what the encoder sees at a time; None: still images.
        size: pixels along a side that the encoder sees; None: `clip_size`.
        seconds: of each video that are stored; None: the median length, at most `MAX_SECONDS`.
        region: part of each frame that is stored; None: all of it.
    """
    if sampling is None:
        return manifest
    stored = stored_size(manifest, size or clip_size(manifest))
    length = seconds or _usual_seconds(manifest, sampling)
    # Two, so that there is flow.
    frames = max(round(length * sampling.frame_rate), sampling.frames, 2)
    shape = ClipShape(stored, frames, sampling.frame_rate, region=region or WHOLE_FRAME)
    return as_clips(manifest, shape, stills_will_do=sampling.frames == 1)


def clip_size(manifest: Manifest) -> int:
    """Pixels along a side of clips when no size is given."""
    return min(default_size(manifest), CLIP_SIZE)


def _usual_seconds(manifest: Manifest, sampling: ClipSampling) -> float:
    """The median length, at most `MAX_SECONDS`; one window where examples begin inside a video."""
    if START in manifest.columns:
        return sampling.frames / sampling.frame_rate
    lengths = list(_lengths(manifest))
    return min(statistics.median(lengths), MAX_SECONDS) if lengths else MAX_SECONDS


def _lengths(manifest: Manifest) -> Iterator[float]:
    """Seconds of some of the videos, spread evenly over all of them."""
    videos = np.flatnonzero(manifest.pixels.headers.modes == VIDEO_MODE)
    sample = evenly_spaced(len(videos), MEASURED)
    for row in videos[sample]:
        try:
            seconds = seconds_of(manifest.pixels.encoded(int(row)).content)
        except UnreadableImage:
            continue
        if seconds:
            yield seconds
