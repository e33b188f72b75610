"""The sound of each frame of a clip, as numbers to be predicted: a target's steps, pooled and standardised."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional

from likewise.data.columns.column import Column, IndexedFeature
from likewise.data.video.sound_windows import samples_from
from likewise.errors import LikewiseError
from likewise.randomness import generator
from likewise.views.audio.acoustic_targets import AcousticTarget

AT_A_TIME = 64
"""Clips whose target is computed at once."""


@dataclass(frozen=True)
class AudioFrameTargets:
    """Reads a column of sound as float32 [B, frames, F]; the whole of it is computed once, when it is opened.

    Each dimension is standardised by what `fitted_to` found. No gradient reaches the target.
    """

    target: AcousticTarget
    """sound -> steps"""
    frames: int
    """that the pictures of a clip have over the same time; the steps within one are averaged"""
    late: int = 0
    """samples by which the sound comes after its picture in the files; it is moved forward by as many"""
    shuffled: bool = False
    """whether each clip gets another clip's sound, always the same one: a control"""
    mean: Tensor | None = None
    """float [F]; None: not standardised"""
    std: Tensor | None = None
    """float [F]"""

    def fitted_to(self, column: Column) -> AudioFrameTargets:
        """The same with mean and standard deviation of all frames of a column that are not digital silence."""
        count, total, squares = 0, torch.zeros(()), torch.zeros(())
        for sound, heard in self._computed(cast(IndexedFeature, column)):
            samples = sound.shape[1] // self.frames * self.frames
            there = sound[:, :samples].unflatten(1, (self.frames, -1)).ne(0).any(dim=2)
            rows = heard[there].double()
            count, total, squares = count + len(rows), total + rows.sum(dim=0), squares + rows.square().sum(dim=0)
        if not count:
            raise LikewiseError("None of the training clips can be heard, so there is nothing to predict.")
        mean = total / count
        std = (squares / count - mean.square()).clamp(min=0).sqrt()
        return AudioFrameTargets(
            self.target, self.frames, self.late, self.shuffled, mean.float(), std.clamp(min=1e-5).float()
        )

    def of(self, column: Column) -> IndexedFeature:
        """A column's rows."""
        computed = [self._standardised(heard) for _, heard in self._computed(cast(IndexedFeature, column))]
        rows = torch.cat(computed)
        return _Rows(rows[others(len(rows))] if self.shuffled else rows)

    def _standardised(self, heard: Tensor) -> Tensor:
        """Half as many bytes are kept: 3 digits are enough of what is of the size of 1."""
        if self.mean is None or self.std is None:
            return heard.half()
        return ((heard - self.mean) / self.std).half()

    @torch.no_grad()
    def _computed(self, column: IndexedFeature) -> Iterator[tuple[Tensor, Tensor]]:
        """Sound float32 [b, samples] and its frames float32 [b, frames, F], a few clips after the others."""
        for index in torch.arange(len(column)).split(AT_A_TIME):
            kept = column.read(index)
            sound = samples_from(kept, torch.full((len(kept),), self.late), kept.shape[1])
            yield sound, pooled(self.target(sound).float(), self.frames)


class _Rows:
    """Rows in memory."""

    def __init__(self, rows: Tensor) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, index: Tensor) -> Tensor:
        """int64 [B] -> float32 [B, frames, F]."""
        return self.rows[index].float()


def pooled(steps: Tensor, frames: int) -> Tensor:
    """The mean of the steps within each frame: [B, steps, F] -> [B, frames, F]; 4 of 10 ms at 25 frames a second.

    Raises:
        LikewiseError: there are fewer steps than frames.
    """
    if steps.shape[1] < frames:
        raise LikewiseError(
            f"The acoustic target makes {steps.shape[1]} steps of a sound over which {frames} frames are shown; it has "
            f"to make one for each at least. Give a finer target, or a lower --frame-rate."
        )
    return functional.adaptive_avg_pool1d(steps.mT, frames).mT


def others(count: int) -> Tensor:
    """int64 [count]: for each row another one, drawn once and for all; every row is taken once."""
    circle = torch.randperm(count, generator=generator(0, "shuffled sound"))
    partner = torch.empty_like(circle)
    partner[circle] = circle.roll(1)
    return partner
