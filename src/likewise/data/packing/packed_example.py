"""One example as a shard holds it: the bytes of its file, untouched, and what the set says of it."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import NamedTuple

import numpy as np

from likewise.data.batch import UNLABELLED
from likewise.data.columns.captions import CAPTIONS, Captions
from likewise.data.columns.targets import TargetColumn, targets_in
from likewise.data.decode_file import UnreadableImage
from likewise.data.decoding import open_image
from likewise.data.manifest import Manifest
from likewise.data.sources.file_listing import SUFFIXES as IMAGE_SUFFIXES
from likewise.data.video.video_decoding import SUFFIXES as VIDEO_SUFFIXES
from likewise.errors import LikewiseError

CHECK_SIZE = 32
"""Pixels to which an image is decoded to see that it can be; JPEGs are decoded at a smaller scale for it."""

FORMAT_ENDINGS = {
    "JPEG": "jpg",
    "TIFF": "tif",
    "JPEG2000": "jp2",
    "PPM": "ppm",
    "TGA": "tga",
    "MPO": "jpg",
}
"""Endings of Pillow's formats that are not called like their ending."""


class PackedExample(NamedTuple):
    """One example."""

    id: str
    content: bytes
    """its file"""
    ending: str
    """of the file's name, without a dot"""
    label: int | None
    """class number"""
    captions: tuple[str, ...]
    targets: tuple[float, ...] | None
    group: str | None
    mask: bytes | None
    """an image file of class numbers"""

    def digest(self) -> bytes:
        """Of all that must be the same when a shard is read back, its image's bytes first of all."""
        said = (self.id, self.label, self.captions, self.targets, self.group)
        content = hashlib.sha256(self.content)
        content.update(repr(said).encode("utf-8", "surrogateescape"))
        content.update(self.mask or b"")
        return content.digest()


def read_example(manifest: Manifest, row: int, decode: bool = True) -> PackedExample:
    """One example of a set, after its image has been decoded to see that it can be.

    Args:
        manifest: the set.
        row: which example.
        decode: whether its image is decoded.

    Raises:
        UnreadableImage: its file is gone or cannot be decoded.
        NeverEncoded: it comes from no file.
        LikewiseError: its mask comes from no file.
    """
    encoded = manifest.pixels.encoded(row)
    if decode:
        _require_decodable(manifest, row, encoded.name)
    content = encoded.content if isinstance(encoded.content, bytes) else _bytes_of(encoded.content)
    label = int(manifest.labels[row])
    captions = manifest.columns.get(CAPTIONS)
    groups, targets = manifest.groups, targets_in(manifest.columns)
    return PackedExample(
        id=manifest.ids[row],
        content=content,
        ending=_ending(encoded.content),
        label=None if label == UNLABELLED else label,
        captions=captions.texts[row] if isinstance(captions, Captions) else (),
        targets=_numbers(targets, row),
        group=(str(groups.names[row]) or None) if groups is not None else None,
        mask=_mask(manifest, row),
    )


def _require_decodable(manifest: Manifest, row: int, name: str) -> None:
    """Decode an image; an error gives the reason alone, since the file's path is another on another machine."""
    try:
        manifest.pixels.read(row, CHECK_SIZE)
    except UnreadableImage as error:
        raise UnreadableImage(str(error).removeprefix(f"{name}: ")) from error


def _numbers(targets: TargetColumn | None, row: int) -> tuple[float, ...] | None:
    """The targets of one example; None where nothing is known of it."""
    if targets is None or np.isnan(targets.values[row]).any():
        return None
    return tuple(targets.values[row].tolist())


def _bytes_of(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UnreadableImage(f"{file}: {error.strerror or error}") from error


def _ending(content: Path | bytes) -> str:
    """A file's own ending, else that of the format that its bytes are in."""
    if isinstance(content, Path) and content.suffix.lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES:
        return content.suffix.lower().removeprefix(".")
    try:
        with open_image(
            io.BytesIO(content) if isinstance(content, bytes) else content.open("rb")
        ) as image:
            name = image.format or ""
    except (
        Exception
    ):  # Pillow's parsers raise many kinds; what it does not know are videos and DICOM
        name = ""
    ending = FORMAT_ENDINGS.get(name, name.lower())
    if f".{ending}" in IMAGE_SUFFIXES:
        return ending
    return "dcm" if isinstance(content, bytes) and content[128:132] == b"DICM" else "mp4"


def _mask(manifest: Manifest, row: int) -> bytes | None:
    cell = manifest.masks.cells[row] if manifest.masks is not None else None
    if cell is None:
        return None
    if isinstance(cell, Path):
        return cell.read_bytes()
    read = getattr(cell, "read", None)
    if read is None:
        raise LikewiseError(
            f"The masks of {manifest.source} are arrays; shards hold masks that are files."
        )
    return read()
