"""A view: its pixels, and which part of the image they show."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class View(NamedTuple):
    """One view of each image of a batch. The geometry is for methods that match locations."""

    pixels: Tensor
    """float32 [B, C, S, S], or [B, T, C, S, S] of clips, in [0, 1]; normalisation belongs to the encoder"""
    box: Tensor
    """float32 [B, 2, 3]: affine map from the view's [-1, 1] plane to the image's (a flip is a negative width)"""
    start: Tensor | None = None
    """int64 [B]: the first frame of a view of a clip; None for images"""


def unknown_box(images: Tensor) -> Tensor:
    """The boxes [B, 2, 3] of views made elsewhere: NaN, so that methods that match locations see that none overlap."""
    return torch.full((len(images), 2, 3), torch.nan, device=images.device)
