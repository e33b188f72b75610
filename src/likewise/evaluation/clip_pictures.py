"""What stands for examples on a page: small pictures, film strips of clips, spectrograms of what is heard in them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from likewise.training.splits import Split
from likewise.views.audio.log_mel import LogMel, as_picture
from likewise.views.policies import CentreView

THUMBNAIL = 48
"""Pixels along a side of a thumbnail."""

STRIP = 3
"""Frames of a film strip, which stands for a clip: its first, its middle and its last."""

BANDS = 24
"""Of a spectrogram, a pixel each."""

AT_A_TIME = 64


def thumbnails(split: Split, index: Tensor) -> dict[str, np.ndarray]:
    """What stands for some examples, seen as the encoder sees them but smaller.

    Returns:
        ``thumbnails`` uint8 [n, H, W, C], of clips the middle frame of what is shown; of clips ``strips`` too, some of
        those frames side by side, uint8 [n, H, STRIP * W, C].
    """
    shown = _shown(split, index)
    if shown.ndim == 4:
        return {"thumbnails": shown.permute(0, 2, 3, 1).numpy()}
    frames = shown.permute(0, 3, 1, 4, 2)  # [n, H, STRIP, W, C]
    return {"thumbnails": frames[:, :, STRIP // 2].numpy(), "strips": frames.flatten(2, 3).numpy()}


def spectrograms(split: Split, index: Tensor) -> np.ndarray | None:
    """What is heard while the strips are seen: uint8 [n, BANDS, STRIP * W], low bands at the bottom.

    Black where a clip has no sound; None where no clip of the split has any.
    """
    present = split.has_sound()
    if not present.any():
        return None
    width, made = STRIP * min(THUMBNAIL, split.images.size), []
    for part in index.split(AT_A_TIME):
        bands = as_picture(LogMel(bands=BANDS)(split.heard(part)))
        bands = functional.interpolate(bands, width, mode="area")
        made.append(bands * present[part, None, None])
    return torch.cat(made).mul(255).round().byte().numpy()


def _shown(split: Split, index: Tensor) -> Tensor:
    """Uint8 [n, C, H, W], of clips [n, STRIP, C, H, W]."""
    view, made = CentreView(min(THUMBNAIL, split.images.size)), []
    for part in index.split(AT_A_TIME):
        pixels = view(split.images.read(part)).pixels.mul(255).round().byte()
        if pixels.ndim == 5:
            pixels = pixels[:, torch.linspace(0, pixels.shape[1] - 1, STRIP).round().long()]
        made.append(pixels)
    return torch.cat(made)
