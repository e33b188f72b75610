"""The places of an image: cells of one of the encoder's maps."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from likewise.errors import LikewiseError

LEAST = 7
"""Places along a side that a map needs to be worth reading place by place: 224 pixels make 7 x 7 in a ResNet."""


def dense_stage(sides: Sequence[int], stage: int | None = None) -> int:
    """Which of an encoder's maps has the places, counted from 1.

    The deepest of at least `LEAST` a side, else the finest: 7 x 7 of 224 pixels as in the papers, 8 x 8 of 64 pixels.

    Args:
        sides: of the maps of `Encoder.forward_with_maps`.
        stage: the one asked for; None leaves it to the rule.

    Raises:
        LikewiseError: the encoder has no such map.
    """
    if stage is not None:
        if not 1 <= stage <= len(sides):
            raise LikewiseError(f"Map {stage} of the encoder was asked for; it has maps 1 to {len(sides)}.")
        return stage
    enough = [number for number, side in enumerate(sides, start=1) if side >= LEAST]
    return enough[-1] if enough else list(sides).index(max(sides)) + 1


def dense_map(maps: Sequence[Tensor], stage: int | None = None, at_most: int | None = None) -> Tensor:
    """The map [B, D, s, s] that has the places, averaged down to at most so many a side."""
    chosen = maps[dense_stage([each.shape[3] for each in maps], stage) - 1]
    return adaptive_avg_pool2d(chosen, at_most) if at_most and chosen.shape[3] > at_most else chosen


def as_places(features: Tensor) -> Tensor:
    """[B, D, s, s] -> [B, s^2, D], row by row."""
    return features.flatten(2).mT
