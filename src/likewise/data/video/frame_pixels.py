"""Frames of a video as pixels: in colours, upright, a region of them, at one size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from likewise.data.resizing import resized


def rgb_converter() -> Callable[[Any], np.ndarray]:
    """Turns frames of one video into uint8 [H, W, 3].

    One thread each: a frame is smaller than the start of a thread costs, and whole videos are decoded side by side.
    """
    from av.video.reformatter import VideoReformatter

    reformatter = VideoReformatter()  # keeps its tables from one frame to the next
    return lambda frame: reformatter.reformat(frame, format="rgb24", threads=1).to_ndarray()


def upright(frame: Any, convert: Callable[[Any], np.ndarray]) -> np.ndarray:
    """uint8 [H, W, 3], turned as the file's display matrix says."""
    pixels = convert(frame)
    turns = round(getattr(frame, "rotation", 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels


def region_of(picture: np.ndarray, region: tuple[float, float, float, float]) -> np.ndarray:
    """The region of a picture, at least a pixel of it."""
    height, width = picture.shape[:2]
    left = min(round(region[0] * width), width - 1)
    top = min(round(region[1] * height), height - 1)
    right = max(round(region[2] * width), left + 1)
    bottom = max(round(region[3] * height), top + 1)
    return picture[top:bottom, left:right]


def squares(pictures: list[np.ndarray], size: int) -> np.ndarray:
    """Pictures of any sizes as uint8 [T, 3, size, size], antialiased; one that stays on is resized once."""
    resized: dict[int, np.ndarray] = {}
    for picture in pictures:
        if id(picture) not in resized:
            resized[id(picture)] = _square(picture, size)
    return np.stack([resized[id(picture)] for picture in pictures])


def _square(picture: np.ndarray, size: int) -> np.ndarray:
    """uint8 [H, W, 3] -> [3, size, size]."""
    planes = torch.from_numpy(picture.transpose(2, 0, 1))
    return resized(planes, size, size).numpy()
