"""What `train`, `embed` and `doctor` do with an input, and whether every row is the picture that its name says."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from likewise.data.checks.doctor import examine
from likewise.data.data_settings import DataSettings
from likewise.data.decode_file import UnreadableImage
from likewise.data.manifest import Manifest
from likewise.data.pixel_range import RangedPixels
from likewise.data.read_image import read_square
from likewise.data.sources.idx import read_idx
from likewise.data.sources.open import open_manifest
from likewise.data.splits import Split
from likewise.data.splitter import DataSplitter
from likewise.errors import LikewiseError

SIZE = 16


class Reading(NamedTuple):
    """What became of an input."""

    refused: str
    """the message of a LikewiseError; empty where the input was read"""
    pixels: Mapping[str, bytes]
    """a digest of each row that was read, by id"""
    named: Mapping[str, str]
    """what was left out, with the reason"""


class WrongPixels(AssertionError):
    """A row shows something else than the file that its id names."""


def read(folder: Path, opened: str, labels: str | None, captions: str | None) -> Reading:
    """Open an input by all doors; a LikewiseError is an outcome, every other exception goes on."""
    data = str(folder / opened) if opened != "." else str(folder)
    try:
        if opened.endswith(".gz"):
            return Reading("", {opened: _digest(read_idx(Path(data)))}, {})
        manifest = open_manifest(
            data, labels and folder / labels, captions=captions and folder / captions
        )
        examine(manifest)
        settings = DataSettings(labels=str(folder / labels) if labels else "all")
        splitter = DataSplitter(settings, size=SIZE)
        listed = splitter.list_examples(manifest)
        lost = {}
        for split in splitter.open(listed).values():
            lost |= _check_split(split)
        pixels, unread = _digests(manifest)
        return Reading("", pixels, {**manifest.left_out, **unread, **lost})
    except LikewiseError as error:
        return Reading(str(error) or "no message", {}, {})


def _check_split(split: Split) -> dict[str, str]:
    """Every row that a score or a vector is taken of is the one that its position names."""
    images, manifest = split.images, split.manifest
    everything = torch.arange(len(manifest))
    found = images.readable(everything)
    training = split.train_images.replaced(everything, split.labels)
    assert len(training.positions) == len(manifest)
    lost = set(everything.tolist()) - set(found.positions.tolist())
    unnamed = [manifest.ids[row] for row in lost if manifest.ids[row] not in images.unreadable]
    if unnamed:
        raise WrongPixels(f"left out and not named: {unnamed}")
    if images.frames == 1:
        for row, stored in zip(found.positions.tolist(), found.pixels.images, strict=True):
            own, _ = read_square(manifest.pixels, row, images.size, images.channels)
            if not np.array_equal(own, stored.numpy()):
                raise WrongPixels(f"{manifest.ids[row]} is stored with other pixels than its own")
    return dict(images.unreadable)


def _digests(manifest: Manifest) -> tuple[dict[str, bytes], dict[str, str]]:
    source = (
        manifest.pixels.source if isinstance(manifest.pixels, RangedPixels) else manifest.pixels
    )
    found, unread = dict[str, bytes](), dict[str, str]()
    for row, name in enumerate(manifest.ids):
        try:
            found[name] = _digest(source.read(row).pixels)
        except UnreadableImage as error:
            unread[name] = str(error)
    return found, unread


def _digest(pixels: np.ndarray) -> bytes:
    return hashlib.blake2b(
        f"{pixels.shape} {pixels.dtype}".encode() + pixels.tobytes(), digest_size=12
    ).digest()


def check(found: Reading, whole: Reading, damaged: str) -> None:
    """Rows of files that nobody touched are as they were, or named; no row shows another one's picture.

    Args:
        found: of the damaged input.
        whole: of the input before.
        damaged: the file that was changed.

    Raises:
        WrongPixels: one of these does not hold.
    """
    if found.refused:
        return
    owners = {digest: name for name, digest in whole.pixels.items()}
    for name, digest in found.pixels.items():
        owner = owners.get(digest, name)
        if Path(owner).name != Path(name).name:
            raise WrongPixels(f"{name} shows {owner}")
    for name, digest in whole.pixels.items():
        touched = name.startswith(damaged) or damaged.endswith(
            (".csv", ".tar", ".npz", ".npy", ".pt", ".gz")
        )
        if touched:
            continue
        if name not in found.pixels and name not in found.named:
            raise WrongPixels(f"{name} has gone without a word")
        if found.pixels.get(name, digest) != digest:
            raise WrongPixels(f"{name} was not touched and has other pixels")
