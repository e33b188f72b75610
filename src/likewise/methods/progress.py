"""The step of a run, and the random numbers of each batch."""

from __future__ import annotations

from typing import NamedTuple

from likewise.data.batch import Batch, RowSlice
from likewise.randomness import BatchRNG


class Progress(NamedTuple):
    """The step of a run. The only source of randomness that a method has."""

    step: int
    """batches before this one; optimiser steps, unless gradients of several batches make one"""
    steps: int
    """batches of the whole run"""
    seed: int = 0
    """the run's seed"""
    rank: int = 0
    """which slice of the global batch this process has; for random numbers alone"""
    world_size: int = 1
    """number of slices"""
    steps_per_epoch: int = 1
    """batches in one pass over the training images"""

    @property
    def fraction(self) -> float:
        """Share of the run that is done, 0 at the first step and 1 at the last."""
        return self.step / max(self.steps - 1, 1)

    def rng(self, name: str, batch: Batch) -> BatchRNG:
        """Random numbers for the batch's rows: a function of (seed, step, name, position in the global batch)."""
        start, stride, total = batch.row_slice or RowSlice(0, 1, batch.size)
        key = (self.seed, self.step, name)
        first_row = total * self.rank + start
        return BatchRNG(key, batch.size, total * self.world_size, first_row, stride=stride)
