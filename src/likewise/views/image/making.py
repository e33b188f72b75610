"""The one place that decides how the pixels of a planned view are made."""

from __future__ import annotations

import torch
from torch import Tensor

from likewise.views.image import batched
from likewise.views.image.random_ops import chained, cut_out, operate
from likewise.views.image.view_params import ViewParams
from likewise.views.native import views as native
from likewise.views.view import View


def make_view(images: Tensor, plan: ViewParams, size: int) -> View:
    """One view of each image as planned, on the images' device: uint8 [B, C, H, W] -> [B, C, size, size].

    A clip [B, T, C, H, W] becomes [B, T, C, size, size], all its frames by the one plan.

    The two ways differ by rounding alone, a small part of one of 255 levels: PyTorch's batched operations, which define
    what a view is and run anywhere, and compiled code that makes one view after the other on a CPU, many times faster.

    RandAugment and Cutout are PyTorch's operations either way, on views that one of the two has made.
    """
    if images.ndim == 5:
        frames = make_view(images.flatten(0, 1), plan.repeated(images.shape[1]), size)
        return View(frames.pixels.unflatten(0, images.shape[:2]), frames.box[:: images.shape[1]])
    make = native.make if native.can_make(images) and not _changes_channels(images, plan) else batched.make
    pixels, box = make(images, plan, size), plan.box.to(images.device)
    with torch.autocast(images.device.type, enabled=False):
        if plan.operations is not None:
            box = chained(box, operate(pixels, plan.operations))
        if plan.hole is not None:
            cut_out(pixels, plan.hole.centre, plan.hole.side)
    return View(pixels, box)


def _changes_channels(images: Tensor, plan: ViewParams) -> bool:
    """Whether tones of images that are neither grey nor RGB change, which the compiled code does not know."""
    if images.shape[1] in (1, 3) or plan.changes is None:
        return False
    return plan.changes.channel_factors is not None or bool((plan.changes.order >= 0).any())
