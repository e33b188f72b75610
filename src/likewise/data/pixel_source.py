"""Where the pixels of examples are, and how one image is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from likewise.data.decode_file import Decoded, UnreadableImage, decode
from likewise.data.decoding import mode_of_channels
from likewise.data.file_names import written_name

VIDEO_MODE = "video"
"""The mode in the header of a video, where images have Pillow's."""

FRAMES = ";frames"
"""What follows the mode of an image of several frames or pages, of which the first is read."""

CLIP_MODE = "clip"
"""The mode of a video that has been decoded."""


class NeverEncoded(UnreadableImage):
    """The bytes of a file were asked for, of pixels that come from none."""


class Headers(NamedTuple):
    """What the files say about themselves before a pixel is decoded."""

    sizes: np.ndarray
    """int32 [N, 2]: width and height once turned upright, 0 where the header was not read"""
    modes: np.ndarray
    """str [N]: Pillow's mode name, "" where the header was not read"""

    @classmethod
    def unread(cls, count: int) -> Headers:
        """Those of images of which none was looked at."""
        return cls(np.zeros((count, 2), np.int32), np.full(count, "", dtype="U1"))

    def with_read(self, rows: np.ndarray, read: Headers) -> Headers:
        """These headers with those of some rows, int64 [n], that were read by now."""
        # Texts of NumPy have one width: 64 bytes for each image if there were room for any mode.
        sizes, modes = self.sizes.copy(), self.modes.astype(np.result_type(self.modes, read.modes))
        sizes[rows], modes[rows] = read
        return Headers(sizes, modes)

    def take(self, index: np.ndarray) -> Headers:
        """The headers of some rows."""
        return Headers(self.sizes[index], self.modes[index])


class Encoded(NamedTuple):
    """One example before it is decoded."""

    content: Path | bytes
    """the file, or its bytes"""
    name: str
    """what an error calls it"""
    version: str
    """changes when the file does"""


class PixelSource(Protocol):
    """The pixels of N examples."""

    @property
    def headers(self) -> Headers:
        """Sizes and modes."""
        ...

    def __len__(self) -> int: ...

    def read(self, position: int, size: int | None = None) -> Decoded:
        """Decode one image; a JPEG may be drafted down as long as both sides stay at least twice ``size``.

        Raises:
            UnreadableImage: the file is gone, cut short or not an image.
        """
        ...

    def encoded(self, position: int) -> Encoded:
        """One file as it is stored, undecoded.

        Raises:
            UnreadableImage: it is gone, or was never encoded.
        """
        ...

    def take(self, index: np.ndarray) -> PixelSource:
        """The source of some rows, in the order given."""
        ...


@dataclass(frozen=True, eq=False)
class FilePixels:
    """Pixels in one file per image."""

    paths: Sequence[Path]
    headers: Headers

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, position: int, size: int | None = None) -> Decoded:
        """Decode one file."""
        return decode(self.paths[position], written_name(str(self.paths[position])), size)

    def encoded(self, position: int) -> Encoded:
        """One file."""
        path = self.paths[position]
        return Encoded(path, written_name(str(path)), version_of(path))

    def take(self, index: np.ndarray) -> FilePixels:
        """The files of some rows."""
        return FilePixels([self.paths[i] for i in index], self.headers.take(index))


@dataclass(frozen=True, eq=False)
class ArrayPixels:
    """Pixels that are in memory already, with any number of channels."""

    array: np.ndarray
    """[N, H, W] or [N, H, W, C]: uint8, or another numeric type until the range of the set is known"""

    def __len__(self) -> int:
        return len(self.array)

    @property
    def channels(self) -> int:
        """Channels of every image. The fourth of four is a channel like the others, not alpha."""
        return 1 if self.array.ndim == 3 else self.array.shape[3]

    @property
    def headers(self) -> Headers:
        """One size and one mode for all."""
        height, width = self.array.shape[1:3]
        sizes = np.full((len(self), 2), (width, height), np.int32)
        return Headers(sizes, np.full(len(self), mode_of_channels(self.channels)))

    def read(self, position: int, size: int | None = None) -> Decoded:
        """One row as an image."""
        row = np.array(self.array[position])
        pixels = row[..., 0] if row.shape[2:] == (1,) else row
        return Decoded(pixels, row.shape[1] / row.shape[0])

    def encoded(self, position: int) -> Encoded:
        """Refused: these are pixels."""
        raise NeverEncoded(f"row {position} of an array was never encoded")

    def take(self, index: np.ndarray) -> ArrayPixels:
        """Some rows, copied unless they follow one another."""
        count = len(index)
        first = index[0] if count else 0
        if np.array_equal(index, np.arange(first, first + count)):
            return ArrayPixels(self.array[first : first + count])
        return ArrayPixels(self.array[index])


@dataclass(frozen=True, eq=False)
class ConcatPixels:
    """Several sources concatenated."""

    parts: Sequence[PixelSource]

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    @property
    def headers(self) -> Headers:
        """The headers of the parts, in order."""
        parts = [part.headers for part in self.parts]
        sizes = np.concatenate([part.sizes for part in parts])
        modes = np.concatenate([part.modes for part in parts])
        return Headers(sizes, modes)

    def read(self, position: int, size: int | None = None) -> Decoded:
        """Decode one image of the part that holds it."""
        part, row = self._located(position)
        return part.read(row, size)

    def encoded(self, position: int) -> Encoded:
        """One file of the part that holds it."""
        part, row = self._located(position)
        return part.encoded(row)

    def _located(self, position: int) -> tuple[PixelSource, int]:
        """The part that holds a row, and the row's position in it."""
        for part in self.parts:
            if position < len(part):
                return part, position
            position -= len(part)
        raise IndexError(position)

    def take(self, index: np.ndarray) -> PixelSource:
        """Some rows: cheap where all are of one part, as those of a split are."""
        ends = np.cumsum([len(part) for part in self.parts])
        owner = np.searchsorted(ends, index, side="right")
        if len(index) and (owner == owner[0]).all():
            part = self.parts[owner[0]]
            first = ends[owner[0]] - len(part)
            return part.take(index - first)
        return PickedRows(self, np.asarray(index))


@dataclass(frozen=True, eq=False)
class PickedRows:
    """Rows of several sources in an order that mixes them."""

    source: ConcatPixels
    index: np.ndarray

    def __len__(self) -> int:
        return len(self.index)

    @property
    def headers(self) -> Headers:
        """Those of the rows."""
        return self.source.headers.take(self.index)

    def read(self, position: int, size: int | None = None) -> Decoded:
        """Decode one image."""
        return self.source.read(int(self.index[position]), size)

    def encoded(self, position: int) -> Encoded:
        """One file."""
        return self.source.encoded(int(self.index[position]))

    def take(self, index: np.ndarray) -> PixelSource:
        """Some rows."""
        return self.source.take(self.index[index])


def version_of(path: Path) -> str:
    """What changes when a file is written anew.

    Raises:
        UnreadableImage: it is gone.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise UnreadableImage(f"{written_name(str(path))}: the file is gone") from error
    return f"{status.st_size} {status.st_mtime_ns}"
