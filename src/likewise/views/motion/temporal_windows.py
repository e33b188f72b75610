"""Which instants of a clip a view shows."""

from __future__ import annotations

import torch
from torch import Tensor

from likewise.data.batch import Pixels
from likewise.errors import LikewiseError
from likewise.randomness import BatchRNG


def random_start(rng: BatchRNG, pixels: Pixels, frames: int) -> Tensor:
    """int64 [B]: the first frame of a window of so many, anywhere before the video ended.

    A video shorter than the window is read from its beginning, its last frame staying on.
    """
    stored = pixels.images.shape[1]
    if frames > stored:
        raise LikewiseError(
            f"A view of {frames} frames was requested, but {stored} of each video are stored. Give fewer "
            f"--frames, or store more of each with --seconds."
        )
    drawn = rng.on(pixels.images.device).uniform()
    if pixels.valid_frames is None:
        return (drawn * (stored - frames + 1)).long()
    last = (pixels.valid_frames - frames).clamp(min=0)
    return (drawn * (last + 1)).long()


def frames_from(rows: Tensor, start: Tensor, length: int) -> Tensor:
    """What belongs to so many frames from each row's own first one on: [B, T, ...] -> [B, length, ...].

    Args:
        rows: of a clip's frames, or of anything else that has one entry for each of them.
        start: int64 [B], with ``start + length <= T``.
        length: how many frames.
    """
    every = torch.arange(len(rows), device=rows.device)[:, None]
    frames = start[:, None] + torch.arange(length, device=start.device)  # [B, length]
    return rows[every, frames.to(rows.device)]
