"""Chooses between compiled code and PyTorch for making the pixels of views."""

from __future__ import annotations

import torch
from torch import Tensor

from likewise.views.image import batched
from likewise.views.image.random_ops import chained, cut_out, operate
from likewise.views.image.view_params import ViewParams
from likewise.views.native import views as native
from likewise.views.view import View


def make_view(images: Tensor, params: ViewParams, size: int) -> View:
    """One view of each image, on the images' device: uint8 [B, C, H, W] -> [B, C, size, size].

    A clip [B, T, C, H, W] becomes [B, T, C, size, size], all frames with the same parameters.

    PyTorch's batched operations run on any device. Compiled code makes one view at a time on a CPU and is many times
    faster. The two differ by rounding only, by a small part of one of 255 levels. RandAugment and Cutout are always
    PyTorch operations, applied to the finished crops.
    """
    if images.ndim == 5:
        frames = make_view(images.flatten(0, 1), params.repeated(images.shape[1]), size)
        return View(frames.pixels.unflatten(0, images.shape[:2]), frames.box[:: images.shape[1]])
    make = native.make if native.can_make(images) and not _needs_pytorch(images, params) else batched.make
    pixels, box = make(images, params, size), params.box.to(images.device)
    with torch.autocast(images.device.type, enabled=False):
        if params.rand_augment is not None:
            box = chained(box, operate(pixels, params.rand_augment))
        if params.cutout is not None:
            cut_out(pixels, params.cutout.centre, params.cutout.side)
    return View(pixels, box)


def _needs_pytorch(images: Tensor, params: ViewParams) -> bool:
    """Whether images that are neither grey nor RGB get colour augmentations, which the compiled code does not have."""
    if images.shape[1] in (1, 3) or params.colour is None:
        return False
    return params.colour.channel_factors is not None or bool((params.colour.order >= 0).any())
