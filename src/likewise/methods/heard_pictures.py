"""Pictures of what silent lips let a network guess of their sound, beside what was heard."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from likewise.methods.illustration import SIDE, Illustration, Picture
from likewise.methods.method import Outputs
from likewise.views.audio.log_mel import as_picture

CLIPS = 8
"""That are shown."""
SAID = (
    "Training clips as in the last step: the frame in the middle of what was seen; what was heard, time from left to "
    "right, low bands at the bottom, loud ones bright; and what the silent frames let one guess. The number is the "
    "mean absolute error as a share of that of always guessing the mean."
)


def draw_heard(pixels: Tensor, rows: Outputs) -> Illustration:
    """A row of pictures for each of a few clips.

    Args:
        pixels: float [B, T, C, S, S] in [0, 1], what was seen.
        rows: ``guess`` and ``heard``, [B, T, F] each, standardised.
    """
    guess, heard = rows["guess"].float(), rows["heard"].float()
    share = (guess - heard).abs().mean(dim=(1, 2)) / heard.abs().mean(dim=(1, 2))
    drawn = [
        [
            Picture(_square(pixels[row, pixels.shape[1] // 2]), "", "seen"),
            Picture(_bands(heard[row], pixels.shape[2]), "", "heard"),
            Picture(_bands(guess[row], pixels.shape[2]), f"{100 * float(share[row]):.0f}%", "guessed"),
        ]
        for row in range(min(CLIPS, len(pixels)))
    ]
    return Illustration("What the lips let one hear", SAID, drawn)


def _bands(values: Tensor, channels: int) -> Tensor:
    """[T, F] -> [channels, SIDE, SIDE] in [0, 1], time to the right and the first band at the bottom."""
    return _square(as_picture(values.T)[None]).expand(channels, -1, -1)


def _square(picture: Tensor) -> Tensor:
    return F.interpolate(picture[None], size=(SIDE, SIDE), mode="nearest")[0]
