"""Planned views by batched PyTorch operations, on any device: the definition of what a view is."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from likewise.views.image.blur import gaussian_blur, kernel_size
from likewise.views.image.colour import grey, jitter, scale_channels, solarize
from likewise.views.image.crop import resample
from likewise.views.image.view_params import ColourParams, ViewParams


def make(images: Tensor, plan: ViewParams, size: int) -> Tensor:
    """The views' pixels: uint8 [B, C, H, W] -> float32 [B, C, size, size] in [0, 1], on the images' device."""
    with torch.autocast(images.device.type, enabled=False):  # bfloat16 keeps fewer bits than a pixel has
        view = resample(images, plan.box.to(images.device), size)
        if plan.changes is not None:
            _apply(view, plan.changes)
        return view


def _apply(view: Tensor, changes: ColourParams) -> None:
    if changes.channel_factors is not None:
        view.copy_(scale_channels(view, changes.channel_factors.to(view.device)))
    jitter(view, changes.factors, changes.order)
    _change(view, changes.grey, lambda chosen, _: grey(chosen))
    sigma, taps = changes.sigma.to(view.device), kernel_size(view.shape[-1])
    _change(view, changes.blurred, lambda chosen, rows: gaussian_blur(chosen, sigma[rows], taps))
    _change(view, changes.solarized, lambda chosen, _: solarize(chosen))


def _change(view: Tensor, chosen: Tensor, change: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Alters the chosen rows of the view in place; nothing is computed where none is chosen."""
    rows = chosen.nonzero()[:, 0].to(view.device)
    if len(rows):
        view.index_copy_(0, rows, change(view.index_select(0, rows), rows))
