"""Targets for each frame of a clip, computed from its sound: pooled over the frame and standardised."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional

from likewise.data.columns.column import Column, IndexedFeature
from likewise.data.video.sound_windows import samples_from
from likewise.errors import LikewiseError
from likewise.randomness import generator
from likewise.views.audio.acoustic_targets import AcousticTarget

CLIPS_PER_CHUNK = 64
"""Clips per forward pass of the target."""


@dataclass(frozen=True)
class AudioFrameTargets:
    """Reads a column of sound as targets float32 [B, frames, F], which are all computed when the column is opened.

    Each dimension is standardised by what `fitted_to` found. No gradient reaches the target.
    """

    target: AcousticTarget
    """sound [B, samples] -> [B, steps, F]"""
    frames: int
    """frames of a clip; the steps of the target within a frame are averaged"""
    delay: int = 0
    """samples by which the sound lags behind its frame in the files; the sound is shifted back by as many"""
    shuffled: bool = False
    """whether each clip gets the sound of another clip, always the same one, as a control experiment"""
    mean: Tensor | None = None
    """float [F]; None: not standardised"""
    std: Tensor | None = None
    """float [F]"""

    def fitted_to(self, column: Column) -> AudioFrameTargets:
        """The same transform with mean and standard deviation of all frames that are not digital silence."""
        count = 0
        total = torch.zeros(())
        squares = torch.zeros(())
        for sound, targets in self._computed(cast(IndexedFeature, column)):
            samples = sound.shape[1] // self.frames * self.frames
            # [b, frames, samples of a frame]
            by_frame = sound[:, :samples].unflatten(1, (self.frames, -1))
            audible = by_frame.ne(0).any(dim=2)  # [b, frames]
            rows = targets[audible].double()  # [n, F]
            count += len(rows)
            total = total + rows.sum(dim=0)
            squares = squares + rows.square().sum(dim=0)
        if not count:
            raise LikewiseError(
                "All training clips are silent, so there is nothing to predict. Learn from videos with sound."
            )
        mean = total / count
        variance = squares / count - mean.square()
        std = variance.clamp(min=0).sqrt().clamp(min=1e-5)
        return replace(self, mean=mean.float(), std=std.float())

    def of(self, column: Column) -> IndexedFeature:
        """A column's rows."""
        computed = self._computed(cast(IndexedFeature, column))
        rows = torch.cat([self._standardised(targets) for _, targets in computed])
        if self.shuffled:
            rows = rows[derangement(len(rows))]
        return _Rows(rows)

    def _standardised(self, targets: Tensor) -> Tensor:
        """In float16, which halves the memory and is precise enough for values of about 1."""
        if self.mean is None or self.std is None:
            return targets.half()
        return ((targets - self.mean) / self.std).half()

    @torch.no_grad()
    def _computed(self, column: IndexedFeature) -> Iterator[tuple[Tensor, Tensor]]:
        """Sound float32 [b, samples] and its targets float32 [b, frames, F], a few clips at a time."""
        for index in torch.arange(len(column)).split(CLIPS_PER_CHUNK):
            stored = column.read(index)  # int16 [b, samples]
            delay = torch.full((len(stored),), self.delay)
            sound = samples_from(stored, delay, stored.shape[1])
            steps = self.target(sound).float()  # [b, steps, F]
            yield sound, pool_steps(steps, self.frames)


class _Rows:
    """Rows in memory."""

    def __init__(self, rows: Tensor) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, index: Tensor) -> Tensor:
        """int64 [B] -> float32 [B, frames, F]."""
        return self.rows[index].float()


def pool_steps(steps: Tensor, frames: int) -> Tensor:
    """The mean of the steps within each frame: [B, steps, F] -> [B, frames, F]; 4 of 10 ms at 25 frames a second.

    Raises:
        LikewiseError: there are fewer steps than frames.
    """
    if steps.shape[1] < frames:
        raise LikewiseError(
            f"The acoustic target makes {steps.shape[1]} steps of a sound of {frames} frames; at least "
            f"one step per frame is needed. Give a finer target, or a lower --frame-rate."
        )
    return functional.adaptive_avg_pool1d(steps.mT, frames).mT


def derangement(count: int) -> Tensor:
    """int64 [count]: a fixed random permutation that leaves no row in place."""
    cycle = torch.randperm(count, generator=generator(0, "shuffled sound"))
    partner = torch.empty_like(cycle)
    partner[cycle] = cycle.roll(1)
    return partner
