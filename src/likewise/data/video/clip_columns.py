"""What clips have besides their frames, as columns: their sound, the flow between frames, where they begin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from likewise.data.columns.column import Column, IndexedFeature, num_rows
from likewise.data.columns.parquet_reader import ParquetReader
from likewise.data.video.clip_frames import Clips
from likewise.errors import LikewiseError

SOUND = "sound"
FLOW = "flow"
START = "start"
"""names of these columns, in `Manifest.columns` and `Batch.columns`"""


@dataclass(frozen=True, eq=False)
class Track:
    """Rows of what a set of clips has one entry a clip of."""

    clips: Clips
    rows: np.ndarray
    """int64 [N], positions in ``clips``"""

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: np.ndarray) -> Column:
        """The track of some rows."""
        return type(self)(self.clips, self.rows[index])

    def present(self) -> np.ndarray:
        """Bool [N]: which clips have it."""
        return np.ones(len(self), dtype=bool)

    def read(self, index: Tensor) -> Tensor:
        """int64 [B] -> the entries of those rows."""
        rows = self.rows[index.numpy()]
        return torch.from_numpy(self._entries().numpy()[rows])

    def _entries(self) -> Tensor:
        raise NotImplementedError

    @classmethod
    def concat(cls, parts: Sequence[Column | int]) -> Column:
        """Refused: sets are joined before they are decoded."""
        raise LikewiseError(
            "Decoded clips of several sources cannot be joined; join the sources of videos."
        )


class Sound(Track):
    """int16 [N, samples]: each clip's sound, from its first frame on."""

    def present(self) -> np.ndarray:
        """Bool [N]: which clips have a sound track that is not all silence."""
        return self.clips.has_sound.numpy()[self.rows]

    def _entries(self) -> Tensor:
        assert self.clips.sound is not None
        return self.clips.sound


class Flow(Track):
    """int16 [N, T - 1, 2, S, S]: the flow from each frame to the next, in 1/64 of a stored pixel."""

    def _entries(self) -> Tensor:
        return self.clips.flow


class IdentityTransform:
    """Reads a track as it is stored."""

    def of(self, column: Column) -> IndexedFeature:
        """The column itself, what it holds having been made."""
        if not isinstance(column, Track):
            raise LikewiseError(
                f"Only what clips have can be read as it is stored; {type(column).__name__} was given."
            )
        if len(column):
            column.read(torch.tensor([0]))  # flow is found now, not at the first step
        return column


@dataclass(frozen=True, eq=False)
class Starts:
    """Where in its video each example begins: several examples can lie in one."""

    seconds: np.ndarray
    """float64 [N]"""

    def __len__(self) -> int:
        return len(self.seconds)

    def present(self) -> np.ndarray:
        """Bool [N]: which begin later than their video."""
        return self.seconds > 0

    def take(self, index: np.ndarray) -> Starts:
        """The starts of some rows."""
        return Starts(self.seconds[index])

    @classmethod
    def concat(cls, parts: Sequence[Column | int]) -> Starts:
        """Several columns; a number means that many examples that begin with their video."""
        listed = [
            part.seconds if isinstance(part, Starts) else np.zeros(num_rows(part)) for part in parts
        ]
        return cls(np.concatenate(listed))


def starts_in(readers: Sequence[ParquetReader]) -> dict[str, Column]:
    """The column ``start`` of Parquet files, in seconds; nothing where no file has one of numbers.

    Raises:
        LikewiseError: a start is missing, negative or no number.
    """
    if not any(_has_number(reader.schema_arrow, START) for reader in readers):
        return {}
    found: list[float | None] = []
    for reader in readers:
        has_start = START in reader.schema_arrow.names
        found += reader.values(START) if has_start else [0.0] * reader.metadata.num_rows
    seconds = np.array(found, dtype=np.float64)  # None becomes NaN
    wrong = np.flatnonzero(~(np.isfinite(seconds) & (seconds >= 0)))
    if len(wrong):
        raise LikewiseError(
            f"The column {START!r} says where in its video each example begins, in seconds from 0 on; row {wrong[0]} "
            f"has {found[wrong[0]]}."
        )
    return {START: Starts(seconds)}


def _has_number(schema: pa.Schema, name: str) -> bool:
    """Whether a schema has a column of numbers of that name."""
    if name not in schema.names:
        return False
    kind = schema.field(name).type
    return pa.types.is_floating(kind) or pa.types.is_integer(kind)
