"""Opens the images of a manifest at one size: decoded at once where they fit into memory, else on demand."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import torch

from likewise.data.batch import Pixels
from likewise.data.decode_file import UnreadableImage
from likewise.data.decoding import channels_of_mode
from likewise.data.images import FileImages, Images, InMemoryImages
from likewise.data.left_out import Skipped
from likewise.data.manifest import Manifest
from likewise.data.parallel_map import parallel_map, shared_array
from likewise.data.pixel_source import ArrayPixels
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
