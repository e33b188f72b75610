"""Decoded images by position: all of them in memory where they fit, else decoded on demand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from likewise.counts import amount
from likewise.data.batch import Pixels
from likewise.data.decode_file import UnreadableImage
from likewise.data.fallback_samples import FallbackSamples
from likewise.data.left_out import Skipped, some_files
from likewise.data.parallel_map import parallel_map
from likewise.data.pixel_source import PixelSource
from likewise.data.read_image import read_square
from likewise.errors import LikewiseError


class DecodedRows(NamedTuple):
    """Decoded images and the positions that they come from."""

    pixels: Pixels
    positions: Tensor
    """int64 [B]: the positions that were read"""


class Images(Protocol):
    """N images of one size, by position."""

    size: int
    channels: int
    frames: int
    """of each clip; 1 of images"""
    unreadable: dict[str, str]
    """ids of the images that could not be decoded, each with the reason; grows while images are decoded on demand"""

    def __len__(self) -> int: ...

    def read(self, index: Tensor) -> Pixels:
        """The images at some positions (int64 [B]): uint8 [B, C, S, S] and aspect [B].

        Raises:
            LikewiseError: one of them cannot be decoded.
        """
        ...

    def readable(self, index: Tensor) -> DecodedRows:
        """Those of the images at some positions that can be decoded; the others are in ``unreadable`` from then on."""
        ...

    def replaced(self, index: Tensor, labels: Tensor | None = None) -> DecodedRows:
        """An image for each position, for training: one that cannot be decoded is replaced by the next readable one.

        That is the next row with the same label (``labels``, int64 [N]), or failing that the next row of all. It is
        the same one every time, and the lost image's id is in ``unreadable`` from then on.
        """
        ...

    def find_unreadable(self) -> None:
        """See to it that ``unreadable`` names all that cannot be decoded."""
        ...

    def take(self, index: Tensor) -> Images:
        """A set of the images at some positions, numbered anew from 0."""
        ...


class InMemoryImages:
    """Images as one uint8 tensor [N, C, S, S], or clips as one [N, T, C, S, S].

    Args:
        pixels: all images.
        lost: positions that could not be decoded, each with its id and the reason.
    """

    def __init__(self, pixels: Pixels, lost: Mapping[int, Skipped] | None = None) -> None:
        self.pixels = pixels
        self._lost = dict(lost or {})
        self.unreadable = {entry.id: entry.reason for entry in self._lost.values()}
        self.channels = int(pixels.images.shape[-3])
        self.size = int(pixels.images.shape[-1])
        self.frames = int(pixels.images.shape[1]) if pixels.images.ndim == 5 else 1
        self._fallbacks = FallbackSamples(len(pixels.images), set(self._lost))

    def __len__(self) -> int:
        return len(self.pixels.images)

    def read(self, index: Tensor) -> Pixels:
        """The images at some positions."""
        return whole_batch(self.readable(index), index, self.unreadable)

    def readable(self, index: Tensor) -> DecodedRows:
        """Those of the images at some positions that could be decoded."""
        if self._lost:
            rows = [row for row in index.tolist() if row not in self._lost]
            index = torch.tensor(rows, dtype=torch.int64)
        return self._rows(index)

    def replaced(self, index: Tensor, labels: Tensor | None = None) -> DecodedRows:
        """An image for each position, and the positions that were read."""
        return self._rows(self.replaced_positions(index, labels))

    def replaced_positions(self, index: Tensor, labels: Tensor | None = None) -> Tensor:
        """The positions that `replaced` reads."""
        return self._fallbacks.replace(index, labels)

    def find_unreadable(self) -> None:
        """Nothing: all images have been decoded."""

    def take(self, index: Tensor) -> InMemoryImages:
        """A set of the images at some positions."""
        lost = {new: self._lost[old] for new, old in enumerate(index.tolist()) if old in self._lost}
        return InMemoryImages(self._rows(index).pixels, lost)

    def _rows(self, index: Tensor) -> DecodedRows:
        # NumPy copies row by row in this thread; torch wakes all its threads for it, which on busy cores took 4 ms.
        rows = index.numpy()
        return DecodedRows(
            self.pixels.map(lambda part: torch.from_numpy(part.numpy()[rows])), index
        )


class FileImages:
    """Images decoded on demand; can be sent to the workers of a DataLoader."""

    def __init__(
        self,
        source: PixelSource,
        ids: list[str],
        size: int,
        channels: int,
    ) -> None:
        self.source = source
        self.ids = ids
        self.size = size
        self.channels = channels
        self.frames = 1
        self.unreadable: dict[str, str] = {}
        self._fallbacks = FallbackSamples(len(source), set())

    def __len__(self) -> int:
        return len(self.source)

    def read(self, index: Tensor) -> Pixels:
        """Decode the images at some positions."""
        return whole_batch(self.readable(index), index, self.unreadable)

    def readable(self, index: Tensor) -> DecodedRows:
        """Decode those of the images at some positions that can be decoded."""
        return self._decode_rows(index, self._decode)

    def replaced(self, index: Tensor, labels: Tensor | None = None) -> DecodedRows:
        """Decode the images at some positions, and for each that cannot be decoded its replacement."""
        return self._decode_rows(index, lambda row: self._decode_or_replace(row, labels))

    def take(self, index: Tensor) -> FileImages:
        """A set of the images at some positions."""
        ids = [self.ids[i] for i in index.tolist()]
        return FileImages(self.source.take(index.numpy()), ids, self.size, self.channels)

    def find_unreadable(self) -> None:
        """Decode every image once, on all cores, so that ``unreadable`` names all that cannot be decoded."""

        def reason(row: int) -> str:
            try:
                read_square(self.source, row, self.size, self.channels)
            except UnreadableImage as error:
                return str(error)
            return ""

        for row, found in enumerate(parallel_map(reason, len(self))):
            if found:
                self.lose(row, UnreadableImage(found))

    def _decode_rows(
        self, index: Tensor, decode: Callable[[int], DecodedRow | None]
    ) -> DecodedRows:
        """What ``decode`` gives for each position, without those for which it gives nothing."""
        images = np.empty((len(index), self.channels, self.size, self.size), np.uint8)
        aspect = np.empty(len(index), np.float32)
        positions = np.empty(len(index), np.int64)
        filled = 0
        for wanted in index.tolist():
            row = decode(wanted)
            if row is not None:
                positions[filled], images[filled], aspect[filled] = row
                filled += 1
        pixels = Pixels(torch.from_numpy(images[:filled]), torch.from_numpy(aspect[:filled]))
        return DecodedRows(pixels, torch.from_numpy(positions[:filled]))

    def _decode(self, row: int) -> DecodedRow | None:
        """One image; None, and its id in ``unreadable``, where it cannot be decoded."""
        try:
            return DecodedRow(row, *read_square(self.source, row, self.size, self.channels))
        except UnreadableImage as error:
            self.lose(row, error)
            return None

    def lose(self, row: int, error: UnreadableImage) -> None:
        """Note that an image cannot be decoded."""
        self.unreadable[self.ids[row]] = error.reason(self.ids[row])
        self._fallbacks.add(row)

    def _decode_or_replace(self, wanted: int, labels: Tensor | None) -> DecodedRow:
        while True:
            decoded = self._decode(self._fallbacks.fallback(wanted, labels))
            if decoded is not None:
                return decoded


class DecodedRow(NamedTuple):
    """One decoded image."""

    position: int
    pixels: np.ndarray
    """uint8 [C, S, S]"""
    aspect: float
    """width / height"""


def whole_batch(found: DecodedRows, index: Tensor, unreadable: Mapping[str, str]) -> Pixels:
    """The pixels of a batch of which every image was read.

    Raises:
        LikewiseError: one was not.
    """
    lost = len(index) - len(found.positions)
    if lost:
        raise LikewiseError(
            f"{lost} of {amount(len(index), 'image')} cannot be decoded. {some_files(unreadable)} Fetch those files "
            f"again, or delete them; likewise doctor lists them all."
        )
    return found.pixels
