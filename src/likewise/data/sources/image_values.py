"""One image in whatever form a data set or a table has it, and the pixel source of many such values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image
from torch import Tensor

from likewise.data.decode_file import Decoded, UnreadableImage, decode, decoded
from likewise.data.decoding import mode_of_channels
from likewise.data.file_names import named_file
from likewise.data.manifest import Manifest
from likewise.data.pixel_arrays import image_pixels
from likewise.data.pixel_source import Encoded, Headers, NeverEncoded, version_of
from likewise.data.sources.header_scan import Header, read_header
from likewise.errors import LikewiseError

FORMS = "a PIL image, a torch tensor [C, H, W], a NumPy array [H, W, C], bytes of an image file, or a path"


class ImageValues(Protocol):
    """Images by row, each in any form of `FORMS`."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int, /) -> Any:
        """The image of one row, read now."""
        ...


@dataclass(frozen=True, eq=False)
class ValuePixels:
    """The pixels of some rows of a data set, a table or a list; each is read when it is requested."""

    values: ImageValues
    rows: np.ndarray
    """int64 [N], positions in ``values``"""
    headers: Headers
    source: str
    """what errors call the set"""

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, position: int, size: int | None = None) -> Decoded:
        """Read and decode one row."""
        name = self._name(position)
        try:
            return decode_value(self._value(position), name, size)
        except LikewiseError as error:
            raise UnreadableImage(str(error)) from error

    def encoded(self, position: int) -> Encoded:
        """The file or the bytes of one row."""
        content, name = encoded_part(self._value(position)), self._name(position)
        if content is None:
            raise NeverEncoded(f"{name} was never encoded")
        return Encoded(
            content, name, version_of(content) if isinstance(content, Path) else str(len(content))
        )

    def take(self, index: np.ndarray) -> ValuePixels:
        """Some rows; nothing is read."""
        return ValuePixels(self.values, self.rows[index], self.headers.take(index), self.source)

    def _value(self, position: int) -> Any:
        try:
            return self.values[int(self.rows[position])]
        except MemoryError:
            raise
        except Exception as error:  # whatever a user's data set raises for one bad example
            raise UnreadableImage(
                f"{self._name(position)}: {type(error).__name__}: {error}"
            ) from error

    def _name(self, position: int) -> str:
        return f"{self.source}, item {int(self.rows[position])}"


def decode_value(value: Any, name: str, size: int | None = None) -> Decoded:
    """Decode one image of any form.

    Args:
        value: the image.
        name: what an error calls it.
        size: a JPEG file may be drafted down as long as both sides stay at least twice this.

    Raises:
        UnreadableImage: there is no image, or its file cannot be decoded.
        LikewiseError: a value of another type, or an array of a shape or type that is not allowed.
    """
    content = encoded_part(value)
    if content is not None:
        return decode(content, name, size)
    if isinstance(value, Image.Image):
        return _decoded_image(value, name)
    if isinstance(value, np.ndarray | Tensor | list):
        pixels = image_pixels(_as_array(value, name), name)
        return Decoded(pixels, pixels.shape[1] / pixels.shape[0])
    if _is_missing(value):
        raise UnreadableImage(f"{name}: no image")
    raise LikewiseError(
        f"{name}: an image of type {type(value).__name__} was given. Allowed: {FORMS}."
    )


def header_of(value: Any, name: str) -> Header:
    """Size and mode of one image of any form; of an encoded one its header alone is read.

    Raises:
        UnreadableImage, LikewiseError: as `decode_value` does.
    """
    content = encoded_part(value)
    if content is not None:
        return read_header(content)
    pixels = decode_value(value, name).pixels
    if isinstance(value, Image.Image):
        return Header(pixels.shape[1], pixels.shape[0], value.mode)
    mode = mode_of_channels(1 if pixels.ndim == 2 else pixels.shape[2])
    if pixels.dtype != np.uint8:
        mode += f";{8 * pixels.dtype.itemsize}{'F' if pixels.dtype.kind == 'f' else ''}"
    return Header(pixels.shape[1], pixels.shape[0], mode)


def fill_headers(manifest: Manifest) -> Manifest:
    """Headers that were not read taken to be as the others, where those are all the same; `ValuePixels` only."""
    pixels = manifest.pixels
    assert isinstance(pixels, ValuePixels)
    sizes, modes = pixels.headers
    read = np.flatnonzero(sizes[:, 0] > 0)
    if not len(read) or len(read) == len(sizes):
        return manifest
    size, mode = sizes[read[0]], modes[read[0]]
    if (sizes[read] != size).any() or (modes[read] != mode).any():
        return manifest
    headers = Headers(np.tile(size, (len(sizes), 1)), np.full(len(sizes), mode))
    return replace(manifest, pixels=replace(pixels, headers=headers))


def encoded_part(value: Any) -> Path | bytes | None:
    """The file or the bytes of an encoded image, also of ``{"bytes": ..., "path": ...}``; None of anything else."""
    if isinstance(value, Mapping) and value.get("bytes"):
        return bytes(value["bytes"])
    if isinstance(value, Mapping):
        value = value.get("path")
    if isinstance(value, str | Path):
        return named_file(Path(value).expanduser()) if str(value).strip() else None
    return bytes(value) if isinstance(value, bytes | bytearray | memoryview) else None


def _decoded_image(image: Image.Image, name: str) -> Decoded:
    try:
        return decoded(image)
    except MemoryError:
        raise
    except Exception as error:  # a lazily opened file is decoded only now
        raise UnreadableImage(f"{name}: {error}") from error


def _as_array(value: Any, name: str) -> Any:
    """Lists, and NumPy arrays of rows as pandas has them from Parquet, as one array of numbers."""
    if isinstance(value, Tensor):
        return value
    try:
        array = np.array(
            value.tolist() if isinstance(value, np.ndarray) and value.dtype == object else value
        )
    except ValueError as error:
        raise LikewiseError(f"{name}: its rows differ in length, so they are no image.") from error
    return array


def _is_missing(value: Any) -> bool:
    return (
        value is None
        or isinstance(value, Mapping | str)
        or (isinstance(value, float) and value != value)
    )
