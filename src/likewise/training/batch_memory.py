"""The memory in which a CUDA graph finds the batch of a step: it reads the same addresses at each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from likewise.data.batch import Batch
from likewise.data.stored_batch import Examples, StoredBatch, gathered
from likewise.training.step_numbers import StepNumbers


class BatchMemory:
    """Memory for batches of one form. Those of a set on the device are gathered in the graph, from their positions.

    Args:
        examples: the first.
        numbers: positions are sent with them.
    """

    def __init__(self, examples: Examples, numbers: StepNumbers) -> None:
        self.numbers = numbers
        self.examples: Examples
        if isinstance(examples, StoredBatch):
            self.examples = _placed(examples, numbers.positions())
        else:
            self.examples = with_own_memory(examples)

    def take(self, examples: Examples) -> None:
        """Write a batch; its positions are there after the next `StepNumbers.send`."""
        if isinstance(examples, StoredBatch):
            self.numbers.set_positions(examples.all_positions())
        for target, tensor in zip(_copied(self.examples), _copied(examples), strict=True):
            target.copy_(tensor, non_blocking=True)

    def batch(self) -> Batch:
        """What lies there."""
        return gathered(self.examples)


def form_of(examples: Examples | None) -> tuple[Any, ...]:
    """Which batches fit the same memory."""
    if examples is None:
        return ()
    tensors = _own_tensors(examples)
    if isinstance(examples, StoredBatch):
        tensors.append(examples.positions)
    shapes = tuple((tensor.shape, tensor.dtype) for tensor in tensors)
    return (*shapes, *form_of(examples.support))


def with_own_memory(batch: Batch) -> Batch:
    """A copy."""
    return batch._replace(
        pixels=batch.pixels.map(lambda part: part.clone()),
        labels=batch.labels.clone(),
        indices=batch.indices.clone(),
        support=None if batch.support is None else with_own_memory(batch.support),
        modalities=_clones(batch.modalities),
    )


def _placed(examples: StoredBatch, positions: Tensor) -> StoredBatch:
    """The same, whose positions are the first of those given, and the support's the next."""
    count, support = len(examples.positions), examples.support
    return examples._replace(
        positions=positions[:count],
        support=None if support is None else _placed(support, positions[count:]),
        modalities=_clones(examples.modalities),
    )


def _clones(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: rows.clone() for name, rows in tensors.items()}


def _copied(examples: Examples | None) -> list[Tensor]:
    """What is copied at each step, of the support too."""
    return [] if examples is None else _own_tensors(examples) + _copied(examples.support)


def _own_tensors(examples: Examples) -> list[Tensor]:
    """The same, of the support none."""
    alongside = list(examples.modalities.values())
    if isinstance(examples, StoredBatch):
        return alongside
    return [*examples.pixels.tensors(), examples.labels, examples.indices, *alongside]
