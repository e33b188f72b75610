"""A look at every file before step 0, so that a bad one is named now rather than in the middle of a run."""

from __future__ import annotations

import io
import stat
import sys
from array import array
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from PIL import Image

from likewise.data.decode_file import UnreadableImage, decode, reason_of
from likewise.data.decoding import deep_colour_mode, mode_of_channels, open_image, upright_size
from likewise.data.dicom import dicom_header, is_dicom
from likewise.data.large_images import require_readable
from likewise.data.parallel_map import parallel_map
from likewise.data.pixel_source import FRAMES, VIDEO_MODE, Headers
from likewise.data.tiff_bands import band_layout, require_tifffile
from likewise.data.video.video_decoding import UnreadableVideo, frame_size, is_video

ENDINGS = {"JPEG": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82"}
"""what a whole file ends with"""


WITH_FRAMES = {"GIF", "PNG", "WEBP", "AVIF", "TIFF"}
"""formats whose further frames are pictures too; in an MPO, as telephones write it, they are what belongs to one"""


class Header(NamedTuple):
    """One image's width and height once upright, and Pillow's mode."""

    width: int
    height: int
    mode: str


class Scan(NamedTuple):
    """What a look at N files found."""

    usable: np.ndarray
    """int64: positions of the files that are images"""
    headers: Headers
    """headers of those"""
    refused: dict[int, str]
    """positions of the others, each with the reason"""

    @classmethod
    def of(cls, found: Iterable[Header | str]) -> Scan:
        """What was found of each file: its header, or why it has none."""
        # A list of a million headers takes more memory than all else that is known of the files.
        usable, sides, modes = array("q"), array("i"), list[str]()
        refused = dict[int, str]()
        for position, header in enumerate(found):
            if isinstance(header, str):
                refused[position] = header
                continue
            usable.append(position)
            sides.extend(header[:2])
            modes.append(sys.intern(header.mode))
        headers = Headers(
            np.array(sides, dtype=np.int32).reshape(-1, 2), np.array(modes, dtype=str)
        )
        return cls(np.array(usable, dtype=np.int64), headers, refused)


def scan_files(paths: Sequence[Path]) -> Scan:
    """Read the headers of many files."""
    return scan(lambda position: read_header(paths[position]), len(paths))


def scan(read: Callable[[int], Header], count: int) -> Scan:
    """Read N headers, on all cores; ``read`` raises UnreadableImage for what is no whole image."""

    def attempt(position: int) -> Header | str:
        try:
            return read(position)
        except UnreadableImage as error:
            return str(error)

    return Scan.of(parallel_map(attempt, count))


def read_header(file: Path | bytes) -> Header:
    """The header of one file or its bytes, and whether it ends as a whole file does.

    A file that seems cut short is decoded to be sure: some cameras write more behind the end of a JPEG.

    Raises:
        UnreadableImage: zero bytes, cut short, or no image; the message is the reason alone.
    """
    if isinstance(file, Path):
        _require_regular(file)
    if is_video(file):
        return _video_header(file)
    try:
        with open(file, "rb") if isinstance(file, Path) else io.BytesIO(file) as stream:
            if not stream.read(1):
                raise UnreadableImage("zero bytes")
            stream.seek(0)
            if is_dicom(stream.read(132)):
                stream.seek(0)
                return Header(*dicom_header(stream))
            stream.seek(0)
            if header := _header_of_bands(stream):
                return header
            with open_image(stream) as image:
                kind, header = image.format, _header(image)
                whole = _ends_with(stream, ENDINGS.get(kind or "", b""))
    except UnreadableImage:
        raise
    except (
        Exception
    ) as error:  # Pillow's parsers raise OSError, ValueError, SyntaxError, struct.error, ...
        raise UnreadableImage(reason_of(error)) from error
    if not whole:
        _decode_to_be_sure(file)
    return header


def _require_regular(file: Path) -> None:
    """Refuse what would wait for ever or has no end: pipes, sockets, devices."""
    try:
        kind = file.stat().st_mode
    except FileNotFoundError as error:
        reason = (
            "a link to a file that is not there"
            if file.is_symlink()
            else f"there is no file {file}"
        )
        raise UnreadableImage(reason) from error
    except OSError as error:
        raise UnreadableImage(reason_of(error)) from error
    if not stat.S_ISREG(kind):
        raise UnreadableImage("no regular file but a pipe, a socket or a device")


def _video_header(file: Path | bytes) -> Header:
    try:
        return Header(*frame_size(file), VIDEO_MODE)
    except UnreadableVideo as error:
        raise UnreadableImage(str(error)) from error


def _header_of_bands(stream: IO[bytes]) -> Header | None:
    """The header of a TIFF whose bands or pages are channels; None of anything else."""
    layout = band_layout(stream)
    stream.seek(0)
    if layout is None:
        return None
    require_tifffile(layout)
    require_readable(layout.width, layout.height, layout.bytes_per_pixel)
    mode = mode_of_channels(layout.channels)
    return Header(layout.width, layout.height, f"{mode};{layout.depth}" if layout.depth else mode)


def _header(image: Image.Image) -> Header:
    mode = deep_colour_mode(image) or image.mode
    if image.format in WITH_FRAMES and getattr(image, "is_animated", False):
        mode += FRAMES
    return Header(*upright_size(image), mode)


def _ends_with(stream: io.BufferedIOBase | io.BytesIO | io.BufferedReader, ending: bytes) -> bool:
    stream.seek(0, io.SEEK_END)
    stream.seek(-min(len(ending), stream.tell()), io.SEEK_END)
    return stream.read() == ending


def _decode_to_be_sure(file: Path | bytes) -> None:
    try:
        decode(file, "")
    except UnreadableImage as error:
        raise UnreadableImage(str(error).removeprefix(": ")) from error
