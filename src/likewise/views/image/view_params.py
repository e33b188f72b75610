"""The random parameters of a batch of views: the box of each crop, and its colour changes."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor


class ColourParams(NamedTuple):
    """Colour augmentations of each view after its crop, applied in the order of these fields. One row per image."""

    factors: Tensor
    """float32 [B, 4]: a factor for each of ``colour.COLOUR_OPS``"""
    order: Tensor
    """int64 [B, 4]: each row's indices into ``colour.COLOUR_OPS``, in the order of application; -1 is skipped"""
    grey: Tensor
    """bool [B]: whether it becomes grey"""
    blurred: Tensor
    """bool [B]: whether it is blurred"""
    sigma: Tensor
    """float32 [B]: the blur's standard deviation in the view's pixels"""
    solarized: Tensor
    """bool [B]: whether it is solarized"""
    channel_factors: Tensor | None = None
    """float32 [B, C]: a factor for each channel, applied first; None of grey and RGB images"""


class ColourRows(NamedTuple):
    """Colour augmentations that a GPU's kernel has chosen: what ``fused.packing.pack`` makes of `ColourParams`."""

    rows: Tensor
    """float32 [B, columns] on the GPU"""
    blurs: bool
    """whether a row may be blurred"""
    solarizes: bool
    """whether one may be solarized"""
    scaled: bool
    """whether channels have factors of their own"""


class RandAugmentParams(NamedTuple):
    """RandAugment's operations on each view, applied after the colour augmentations, in order. One row per image."""

    kind: Tensor
    """int64 [B, N]: indices into ``random_ops.OPERATIONS``"""
    amount: Tensor
    """float32 [B, N]: the operation's parameter: a factor, a threshold or an angle"""


class CutoutParams(NamedTuple):
    """Cutout's square; it is applied last."""

    centre: Tensor
    """float32 [B, 2]: x and y, as shares of the side"""
    side: float
    """as a share of the view's side"""


class ViewParams(NamedTuple):
    """Everything that determines a batch of views, apart from the images."""

    box: Tensor
    """float32 [B, 2, 3]: see ``View.box``"""
    colour: ColourParams | ColourRows | None = None
    """None: no colour augmentation"""
    rand_augment: RandAugmentParams | None = None
    """None: no RandAugment"""
    cutout: CutoutParams | None = None
    """None: no Cutout"""
    is_cut: bool = False
    """whether every box is the whole image, mirrored or not: images of the view's size are then taken as they are"""

    def repeated(self, times: int) -> ViewParams:
        """The parameters of every frame of clips: all frames of a clip get the same augmentation."""

        def for_frames(value: Any) -> Any:
            if isinstance(value, tuple):
                return type(value)(*map(for_frames, value))
            return value.repeat_interleave(times, dim=0) if isinstance(value, Tensor) else value

        return for_frames(self)
