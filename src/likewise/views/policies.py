"""How random views are made, and the policies of the published methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, overload

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor

from likewise.data.batch import Pixels
from likewise.errors import LikewiseError
from likewise.field_types import Range, check_fields, typed_arguments
from likewise.randomness import BatchRNG, Uniform
from likewise.views.from_callable import CallableViews, RequestedViews
from likewise.views.image.colour import COLOUR_OPS
from likewise.views.image.crop import (
    BOX_DRAWS,
    box_ranges,
    boxes_of,
    centre_boxes,
    random_boxes,
)
from likewise.views.image.making import crop_of, make_view, view_of_crop
from likewise.views.image.random_ops import random_operations
from likewise.views.image.view_params import ColourParams, CutoutParams, ViewParams
from likewise.views.motion.temporal_windows import frames_from, random_start
from likewise.views.prepared import PreparedViews
from likewise.views.transform import as_transform
from likewise.views.view import View

GREY_OR_RGB = (1, 3)
"""Numbers of channels for which saturation, hue and grey are defined."""


@dataclass(frozen=True)
class ViewPolicy:
    """One random view of each image: crop, flip, colour jitter, grey, blur, solarize, RandAugment, Cutout.

    The order and the defaults of crop and flip are SimCLR's (Chen et al. 2020, App. A,
    https://arxiv.org/abs/2002.05709); colour augmentation is off by default. Probabilities are per image.
    """

    size: int | None = None
    """pixels along a side of the view; None: as stored"""
    crop_area: tuple[float, float] = (0.08, 1.0)
    """least and greatest share of the image's area"""
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """least and greatest width / height of the crop, in the file's geometry"""
    flip: float = 0.5
    """probability of mirroring left and right"""
    jitter: float = 0.0
    """probability of brightness, contrast, saturation and hue jitter, in random order"""
    brightness: float = 0.0
    """the factor is uniform in [max(0, 1 - brightness), 1 + brightness]"""
    contrast: float = 0.0
    """the factor is uniform in [max(0, 1 - contrast), 1 + contrast]"""
    saturation: float = 0.0
    """the factor is uniform in [max(0, 1 - saturation), 1 + saturation]; no effect on grey images"""
    hue: float = 0.0
    """the shift is uniform in [-hue, hue], as a share of the colour circle; at most 0.5; no effect on grey images"""
    grey: float = 0.0
    """probability of becoming grey"""
    blur: float = 0.0
    """probability of a Gaussian blur"""
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    """least and greatest standard deviation of the blur, in the view's pixels"""
    solarize: float = 0.0
    """probability of inverting all values of 0.5 and more"""
    random_ops: int = 0
    """number of RandAugment operations per image, sampled from 14 with replacement"""
    op_chance: float = 1.0
    """probability that a sampled operation is applied"""
    op_strength: tuple[float, float] = (0.0, 1.0)
    """least and greatest strength of an operation; 1 rotates by 30 degrees and translates by 10 of 32 pixels"""
    cutout: float = 0.0
    """side of Cutout's grey square as a share of the view's side; 0: no Cutout"""
    frames: int | None = None
    """consecutive frames in a view of a clip, from a random first frame; None: all stored frames"""

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("flip", "jitter", "grey", "blur", "solarize", "op_chance", "cutout"):
            self._require(name, 0 <= getattr(self, name) <= 1, "from 0 to 1")
        for name in ("brightness", "contrast", "saturation"):
            self._require(name, getattr(self, name) >= 0, "0 or more")
        self._require("hue", 0 <= self.hue <= 0.5, "from 0 to 0.5")
        self._require(
            "frames", self.frames is None or self.frames >= 1, "1 or more, or None for all"
        )
        self._require(
            "size",
            self.size is None or self.size >= 2,
            "2 pixels or more, or None for the stored size",
        )
        self._require(
            "crop_area",
            0 < self.crop_area[0] <= self.crop_area[1] <= 1,
            "two shares, 0 < least <= greatest <= 1",
        )
        self._require(
            "crop_ratio",
            0 < self.crop_ratio[0] <= self.crop_ratio[1],
            "two ratios, 0 < least <= greatest",
        )
        least, greatest = self.op_strength
        self._require(
            "op_strength", 0 <= least <= greatest <= 1, "two strengths, 0 <= least <= greatest <= 1"
        )
        self._require("random_ops", self.random_ops >= 0, "0 or more")
        self._require(
            "blur_sigma",
            0 < self.blur_sigma[0] <= self.blur_sigma[1],
            "two widths, 0 < least <= greatest",
        )

    @overload
    def __call__(self, pixels: Pixels, rng: BatchRNG, start: Tensor | None = None) -> View: ...
    @overload
    def __call__(self, pixels: Image | Tensor | np.ndarray) -> Tensor: ...
    def __call__(
        self,
        pixels: Pixels | Image | Tensor | np.ndarray,
        rng: BatchRNG | None = None,
        start: Tensor | None = None,
    ) -> View | Tensor:
        """One random view of each image or clip, on the device that they are on.

        As a transform it takes one image (PIL, or uint8 [C, H, W]) and gives float32 [C, S, S] in [0, 1], or a uint8
        batch [B, C, H, W] and gives [B, C, S, S]. The randomness is then PyTorch's, as in torchvision.

        In training it takes stored images and ``rng``. The same key gives the same views, and a part of the global
        batch gets that part's views. Numbers are sampled in a fixed order, whichever augmentations are on, so that two
        policies with the same key make the same crops.

        Args:
            pixels: images.
            rng: random numbers for as many rows; each view needs its own stream. Keep it on the CPU even if the images
                are on a GPU: choosing the rows of an operation then needs no synchronisation.
            start: int64 [B], the first frame of each clip; None samples it.

        Raises:
            LikewiseError: the input is no image, or not uint8.
        """
        if not isinstance(pixels, Pixels):
            return as_transform(self, pixels)
        assert rng is not None
        if isinstance(pixels.views, PreparedViews):
            return pixels.views.view(self, pixels, rng)
        if isinstance(pixels.views, RequestedViews):
            pixels.views.note_policy(str(rng.key[-1]), self)
        images = pixels.images
        params = self.sample_params(pixels, rng)
        size = self.size or images.shape[-1]
        if pixels.crops is not None:
            return view_of_crop(crop_of(pixels, str(rng.key[-1])), params, size)
        if images.ndim == 4:
            return make_view(images, params, size)
        frames = self.frames or images.shape[1]
        start = random_start(rng, pixels, frames) if start is None else start
        return make_view(frames_from(images, start, frames), params, size)._replace(start=start)

    def sample_params(self, pixels: Pixels, rng: BatchRNG) -> ViewParams:
        """The random parameters of one view of each image."""
        drawn = rng.uniforms(self._ranges())
        box_draws, colour_draws, centre = drawn[:BOX_DRAWS], drawn[BOX_DRAWS:-1], drawn[-1]
        box = boxes_of(box_draws, pixels.aspect, self.crop_ratio, self.flip)
        colour = self._colour_params(colour_draws, pixels.images.shape[-3], rng)
        rand_augment = None
        if self.random_ops:
            rand_augment = random_operations(rng, self.random_ops, self.op_chance, self.op_strength)
        cutout = CutoutParams(centre, self.cutout) if self.cutout else None
        return ViewParams(box, colour, rand_augment, cutout)

    def _ranges(self) -> list[Uniform]:
        """What is drawn for each image, whichever augmentations are on."""
        factors = []
        for strength in (self.brightness, self.contrast, self.saturation):
            factors.append(Uniform(max(0.0, 1 - strength), 1 + strength))
        chance = Uniform()
        return [
            *box_ranges(self.crop_area, self.crop_ratio),
            *factors,
            Uniform(-self.hue, self.hue),
            Uniform(columns=len(COLOUR_OPS)),  # their order
            chance,  # of the jitter
            chance,  # of grey
            chance,  # of a blur
            Uniform(*self.blur_sigma),
            chance,  # of solarizing
            Uniform(columns=2),  # Cutout's centre
        ]

    def _colour_params(self, drawn: Sequence[Tensor], channels: int, rng: BatchRNG) -> ColourParams:
        *factors, order, jitter, grey, blur, sigma, solarize = drawn
        order = order.argsort(dim=1)  # [B, 4]
        jittered = jitter < self.jitter
        has_effect = self._active(channels).to(order.device)[order]  # [B, 4]
        applied = has_effect & jittered[:, None]
        colour = ColourParams(
            torch.stack(factors, dim=1),  # [B, 4]
            order.masked_fill(~applied, -1),
            grey=grey < self.grey,
            blurred=blur < self.blur,
            sigma=sigma,
            solarized=solarize < self.solarize,
        )
        if channels in GREY_OR_RGB:
            return colour
        return self._per_channel(colour, jittered, channels, rng)

    def sample_boxes(self, rng: BatchRNG, aspect: Tensor) -> Tensor:
        """The box of one view of each image, float32 [B, 2, 3], as `sample_params` has it with the same numbers.

        Args:
            rng: a new stream of the view's name.
            aspect: float [B], width / height in the file.
        """
        return random_boxes(rng, aspect, self.crop_area, self.crop_ratio, self.flip)

    def _active(self, channels: int) -> Tensor:
        """Bool [4]: which of ``colour.COLOUR_OPS`` have an effect."""
        has_colour = channels == 3
        saturation = self.saturation * has_colour
        hue = self.hue * has_colour
        return torch.tensor([self.brightness, self.contrast, saturation, hue]) > 0

    def _per_channel(
        self, colour: ColourParams, jittered: Tensor, channels: int, rng: BatchRNG
    ) -> ColourParams:
        """Replaces what needs RGB by a brightness factor per channel, as strong as saturation or hue would be."""
        strength = self._channel_strength()
        if not strength:
            return colour._replace(grey=torch.zeros_like(colour.grey))
        # Of its own, so that other views are as they are with RGB.
        channel_rng = rng.stream("channels")
        # [B, C]
        factors = channel_rng.uniform(max(0.0, 1 - strength), 1 + strength, columns=channels)
        factors = factors.where(jittered[:, None], 1.0)
        return colour._replace(grey=torch.zeros_like(colour.grey), channel_factors=factors)

    def _channel_strength(self) -> float:
        return max(self.saturation, self.hue) if self.jitter else 0.0

    def notes(self, channels: int) -> list[str]:
        """What this policy does differently to images of so many channels, for the first screen."""
        needs_rgb = {"grey": self.grey}
        if self.jitter:
            needs_rgb = {"saturation": self.saturation, "hue": self.hue, "grey": self.grey}
        named = [name for name, strength in needs_rgb.items() if strength]
        if channels in GREY_OR_RGB or not named:
            return []
        instead = (
            "each channel is made brighter or darker instead"
            if self._channel_strength()
            else "it is left out"
        )
        return [f"images of {channels} channels have no {', '.join(named)}: {instead}"]

    @classmethod
    def restored(cls, content: Mapping[str, Any]) -> ViewPolicy | CallableViews:
        """The views of a stored run. Of a user's callable only the name is stored, so it cannot be called again."""
        if "source" in content:
            return CallableViews.restored(content)
        settings: dict[str, Any] = {}
        for name, value in content.items():
            settings[name] = tuple(value) if isinstance(value, list) else value
        return cls(**settings)

    def _require(self, name: str, fine: bool, allowed: str) -> None:
        if not fine:
            raise LikewiseError(
                f"ViewPolicy({name}={getattr(self, name)!r}): allowed is {allowed}."
            )


@dataclass(frozen=True)
class CentreView:
    """The view for evaluation: resize the shorter side, then crop the centre. Nothing is random."""

    size: int | None = None
    """pixels along a side of the view; None: as stored"""
    share: float = 1.0
    """side of the crop over the shorter side; 0.875 is usual for ImageNet (224 of 256)"""

    def __post_init__(self) -> None:
        check_fields(self)
        if not 0 < self.share <= 1:
            raise LikewiseError(
                f"CentreView(share={self.share!r}): allowed is a share of the side, above 0 and up to 1."
            )

    @overload
    def __call__(self, pixels: Pixels, rng: BatchRNG | None = None) -> View: ...
    @overload
    def __call__(self, pixels: Image | Tensor | np.ndarray) -> Tensor: ...
    def __call__(
        self, pixels: Pixels | Image | Tensor | np.ndarray, rng: BatchRNG | None = None
    ) -> View | Tensor:
        """The centre of stored images, or of one image as a transform; see `ViewPolicy.__call__`."""
        if not isinstance(pixels, Pixels):
            return as_transform(self, pixels)
        if pixels.crops is not None:
            crop_of(pixels, "centre")  # raises: the loader cuts the crops of random views alone
        params = ViewParams(centre_boxes(pixels.aspect, self.share))
        return make_view(pixels.images, params, self.size or pixels.images.shape[-1])


@typed_arguments(strength=Range(0))
def simclr(strength: float = 1.0, size: int | None = None) -> ViewPolicy:
    """SimCLR on ImageNet, strength 1 (Chen et al. 2020, App. A, https://arxiv.org/abs/2002.05709)."""
    return ViewPolicy(
        size,
        jitter=0.8,
        brightness=0.8 * strength,
        contrast=0.8 * strength,
        saturation=0.8 * strength,
        hue=0.2 * strength,
        grey=0.2,
        blur=0.5,
    )


def simclr_small(size: int | None = None) -> ViewPolicy:
    """SimCLR on CIFAR: half the colour strength and no blur (App. B.9 of the same paper)."""
    return replace(simclr(0.5, size), blur=0.0)


def gray_small(size: int | None = None) -> ViewPolicy:
    """For small grey images; not from a paper. No hue, and no blur, which hides the details of 28 pixels."""
    return ViewPolicy(
        size,
        crop_area=(0.3, 1.0),
        jitter=0.8,
        brightness=0.4,
        contrast=0.4,
    )


def supcon(size: int | None = None) -> ViewPolicy:
    """SupCon on CIFAR, as the authors' PyTorch code has it: MoCo v2's policy without the blur."""
    return replace(moco_v2(size), blur=0.0)


def moco_v2(size: int | None = None) -> ViewPolicy:
    """MoCo v2 (Chen et al. 2020, Sec. 3, https://arxiv.org/abs/2003.04297)."""
    return ViewPolicy(
        size,
        crop_area=(0.2, 1.0),
        jitter=0.8,
        brightness=0.4,
        contrast=0.4,
        saturation=0.4,
        hue=0.1,
        grey=0.2,
        blur=0.5,
    )


def identity(size: int | None = None) -> ViewPolicy:
    """No augmentation: the whole image, or the central square of one that is not square."""
    return ViewPolicy(
        size,
        crop_area=(1.0, 1.0),
        crop_ratio=(1.0, 1.0),
        flip=0.0,
    )


def weak(size: int | None = None) -> ViewPolicy:
    """Crop and flip alone: ISD's teacher view (Tejankar et al. 2021, https://arxiv.org/abs/2012.09259)."""
    return ViewPolicy(size, crop_area=(0.2, 1.0))


def mild_crop(size: int | None = None) -> ViewPolicy:
    """A crop alone, as CLIP's (Radford et al. 2021, Sec. 2.4, https://arxiv.org/abs/2103.00020).

    There is no flip and no colour jitter, because captions name colours and sides. The crop keeps at least 60% of the
    area, and so is stronger than the paper's, which suits 400 million images.
    """
    return ViewPolicy(size, crop_area=(0.6, 1.0), flip=0.0)


def lips(size: int | None = None) -> ViewPolicy:
    """For clips of mouths: flip, and a random square of at least 88 of 96 pixels, without colour changes.

    The usual crop for lip reading is exactly 88 pixels (Ma et al. 2021, https://arxiv.org/abs/2106.09171, Sec. 3) and
    tests use the centre. Evaluation here uses the whole frame, so training includes that size.
    """
    return ViewPolicy(size, crop_area=((88 / 96) ** 2, 1.0), crop_ratio=(1.0, 1.0))


def fixmatch_weak(size: int | None = None) -> ViewPolicy:
    """Close to FixMatch's weak view (Sohn et al. 2020, Sec. 2.3, https://arxiv.org/abs/2001.07685).

    The authors flip, and translate by up to an eighth of the side with reflection padding. This policy crops a square
    of at least 7/8 of the side instead, without padding.
    """
    return ViewPolicy(size, crop_area=(0.77, 1.0), crop_ratio=(1.0, 1.0))


def rand_augment(
    ops: int = 2,
    chance: float = 1.0,
    strength: tuple[float, float] = (0.0, 1.0),
    size: int | None = None,
) -> ViewPolicy:
    """RandAugment (Cubuk et al. 2020, https://arxiv.org/abs/1909.13719) on FixMatch's weak view, without Cutout."""
    return replace(fixmatch_weak(size), random_ops=ops, op_chance=chance, op_strength=strength)


def fixmatch_strong(size: int | None = None) -> ViewPolicy:
    """FixMatch's strong view: two operations of any strength, then Cutout of half the side.

    Sohn et al. 2020, Sec. 2.3 and App. D, https://arxiv.org/abs/2001.07685. The authors' code skips each operation with
    probability 0.5, as CoMatch does; their paper does not.
    """
    return replace(rand_augment(size=size), cutout=0.5)


def comatch_strong(size: int | None = None) -> ViewPolicy:
    """CoMatch's first strong view of small images: two operations at full strength, each with probability 0.5.

    Then Cutout of half the side, as in the authors' code, https://github.com/salesforce/CoMatch, where solarize at full
    strength has no effect.
    """
    return replace(rand_augment(chance=0.5, strength=(1.0, 1.0), size=size), cutout=0.5)


def single_frame(size: int | None = None) -> ViewPolicy:
    """One frame of a clip with mild crop, flip and MoCo v2's colour jitter, for dense tasks."""
    return replace(
        moco_v2(size),
        crop_area=(0.4, 1.0),
        grey=0.1,
        blur=0.0,
        frames=1,
    )


def strong(size: int | None = None) -> ViewPolicy:
    """ISD's student view, which is MoCo v2's policy."""
    return moco_v2(size)


def byol(size: int | None = None) -> tuple[ViewPolicy, ViewPolicy]:
    """BYOL's two policies: one always blurs; the other blurs with probability 0.1 and solarizes with probability 0.2.

    Grill et al. 2020, App. B, Table 6 (https://arxiv.org/abs/2006.07733).
    """
    first = ViewPolicy(
        size,
        jitter=0.8,
        brightness=0.4,
        contrast=0.4,
        saturation=0.2,
        hue=0.1,
        grey=0.2,
        blur=1.0,
    )
    return first, replace(first, blur=0.1, solarize=0.2)


def swav(size: int | None = None) -> ViewPolicy:
    """SwAV's views: SimCLR's, of at least 14% of the image (Caron et al. 2020, App. A.1, https://arxiv.org/abs/2006.09882)."""
    return replace(simclr(size=size), crop_area=(0.14, 1.0))


def swav_small_crop(size: int | None = None) -> ViewPolicy:
    """SwAV's small crops: the same with crops of 5 to 14% of the image, at a smaller size."""
    return replace(simclr(size=size), crop_area=(0.05, 0.14))


def centre(size: int | None = None, share: float = 1.0) -> CentreView:
    """The view for evaluation: the centre of the image."""
    return CentreView(size, share)
