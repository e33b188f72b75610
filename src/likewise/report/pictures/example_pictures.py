"""Small pictures of a split's examples: thumbnails, film strips of clips, spectrograms of their sound."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from likewise.data.splits import Split
from likewise.views.audio.log_mel import LogMel, as_image
from likewise.views.centre_view import CentreView

THUMBNAIL = 48
"""Pixels along a side of a thumbnail."""
STRIP = 3
"""Frames of a film strip, the picture of a clip: its first, its middle and its last."""
BANDS = 24
"""Frequency bands of a spectrogram, one pixel each."""
AT_A_TIME = 64
"""Examples that are decoded together."""


def thumbnails(split: Split, index: Tensor) -> dict[str, np.ndarray]:
    """Pictures of some examples, as the encoder sees them but smaller.

    Returns:
        ``thumbnails`` uint8 [n, H, W, C], of clips the middle frame; of clips ``strips`` too, some frames side by
        side, uint8 [n, H, STRIP * W, C].
    """
    pixels = _pixels(split, index)
    if pixels.ndim == 4:
        return {"thumbnails": pixels.permute(0, 2, 3, 1).numpy()}
    frames = pixels.permute(0, 3, 1, 4, 2)  # [n, H, STRIP, W, C]
    middle = frames[:, :, STRIP // 2]
    strips = frames.flatten(2, 3)
    return {"thumbnails": middle.numpy(), "strips": strips.numpy()}


def spectrograms(split: Split, index: Tensor) -> np.ndarray | None:
    """The sound of the strips' frames: uint8 [n, BANDS, STRIP * W], low bands at the bottom.

    Black where a clip has no sound; None where no clip of the split has any.
    """
    has_sound = split.has_sound()
    if not has_sound.any():
        return None
    width = STRIP * min(THUMBNAIL, split.images.size)
    log_mel = LogMel(bands=BANDS)
    made = []
    for part in index.split(AT_A_TIME):
        bands = as_image(log_mel(split.audio_window(part)))  # [b, BANDS, time]
        bands = functional.interpolate(bands, width, mode="area")
        made.append(bands * has_sound[part, None, None])
    return torch.cat(made).mul(255).round().byte().numpy()


def _pixels(split: Split, index: Tensor) -> Tensor:
    """Uint8 [n, C, H, W], of clips [n, STRIP, C, H, W]."""
    view = CentreView(min(THUMBNAIL, split.images.size))
    made = []
    for part in index.split(AT_A_TIME):
        seen = view(split.images.read(part)).pixels
        pixels = seen.mul(255).round().byte()
        if pixels.ndim == 5:
            frames = torch.linspace(0, pixels.shape[1] - 1, STRIP).round().long()
            pixels = pixels[:, frames]
        made.append(pixels)
    return torch.cat(made)
