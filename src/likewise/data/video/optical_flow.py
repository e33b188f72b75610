"""Optical flow between two frames, by dense inverse search."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from torch import Tensor

from likewise.data.decoding import LUMA
from likewise.errors import LikewiseError

STEPS_A_PIXEL = 64
"""Flow is stored as int16 in this part of a pixel: 512 pixels either way, to within 1/128."""

_of_this_thread = threading.local()


def optical_flow(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Where each pixel of the first frame has gone in the second.

    Kroeger et al. 2016 (https://arxiv.org/abs/1603.03590), in OpenCV's implementation, on the frames' brightness.

    Args:
        first: uint8 [3, H, W] or [H, W].
        second: likewise.

    Returns:
        float32 [2, H, W]: pixels to the right and pixels down.

    Raises:
        LikewiseError: OpenCV is not installed, the frames differ in shape, or are smaller than its 8-pixel patches.
    """
    if first.shape != second.shape:
        raise LikewiseError(
            f"Optical flow needs two frames of one shape; {first.shape} and {second.shape} were given."
        )
    if min(first.shape[-2:]) < 12:
        raise LikewiseError(
            f"Optical flow needs frames of 12 pixels a side or more; {first.shape[-2:]} were given."
        )
    flow = _search().calc(_brightness(first), _brightness(second), None)
    return np.ascontiguousarray(flow.transpose(2, 0, 1))


def packed(flow: np.ndarray) -> np.ndarray:
    """Float flow as int16, to be stored."""
    limit = 32767 / STEPS_A_PIXEL
    return np.rint(np.clip(flow, -limit, limit) * STEPS_A_PIXEL).astype(np.int16)


def unpacked(flow: Tensor) -> Tensor:
    """Stored flow, int16, as float32 pixels."""
    return flow.float() / STEPS_A_PIXEL


def _brightness(frame: np.ndarray) -> np.ndarray:
    """uint8 [H, W], contiguous as OpenCV wants it."""
    if frame.ndim == 3:
        grey = np.tensordot(np.array(LUMA, np.float32), frame, axes=1)
        frame = grey.round().astype(np.uint8)
    return np.ascontiguousarray(frame)


def _search() -> Any:
    """This thread's own search: it works in buffers that two threads at once would mix up, without a word."""
    if not hasattr(_of_this_thread, "search"):
        _of_this_thread.search = _new_search()
    return _of_this_thread.search


def _new_search() -> Any:
    try:
        import cv2
    except ImportError as error:
        raise LikewiseError(
            "Optical flow needs OpenCV. Install it with: pip install 'likewise[video]'"
        ) from error
    return cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
