"""What the two halves of a method's step give: rows for each example, then a loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

Outputs = Mapping[str, Tensor]
"""Per-example results by name; the first dimension is the example."""


class Step(NamedTuple):
    """What a step gives back."""

    loss: Tensor
    """a scalar to be minimised"""
    metrics: Mapping[str, Tensor] = {}
    """detached scalars for the log"""
    memory_updates: Mapping[str, Tensor] = {}
    """detached rows that `Method.after_update` puts into memory"""
