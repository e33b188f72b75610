"""Videos decoded once: their frames and sound, and the flow between frames, in files on disk."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from likewise.counts import amount
from likewise.data.decode_file import UnreadableImage
from likewise.data.manifest import Manifest
from likewise.data.parallel_map import parallel_map
from likewise.data.video.clip_columns import START, Starts
from likewise.data.video.clip_frames import Clips
from likewise.data.video.optical_flow import optical_flow, packed
from likewise.data.video.sound_windows import to_int16
from likewise.data.video.video_decoding import ClipShape, UnreadableVideo, decode_clip
from likewise.errors import EnvironmentIOError, LikewiseError

CACHE = Path("~/.cache/likewise/clips")
"""Where decoded clips are stored, a folder for each set and shape."""

CACHE_LIMIT = 20 * 2**30
"""Bytes of that folder; the sets used longest ago go first. ``LIKEWISE_CACHE_BYTES`` sets another limit."""

FORMAT = 4
"""Raised when what is stored, or how it is decoded, changes."""


class DecodedVideos:
    """A set of videos, decoded.

    Attributes:
        clips: by position in the manifest; black where a video cannot be decoded.
        lost: positions that cannot be decoded, each with the reason.
        notes: what should be known before step 0: broken tails, missing sound.
    """

    def __init__(self, folder: Path, manifest: Manifest, shape: ClipShape) -> None:
        found = json.loads((folder / "found.json").read_text())
        lost: dict[str, str] = found["lost"]
        self.lost = {int(row): reason for row, reason in lost.items()}
        self.notes = tuple(_notes(found, manifest))
        self.clips = Clips(
            _mapped(folder / "frames.npy"),
            torch.tensor(found["aspect"]),
            torch.tensor(found["valid_frames"]),
            _mapped(folder / "sound.npy"),
            torch.tensor(found["has_sound"]),
            partial(_stored_flow, folder, manifest.source),
            shape.frame_rate,
        )


def decode_videos(manifest: Manifest, shape: ClipShape, cache: Path | None = None) -> DecodedVideos:
    """The clips of a manifest of videos; decoded on all cores the first time, read back from then on.

    Args:
        manifest: videos; where it has a column ``start``, a clip begins so many seconds later.
        shape: what is stored of each.
        cache: where decoded clips lie; None: `CACHE`.

    Raises:
        LikewiseError: no video can be decoded, or the set is larger than the cache may be.
    """
    within = (cache or CACHE).expanduser()
    folder = within / _key(manifest, shape)
    if not _is_whole(folder):
        shutil.rmtree(folder, ignore_errors=True)
        _make_room(within, manifest, shape)
        _decode_all(manifest, shape, folder)
    # Finer than the clock that the system would take.
    os.utime(folder, ns=(time.time_ns(), time.time_ns()))
    return DecodedVideos(folder, manifest, shape)


def _is_whole(folder: Path) -> bool:
    """Whether all that is stored of a set can be read; what a disk has cut short is decoded again."""
    try:
        found = json.loads((folder / "found.json").read_text())
        stored = [np.load(folder / name, mmap_mode="r") for name in ("frames.npy", "sound.npy")]
        return all(len(rows) == len(found["aspect"]) for rows in stored)
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return False


def _mapped(path: Path) -> Tensor:
    return torch.from_numpy(np.load(path, mmap_mode="c"))


def _can_be_mapped(path: Path) -> bool:
    try:
        np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return False
    return True


def flow_between(
    frames: np.ndarray,
    allocate: Callable[[tuple[int, ...]], np.ndarray],
) -> np.ndarray:
    """The flow from each frame of each clip to the next, on all cores.

    Args:
        frames: uint8 [N, T, C, S, S].
        allocate: gives int16 memory of a shape that forked processes share.

    Returns:
        int16 [N, T - 1, 2, S, S], in the steps of `optical_flow.STEPS_A_PIXEL`.
    """
    count, times, _, *sides = frames.shape
    flow = allocate((count, times - 1, 2, *sides))

    def find(row: int) -> None:
        gray = [frame[0] if len(frame) == 1 else frame for frame in frames[row]]
        for instant in range(times - 1):
            flow[row, instant] = packed(optical_flow(gray[instant], gray[instant + 1]))

    for _ in parallel_map(find, count):
        pass
    return flow


def _stored_flow(folder: Path, source: str) -> Tensor:
    """The flow of a decoded set, found when it is first requested and stored next to the frames."""
    path = folder / "flow.npy"
    if not _can_be_mapped(path):
        frames = np.load(folder / "frames.npy", mmap_mode="r")
        count, times, _, height, width = frames.shape
        wanted = 4 * count * (times - 1) * height * width  # two int16 a pixel
        _free(
            folder.parent,
            wanted,
            f"{source}: the optical flow of {amount(len(frames), 'clip')}",
            keep=folder,
        )
        partial_path = path.with_name(f"flow.{os.getpid()}.partial.npy")
        try:
            flow_between(frames, lambda shape: _new_array(partial_path, shape, np.int16))
            partial_path.replace(path)
        except OSError as error:
            raise EnvironmentIOError(
                f"{path} cannot be written: {error.strerror or error}. Free some room."
            ) from error
        finally:
            partial_path.unlink(missing_ok=True)
    return _mapped(path)


def _decode_all(manifest: Manifest, shape: ClipShape, folder: Path) -> None:
    """Decode every video into files next to the folder, which takes its name when all are there."""
    partial = folder.with_name(f"{folder.name}.{os.getpid()}.partial")
    partial.mkdir(parents=True, exist_ok=True)
    try:
        decoded = _decode_into(partial, manifest, shape)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise EnvironmentIOError(
            f"{folder} cannot be written: {error.strerror or error}. Free some room."
        ) from error
    lost = {row: reason for row, reason in enumerate(decoded) if isinstance(reason, str)}
    if len(lost) == len(manifest):
        shutil.rmtree(partial)
        raise LikewiseError(f"{manifest.source}: no video can be decoded. The first: {lost[0]}.")
    videos = [_LOST if isinstance(video, str) else video for video in decoded]
    found = {
        "lost": lost,
        "aspect": [video.aspect for video in videos],
        "valid_frames": [video.valid_frames for video in videos],
        "has_sound": [video.has_sound for video in videos],
        "notes": [video.note for video in videos],
        "shape": asdict(shape),
    }
    (partial / "found.json").write_text(json.dumps(found))
    if not folder.exists():
        partial.replace(folder)
    else:  # another process was faster
        shutil.rmtree(partial)


class _Decoded(NamedTuple):
    """What decoding one video found, besides its frames and its sound."""

    aspect: float
    valid_frames: int
    has_sound: bool
    note: str


_LOST = _Decoded(1.0, 0, False, "")
"""In the place of a video that cannot be decoded."""


def _decode_into(folder: Path, manifest: Manifest, shape: ClipShape) -> list[_Decoded | str]:
    """Frames and sound of every video, in files; of each what was found, or why it cannot be decoded."""
    count = len(manifest)
    of_frames = (count, shape.frames, 3, shape.size, shape.size)
    frames = _new_array(folder / "frames.npy", of_frames, np.uint8)
    sound = _new_array(folder / "sound.npy", (count, shape.samples), np.int16)
    starts = _starts(manifest)

    def decode(row: int) -> _Decoded | str:
        try:
            video = manifest.pixels.encoded(row)
            span = replace(shape, start=shape.start + starts[row])
            clip = decode_clip(video.content, video.name, span)
        except (UnreadableVideo, UnreadableImage) as error:
            return str(error)
        frames[row] = clip.frames
        sound[row] = to_int16(clip.sound)
        has_sound = clip.has_sound and bool(clip.sound.any())
        return _Decoded(clip.aspect, clip.valid_frames, has_sound, clip.note)

    decoded = list(parallel_map(decode, count))
    frames.flush()
    sound.flush()
    return decoded


def _notes(found: Mapping[str, Any], manifest: Manifest) -> list[str]:
    """What should be known before step 0."""
    broken = [manifest.ids[row] for row, note in enumerate(found["notes"]) if note]
    with_sound = sum(found["has_sound"])
    read = len(manifest) - len(found["lost"])
    notes = []
    if broken:
        first = found["notes"][manifest.ids.index(broken[0])]
        notes.append(
            f"{amount(len(broken), 'video')} damaged in part; the first: {broken[0]}: {first}"
        )
    short = sum(0 < valid < found["shape"]["frames"] for valid in found["valid_frames"])
    if short:
        frames = found["shape"]["frames"]
        notes.append(
            f"{short} of {read} videos end before the {frames} frames that are stored; the last is repeated"
        )
    if with_sound < read:
        notes.append(f"{read - with_sound} of {read} videos have no sound")
    return notes


def _new_array(path: Path, shape: tuple[int, ...], kind: type) -> np.memmap:
    return np.lib.format.open_memmap(path, mode="w+", dtype=kind, shape=shape)


def _starts(manifest: Manifest) -> list[float]:
    """Seconds into its video at which each example begins."""
    column = manifest.columns.get(START)
    return column.seconds.tolist() if isinstance(column, Starts) else [0.0] * len(manifest)


def _key(manifest: Manifest, shape: ClipShape) -> str:
    """A name for what is stored: it changes with the files, their order, and the shape."""
    kind = json.dumps([FORMAT, asdict(shape)])
    digest = hashlib.blake2b(kind.encode(), digest_size=12)
    starts = _starts(manifest)
    for row, name in enumerate(manifest.ids):
        start = starts[row]
        version = manifest.pixels.encoded(row).version
        digest.update(f"{name}\0{version}\0{start}\0".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _make_room(cache: Path, manifest: Manifest, shape: ClipShape) -> None:
    """Room for the frames and the sound of a set.

    Raises:
        LikewiseError: it is larger than the limit alone.
    """
    wanted = len(manifest) * (shape.frames * 3 * shape.size**2 + 2 * shape.samples)
    clips = f"{manifest.source}: {amount(len(manifest), 'clip')} of {shape.frames} frames of {shape.size} pixels"
    _free(cache, wanted, clips)


def _free(cache: Path, wanted: int, what: str, keep: Path | None = None) -> None:
    """Remove the sets used longest ago until so many bytes more fit; one of them, if named, stays."""
    limit = int(os.environ.get("LIKEWISE_CACHE_BYTES", CACHE_LIMIT))
    folders = [entry for entry in cache.glob("*") if entry.is_dir()]
    folders.sort(key=lambda folder: folder.stat().st_mtime_ns)
    sizes = {folder: _bytes_in(folder) for folder in folders}
    wanted += sizes.pop(keep, 0) if keep else 0
    if wanted > limit:
        raise LikewiseError(
            f"{what} are {wanted / 1e9:.1f} GB decoded, more than the {limit / 1e9:.1f} GB that may be stored in "
            f"{cache}. Take fewer or smaller frames (--seconds, --frame-rate, --image-size), or set "
            f"LIKEWISE_CACHE_BYTES={wanted}."
        )
    for folder in list(sizes):
        if sum(sizes.values()) + wanted <= limit:
            return
        shutil.rmtree(folder, ignore_errors=True)
        del sizes[folder]


def _bytes_in(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())
