"""How much of a video a network sees."""

from __future__ import annotations

from typing import NamedTuple

Region = tuple[float, float, float, float]
"""Left, top, right and bottom of a part of a frame, as shares of its sides."""

WHOLE_FRAME: Region = (0.0, 0.0, 1.0, 1.0)
"""The region that is all of a frame."""


class ClipSampling(NamedTuple):
    """Frames of a video that an encoder sees at a time, and how close together they are."""

    frames: int
    """frames at a time; 1: the encoder reads still images, though the method gets the clip that they come from"""
    frame_rate: float
    """frames a second"""
