"""Counts the images that the trained encoder forwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from likewise.encoders import Encoder


class ImageCounter:
    """Counts images of the main loss alone: none in a method's own updates, nor to fill a gradient cache.

    Every pass through the encoder begins by normalising its images, so that is where they are counted.
    """

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self._images, self._enabled = 0, False

    @contextmanager
    def installed(self) -> Iterator[None]:
        """While the context is open, the encoder's passes are seen."""
        normalise = self.encoder.normalise

        # A compiled encoder would be compiled anew for each value of the count.
        @torch.compiler.disable
        def normalise_and_count(pixels: Tensor) -> Tensor:
            if self._enabled and torch.is_grad_enabled():
                self._images += len(pixels)
            return normalise(pixels)

        self.encoder.normalise = normalise_and_count  # type: ignore[method-assign]
        try:
            yield
        finally:
            del self.encoder.normalise  # from here on the class's own again

    @contextmanager
    def enabled(self) -> Iterator[None]:
        """While the context is open, passes count."""
        self._enabled = True
        try:
            yield
        finally:
            self._enabled = False

    def take(self) -> int:
        """The images since the last call."""
        images, self._images = self._images, 0
        return images
