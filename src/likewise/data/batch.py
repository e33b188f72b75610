"""One step's examples, as they reach a method."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from likewise.errors import LikewiseError

UNLABELLED = -1
"""The label of an example that has none, or whose label the budget hides (scikit-learn's convention)."""


class Pixels(NamedTuple):
    """Decoded images or clips of one size, and the shape that they had in their files."""

    images: Tensor
    """uint8 [B, C, S, S], or [B, T, C, S, S] of clips; what was not square has been squeezed into the square"""
    aspect: Tensor
    """float32 [B]: width / height in the file, by which crops undo the squeeze"""
    shown: Tensor | None = None
    """int64 [B], of clips: frames before the video ended, whose last one stays from there on; None of images"""

    views: Mapping[str, Tensor] | None = None
    """float32 [B, C, S, S] each: views that a user's callable has made already, by the name of their random stream"""

    def map(self, change: Callable[[Tensor], Tensor]) -> Pixels:
        """Each part changed alike: moved to a device, or some of its rows."""
        return Pixels(
            change(self.images),
            change(self.aspect),
            None if self.shown is None else change(self.shown),
            None if self.views is None else {name: change(view) for name, view in self.views.items()},
        )


class Place(NamedTuple):
    """Where a part's rows lie among those that this device holds: ``first``, ``first + every``, ... of ``whole``."""

    first: int
    every: int
    whole: int


class Batch(NamedTuple):
    """One step's examples. ``support`` holds labelled, class-balanced rows for the methods that ask for them."""

    pixels: Pixels
    labels: Tensor
    """int64 [B], UNLABELLED where there is none or the budget hides it"""
    indices: Tensor
    """int64 [B], position in the training set"""
    support: Batch | None = None
    place: Place | None = None
    """where its rows lie, if it is a part of what this device holds; None: it is the whole"""
    modalities: Mapping[str, Tensor] = {}
    """what the examples have beside pixels, by name, the first dimension being the example: ``captions``"""

    @classmethod
    def of(
        cls,
        images: Tensor,
        labels: Tensor | None = None,
        support: tuple[Tensor, Tensor] | None = None,
        indices: Tensor | None = None,
        modalities: Mapping[str, Tensor] | None = None,
    ) -> Batch:
        """A batch from tensors, for a loop and a data loader of your own.

        Args:
            images: uint8 [B, C, H, W], all of one size.
            labels: int64 [B], -1 where there is none; None: no label.
            support: labelled, class-balanced (images [S, C, H, W], labels [S]), for the methods that use them.
            indices: int64 [B], positions in the training set; None: 0 to B - 1.
            modalities: rows of other modalities, such as tokens of captions, by name.

        Raises:
            LikewiseError: images are not uint8 [B, C, H, W], or there are not as many labels as images.
        """
        if images.dtype != torch.uint8 or images.dim() != 4:
            raise LikewiseError(
                f"Batch.of() takes images as uint8 [B, C, H, W]; {images.dtype} {list(images.shape)} was given. Leave "
                f"ToTensor and Normalize out: views scale to [0, 1], and encoders normalise."
            )
        count, _, height, width = images.shape
        labels = torch.full((count,), UNLABELLED, device=images.device) if labels is None else labels
        if labels.shape != (count,):
            raise LikewiseError(f"Batch.of() was given {count} images, but labels of shape {list(labels.shape)}.")
        aspect = torch.full((count,), width / height, device=images.device)
        return cls(
            Pixels(images, aspect),
            labels,
            torch.arange(count, device=images.device) if indices is None else indices,
            None if support is None else cls.of(*support),
            modalities=modalities or {},
        )

    @property
    def size(self) -> int:
        """How many rows it has, support not counted."""
        return len(self.indices)

    def identity(self) -> Tensor:
        """int64 [B] ids such that equal ids are positives: a hidden label is a class of its own."""
        return torch.where(self.labels == UNLABELLED, -2 - self.indices, self.labels)

    def parts(self, count: int) -> list[Batch]:
        """The rows dealt out like cards: part j of ``count`` gets the rows j, j + count, ... and knows their places.

        Dealt so, part j of every device's rows together is part j of the same batch on one device. Support rows are
        dealt likewise, unevenly where ``count`` does not divide them; a part that gets none has no support.
        """
        return [self._part(j, count) for j in range(count)]

    def _part(self, first: int, every: int) -> Batch:
        mine = slice(first, None, every)
        support = self.support
        return Batch(
            self.pixels.map(lambda part: part[mine]),
            self.labels[mine],
            self.indices[mine],
            support._part(first, every) if support is not None and first < support.size else None,
            Place(first, every, self.size),
            {name: rows[mine] for name, rows in self.modalities.items()},
        )

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on a device."""
        return Batch(
            self.pixels.map(lambda part: part.to(device, non_blocking=True)),
            self.labels.to(device, non_blocking=True),
            self.indices.to(device, non_blocking=True),
            self.support.to(device) if self.support is not None else None,
            self.place,
            {name: rows.to(device, non_blocking=True) for name, rows in self.modalities.items()},
        )
