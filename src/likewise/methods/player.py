"""One of several that learn in turn within a step."""

from __future__ import annotations

from typing import NamedTuple

from likewise.methods.recipe import Recipe


class Player(NamedTuple):
    """Parts of the networks that learn together, against or beside those of the other players.

    In its turn they alone take a gradient. It has an optimiser of its own, which lies in the run's checkpoint.
    """

    name: str
    """what `Progress.player` says in its turn; also the log's: ``<name>_loss``"""
    parts: tuple[str, ...]
    """of `Nets`, by name; a part that learns belongs to one player"""
    recipe: Recipe | None = None
    """its optimiser and schedule; None: the run's, which a person can change"""
