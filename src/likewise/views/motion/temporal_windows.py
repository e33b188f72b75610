"""Which instants of a clip a view shows, and what was seen and heard at them."""

from __future__ import annotations

import torch
from torch import Tensor

from likewise.data.batch import Pixels
from likewise.errors import LikewiseError
from likewise.randomness import BatchRNG

LOUDEST = 32767
"""The sample of int16 that stands for 1."""


def random_start(rng: BatchRNG, pixels: Pixels, frames: int) -> Tensor:
    """int64 [B]: the first frame of a window of so many, anywhere before the video ended.

    A video shorter than the window is shown from its beginning, its last frame staying on.
    """
    kept = pixels.images.shape[1]
    if frames > kept:
        raise LikewiseError(
            f"A view of {frames} frames was asked for, but {kept} of each video are kept. Give fewer --frames, or keep "
            f"more of each with --seconds."
        )
    last = (kept if pixels.shown is None else pixels.shown.to("cpu")) - frames
    return (rng.uniform().to("cpu") * (torch.as_tensor(last).clamp(min=0) + 1)).long()


def frames_from(rows: Tensor, start: Tensor, length: int) -> Tensor:
    """What belongs to so many frames from each row's own first one on: [B, T, ...] -> [B, length, ...].

    Args:
        rows: of a clip's frames, or of anything else that has one entry for each of them.
        start: int64 [B], with ``start + length <= T``.
        length: how many frames.
    """
    every = torch.arange(len(rows), device=rows.device)[:, None]
    return rows[every, (start[:, None] + torch.arange(length, device=start.device)).to(rows.device)]


def samples_from(sound: Tensor, first: Tensor, length: int) -> Tensor:
    """Sound from each row's own first sample on: int16 [B, n] -> float32 [B, length] in [-1, 1], silence past its end.

    Args:
        sound: as it is kept.
        first: int64 [B]; below 0 is silence before the sound began.
        length: how many samples.
    """
    place = first.to(sound.device)[:, None] + torch.arange(length, device=sound.device)
    inside = (place >= 0) & (place < sound.shape[1])
    return sound.gather(1, place.clamp(0, sound.shape[1] - 1)).float().div(LOUDEST).masked_fill(~inside, 0.0)


def sound_of_frames(sound: Tensor, start: Tensor, frames: int, kept: int) -> Tensor:
    """The sound of exactly so many frames from each row's own first one on, float32 [B, samples] in [-1, 1].

    Args:
        sound: int16 [B, n] of all frames that are kept, from the first one on.
        start: int64 [B], frames; below 0 is silence before the first.
        frames: how many.
        kept: how many frames the sound lasts.
    """
    first = torch.div(start * sound.shape[1], kept, rounding_mode="floor")
    return samples_from(sound, first, frames * sound.shape[1] // kept)
