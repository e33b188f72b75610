"""What the network is shown: pixels, and where in the image they lie."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class View(NamedTuple):
    """One view of each image of a batch. Geometry travels with the pixels, for methods that match places."""

    pixels: Tensor
    """float32 [B, C, S, S], or [B, T, C, S, S] of clips, in [0, 1]; normalisation belongs to the encoder"""
    box: Tensor
    """float32 [B, 2, 3]: affine map from the view's [-1, 1] plane to the image's (a flip is a negative width)"""
    start: Tensor | None = None
    """int64 [B]: the first of the stored frames that a clip's view shows; None of images"""
