"""The part of a clip's sound that belongs to some of its frames."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

LOUDEST = 32767
"""The sample of int16 that means 1."""


def to_int16(sound: np.ndarray) -> np.ndarray:
    """Samples in [-1, 1] as they are stored."""
    return np.rint(sound * LOUDEST).astype(np.int16)


def samples_from(sound: Tensor, first: Tensor, length: int) -> Tensor:
    """Sound from each row's own first sample on: int16 [B, n] -> float32 [B, length] in [-1, 1], silence past its end.

    Args:
        sound: as it is stored.
        first: int64 [B]; below 0 is silence before the sound began.
        length: how many samples.
    """
    samples = torch.arange(length, device=sound.device)
    index = first.to(sound.device)[:, None] + samples  # [B, length]
    inside = (index >= 0) & (index < sound.shape[1])
    window = sound.gather(1, index.clamp(0, sound.shape[1] - 1))  # int16 [B, length]
    return window.float().div(LOUDEST).masked_fill(~inside, 0.0)


def sound_of_frames(sound: Tensor, start: Tensor, frames: int, stored: int) -> Tensor:
    """The sound of exactly so many frames from each row's own first one on, float32 [B, samples] in [-1, 1].

    Args:
        sound: int16 [B, n] of all frames that are stored, from the first one on.
        start: int64 [B], frames; below 0 is silence before the first.
        frames: how many.
        stored: how many frames the sound lasts.
    """
    first = torch.div(start * sound.shape[1], stored, rounding_mode="floor")
    return samples_from(sound, first, frames * sound.shape[1] // stored)
