"""Where in a picture something is, as a column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from likewise.data.columns.column import Column, num_rows

SOUND_BOX = "sound_box"
"""the name, in `Manifest.columns`, of where each clip's sound comes from; for scores alone"""


@dataclass(frozen=True, eq=False)
class Boxes:
    """A box each; rows of NaN where nothing is known."""

    corners: np.ndarray
    """float32 [N, 4]: left, top, right, bottom as shares of the stored picture"""

    def __len__(self) -> int:
        return len(self.corners)

    def present(self) -> np.ndarray:
        """Bool [N]: which are known."""
        return np.asarray(np.isfinite(self.corners).all(axis=1))

    def take(self, index: np.ndarray) -> Boxes:
        """The boxes of some rows."""
        return Boxes(self.corners[index])

    def read(self, index: Tensor) -> Tensor:
        """int64 [B] -> float32 [B, 4]."""
        return torch.from_numpy(self.corners[index.numpy()])

    @classmethod
    def concat(cls, parts: Sequence[Column | int]) -> Boxes:
        """Several columns; a number means that many rows of which nothing is known."""
        listed = [part.corners if isinstance(part, Boxes) else _unknown(part) for part in parts]
        return cls(np.concatenate(listed))


def _unknown(part: Column | int) -> np.ndarray:
    return np.full((num_rows(part), 4), np.nan, np.float32)
