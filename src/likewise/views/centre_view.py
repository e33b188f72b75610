"""The view for evaluation, in which nothing is random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import overload

from torch import Tensor

from likewise.data.batch import Pixels
from likewise.field_types import Range, check_fields
from likewise.randomness import BatchRNG
from likewise.views.image.crop import centre_boxes
from likewise.views.image.making import crop_of, make_view
from likewise.views.image.view_params import ViewParams
from likewise.views.transform import Given, as_transform
from likewise.views.view import View


@dataclass(frozen=True)
class CentreView:
    """The view for evaluation: resize the shorter side, then crop the centre. Nothing is random."""

    size: int | None = None
    """pixels along a side of the view; None: as stored"""
    share: float = 1.0
    """side of the crop over the shorter side; 0.875 is usual for ImageNet (224 of 256)"""

    def __post_init__(self) -> None:
        check_fields(self, share=Range(0, 1, includes_low=False))

    @overload
    def __call__(self, pixels: Pixels, rng: BatchRNG | None = None) -> View: ...
    @overload
    def __call__(self, pixels: Given) -> Tensor: ...
    def __call__(self, pixels: Pixels | Given, rng: BatchRNG | None = None) -> View | Tensor:
        """The centre of stored images, or of one image as a transform; see `ViewPolicy.__call__`."""
        if not isinstance(pixels, Pixels):
            return as_transform(self, pixels)
        if pixels.crops is not None:
            crop_of(pixels, "centre")  # raises: the loader cuts the crops of random views alone
        params = ViewParams(centre_boxes(pixels.aspect, self.share))
        return make_view(pixels.images, params, self.size or pixels.images.shape[-1])
