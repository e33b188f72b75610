"""Decoded images by position: all of them in memory where they fit, else decoded on demand."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from likewise.counts import amount
from likewise.data.batch import Pixels
from likewise.data.decoding import channels_of_mode
from likewise.data.fallback_samples import FallbackSamples
from likewise.data.left_out import Skipped, some_files
from likewise.data.manifest import Manifest
from likewise.data.parallel_map import parallel_map, shared_array
from likewise.data.pixel_source import ArrayPixels, PixelSource, UnreadableImage
from likewise.data.read_image import convertible, read_square
from likewise.errors import LikewiseError, NothingReadable

NATIVE_LIMIT = 96
"""Images that all have one size and no longer side than this are stored at that size."""
PHOTO_SIZE = 128
"""The side to which larger or mixed images are brought unless a size is named."""
MARGIN = 8 / 7
"""Photographs are stored this much larger than the encoder reads them, 256 pixels for 224, as usual in evaluation."""
MEMORY_LIMIT = 2 * 2**30
"""Bytes of decoded pixels up to which a set is held in memory."""


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


def open_images(
    manifest: Manifest,
    size: int | None = None,
    channels: int | None = None,
    memory_limit: int | None = None,
) -> Images:
    """The images of a manifest, brought to one size.

    An image that is not square is squeezed into the square, antialiased, and its true shape recorded in ``aspect``.

    Args:
        manifest: the examples.
        size: side in pixels. ``None``: the images' own where all have one size of at most 96, else 128 or, where most
            images are smaller than that, their median longer side.
        channels: ``None``: 1 where every image is grey, those that they have where these are neither 1 nor 3, else 3.
            Grey images can be opened with 3 channels and colour images with 1; no other number is converted.
        memory_limit: bytes up to which all images are decoded at once and held in memory; None: `MEMORY_LIMIT`.

    Raises:
        LikewiseError: there is no image, none can be decoded, or a setting is out of range.
    """
    if not len(manifest):
        raise LikewiseError(f"{manifest.source}: there are no images to open here.")
    size = size or default_size(manifest)
    own_channels = default_channels(manifest)
    channels = channels or own_channels
    if size < 1:
        raise LikewiseError(f"An image size of {size} was given; give 1 pixel or more.")
    if not convertible(own_channels, channels):
        raise LikewiseError(
            f"{manifest.source} has images of {own_channels} channels, but {channels} are needed. Only grey and RGB "
            f"images are converted into each other: give images of {channels} channels, or an encoder that reads "
            f"{own_channels}."
        )
    if isinstance(manifest.pixels, ArrayPixels) and _fits_as_is(manifest.pixels, size, channels):
        return InMemoryImages(_tensor_of(manifest.pixels))
    if not fits_in_memory(manifest, size, channels, memory_limit):
        return FileImages(manifest.pixels, list(manifest.ids), size, channels)
    return _decode_all(manifest, size, channels)


def fits_in_memory(
    manifest: Manifest, size: int, channels: int, memory_limit: int | None = None
) -> bool:
    """Whether all images of a manifest are decoded at once and held in memory; otherwise each when it is read.

    Args:
        manifest: the examples.
        size: side in pixels.
        channels: of each.
        memory_limit: bytes; None: `MEMORY_LIMIT`.
    """
    wanted = len(manifest) * channels * size * size
    return wanted <= (MEMORY_LIMIT if memory_limit is None else memory_limit)


def default_size(manifest: Manifest) -> int:
    """The side that images get when none is named."""
    sizes = manifest.pixels.headers.sizes
    longer = sizes.max(axis=1)[(sizes > 0).all(axis=1)]
    if not len(longer):
        return PHOTO_SIZE
    same = (sizes == sizes[0]).all()
    if same and longer[0] <= NATIVE_LIMIT:
        return int(longer[0])
    return min(PHOTO_SIZE, int(np.median(longer)))


def stored_size(manifest: Manifest, size: int) -> int:
    """The side at which images are stored: their own where the encoder reads that, else with a margin for crops."""
    return size if (manifest.pixels.headers.sizes == size).all() else round(size * MARGIN)


def default_channels(manifest: Manifest) -> int:
    """1 where every image is grey, C where every image has another number C than 1 or 3, else 3.

    Raises:
        LikewiseError: some images have another number of channels than others, and are not just grey and RGB.
    """
    modes = set(manifest.pixels.headers.modes.tolist())
    counts = {channels_of_mode(mode) for mode in modes if mode}
    if counts <= {1, 3}:
        is_gray = counts == {1} and "" not in modes  # "": the header was not read
        return 1 if is_gray else 3
    if len(counts) > 1:
        raise LikewiseError(
            f"{manifest.source} has images of {_examples_of(manifest, counts)}. Give images that all have the same "
            f"channels (grey and RGB may be mixed); likewise doctor --all lists those of odd kinds."
        )
    return counts.pop()


def _examples_of(manifest: Manifest, counts: Collection[int], limit: int = 3) -> str:
    """Some images of each number of channels, the rarest first."""
    rows: dict[int, list[int]] = {count: [] for count in counts}
    for row, mode in enumerate(manifest.pixels.headers.modes.tolist()):
        if mode:
            rows[channels_of_mode(mode)].append(row)
    parts = []
    for count, members in sorted(rows.items(), key=lambda entry: len(entry[1])):
        names = ", ".join(manifest.ids[row] for row in members[:limit])
        more = ", ..." if len(members) > limit else ""
        parts.append(f"{count} channels ({names}{more})")
    return ", ".join(parts)


def _fits_as_is(source: ArrayPixels, size: int, channels: int) -> bool:
    return source.array.shape[1:3] == (size, size) and source.channels == channels


def _tensor_of(source: ArrayPixels) -> Pixels:
    images = torch.from_numpy(np.ascontiguousarray(source.array))
    if images.ndim == 3:
        images = images.unsqueeze(1)
    else:
        images = images.permute(0, 3, 1, 2).contiguous()
    return Pixels(images, torch.ones(len(images)))


def _decode_all(manifest: Manifest, size: int, channels: int) -> InMemoryImages:
    """Decode a whole set on all cores."""
    shape = len(manifest), channels, size, size
    images = shared_array(shape, np.uint8)
    aspect = np.ones(len(manifest), np.float32)
    lost = dict[int, str]()

    def decode(row: int) -> float | str:
        try:
            images[row], width_to_height = read_square(manifest.pixels, row, size, channels)
        except UnreadableImage as error:
            return str(error)
        return width_to_height

    for row, found in enumerate(parallel_map(decode, len(manifest))):
        if isinstance(found, str):
            lost[row] = UnreadableImage(found).reason(manifest.ids[row])
        else:
            aspect[row] = found
    if len(lost) == len(manifest):
        reasons = {manifest.ids[row]: reason for row, reason in lost.items()}
        raise NothingReadable(
            f"{manifest.source}: no image can be decoded. The first: {manifest.ids[0]}: {lost[0]}.",
            reasons,
        )
    named = {row: Skipped(manifest.ids[row], reason) for row, reason in lost.items()}
    return InMemoryImages(Pixels(torch.from_numpy(images), torch.from_numpy(aspect)), named)
