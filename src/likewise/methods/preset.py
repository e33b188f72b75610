"""Named starting points of a run: what authors set for a size of images, and where they say so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from likewise.errors import LikewiseError, did_you_mean
from likewise.methods.recipe import Recipe

NAMES = ("small", "middle", "imagenet")
"""The presets of every registered method, for images of 28 to 64, 96 to 128 and 224 pixels; a method may have more."""


@dataclass(frozen=True)
class Preset:
    """A run as somebody published it. Whatever is typed beside its name wins over it."""

    images: str
    """what it is for: the data and their size"""
    source: str
    """paper and section, or the authors' script, with its address; "ours: ..." where none of them has such a run"""
    recipe: Recipe
    """optimiser and schedule; the rate is that for a batch of 256"""
    batch_size: int
    """images of a step, each counted once"""
    epochs: float
    """passes over the training images"""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """the method's settings, where not its defaults"""
    image_size: int | None = None
    """pixels along a side that the network sees; None: as the data say"""


def find_preset(presets: Mapping[str, Preset], name: str, title: str) -> Preset:
    """A preset by its name.

    Raises:
        LikewiseError: the method has none of that name.
    """
    if name not in presets:
        raise LikewiseError(f"{title} has no preset {name!r}. {did_you_mean(name, presets)}")
    return presets[name]
