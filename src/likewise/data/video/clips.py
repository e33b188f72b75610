"""From a manifest of videos to one of clips, and from arrays to the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from likewise.data.batch import UNLABELLED
from likewise.data.columns.masks import Masks
from likewise.data.left_out import Skipped
from likewise.data.manifest import Manifest
from likewise.data.parallel_map import shared_array
from likewise.data.pixel_source import CLIP_MODE, VIDEO_MODE, Headers
from likewise.data.video.clip_cache import decode_videos, flow_between
from likewise.data.video.clip_columns import FLOW, SOUND, START, Flow, Sound
from likewise.data.video.clip_frames import ClipPixels, made_clips
from likewise.data.video.video_decoding import ClipShape
from likewise.errors import LikewiseError


def as_clips(
    manifest: Manifest, shape: ClipShape, stills_will_do: bool = False, cache: Path | None = None
) -> Manifest:
    """The same examples with their videos decoded: their frames as pixels, ``sound`` and ``flow`` as columns.

    What is no video or cannot be decoded is left out, counted and named.

    Args:
        manifest: videos, or clips, which are given back as they are.
        shape: what is stored of each.
        stills_will_do: give back a manifest without videos as it is.
        cache: where decoded clips lie; None: the user's cache.

    Raises:
        LikewiseError: there is no video, none can be decoded, or they are more than the cache may hold.
    """
    if isinstance(manifest.pixels, ClipPixels):
        return manifest
    moving = manifest.pixels.headers.modes == VIDEO_MODE
    if not moving.any():
        if stills_will_do:
            return manifest
        raise LikewiseError(
            f"{manifest.source} has no videos, but the method or the encoder learns from clips of {shape.frames} "
            f"frames. Give videos, or a method and an encoder for still images."
        )
    still_rows = np.flatnonzero(~moving).tolist()
    stills = [
        Skipped(str(manifest.ids[row]), "a still image, not a video", False) for row in still_rows
    ]
    videos = manifest.take(np.flatnonzero(moving))
    decoded = decode_videos(videos, shape, cache)
    lost = [Skipped(videos.ids[row], reason) for row, reason in decoded.lost.items()]
    stored = np.setdiff1d(np.arange(len(videos)), list(decoded.lost))
    readable = videos.take(stored)
    sizes = readable.pixels.headers.sizes
    pixels = ClipPixels(decoded.clips, stored, Headers(sizes, np.full(len(stored), CLIP_MODE)))
    return replace(
        readable,
        pixels=pixels,
        columns=_tracks(pixels, readable),
        skipped=(*manifest.skipped, *stills, *lost),
        notes=(*manifest.notes, *decoded.notes),
    )


def clip_manifest(
    source: str,
    frames: np.ndarray,
    frame_rate: float,
    labels: np.ndarray | Tensor | None = None,
    class_names: Sequence[str] = (),
    splits: np.ndarray | None = None,
    sound: np.ndarray | None = None,
    flow: np.ndarray | None = None,
    masks: Masks | None = None,
) -> Manifest:
    """Clips that lie in memory as a manifest.

    Args:
        source: what to call them.
        frames: uint8 [N, T, C, S, S], C being 1 or 3.
        frame_rate: frames a second.
        labels: int [N], -1 for none; None: none has one.
        class_names: name of each label.
        splits: str [N]; None: all train.
        sound: int16 [N, samples] at 16 kHz.
        flow: int16 [N, T - 1, 2, S, S] as `optical_flow.packed` makes it; None: found when it is requested.
        masks: of each clip's middle frame.
    """
    count = len(frames)
    find_flow = partial(_flow_of, frames) if flow is None else partial(torch.from_numpy, flow)
    pixels = made_clips(frames, frame_rate, find_flow, sound)
    if labels is None:
        labels = torch.full((count,), UNLABELLED)
    manifest = Manifest(
        source=source,
        pixels=pixels,
        labels=torch.as_tensor(labels).long(),
        splits=np.full(count, "train") if splits is None else splits,
        ids=[f"{source}/{row:05d}" for row in range(count)],
        class_names=tuple(class_names),
        masks=masks,
    )
    return replace(manifest, columns=_tracks(pixels, manifest))


def _tracks(pixels: ClipPixels, manifest: Manifest) -> dict:
    """The columns of clips: those of the videos except their starts, the flow, and sound if one has any."""
    tracks = {name: column for name, column in manifest.columns.items() if name != START}
    tracks[FLOW] = Flow(pixels.clips, pixels.rows)
    if pixels.clips.has_sound.numpy()[pixels.rows].any():
        tracks[SOUND] = Sound(pixels.clips, pixels.rows)
    return tracks


def _flow_of(frames: np.ndarray) -> Tensor:
    return torch.from_numpy(flow_between(frames, partial(shared_array, dtype=np.int16)))
