"""The step of a run, and the random numbers of each batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

from torch import Tensor

from likewise.data.batch import Batch, RowSlice
from likewise.randomness import BatchRNG, seed_networks

ChoiceT = TypeVar("ChoiceT")


class Progress(NamedTuple):
    """The step of a run. The only source of randomness that a method has."""

    step: int
    """batches before this one; optimiser steps, unless gradients of several batches make one"""
    steps: int
    """batches of the whole run"""
    seed: int = 0
    """the run's seed, 0 to 4294967295 (2**32 - 1); drawing with another one is an error"""
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

    def branch(self, choice: Callable[[Progress], ChoiceT]) -> ChoiceT:
        """What a loss computes from here on, where the step decides.

        A CUDA graph holds one answer. Steps are captured again when another one comes.
        """
        return choice(self)

    def scheduled(self, schedule: Callable[[Progress], float]) -> float | Tensor:
        """A number that changes with the step; for a CUDA graph a scalar on the device, written before each step."""
        return schedule(self)

    def seed_dropout(self, *part: int) -> None:
        """Seed what dropout draws from: a function of (seed, step, rank, part), the number of a microbatch."""
        seed_networks(self.seed, self.step, self.rank, "dropout", *part)

    def rng(self, name: str, batch: Batch) -> BatchRNG:
        """Random numbers for the batch's rows: a function of (seed, step, name, position in the global batch)."""
        start, stride, total = batch.row_slice or RowSlice(0, 1, batch.size)
        key = (self.seed, self.step, name)
        first_row = total * self.rank + start
        return BatchRNG(key, batch.size, total * self.world_size, first_row, stride=stride)
