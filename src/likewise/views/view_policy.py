"""How random views of images and clips are made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

import torch
from torch import Tensor

from likewise.data.batch import Pixels
from likewise.errors import WrongArgument
from likewise.field_types import ABOVE_ZERO, COUNT, SHARE, SIZE, Range, check_fields
from likewise.gpu_kernels import runs_on
from likewise.randomness import BatchRNG, Uniform
from likewise.views.from_callable import CallableViews, RequestedViews
from likewise.views.fused.packing import CUTOUT
from likewise.views.fused.sampling import (
    JITTER_LINE,
    BoxChances,
    ColourChances,
    sampled,
    sampled_operations,
)
from likewise.views.image.colour import COLOUR_OPS
from likewise.views.image.crop import BOX_DRAWS, box_ranges, boxes_of, random_boxes
from likewise.views.image.making import crop_of, make_view, view_of_crop
from likewise.views.image.random_ops import operation_ranges, operations_of
from likewise.views.image.view_params import ColourParams, ColourRows, CutoutParams, ViewParams
from likewise.views.motion.temporal_windows import frames_from, random_start
from likewise.views.transform import Given, as_transform
from likewise.views.view import View

GREY_OR_RGB = (1, 3)
"""Numbers of channels for which saturation, hue and grey are defined."""

RANGES = {
    **dict.fromkeys(("flip", "jitter", "grey", "blur", "solarize", "op_chance", "cutout"), SHARE),
    **dict.fromkeys(("brightness", "contrast", "saturation"), Range(0)),
    "hue": Range(0, 0.5),
    "size": Range(2, SIZE.high),
    "frames": SIZE,
    "random_ops": COUNT,
}
"""of a policy's numbers"""

PAIR_RANGES = {
    "crop_area": Range(0, 1, includes_low=False),
    "crop_ratio": ABOVE_ZERO,
    "blur_sigma": ABOVE_ZERO,
    "op_strength": SHARE,
}
"""of both numbers of a policy's pairs"""


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
        check_fields(self, **RANGES)
        for name, allowed in PAIR_RANGES.items():
            low, high = getattr(self, name)
            if not (low in allowed and high in allowed and low <= high):
                raise WrongArgument(
                    name,
                    str((low, high)),
                    f"was given; it must be the least and the greatest, each {allowed}.",
                )

    @overload
    def __call__(self, pixels: Pixels, rng: BatchRNG, start: Tensor | None = None) -> View: ...
    @overload
    def __call__(self, pixels: Given) -> Tensor: ...
    def __call__(
        self,
        pixels: Pixels | Given,
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
            rng: random numbers for as many rows; each view needs its own stream. They are made where the images are,
                if the kernels of views run there.
            start: int64 [B], the first frame of each clip; None samples it.

        Raises:
            LikewiseError: the input is no image, or not uint8.
        """
        if not isinstance(pixels, Pixels):
            return as_transform(self, pixels)
        assert rng is not None
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
        device = pixels.aspect.device
        on_gpu = runs_on(device)
        rng = rng.on(device) if on_gpu else rng
        params = self._by_kernel(pixels, rng) if on_gpu else self._by_pytorch(pixels, rng)
        if not self.random_ops:
            return params
        ranges = operation_ranges(self.random_ops, self.op_strength)
        if on_gpu:
            operations = sampled_operations(rng.lines(ranges), self.random_ops, self.op_chance)
        else:
            operations = operations_of(rng.uniforms(ranges), self.op_chance)
        return params._replace(rand_augment=operations)

    def _by_pytorch(self, pixels: Pixels, rng: BatchRNG) -> ViewParams:
        drawn = rng.uniforms(self._ranges())
        box_draws, colour_draws, centre = drawn[:BOX_DRAWS], drawn[BOX_DRAWS:-1], drawn[-1]
        box = boxes_of(box_draws, pixels.aspect, self.crop_ratio, self.flip)
        colour = self._colour_params(colour_draws, pixels.images.shape[-3], rng)
        cutout = CutoutParams(centre, self.cutout) if self.cutout else None
        return ViewParams(box, colour, cutout=cutout)

    def _by_kernel(self, pixels: Pixels, rng: BatchRNG) -> ViewParams:
        """The same from the same numbers on a GPU, which makes them: nothing comes from the host but their key."""
        channels = pixels.images.shape[-3]
        drawn = rng.lines(self._ranges())
        colours = ColourChances(
            active=sum(has << place for place, has in enumerate(self._active(channels))),
            jitter=self.jitter,
            grey=self.grey if channels in GREY_OR_RGB else 0.0,
            blur=self.blur,
            solarize=self.solarize,
        )
        box, rows = sampled(drawn, pixels.aspect, BoxChances(*self.crop_ratio, self.flip), colours)
        assert rows is not None
        cutout = CutoutParams(rows[:, CUTOUT : CUTOUT + 2], self.cutout) if self.cutout else None
        factors = self._channel_factors(drawn[JITTER_LINE], channels, rng)
        if factors is not None:
            rows = torch.cat([rows, factors], dim=1)
        colour = ColourRows(rows, self.blur > 0, self.solarize > 0, scaled=factors is not None)
        return ViewParams(box, colour, cutout=cutout)

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
        order = order.argsort(dim=1, stable=True)  # [B, 4]
        jittered = (jitter < self.jitter)[:, None]
        has_effect = torch.tensor(self._active(channels), device=order.device)[order]  # [B, 4]
        applied = has_effect & jittered
        return ColourParams(
            torch.stack(factors, dim=1),  # [B, 4]
            order.masked_fill(~applied, -1),
            grey=grey < (self.grey if channels in GREY_OR_RGB else 0.0),
            blurred=blur < self.blur,
            sigma=sigma,
            solarized=solarize < self.solarize,
            channel_factors=self._channel_factors(jitter, channels, rng),
        )

    def sample_boxes(self, rng: BatchRNG, aspect: Tensor) -> Tensor:
        """The box of one view of each image, float32 [B, 2, 3], as `sample_params` has it with the same numbers.

        Args:
            rng: a new stream of the view's name.
            aspect: float [B], width / height in the file.
        """
        if not runs_on(aspect.device):
            return random_boxes(rng, aspect, self.crop_area, self.crop_ratio, self.flip)
        drawn = rng.on(aspect.device).lines(box_ranges(self.crop_area, self.crop_ratio))
        return sampled(drawn, aspect, BoxChances(*self.crop_ratio, self.flip))[0]

    def _active(self, channels: int) -> list[bool]:
        """Which of ``colour.COLOUR_OPS`` have an effect."""
        has_colour = channels == 3
        saturation, hue = self.saturation * has_colour, self.hue * has_colour
        return [strength > 0 for strength in (self.brightness, self.contrast, saturation, hue)]

    def _channel_factors(self, jitter: Tensor, channels: int, rng: BatchRNG) -> Tensor | None:
        """In place of what needs RGB: a brightness factor per channel [B, C], as strong as saturation or hue are.

        Args:
            jitter: [B], the number that decides whether a view is jittered.
            channels: of the images.
            rng: the view's.
        """
        strength = self._channel_strength()
        if channels in GREY_OR_RGB or not strength:
            return None
        # Of a stream of its own, so that other views are as they are with RGB.
        range_of_factors = (max(0.0, 1 - strength), 1 + strength)
        factors = rng.stream("channels").uniform(*range_of_factors, columns=channels)
        return factors.where((jitter < self.jitter)[:, None], 1.0)

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
