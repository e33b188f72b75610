"""Pixels that are given as arrays or tensors: which axis holds the channels, and which types are pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from likewise.errors import LikewiseError

USUAL_CHANNELS = (1, 3, 4)
"""Counts of channels that are taken for channels whatever the other two sides are."""


def batch_pixels(images: Any, source: str) -> np.ndarray:
    """N images as [N, H, W] or [N, H, W, C], of their own type.

    Args:
        images: a NumPy array [N, H, W] or [N, H, W, C], or a torch tensor [N, H, W] or [N, C, H, W]. Any number of
            channels; whole numbers, bool or floating point.
        source: what an error calls them.

    Raises:
        LikewiseError: another shape or type, or the channels seem to be on the other axis.
    """
    return require_numbers(_channels_last(images, source, dimensions=4), source)


def image_pixels(image: Any, source: str) -> np.ndarray:
    """One image as [H, W], or [H, W, C] with two channels or more, of its own type; bool as 8 bits.

    Args:
        image: a NumPy array [H, W] or [H, W, C], or a torch tensor [H, W] or [C, H, W], of the types that
            `batch_pixels` takes.
        source: what an error calls it.

    Raises:
        LikewiseError: another shape or type, or the channels seem to be on the other axis.
    """
    pixels = require_numbers(_channels_last(image, source, dimensions=3), source)
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * 255
    is_gray = pixels.ndim == 3 and pixels.shape[2] == 1
    return pixels[..., 0] if is_gray else pixels


def _channels_last(images: Any, source: str, dimensions: int) -> np.ndarray:
    """[..., H, W] or [..., H, W, C] of any type; ``dimensions`` counts those of an input with channels."""
    is_tensor = isinstance(images, Tensor)
    values = images.detach().cpu().numpy() if is_tensor else np.asarray(images)
    is_empty = 0 in values.shape[dimensions - 3 :]
    if values.ndim not in (dimensions - 1, dimensions) or is_empty:
        leading = "N, " if dimensions == 4 else ""
        raise LikewiseError(
            f"{source}: the shape {list(values.shape)} was given. Allowed: a torch tensor [{leading}C, H, W], a NumPy "
            f"array [{leading}H, W, C], or either without channels as [{leading}H, W]."
        )
    if values.ndim < dimensions:
        if dimensions == 4:
            _refuse_one_image(values.shape, is_tensor, source)
        return values
    _check_layout(values.shape, is_tensor, source)
    return np.moveaxis(values, -3, -1) if is_tensor else values


def _refuse_one_image(shape: tuple[int, ...], is_tensor: bool, source: str) -> None:
    """Refuse a shape that could be one image in colour, where grey images are expected."""
    channels = shape[0] if is_tensor else shape[-1]
    if channels not in (3, 4):
        return
    one, grey = "images[None]", "images[:, None]" if is_tensor else "images[..., None]"
    raise LikewiseError(
        f"{source}: the shape {list(shape)} was given, which could be one image of {channels} channels, then give "
        f"{one}; or {shape[0]} grey images, then give {grey}."
    )


def _check_layout(shape: tuple[int, ...], is_tensor: bool, source: str) -> None:
    """Refuse a shape that makes sense only if the channels are on the axis where this type does not have them."""
    first, middle, last = shape[-3:]
    as_first = _is_plausible(first, middle, last)
    as_last = _is_plausible(last, first, middle)
    given, other = (as_first, as_last) if is_tensor else (as_last, as_first)
    if given or not other:
        return
    if is_tensor:
        expected, remedy = "torch tensor is [N, C, H, W]", "images.permute(0, 3, 1, 2)"
    else:
        expected, remedy = "NumPy array is [N, H, W, C]", "images.transpose(0, 2, 3, 1)"
    if len(shape) == 3:
        expected = expected.replace("N, ", "")
        remedy = "image.permute(2, 0, 1)" if is_tensor else "image.transpose(1, 2, 0)"
    raise LikewiseError(
        f"{source}: the shape {list(shape)} was given. A {expected}, so this would have "
        f"{first if is_tensor else last} channels. If its channels are on the other axis, give {remedy}; if they are "
        f"not, give a {'NumPy array' if is_tensor else 'torch tensor'} in its own order."
    )


def _is_plausible(channels: int, height: int, width: int) -> bool:
    """Whether three sides look like so many channels of an image of that size."""
    return channels in USUAL_CHANNELS or height == width or channels < min(height, width)


def require_numbers(values: np.ndarray, source: str) -> np.ndarray:
    """Values as they are.

    Raises:
        LikewiseError: they are no numbers.
    """
    if values.dtype.kind not in "biuf":
        raise LikewiseError(
            f"{source}: pixels of type {values.dtype} were given. Allowed: whole numbers, bool or floating point."
        )
    return values
