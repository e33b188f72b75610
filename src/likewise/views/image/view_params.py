"""What chance has decided about a batch of views, before any pixel is touched."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor


class ColourParams(NamedTuple):
    """What is done to each view after its crop, in the order of these fields. One row an image."""

    factors: Tensor
    """float32 [B, 4]: a factor for each of ``colour.CHANGES``"""
    order: Tensor
    """int64 [B, 4]: each row's places in ``colour.CHANGES``, first to last; -1 leaves out"""
    grey: Tensor
    """bool [B]: loses all colour"""
    blurred: Tensor
    """bool [B]"""
    sigma: Tensor
    """float32 [B]: the blur's standard deviation in the view's pixels"""
    solarized: Tensor
    """bool [B]"""
    channel_factors: Tensor | None = None
    """float32 [B, C]: a factor for each channel, applied first; None of grey and RGB images"""


class RandAugmentParams(NamedTuple):
    """RandAugment's operations on each view after its changes, first to last. One row an image."""

    kind: Tensor
    """int64 [B, N]: places in ``random_ops.OPERATIONS``"""
    amount: Tensor
    """float32 [B, N]: a factor, a threshold, an angle, as each operation has it"""


class CutoutParams(NamedTuple):
    """Cutout's square, the last thing done to a view."""

    centre: Tensor
    """float32 [B, 2]: across and down, as shares of the side"""
    side: float
    """as a share of the view's"""


class ViewParams(NamedTuple):
    """Everything about a batch of views but the pixels. Two ways of making views from one plan give equal views."""

    box: Tensor
    """float32 [B, 2, 3]: see ``View.box``"""
    changes: ColourParams | None = None
    """None: the crop is the view"""
    operations: RandAugmentParams | None = None
    """None: the view is not operated on"""
    hole: CutoutParams | None = None
    """None: nothing is cut out"""

    def repeated(self, times: int) -> ViewParams:
        """The plan of clips' frames, one after the other: all frames of a clip are changed alike."""

        def for_frames(value: Any) -> Any:
            if isinstance(value, tuple):
                return type(value)(*map(for_frames, value))
            return value.repeat_interleave(times, dim=0) if isinstance(value, Tensor) else value

        return for_frames(self)
