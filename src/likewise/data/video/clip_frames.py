"""Decoded clips by position: for an encoder of clips a window of their frames, for one of images a still picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from likewise.data.batch import Pixels
from likewise.data.decode_file import Decoded, UnreadableImage
from likewise.data.decoding import LUMA
from likewise.data.images import DecodedRows, Images
from likewise.data.manifest import Manifest
from likewise.data.open_images import open_images
from likewise.data.pixel_source import CLIP_MODE, Encoded, Headers
from likewise.errors import LikewiseError


@dataclass(frozen=True, eq=False)
class Clips:
    """A set of clips: memory that is mapped from files, or arrays."""

    frames: Tensor
    """uint8 [N, T, C, S, S]"""
    aspect: Tensor
    """float32 [N]: width / height in the file"""
    valid_frames: Tensor
    """int64 [N]: frames before the video ended; from there on its last frame is repeated"""
    sound: Tensor | None
    """int16 [N, samples]: the sound of each clip from its first frame on; None where no clip has any"""
    has_sound: Tensor
    """bool [N]: whether it has a sound track that is not all zeros"""
    find_flow: Callable[[], Tensor]
    """gives the flow, int16 [N, T - 1, 2, S, S]"""
    frame_rate: float
    """frames a second"""

    @cached_property
    def flow(self) -> Tensor:
        """int16 [N, T - 1, 2, S, S]: found when it is first requested."""
        return self.find_flow()


@dataclass(frozen=True, eq=False)
class ClipPixels:
    """The pixels of videos of which a span has been decoded."""

    clips: Clips
    rows: np.ndarray
    """int64 [N], positions in ``clips``"""
    headers: Headers

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, position: int, size: int | None = None) -> Decoded:
        """The still picture of one clip: its middle frame."""
        row = int(self.rows[position])
        middle = int(self.clips.valid_frames[row]) // 2
        frame = self.clips.frames[row, middle].permute(1, 2, 0).numpy()  # [S, S, C]
        pixels = frame[..., 0] if frame.shape[2] == 1 else frame
        return Decoded(pixels, float(self.clips.aspect[row]))

    def encoded(self, position: int) -> Encoded:
        """Refused: these are decoded."""
        raise UnreadableImage(f"clip {position} has been decoded already")

    def take(self, index: np.ndarray) -> ClipPixels:
        """Some rows; nothing is read."""
        return ClipPixels(self.clips, self.rows[index], self.headers.take(index))


class ClipImages:
    """Clips as examples: all that is stored of each, or a window of frames in the middle of its valid frames.

    Args:
        pixels: which clips.
        channels: 3, or 1 for grey.
        frames: how many frames; None: all that are stored.
    """

    def __init__(self, pixels: ClipPixels, channels: int, frames: int | None = None) -> None:
        stored = pixels.clips.frames
        self._pixels = pixels
        self.channels = channels
        self.size = int(stored.shape[-1])
        self.frames = int(stored.shape[1]) if frames is None else frames
        self.unreadable: dict[str, str] = {}
        if self.frames > stored.shape[1]:
            raise LikewiseError(
                f"{self.frames} frames at a time were requested, but {stored.shape[1]} of each video are stored. Give "
                f"fewer --frames, or keep more of each with --seconds."
            )

    def __len__(self) -> int:
        return len(self._pixels)

    def read(self, index: Tensor) -> Pixels:
        """uint8 [B, frames, C, S, S], aspect, and how many of the frames are valid."""
        clips = self._pixels.clips
        rows = self._pixels.rows[index.numpy()]
        valid = clips.valid_frames.numpy()[rows]
        frames = clips.frames.numpy()
        first = middle_start(clips.valid_frames[rows], self.frames).numpy()
        windows = []
        for row, start in zip(rows, first, strict=True):
            windows.append(frames[row, start : start + self.frames])
        images = torch.from_numpy(np.stack(windows))  # [B, frames, C, S, S]
        left = torch.from_numpy(np.minimum(valid - first, self.frames))
        return Pixels(_with_channels(images, self.channels), clips.aspect[rows], left)

    def find_unreadable(self) -> None:
        """Nothing: none of the clips is unreadable."""

    def take(self, index: Tensor) -> ClipImages:
        """Some of the clips."""
        return ClipImages(self._pixels.take(index.numpy()), self.channels, self.frames)

    def readable(self, index: Tensor) -> DecodedRows:
        """The clips at some positions, without those that could not be decoded."""
        return DecodedRows(self.read(index), index)

    def replaced(self, index: Tensor, labels: Tensor | None = None) -> DecodedRows:
        """The clips at some positions; none of them is unreadable."""
        return self.readable(index)


def middle_start(valid_frames: Tensor, frames: int) -> Tensor:
    """int64 [B]: the first of so many frames in the middle of the valid ones, whose number is int64 [B]."""
    return (valid_frames - frames).clamp(min=0) // 2


def open_frames(manifest: Manifest, size: int, channels: int, frames: int = 1) -> Images:
    """What an encoder reads of a manifest's examples: images, or so many ``frames`` of clips.

    Raises:
        LikewiseError: frames were requested of what has been opened as still images.
    """
    if frames == 1:
        return open_images(manifest, size, channels)
    return ClipImages(_clip_pixels(manifest), channels, frames)


def open_whole_clips(manifest: Manifest, channels: int) -> ClipImages:
    """All that is stored of each clip, as a method gets it."""
    return ClipImages(_clip_pixels(manifest), channels)


def made_clips(
    frames: np.ndarray,
    frame_rate: float,
    find_flow: Callable[[], Tensor],
    sound: np.ndarray | None = None,
) -> ClipPixels:
    """Clips from arrays: uint8 [N, T, C, S, S], and int16 [N, samples] of sound at 16 kHz if they have any."""
    count, times, channels, height, width = frames.shape
    has_sound = np.zeros(count, dtype=bool) if sound is None else sound.any(axis=1)
    clips = Clips(
        torch.from_numpy(frames),
        torch.ones(count),
        torch.full((count,), times),
        None if sound is None else torch.from_numpy(sound),
        torch.from_numpy(has_sound),
        find_flow,
        frame_rate,
    )
    sizes = np.full((count, 2), (width, height), np.int32)
    modes = np.full(count, CLIP_MODE if channels == 3 else "L")
    headers = Headers(sizes, modes)
    return ClipPixels(clips, np.arange(count), headers)


def _clip_pixels(manifest: Manifest) -> ClipPixels:
    if not isinstance(manifest.pixels, ClipPixels):
        raise LikewiseError(
            f"{manifest.source} was opened as still images, but the encoder reads clips."
        )
    return manifest.pixels


def _with_channels(images: Tensor, channels: int) -> Tensor:
    """uint8 [B, T, C, S, S] with the colour channels that an encoder reads."""
    if images.shape[2] == channels:
        return images
    if channels == 3:
        return images.expand(-1, -1, 3, -1, -1)
    weights = torch.tensor(LUMA).view(3, 1, 1)
    grey = (images * weights).sum(dim=2, keepdim=True)
    return grey.round().to(torch.uint8)
