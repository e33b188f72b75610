"""Views that are made before a step, into memory that stays where it is: what a captured step reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from likewise.data.batch import Pixels
from likewise.randomness import BatchRNG
from likewise.views.view import View, unknown_box


class PreparedViews(dict[str, Tensor]):
    """Replaces `Pixels.views` of a batch whose tensors stay where they are, while their content changes.

    The first request for a view makes it, and records which policy did; `make` writes later ones into the same memory.
    """

    def __init__(self, made: Mapping[str, Tensor] | None = None) -> None:
        super().__init__()
        self.made: dict[str, View] = {}
        for name, pixels in (made or {}).items():
            self.made[name] = View(pixels, unknown_box(pixels))
        self.policies: dict[str, Callable[..., Any]] = {}

    def view(self, policy: Callable[..., Any], pixels: Pixels, rng: BatchRNG) -> View:
        """The view of a random stream; a first one is made from the pixels."""
        name = str(rng.key[-1])
        if name not in self.made:
            self.policies[name] = policy
            self.made[name] = policy(pixels._replace(views=None), rng)
        return self.made[name]

    def make(self, pixels: Pixels, rng: Callable[[str], BatchRNG]) -> None:
        """New views of other pixels, written over the old ones.

        Args:
            pixels: as many images as before.
            rng: random numbers by the name of the stream.
        """
        for name, policy in self.policies.items():
            view = policy(pixels._replace(views=None), rng(name))
            for target, part in zip(self.made[name], view, strict=True):
                if target is not None:
                    target.copy_(part)
