"""The defaults of a run: a method's own, or those of one of its presets."""

from __future__ import annotations

from typing import NamedTuple

from likewise.errors import LikewiseError
from likewise.methods import METHODS, Method, Recipe, find_method
from likewise.runs.settings import TrainSettings


class Defaults(NamedTuple):
    """What a run uses where no other option is given."""

    method: str | Method
    """an instance, but ``auto`` where the labels are to decide"""
    recipe: Recipe | None
    """None where the labels are to decide: the method's own"""
    settings: TrainSettings
    """batch size, epochs and image size"""


def defaults_of(method: str | Method, preset: str | None = None) -> Defaults:
    """A method's defaults, or those of a preset.

    Args:
        method: name, ``auto``, or an instance, which is returned as it is.
        preset: one of the method's presets, or None.

    Raises:
        LikewiseError: there is no such method or preset, or a preset is named without a method's name.
    """
    if preset is None:
        if method == "auto":
            return Defaults(method, None, TrainSettings())
        known = method if isinstance(method, Method) else find_method(method)()
        return Defaults(known, known.card.recipe, TrainSettings())
    if isinstance(method, Method) or method == "auto":
        given = "--method auto" if method == "auto" else f"an instance of {type(method).__name__}"
        example = preset if preset in METHODS["simclr"].card.presets else "small"
        raise LikewiseError(
            f"The preset {preset!r} was given with {given}, but presets belong to a method's name: give one, for "
            f"instance --method simclr --preset {example}."
        )
    kind = find_method(method)
    chosen = kind.card.preset(preset)
    settings = TrainSettings(
        preset=preset,
        batch_size=chosen.batch_size,
        epochs=chosen.epochs,
        image_size=chosen.image_size,
    )
    return Defaults(kind.preset(preset), chosen.recipe, settings)
