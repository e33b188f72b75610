"""One step's examples, as they reach a method."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from likewise.data.resizing import resized
from likewise.errors import LikewiseError

MOST_COLOURS = 4
"""channels that stand last where a shape is [B, H, W, C]"""

UNLABELLED = -1
"""The label of an example that has none, or whose label the budget hides (scikit-learn's convention)."""


class Crop(NamedTuple):
    """The part of each image that a view shows, cut from the file's own pixels."""

    pixels: Tensor
    """uint8 [B, C, S, S], not mirrored"""
    box: Tensor
    """float32 [B, 2, 3]: its position in its image, as `likewise.views.view.View.box`; a negative width is mirrored"""


class Pixels(NamedTuple):
    """Decoded images or clips of one size, and the shape that they had in their files."""

    images: Tensor
    """uint8 [B, C, S, S], or [B, T, C, S, S] of clips; what was not square has been squeezed into the square"""
    aspect: Tensor
    """float32 [B]: width / height in the file, by which crops undo the squeeze"""
    valid_frames: Tensor | None = None
    """int64 [B], of clips: frames before the video ended; from there on its last frame is repeated; None of images"""
    views: Mapping[str, Tensor] | None = None
    """float32 [B, C, S, S] each: views that a user's callable has made already, by the name of their random stream"""
    crops: Mapping[str, Crop] | None = None
    """the crops of views by the name of their random stream, where they come from the file's own resolution; ``images``
    is then a tensor of zeros that has the right shape and no memory"""

    def map(self, change: Callable[[Tensor], Tensor]) -> Pixels:
        """Each tensor changed in the same way: moved to a device, or some of its rows."""
        images = change(self.images) if self.crops is None else self._placeholder(change)
        views = crops = None
        if self.views is not None:
            views = {name: change(view) for name, view in self.views.items()}
        if self.crops is not None:
            crops = {name: Crop(*map(change, crop)) for name, crop in self.crops.items()}
        frames = None if self.valid_frames is None else change(self.valid_frames)
        return Pixels(images, change(self.aspect), frames, views, crops)

    def unsqueezed(self) -> list[Tensor]:
        """Each image in the shape that it had in its file, uint8 [C, H, W] on the CPU; its longer side is S."""
        side = self.images.shape[-1]
        images = []
        for image, aspect in zip(self.images.cpu(), self.aspect.tolist(), strict=True):
            height = max(round(side / max(aspect, 1)), 1)
            width = max(round(side * min(aspect, 1)), 1)
            images.append(resized(image, height, width))
        return images

    def tensors(self) -> list[Tensor]:
        """Those with memory of their own, views left out."""
        images = self.images if self.crops is None else self._one_value_a_row()
        tensors = [images, self.aspect]
        if self.valid_frames is not None:
            tensors.append(self.valid_frames)
        for crop in (self.crops or {}).values():
            tensors += crop
        return tensors

    def _placeholder(self, change: Callable[[Tensor], Tensor]) -> Tensor:
        """The zeros that stand for images whose crops are there, changed as one value a row."""
        shape = self.images.shape[1:]
        return change(self._one_value_a_row()).expand(-1, *shape)

    def _one_value_a_row(self) -> Tensor:
        return self.images[:, :1, :1, :1]


class RowSlice(NamedTuple):
    """Which rows of a device's batch a microbatch holds: ``start``, ``start + stride``, ... below ``total``."""

    start: int
    stride: int
    total: int


class Batch(NamedTuple):
    """One step's examples. ``support`` holds labelled, class-balanced rows for the methods that ask for them."""

    pixels: Pixels
    labels: Tensor
    """int64 [B], UNLABELLED where there is none or the budget hides it"""
    indices: Tensor
    """int64 [B], position in the training set"""
    support: Batch | None = None
    row_slice: RowSlice | None = None
    """which rows of this device's batch a microbatch holds; None: all of them"""
    modalities: Mapping[str, Tensor] = {}
    """what the examples have besides pixels, by name, the first dimension being the example: ``captions``"""

    @classmethod
    def of(
        cls,
        images: Tensor,
        labels: Tensor | Sequence[int] | None = None,
        support: tuple[Tensor, Tensor | Sequence[int]] | None = None,
        indices: Tensor | None = None,
        modalities: Mapping[str, Tensor] | None = None,
    ) -> Batch:
        """A batch from tensors, for a loop and a data loader of your own.

        Args:
            images: uint8 [B, C, H, W], all of one size; or floating point [B, C, H, W] in [0, 1], which is rounded to
                256 levels, since views are made from uint8. Images that are not square are squeezed, antialiased, into
                a square of their longer side, and crops undo the squeeze, as with the images of the loader.
            labels: int64 [B], -1 where there is none; None: no label.
            support: labelled, class-balanced (images [S, C, H, W], labels [S]), for the methods that use them.
            indices: int64 [B], positions in the training set; None: 0 to B - 1.
            modalities: rows of other modalities, such as tokens of captions, by name.

        Raises:
            LikewiseError: images of another shape, type or range, or labels or indices of another length.
        """
        pixels = _pixels_of(images)
        count = len(images)
        if labels is None:
            labels = torch.full((count,), UNLABELLED, device=images.device)
        if indices is None:
            indices = torch.arange(count, device=images.device)
        numbers = _whole(labels)
        for name, rows in (("labels", numbers), ("indices", indices)):
            if rows.shape != (count,):
                raise LikewiseError(
                    f"{name}: the shape {list(rows.shape)} was given; {count} images need [{count}]."
                )
        return cls(
            pixels,
            numbers,
            indices,
            support=None if support is None else cls.of(*support),
            modalities=modalities or {},
        )

    @property
    def size(self) -> int:
        """How many rows it has, support not counted."""
        return len(self.indices)

    def microbatches(self, count: int) -> list[Batch]:
        """The rows dealt out to so many microbatches: number j of ``count`` gets the rows j, j + count, ...

        Dealt in this way, microbatch j of all devices together holds the same rows as microbatch j of the same batch on
        one device. Support rows are dealt likewise, unevenly where ``count`` does not divide them; a microbatch that
        gets none has no support.
        """
        return [self._microbatch(j, count) for j in range(count)]

    def _microbatch(self, start: int, stride: int) -> Batch:
        rows = slice(start, None, stride)
        support = None
        if self.support is not None and start < self.support.size:
            support = self.support._microbatch(start, stride)
        return Batch(
            self.pixels.map(lambda part: part[rows]),
            self.labels[rows],
            self.indices[rows],
            support,
            RowSlice(start, stride, self.size),
            {name: values[rows] for name, values in self.modalities.items()},
        )

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on a device; to a GPU from pinned memory, so that the host does not wait."""
        device = torch.device(device)

        def moved(tensor: Tensor) -> Tensor:
            if device.type == "cuda" and tensor.device.type == "cpu":
                tensor = tensor.pin_memory()
            return tensor.to(device, non_blocking=True)

        return Batch(
            self.pixels.map(moved),
            moved(self.labels),
            moved(self.indices),
            self.support.to(device) if self.support is not None else None,
            self.row_slice,
            {name: moved(values) for name, values in self.modalities.items()},
        )


def _whole(labels: Tensor | Sequence[int]) -> Tensor:
    """int64, of any type that holds whole numbers."""
    given = torch.as_tensor(labels)
    numbers = given.long()
    if given.is_floating_point() and not torch.equal(numbers.to(given.dtype), given):
        raise LikewiseError(
            "labels: numbers with a fraction, or NaN, were given; allowed: whole numbers, -1 where there is no label."
        )
    return numbers


def _pixels_of(images: Tensor) -> Pixels:
    """Images of any shape and type that `Batch.of` takes, as square uint8 pixels and their aspect."""
    if not isinstance(images, Tensor):
        raise LikewiseError(
            f"images: {type(images).__name__} was given; allowed: a tensor [B, C, H, W]. An array [B, H, W, C] becomes "
            f"one by torch.from_numpy(images).permute(0, 3, 1, 2)."
        )
    if images.ndim != 4 or 0 in images.shape:
        raise LikewiseError(
            f"images: the shape {list(images.shape)} was given; allowed: [B, C, H, W]."
        )
    if images.shape[3] <= MOST_COLOURS < min(images.shape[1:3]):
        raise LikewiseError(
            f"images: the shape {list(images.shape)} was given, which would be {images.shape[1]} channels of images "
            f"{images.shape[3]} wide; allowed: [B, C, H, W]. Give images.permute(0, 3, 1, 2)."
        )
    if images.is_floating_point():
        low, high = images.aminmax()
        # NaN is neither.
        if not (low >= 0 and high <= 1):
            raise LikewiseError(
                f"images: floating point from {low:g} to {high:g} was given; allowed: uint8, or floating point from 0 "
                f"to 1. Leave the normalisation out: the encoder normalises."
            )
        images = (images * 255).round().to(torch.uint8)
    if images.dtype != torch.uint8:
        raise LikewiseError(
            f"images: {images.dtype} was given; allowed: uint8, or floating point from 0 to 1."
        )
    height, width = images.shape[2:]
    if height != width:
        side = max(height, width)
        images = functional.interpolate(images, (side, side), mode="bilinear", antialias=True)
    aspect = torch.full((len(images),), width / height, device=images.device)
    return Pixels(images, aspect)
