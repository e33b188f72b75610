"""What a method says about itself: everything that help, pages and the choice of a method read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from likewise.errors import LikewiseError, did_you_mean
from likewise.methods.recipe import Recipe

PRESET_NAMES = ("small", "middle", "imagenet")
"""The presets of every registered method, for images of 28 to 64, 96 to 128 and 224 pixels; a method may have more."""


@dataclass(frozen=True)
class Preset:
    """A published run. A setting that is given next to the preset's name wins over the preset."""

    images: str
    """the data that it is for, and their size"""
    source: str
    """paper and section, or the authors' script, with its address; "ours: ..." where nobody published such a run"""
    recipe: Recipe
    """optimiser and schedule; the learning rate is that for a batch of 256"""
    batch_size: int
    """images of a step, each counted once"""
    epochs: float
    """passes over the training images"""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """the method's settings that differ from its defaults"""
    image_size: int | None = None
    """pixels along a side that the network sees; None: the size of the data"""


@dataclass(frozen=True)
class Card:
    """A method's facts. None of them changes what a step computes."""

    title: str
    """its name as the paper writes it"""
    paper: str
    """authors, year and address"""
    needs: Literal["no labels", "some labels", "all labels"]
    """the labels that it is for"""
    idea: str
    """one sentence: what it does"""
    choose_when: str = ""
    """the end of a sentence that begins with "choose it when": which other method would be wrong, and why"""
    also_needs: str = ""
    """what it needs besides images and labels, such as a teacher or videos; empty for most"""
    labelled_only: bool = False
    """whether it trains on the labelled images alone"""
    encoder: str = "auto"
    """the encoder that it takes if none is named; auto: one that fits the images"""
    recipe: Recipe = field(default_factory=Recipe)
    """optimiser and schedule; like the defaults of the method's settings meant for short runs on small images"""
    presets: Mapping[str, Preset] = field(default_factory=dict)
    """published runs by name; a registered method has small, middle and imagenet at least"""

    def preset(self, name: str) -> Preset:
        """A preset by its name.

        Raises:
            LikewiseError: the method has none of that name.
        """
        if name not in self.presets:
            raise LikewiseError(
                f"{self.title} has no preset {name!r}. {did_you_mean(name, self.presets)}"
            )
        return self.presets[name]
