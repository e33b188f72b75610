"""A view policy as a transform: one image or a uint8 batch in, pixels in [0, 1] out, as torchvision's transforms do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor

from likewise.data.batch import Pixels
from likewise.errors import LikewiseError
from likewise.randomness import BatchRNG

Given = Image | Tensor | np.ndarray
"""What a transform takes: a PIL image, uint8 [C, H, W] or [B, C, H, W], or a NumPy array [H, W] or [H, W, C]."""


def as_transform(policy: Callable[..., Any], given: Given) -> Tensor:
    """Views of what was given: float32 [C, S, S] of one image, [B, C, S, S] of a batch, in [0, 1].

    Args:
        policy: a `ViewPolicy` or a `CentreView`.
        given: one image or a batch; images need not be square.

    Raises:
        LikewiseError: it is no image, or its values are no uint8.
    """
    images = as_uint8(given)
    alone = images.dim() == 3
    batch = images[None] if alone else images  # [B, C, H, W]
    count, _, height, width = batch.shape
    pixels = Pixels(batch, torch.full((count,), width / height, device=batch.device))
    if getattr(policy, "size", None) is None:
        raise LikewiseError(
            f"{type(policy).__name__} was called as a transform, but names no size. Give it one, for instance "
            f"likewise.views.simclr(size=224)."
        )
    # One number of PyTorch's own generator, which DataLoader seeds in each worker.
    seed = int(torch.randint(2**31, ()))
    views = policy(pixels, BatchRNG((seed, "transform"), count)).pixels
    return views[0] if alone else views


def as_uint8(given: Given) -> Tensor:
    """An image or a batch as uint8 [C, H, W] or [B, C, H, W].

    Raises:
        LikewiseError: it is no image, or its values are no uint8.
    """
    if isinstance(given, Image):
        image = given if given.mode in ("L", "RGB") else given.convert("RGB")
        return channels_first(np.array(image))
    if isinstance(given, np.ndarray) and given.dtype == np.uint8 and given.ndim in (2, 3):
        return channels_first(given)
    if isinstance(given, Tensor) and given.dtype == torch.uint8 and given.dim() in (3, 4):
        return given
    shape = (
        f" of {given.dtype} and shape {tuple(given.shape)}"
        if isinstance(given, Tensor | np.ndarray)
        else ""
    )
    raise LikewiseError(
        f"A view is made of a PIL image, a uint8 tensor [C, H, W] or [B, C, H, W], or a uint8 array [H, W, C]; "
        f"{type(given).__name__}{shape} was given. Leave ToTensor and Normalize out: views are in [0, 1] already."
    )


def channels_first(pixels: np.ndarray) -> Tensor:
    """[H, W] or [H, W, C] -> a tensor [C, H, W]."""
    planes = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(planes))
