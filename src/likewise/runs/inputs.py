"""What a run's encoder sees: the size of images, and the part and sampling of videos."""

from __future__ import annotations

from typing import NamedTuple

from likewise.data.video.clip_sampling import WHOLE_FRAME, ClipSampling, Region
from likewise.encoders import EncoderSettings
from likewise.encoders.clips_by_name import reads_clips
from likewise.errors import LikewiseError
from likewise.methods import Method
from likewise.runs.pretrained_start import default_image_size
from likewise.runs.settings import TrainSettings

USUAL = ClipSampling(16, 8.0)
"""What an encoder of clips sees where the method does not say: two seconds."""


class Inputs(NamedTuple):
    """What the encoder sees of each example."""

    image_size: int | None
    """pixels along a side; None: as the data suggest"""
    sampling: ClipSampling | None
    """of videos; None: still images"""
    region: Region | None
    """part of each video's frames; None: all"""


def choose_inputs(
    settings: TrainSettings, method: Method | None, start: EncoderSettings | None
) -> Inputs:
    """Size, sampling and region: the settings first, then those of the encoder to start from, then the method's.

    Args:
        settings: of the run.
        method: None where the labels are to choose it.
        start: the encoder of another run that this one starts from.

    Raises:
        LikewiseError: settings for clips, but neither the method nor the encoder reads clips.
    """
    sampling = _choose_sampling(settings, method, start)
    if start is None:
        size = default_image_size(settings) if sampling is None else settings.image_size
        return Inputs(size, sampling, settings.region)
    start_region = start.region if start.region != WHOLE_FRAME else None
    return Inputs(
        settings.image_size or start.image_size, sampling, settings.region or start_region
    )


def _choose_sampling(
    settings: TrainSettings, method: Method | None, start: EncoderSettings | None
) -> ClipSampling | None:
    """How much of a video the encoder sees at a time; None: still images."""
    title = method.card.title if method is not None else "The method that the labels choose"
    of_method = method.clip_sampling if method is not None else None
    of_start = start.clip_sampling if start is not None else None
    if of_method and of_start and (of_method.frames == 1) != (of_start.frames == 1):
        raise LikewiseError(
            f"The encoder of {settings.from_run} sees {of_start.frames} frames at a time, which does not suit {title}. "
            f"Leave --from out."
        )
    of_encoder = USUAL if reads_clips(settings.encoder) else None
    known = of_start or of_method or of_encoder
    if known is None:
        _refuse_clip_settings(settings)
        return None
    if known.frames == 1 and (settings.frames or 1) > 1:
        raise LikewiseError(
            f"--frames {settings.frames} was given, but the encoder of {title} reads still images. Leave --frames out."
        )
    return ClipSampling(settings.frames or known.frames, settings.frame_rate or known.frame_rate)


def _refuse_clip_settings(settings: TrainSettings) -> None:
    given = {
        "--frames": settings.frames,
        "--frame-rate": settings.frame_rate,
        "--seconds": settings.seconds,
        "--region": settings.region,
    }
    for option, value in given.items():
        if value is not None:
            raise LikewiseError(
                f"{option} {value} was given, but the encoder reads still images. Name one for clips, for instance "
                f"--encoder r2plus1d-small, or a method that learns from clips."
            )
