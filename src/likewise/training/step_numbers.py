"""The numbers of a step that a CUDA graph reads: what changes from step to step without being a tensor."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from likewise.data.batch import Batch
from likewise.errors import LikewiseError
from likewise.gpu_kernels import runs_on
from likewise.methods import Progress
from likewise.randomness import BatchRNG, philox

SLOTS = 256
"""Scheduled numbers and random streams that methods may have."""


class NotCapturable(LikewiseError):
    """A step that a CUDA graph would freeze wrongly, or cannot hold."""


class StepNumbers:
    """Numbers in one piece of the device's memory, which one copy fills before each step.

    Args:
        device: where a graph reads them.
        slots: how many numbers and keys there may be.
        positions: how many positions of examples there may be.
    """

    def __init__(self, device: torch.device, slots: int = SLOTS, positions: int = 0) -> None:
        self.device = device
        # Slots of two numbers each, then the positions.
        self._host_all = np.zeros(2 * slots + positions, np.int64)
        self._all = torch.zeros(2 * slots + positions, dtype=torch.int64, device=device)
        self._host = self._host_all[: 2 * slots].reshape(slots, 2)
        self._memory = self._all[: 2 * slots].view(slots, 2)
        self._used = 0

    def new(self) -> int:
        """A slot that is free.

        Raises:
            NotCapturable: there is none.
        """
        if self._used == len(self._host):
            raise NotCapturable(f"it reads more than {self._used} schedules and random streams")
        self._used += 1
        return self._used - 1

    def scalar(self, slot: int) -> Tensor:
        """Float32, no dimensions."""
        return self._memory.view(torch.float32)[slot, 0]

    def key(self, slot: int) -> Tensor:
        """Int64 [2]: a key of Philox."""
        return self._memory[slot]

    def set_scalar(self, slot: int, value: float) -> None:
        """From the next `send` on."""
        self._host.view(np.float32)[slot, 0] = value

    def set_key(self, slot: int, key: tuple[int | str, ...]) -> None:
        """The same, of what a random stream is a function of."""
        self._host[slot] = philox.key_of(key).numpy()

    def positions(self) -> Tensor:
        """Int64: those of a step's examples."""
        return self._all[self._memory.numel() :]

    def set_positions(self, parts: Iterable[Tensor]) -> None:
        """The same one after the other, from the next `send` on; there may be fewer than there is room for.

        Raises:
            LikewiseError: there are more.
        """
        parts = list(parts)
        count, room = sum(map(len, parts)), len(self._host_all) - self._host.size
        if count > room:
            raise LikewiseError(
                f"A step of {count} examples was given to a CapturedStep that was made for positions={room}; make it "
                f"for positions={count}."
            )
        start = self._host.size
        for part in parts:
            self._host_all[start : start + len(part)] = part.numpy()
            start += len(part)

    def send(self) -> None:
        """Write all; the host does not wait, and may set other numbers at once."""
        now = torch.from_numpy(self._host_all)
        if self.device.type == "cuda":
            now = now.pin_memory()  # a copy, kept until the device has read it
        self._all.copy_(now, non_blocking=True)


class FixedProgress:
    """The progress of training that a captured step may read: nothing that changes from step to step.

    Three things may: branches, whose answers are recorded, scheduled numbers and keys of random streams, which lie in
    memory.

    Args:
        numbers: the memory.
        progress: at the first step.
    """

    def __init__(self, numbers: StepNumbers, progress: Progress) -> None:
        self._numbers, self._progress = numbers, progress
        self.steps = progress.steps
        self.seed = progress.seed
        self.steps_per_epoch = progress.steps_per_epoch
        self.rank, self.world_size = progress.rank, progress.world_size
        self._branches: list[tuple[Callable[[Progress], Any], Any]] = []
        self._schedules: list[tuple[Callable[[Progress], float], int]] = []
        self._asked = 0
        self._streams: dict[tuple[int | str, ...], int] = {}

    def from_start(self) -> FixedProgress:
        """The same, of which nothing has been asked at this step."""
        self._branches, self._asked = [], 0
        return self

    def move_to(self, progress: Progress) -> None:
        """Set what changes to that of another step."""
        self._progress = progress
        for schedule, slot in self._schedules:
            self._numbers.set_scalar(slot, schedule(progress))
        for name, slot in self._streams.items():
            self._numbers.set_key(slot, self._key(name))

    def holds_at(self, progress: Progress) -> bool:
        """Whether all choices would be answered as they were."""
        return all(choice(progress) == answer for choice, answer in self._branches)

    def branch(self, choice: Callable[[Progress], Any]) -> Any:
        """The answer of a choice at this step."""
        answer = choice(self._progress)
        self._branches.append((choice, answer))
        return answer

    def scheduled(self, schedule: Callable[[Progress], float]) -> Tensor:
        """A scalar in memory."""
        if self._asked == len(self._schedules):
            slot = self._new_slot()
            self._numbers.set_scalar(slot, schedule(self._progress))
            self._numbers.send()
            self._schedules.append((schedule, slot))
        slot = self._schedules[self._asked][1]
        self._asked += 1
        return self._numbers.scalar(slot)

    def stream_key(self, name: tuple[int | str, ...]) -> Tensor:
        """The key of a random stream in memory: int64 [2]."""
        if name not in self._streams:
            slot = self._new_slot()
            self._numbers.set_key(slot, self._key(name))
            self._numbers.send()
            self._streams[name] = slot
        return self._numbers.key(self._streams[name])

    def seed_dropout(self, *part: int) -> None:
        """Nothing: a graph can be seeded before it alone."""

    def rng(self, name: str, batch: Batch) -> RNGFromMemory:
        """Random numbers for the batch's rows, by a key that lies in memory."""
        return RNGFromMemory(self._progress.rng(name, batch), self)

    def _key(self, name: tuple[int | str, ...]) -> tuple[int | str, ...]:
        """What `Progress.rng` makes numbers of."""
        return (self._progress.seed, self._progress.step, *name)

    def _new_slot(self) -> int:
        """One that is written at once, and so not while a graph is captured."""
        if self._numbers.device.type == "cuda" and torch.cuda.is_current_stream_capturing():
            raise NotCapturable("it reads a schedule or a random stream that earlier steps did not")
        return self._numbers.new()

    def __getattr__(self, name: str) -> Any:
        raise NotCapturable(f"its loss reads progress.{name}, which each step changes")


class RNGFromMemory(BatchRNG):
    """Random numbers by a key that lies in memory, and so of the step in which a graph is launched."""

    def __init__(self, of_step: BatchRNG, progress: FixedProgress) -> None:
        super().__init__(of_step.key, *of_step.of_batch)
        self._progress = progress

    def philox_key(self) -> Tensor:
        """Int64 [2], where the numbers are made.

        Raises:
            NotCapturable: that is not the device.
        """
        key = self._progress.stream_key(self.key[2:])
        if key.device.type != self.device.type or not (key.is_cpu or runs_on(key.device)):
            raise NotCapturable(f"it draws random numbers ({self.key[-1]!r}) on the CPU")
        return key
