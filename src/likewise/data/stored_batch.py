"""Batches of a set that lies on a GPU: a step's positions alone go there, and its examples are gathered there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from likewise.data.batch import Batch, Pixels
from likewise.gpu_kernels import to_device

SHARE = 1 / 4
"""Of a GPU's free memory, which images may take."""


def has_room(device: torch.device, images: Tensor) -> bool:
    """Whether a device is a GPU that has room for all images of a set."""
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return images.nbytes <= SHARE * free


class StoredSet(NamedTuple):
    """A training set on a device."""

    pixels: Pixels
    """N images"""
    labels: Tensor
    """int64 [N]"""


class StoredBatch(NamedTuple):
    """One step's examples by their positions in a set that lies on a device."""

    stored: StoredSet
    positions: Tensor
    """int64 [B], on the CPU, or where the set lies"""
    support: StoredBatch | None = None
    modalities: Mapping[str, Tensor] = {}
    """as in `Batch`"""

    def to(self, device: torch.device) -> StoredBatch:
        """The same with its modalities on a device; the positions stay where they are."""
        return self._replace(
            support=None if self.support is None else self.support.to(device),
            modalities={name: to_device(rows, device) for name, rows in self.modalities.items()},
        )

    def gathered(self) -> Batch:
        """The examples, where the set lies."""
        pixels, labels = self.stored
        rows = to_device(self.positions, labels.device)
        return Batch(
            pixels.map(lambda part: part[rows]),
            labels[rows],
            rows,
            None if self.support is None else self.support.gathered(),
            modalities=self.modalities,
        )

    def all_positions(self) -> list[Tensor]:
        """Its own, then those of the support."""
        alongside = [] if self.support is None else self.support.all_positions()
        return [self.positions, *alongside]


Examples = Batch | StoredBatch
"""What a step is given."""


def gathered(examples: Examples) -> Batch:
    """A batch as it is, or gathered."""
    return examples.gathered() if isinstance(examples, StoredBatch) else examples
