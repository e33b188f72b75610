"""Crops that are cut from images at their files' own resolution, as the papers' augmentations are."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from likewise.data.batch import Crop, Pixels
from likewise.data.decode_file import Decoded, UnreadableImage
from likewise.data.images import DecodedRows, FileImages
from likewise.data.large_images import WHOLE
from likewise.data.manifest import Manifest
from likewise.data.open_images import MEMORY_LIMIT
from likewise.data.parallel_map import parallel_map, shared_array
from likewise.data.pixel_source import Encoded, Headers, PixelSource
from likewise.data.read_image import read_planes
from likewise.data.resizing import resized
from likewise.randomness import BatchRNG


class CropStream(NamedTuple):
    """Views of which the loader cuts the crops; their colours change later, on the device."""

    name: str
    """of the random stream, and in `Pixels.crops`"""
    boxes: Callable[[BatchRNG, Tensor], Tensor]
    """random numbers, width / height of each image [B] -> boxes [B, 2, 3], see `likewise.views.view.View.box`"""
    size: int
    """pixels along a side of the view"""
    of_support: bool
    """whether they are of the support rows"""


class OriginalImages(FileImages):
    """Images whose crops are cut from the file's pixels: each is decoded once for all of its crops.

    Read in any other way they are the squares that `FileImages` gives.
    """

    def __init__(
        self,
        source: PixelSource,
        ids: list[str],
        size: int,
        channels: int,
    ) -> None:
        super().__init__(source, ids, size, channels)
        if isinstance(source, StoredPixels):
            for position in range(len(source)):
                if reason := source.lost.get(int(source.rows[position])):
                    self.lose(position, UnreadableImage(reason))

    def take(self, index: Tensor) -> OriginalImages:
        """A set of the images at some positions."""
        ids = [self.ids[i] for i in index.tolist()]
        return OriginalImages(self.source.take(index.numpy()), ids, self.size, self.channels)

    def cropped(
        self,
        index: Tensor,
        labels: Tensor | None,
        streams: Sequence[CropStream],
        rng: Callable[[str], BatchRNG],
    ) -> DecodedRows:
        """The crops of some images, for training; see `likewise.data.images.Images.replaced`.

        A JPEG is decoded at the smallest scale at which every crop has at least twice the pixels of its view. Edges of
        crops are rounded to whole pixels, as torchvision's are, and the boxes that are given back say so.

        Args:
            index: int64 [B], positions.
            labels: int64 [N]; an image that cannot be decoded is replaced by one of the same label.
            streams: which crops.
            rng: random numbers for the B rows by the name of a stream, anew at each call.
        """
        count = len(index)
        positions = self._fallbacks.replace(index, labels).clone()
        aspect = self._aspects(positions)
        boxes = _boxes(streams, rng, aspect)
        crops = [self._room(count, stream.size) for stream in streams]
        for slot, wanted in enumerate(index.tolist()):
            size = _size_needed(streams, [of_stream[slot] for of_stream in boxes])
            positions[slot], planes, own_aspect = self._decode_planes(wanted, labels, size)
            # As the header did not say.
            if not math.isclose(own_aspect, float(aspect[slot]), rel_tol=1e-4):
                aspect[slot] = own_aspect
                for old, new in zip(boxes, _boxes(streams, rng, aspect), strict=True):
                    old[slot] = new[slot]
            for stream, of_stream, cut in zip(streams, boxes, crops, strict=True):
                cut[slot], of_stream[slot] = cut_box(planes, of_stream[slot], stream.size)
        made = {}
        for stream, cut, of_stream in zip(streams, crops, boxes, strict=True):
            made[stream.name] = Crop(cut, of_stream)
        return DecodedRows(Pixels(self._no_squares(count), aspect, crops=made), positions)

    def whole(
        self, index: Tensor, labels: Tensor | None, squares: bool = True
    ) -> tuple[DecodedRows, list[Tensor]]:
        """Some images for training at their own size, for a user's augmentation, and as squares.

        Args:
            index: int64 [B], positions.
            labels: int64 [N]; an image that cannot be decoded is replaced by one of the same label.
            squares: whether to make them; without, they are black.

        Returns:
            The squares, and uint8 [C, H, W] of each image, to be read only.
        """
        count = len(index)
        positions = self._fallbacks.replace(index, labels).clone()
        aspect = torch.ones(count)
        images = self._room(count, self.size) if squares else self._no_squares(count)
        at_own_size = []
        for slot, wanted in enumerate(index.tolist()):
            row, planes, own_aspect = self._decode_planes(wanted, labels, None)
            positions[slot] = row
            aspect[slot] = own_aspect
            if squares:
                images[slot] = resized(planes, self.size, self.size)
            at_own_size.append(planes.expand(self.channels, -1, -1))
        return DecodedRows(Pixels(images, aspect), positions), at_own_size

    def _no_squares(self, count: int) -> Tensor:
        """What stands for squares that nobody reads: a single zero that says how large they would be."""
        return torch.zeros(1, dtype=torch.uint8).expand(count, self.channels, self.size, self.size)

    def _room(self, count: int, size: int) -> Tensor:
        """Memory for crops, in the order in which they are resized."""
        shape = count, self.channels, size, size
        return torch.empty(shape, dtype=torch.uint8, memory_format=torch.channels_last)

    def _decode_planes(
        self, wanted: int, labels: Tensor | None, size: int | None
    ) -> tuple[int, Tensor, float]:
        """Position, uint8 [C, H, W] and width / height of an image, or of the one that replaces it."""
        while True:
            row = self._fallbacks.fallback(wanted, labels)
            try:
                return row, *read_planes(self.source, row, size, self.channels)
            except UnreadableImage as error:
                self.lose(row, error)

    def _aspects(self, rows: Tensor) -> Tensor:
        """Float32 [B]: width / height by the files' headers, 1 where those were not read."""
        sizes = torch.from_numpy(self.source.headers.sizes[rows.numpy()])  # [B, 2]
        width, height = sizes.float().unbind(dim=1)
        was_read = (width > 0) & (height > 0)
        return torch.where(was_read, width / height.clamp(min=1), 1.0)


def _boxes(
    streams: Sequence[CropStream],
    rng: Callable[[str], BatchRNG],
    aspect: Tensor,
) -> list[Tensor]:
    return [stream.boxes(rng(stream.name), aspect) for stream in streams]


def _size_needed(streams: Sequence[CropStream], boxes: Sequence[Tensor]) -> int:
    """The ``size`` to decode an image for, so that no crop has fewer than twice its view's pixels where files do."""
    needed = []
    for stream, box in zip(streams, boxes, strict=True):
        share = float(box.diagonal().abs().min())  # of the image's side
        needed.append(stream.size / max(share, 1e-3))
    return math.ceil(max(needed))


def cut_box(planes: Tensor, box: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The inside of a box, resized with antialiasing, and the box with its edges on whole pixels.

    Args:
        planes: uint8 [C, H, W].
        box: float32 [2, 3]; a negative width stays in the box, and the crop is not mirrored.
        size: pixels along a side of the crop.

    Returns:
        uint8 [C, size, size], and float32 [2, 3].
    """
    height, width = planes.shape[1:]
    (x, _, centre_x), (_, y, centre_y) = box.tolist()
    left, right = _edges(abs(x), centre_x, width)
    top, bottom = _edges(abs(y), centre_y, height)
    # A part of an image that is stored channel by channel would be turned pixel by pixel first, which takes longer.
    inside = planes[None, :, top:bottom, left:right].contiguous(memory_format=torch.channels_last)
    if inside.shape[2:] != (size, size):
        inside = functional.interpolate(inside, (size, size), mode="bilinear", antialias=True)
    mirrored = -1.0 if x < 0 else 1.0
    across = (right - left) / width
    down = (bottom - top) / height
    rounded = [
        [mirrored * across, 0, (left + right) / width - 1],
        [0, down, (top + bottom) / height - 1],
    ]
    return inside[0], torch.tensor(rounded, dtype=torch.float32)


def _edges(extent: float, centre: float, pixels: int) -> tuple[int, int]:
    """First and last edge, in whole pixels, of an interval around a centre in [-1, 1]."""
    first = round((centre - extent + 1) / 2 * pixels)
    last = round((centre + extent + 1) / 2 * pixels)
    first = min(max(first, 0), pixels - 1)
    last = min(max(last, first + 1), pixels)
    return first, last


@dataclass(frozen=True, eq=False)
class StoredPixels:
    """Decoded images of any sizes in memory, as a source of pixels."""

    values: np.ndarray
    """uint8: all images one after another, each [H, W, C]"""
    offsets: np.ndarray
    """int64 [N + 1]: where each begins"""
    channels: int
    headers: Headers
    """of the files; their sizes are those of the images here"""
    lost: dict[int, str]
    """positions that could not be decoded, each with the reason"""
    rows: np.ndarray
    """int64 [M], which of the N images these are"""

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, position: int, size: int | None = None) -> Decoded:
        """One image, without a copy."""
        row = int(self.rows[position])
        if row in self.lost:
            raise UnreadableImage(self.lost[row])
        width, height = self.headers.sizes[position].tolist()
        values = self.values[self.offsets[row] : self.offsets[row + 1]]
        pixels = values.reshape(height, width, self.channels)
        return Decoded(pixels[..., 0] if self.channels == 1 else pixels, width / height)

    def encoded(self, position: int) -> Encoded:
        """Refused: these are decoded."""
        raise UnreadableImage(f"image {position} has been decoded already")

    def take(self, index: np.ndarray) -> StoredPixels:
        """Some rows; nothing is copied."""
        headers = self.headers.take(index)
        return StoredPixels(
            self.values, self.offsets, self.channels, headers, self.lost, self.rows[index]
        )


def open_originals(
    manifest: Manifest, size: int, channels: int, memory_limit: int | None = None
) -> OriginalImages | None:
    """Images whose crops come from their own resolution; None where no image is larger than the stored square.

    They are decoded once and held in memory where all are within ``memory_limit`` bytes, and else at each step.

    Args:
        manifest: the examples.
        size: side of the stored squares in pixels.
        channels: of the images that are given out.
        memory_limit: bytes of decoded pixels; None: `likewise.data.open_images.MEMORY_LIMIT`.
    """
    sizes = manifest.pixels.headers.sizes.astype(np.int64)
    if not (sizes.max(axis=1) > size).any():
        return None
    source = manifest.pixels
    areas = sizes.prod(axis=1)
    offsets = np.concatenate([[0], np.cumsum(areas * channels)])
    limit = MEMORY_LIMIT if memory_limit is None else memory_limit
    # Larger ones are not read at their own size.
    is_whole = (sizes > 0).all() and areas.max() <= WHOLE
    if is_whole and offsets[-1] <= limit:
        source = _stored(manifest, offsets, channels)
    return OriginalImages(source, list(manifest.ids), size, channels)


def _stored(manifest: Manifest, offsets: np.ndarray, channels: int) -> StoredPixels:
    """Decode a whole set on all cores, at its own resolution."""
    values = shared_array((int(offsets[-1]),), np.uint8)
    headers = manifest.pixels.headers
    # Processes write there too.
    sizes = shared_array(headers.sizes.shape, headers.sizes.dtype.type)
    sizes[:] = headers.sizes

    def decode(row: int) -> str | None:
        try:
            planes, _ = read_planes(manifest.pixels, row, None, channels)
        except UnreadableImage as error:
            return str(error)
        width, height = sizes[row].tolist()
        if planes.shape[1:] == (width, height):
            # A quarter turn that the header did not tell.
            sizes[row] = width, height = height, width
        planes = resized(planes, height, width)
        # Grey among colours has one plane.
        pixels = planes.expand(channels, -1, -1).permute(1, 2, 0)
        values[offsets[row] : offsets[row + 1]] = pixels.reshape(-1).numpy()
        return None

    found = enumerate(parallel_map(decode, len(manifest)))
    lost = {row: reason for row, reason in found if reason is not None}
    upright = Headers(sizes, headers.modes)
    return StoredPixels(values, offsets, channels, upright, lost, np.arange(len(manifest)))
