"""Views by batched PyTorch operations on any device. This is the reference for the compiled code."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from likewise.views.image.blur import gaussian_blur, kernel_size
from likewise.views.image.colour import grey, jitter, scale_channels, solarize
from likewise.views.image.crop import as_they_are, resample
from likewise.views.image.view_params import ColourParams, ViewParams


def make(images: Tensor, params: ViewParams, size: int) -> Tensor:
    """The views' pixels: uint8 [B, C, H, W] -> float32 [B, C, size, size] in [0, 1], on the images' device."""
    # bfloat16 keeps fewer bits than a pixel has
    with torch.autocast(images.device.type, enabled=False):
        box = params.box.to(images.device)
        is_cut = params.is_cut and images.shape[-2:] == (size, size)
        view = as_they_are(images, box) if is_cut else resample(images, box, size)
        if params.colour is not None:
            assert isinstance(params.colour, ColourParams)  # rows are for the kernels alone
            _augment_colours(view, params.colour)
        return view


def _augment_colours(view: Tensor, colour: ColourParams) -> None:
    if colour.channel_factors is not None:
        view.copy_(scale_channels(view, colour.channel_factors.to(view.device)))
    jitter(view, colour.factors, colour.order)
    _apply_to_rows(view, colour.grey, lambda chosen, _: grey(chosen))
    sigma = colour.sigma.to(view.device)
    taps = kernel_size(view.shape[-1])
    _apply_to_rows(
        view, colour.blurred, lambda chosen, rows: gaussian_blur(chosen, sigma[rows], taps)
    )
    _apply_to_rows(view, colour.solarized, lambda chosen, _: solarize(chosen))


def _apply_to_rows(
    view: Tensor, chosen: Tensor, augment: Callable[[Tensor, Tensor], Tensor]
) -> None:
    """Augments the chosen rows of the views in place; computes nothing if no row is chosen."""
    rows = chosen.nonzero()[:, 0].to(view.device)
    if len(rows):
        view.index_copy_(0, rows, augment(view.index_select(0, rows), rows))
