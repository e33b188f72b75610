"""How much of a video's time a method looks at."""

from __future__ import annotations

from typing import NamedTuple


class ClipSampling(NamedTuple):
    """Frames that an encoder is shown of a video, and how close together."""

    frames: int
    """that the encoder sees at a time; 1: it reads stills, though the method is given the clip that they come from"""
    frame_rate: float
    """frames a second"""
