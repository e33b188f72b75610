"""Chooses between compiled code, a GPU's kernels and PyTorch for making the pixels of views."""

from __future__ import annotations

import torch
from torch import Tensor

from likewise.data.batch import Crop, Pixels
from likewise.errors import LikewiseError
from likewise.views.fused import operations as fused_operations
from likewise.views.fused import views as fused
from likewise.views.fused.packing import pack
from likewise.views.image import batched
from likewise.views.image.random_ops import chained, cut_out, operate
from likewise.views.image.view_params import ColourParams, ViewParams
from likewise.views.native import views as native
from likewise.views.view import View


def make_view(images: Tensor, params: ViewParams, size: int) -> View:
    """One view of each image, on the images' device: uint8 [B, C, H, W] -> [B, C, size, size].

    A clip [B, T, C, H, W] becomes [B, T, C, size, size], all frames with the same parameters.

    PyTorch's batched operations run on any device. Compiled code makes one view at a time on a CPU, and a kernel of a
    CUDA device one view, or a tile of it, in each program; both are many times faster. They differ by rounding only, by
    a small part of one of 255 levels. RandAugment and Cutout are PyTorch's operations on the finished crops, except on
    a CUDA device: there that is so only where RandAugment meets views of more than 64 pixels.
    """
    if images.ndim == 5:
        clips, length = images.shape[:2]
        frames = make_view(images.flatten(0, 1), params.repeated(length), size)
        pixels = frames.pixels.unflatten(0, (clips, length))
        return View(pixels, frames.box[::length])
    if fused.supports(images):
        return _fused_view(images, params, size)
    is_compiled = native.can_make(images) and not _needs_pytorch(images, params)
    make = native.make if is_compiled else batched.make
    pixels = make(images, params, size)
    return _with_operations(View(pixels, params.box.to(images.device)), params)


def crop_of(pixels: Pixels, name: str) -> Crop:
    """The crop that the loader cut for a view.

    Raises:
        LikewiseError: it cut none of that name, since the method did not ask for it before its first step.
    """
    assert pixels.crops is not None
    if name not in pixels.crops:
        raise LikewiseError(
            f"The view {name!r} was not requested before the first step, so no crop was cut for it (requested were: "
            f"{', '.join(pixels.crops)}). Train from stored squares: --store squeezed."
        )
    return pixels.crops[name]


def view_of_crop(crop: Crop, params: ViewParams, size: int) -> View:
    """One view of each image, whose crop has been cut: it is mirrored, and its colours change."""
    mirror = torch.eye(2, 3, device=params.box.device)
    mirror = mirror.repeat(len(params.box), 1, 1)  # [B, 2, 3]
    # As the crop's box has it, which may be on another device.
    mirror[:, 0, 0] = params.box[:, 0, 0].sign()
    view = make_view(crop.pixels, params._replace(box=mirror, is_cut=True), size)
    cut = crop.box.to(view.box.device).clone()
    cut[:, 0, 0] = cut[:, 0, 0].abs()
    return view._replace(box=chained(cut, view.box))


def _fused_view(images: Tensor, params: ViewParams, size: int) -> View:
    packed = pack(params).to(images.device)
    random = params.rand_augment
    if random is None:
        return View(fused.make(images, packed, size), packed.box)
    pixels = fused.make(images, packed._replace(cutout_side=0.0), size)
    return View(*fused_operations.operate(pixels, packed, random))


def _with_operations(view: View, params: ViewParams) -> View:
    """RandAugment and Cutout, in place."""
    pixels, box = view.pixels, view.box
    with torch.autocast(pixels.device.type, enabled=False):
        if params.rand_augment is not None:
            box = chained(box, operate(pixels, params.rand_augment))
        if params.cutout is not None:
            cut_out(pixels, params.cutout.centre, params.cutout.side)
    return View(pixels, box)


def _needs_pytorch(images: Tensor, params: ViewParams) -> bool:
    """Whether images that are neither grey nor RGB get colour augmentations, which the compiled code does not have."""
    colour = params.colour
    if images.shape[1] in (1, 3) or not isinstance(colour, ColourParams):
        return False
    is_jittered = bool((colour.order >= 0).any())
    return is_jittered or colour.channel_factors is not None
