"""What examples have besides pixels: captions, sound, flow, groups, or any other modality.

A source brings a `Column`, as the files have it; a method's `ColumnTransform` turns it into rows of numbers; the loader
puts those into `Batch.modalities` under the column's name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from torch import Tensor


class Column(Protocol):
    """One modality or attribute of N images, as it is in the source; an image may have none."""

    def __len__(self) -> int: ...

    def present(self) -> np.ndarray:
        """Bool [N]: which images have it."""
        ...

    def take(self, index: np.ndarray) -> Column:
        """The column of some rows, in the order given."""
        ...

    @classmethod
    def concat(cls, parts: Sequence[Column | int]) -> Column:
        """Several columns of this kind, concatenated; a number means that many images that have none."""
        ...


def num_rows(part: Column | int) -> int:
    """How many rows a part of a concatenated column has."""
    return part if isinstance(part, int) else len(part)


class IndexedFeature(Protocol):
    """A column as numbers."""

    def __len__(self) -> int: ...

    def read(self, index: Tensor) -> Tensor:
        """int64 [B] -> the rows at those positions, [B, ...]."""
        ...


class ColumnTransform(Protocol):
    """How a column becomes numbers; fitted on training examples, so that it is the same for every split."""

    def of(self, column: Column) -> IndexedFeature:
        """A column's rows."""
        ...


def take_columns(columns: Mapping[str, Column], index: np.ndarray) -> dict[str, Column]:
    """Every column's rows at some positions."""
    return {name: column.take(index) for name, column in columns.items()}


def concat_columns(
    parts: Sequence[Mapping[str, Column]], lengths: Sequence[int]
) -> dict[str, Column]:
    """The columns of several sources, one after the other; a source without a column has it nowhere."""
    kinds: dict[str, type[Column]] = {}
    for columns in parts:
        kinds |= {name: type(column) for name, column in columns.items()}
    joined = {}
    for name, kind in kinds.items():
        of_sources = [
            columns.get(name, length) for columns, length in zip(parts, lengths, strict=True)
        ]
        joined[name] = kind.concat(of_sources)
    return joined
