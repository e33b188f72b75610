"""Decoded clips by position: every video decoded once, kept in a file on disk, and read from there by row."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from likewise.data.batch import Pixels
from likewise.data.images import InMemoryImages
from likewise.data.manifest import Manifest
from likewise.data.parallel_map import parallel_map
from likewise.data.pixel_source import UnreadableImage
from likewise.data.video_decoding import ClipShape, UnreadableVideo, decode_clip
from likewise.errors import LikewiseError, MachineError

CACHE = Path("~/.cache/likewise/clips")
"""Where decoded clips are kept, a folder for each set and shape."""

CACHE_LIMIT = 20 * 2**30
"""Bytes of that folder; the sets used longest ago go first. ``LIKEWISE_CACHE_BYTES`` sets another limit."""

FORMAT = 1
"""Raised when what is kept, or how it is decoded, changes."""


class Clips(NamedTuple):
    """The clips of a set, by position."""

    frames: InMemoryImages
    """uint8 [N, T, 3, S, S] on disk, mapped into memory"""
    sound: Tensor
    """int16 [N, samples]: the sound of each clip from its first frame on"""
    shown: Tensor
    """int64 [N]: frames before the video ended; from there on its last frame stays"""
    heard: Tensor
    """bool [N]: whether it has a sound track that is not all zeros"""
    notes: tuple[str, ...]
    """what was lost, in words: files that cannot be decoded, broken tails, missing sound"""


def open_clips(manifest: Manifest, shape: ClipShape, cache: Path = CACHE) -> Clips:
    """The clips of a manifest of videos; decoded on all cores the first time, read back from then on.

    Args:
        manifest: videos.
        shape: what is kept of each.
        cache: where decoded clips lie.

    Raises:
        LikewiseError: no video can be decoded, or the set is larger than the cache may be.
    """
    folder = cache.expanduser() / _key(manifest, shape)
    if not (folder / "found.json").exists():
        _make_room(cache.expanduser(), manifest, shape)
        _decode_all(manifest, shape, folder)
    os.utime(folder, ns=(time.time_ns(), time.time_ns()))  # finer than the clock that the system would take
    return _read(folder, manifest)


def sound_of(clips: Clips, index: Tensor) -> Tensor:
    """Float32 [B, samples] in [-1, 1]."""
    return torch.from_numpy(clips.sound.numpy()[index.numpy()]).float().div_(32767)


def _read(folder: Path, manifest: Manifest) -> Clips:
    found = json.loads((folder / "found.json").read_text())
    lost = {int(row): reason for row, reason in found["lost"].items()}
    frames = torch.from_numpy(np.load(folder / "frames.npy", mmap_mode="c"))
    unreadable = {manifest.ids[row]: reason for row, reason in lost.items()}
    images = InMemoryImages(Pixels(frames, torch.tensor(found["aspect"])), lost, unreadable)
    return Clips(
        images,
        torch.from_numpy(np.load(folder / "sound.npy", mmap_mode="c")),
        torch.tensor(found["shown"]),
        torch.tensor(found["heard"]),
        tuple(_notes(found, manifest)),
    )


def _decode_all(manifest: Manifest, shape: ClipShape, folder: Path) -> None:
    """Decode every video into files beside the folder, which takes its name when all are there."""
    partial = folder.with_name(f"{folder.name}.{os.getpid()}.partial")
    partial.mkdir(parents=True, exist_ok=True)
    count = len(manifest)
    frames = _new_array(partial / "frames.npy", (count, shape.frames, 3, shape.size, shape.size), np.uint8)
    sound = _new_array(partial / "sound.npy", (count, shape.samples), np.int16)

    def decode(row: int) -> tuple[float, int, bool, str] | str:
        try:
            video = manifest.pixels.encoded(row)
            clip = decode_clip(video.content, video.name, shape)
        except (UnreadableVideo, UnreadableImage) as error:
            return str(error)
        frames[row], sound[row] = clip.frames, np.rint(clip.sound * 32767).astype(np.int16)
        return clip.aspect, clip.shown, clip.has_sound and bool(clip.sound.any()), clip.note

    try:
        decoded = list(parallel_map(decode, count))
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise MachineError(f"{folder} cannot be written: {error.strerror or error}. Free some room.") from error
    lost = {row: reason for row, reason in enumerate(decoded) if isinstance(reason, str)}
    if len(lost) == count:
        shutil.rmtree(partial)
        raise LikewiseError(f"{manifest.source}: no video can be decoded. The first: {lost[0]}.")
    rows = [(1.0, 0, False, "") if isinstance(row, str) else row for row in decoded]
    aspect, shown, heard, notes = (list(column) for column in zip(*rows, strict=True))
    found = {"lost": lost, "aspect": aspect, "shown": shown, "heard": heard, "notes": notes, "shape": asdict(shape)}
    frames.flush()
    sound.flush()
    (partial / "found.json").write_text(json.dumps(found))
    if not folder.exists():
        partial.replace(folder)
    else:  # another process was faster
        shutil.rmtree(partial)


def _notes(found: Mapping[str, Any], manifest: Manifest) -> list[str]:
    """What a person should know before step 0."""
    broken = [manifest.ids[row] for row, note in enumerate(found["notes"]) if note]
    heard, read = sum(found["heard"]), len(manifest) - len(found["lost"])
    said = []
    if found["lost"]:
        reason = next(iter(found["lost"].values()))
        said.append(f"{len(found['lost'])} videos cannot be decoded and are stood in for; the first: {reason}")
    if broken:
        first = found["notes"][manifest.ids.index(broken[0])]
        said.append(f"{len(broken)} videos are damaged in part; the first: {broken[0]}: {first}")
    if heard < read:
        said.append(f"{read - heard} of {read} videos have no sound")
    return said


def _new_array(path: Path, shape: tuple[int, ...], kind: type) -> np.memmap:
    return np.lib.format.open_memmap(path, mode="w+", dtype=kind, shape=shape)


def _key(manifest: Manifest, shape: ClipShape) -> str:
    """A name for what is kept: it changes with the files, their order, and the shape."""
    digest = hashlib.blake2b(json.dumps([FORMAT, asdict(shape)]).encode(), digest_size=12)
    for row, name in enumerate(manifest.ids):
        digest.update(f"{name}\0{manifest.pixels.encoded(row).version}\0".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _make_room(cache: Path, manifest: Manifest, shape: ClipShape) -> None:
    """Remove the sets used longest ago until this one fits.

    Raises:
        LikewiseError: it is larger than the limit alone.
    """
    limit = int(os.environ.get("LIKEWISE_CACHE_BYTES", CACHE_LIMIT))
    wanted = len(manifest) * (shape.frames * 3 * shape.size**2 + 2 * shape.samples)
    if wanted > limit:
        raise LikewiseError(
            f"{manifest.source}: {len(manifest):,} clips of {shape.frames} frames of {shape.size} pixels are "
            f"{wanted / 1e9:.1f} GB decoded, more than the {limit / 1e9:.1f} GB that may be kept in {cache}. "
            f"Take fewer or smaller frames, or set LIKEWISE_CACHE_BYTES={wanted}."
        )
    kept = sorted((entry for entry in cache.glob("*") if entry.is_dir()), key=lambda entry: entry.stat().st_mtime_ns)
    sizes = {entry: sum(file.stat().st_size for file in entry.iterdir()) for entry in kept}
    for entry in kept:
        if sum(sizes.values()) + wanted <= limit:
            return
        shutil.rmtree(entry, ignore_errors=True)
        del sizes[entry]
