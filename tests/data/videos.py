"""Small videos made on the spot: what they show and sound at each instant is known."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

RATE = 16_000


def write_video(
    path: Path,
    frames: np.ndarray,
    times: np.ndarray | None = None,
    sound: np.ndarray | None = None,
    sound_start: float = 0.0,
    rate: float = 16.0,
) -> Path:
    """Frames uint8 [T, H, W, 3] shown from ``times`` (seconds) on, and a sound float [n] at 16 kHz."""
    if times is None:
        times = np.arange(len(frames)) / rate
    with av.open(str(path), "w") as container:
        picture = container.add_stream("mpeg4", rate=1000)
        picture.width, picture.height, picture.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
        picture.bit_rate, picture.time_base = 4_000_000, Fraction(1, 1000)
        voice = container.add_stream("aac", rate=RATE, layout="mono") if sound is not None else None
        for pixels, time in zip(frames, times, strict=True):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = round(time * 1000), Fraction(1, 1000)
            container.mux(picture.encode(frame))
        container.mux(picture.encode())
        if voice is not None and sound is not None:
            for first in range(0, len(sound), 1024):
                piece = av.AudioFrame.from_ndarray(
                    sound[None, first : first + 1024].astype(np.float32), "fltp", "mono"
                )
                piece.sample_rate, piece.time_base = RATE, Fraction(1, RATE)
                piece.pts = first + round(sound_start * RATE)
                container.mux(voice.encode(piece))
            container.mux(voice.encode())
    return path


def levels(count: int, side: int = 48) -> np.ndarray:
    """Frames uint8 [count, side, side, 3], each of one grey that tells its number: 20, 30, 40, ..."""
    greys = 20 + 10 * np.arange(count)
    return (
        np.broadcast_to(greys[:, None, None, None], (count, side, side, 3)).astype(np.uint8).copy()
    )


def number_of(frame: np.ndarray) -> int:
    """The number of a frame that `levels` made, from its pixels."""
    return round((float(frame.mean()) - 20) / 10)


def click(seconds: float, at: float) -> np.ndarray:
    """A sound that is silent but for 20 ms of a loud tone."""
    sound = np.zeros(round(seconds * RATE), np.float32)
    first, length = round(at * RATE), RATE // 50
    sound[first : first + length] = 0.8 * np.sin(np.arange(length) * 2 * np.pi * 1000 / RATE)
    return sound
