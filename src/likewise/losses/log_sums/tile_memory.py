"""Memory for tiles, kept from one to the next."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import torch
from torch import Tensor

LEAST = 2**18
"""Numbers that there is room for at first: those of a tile."""


class _Rooms(threading.local):
    """Each thread's room for tiles, by purpose: fresh memory for every product would cost more than the product."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, torch.dtype, torch.device], Tensor] = {}

    def room(self, purpose: str, like: Tensor, shape: Sequence[int]) -> Tensor:
        """[shape] of whatever was there before; the same memory for the same purpose, so never hand it on."""
        key = purpose, like.dtype, like.device
        size = max(shape[0] * shape[1], LEAST)
        if key not in self.held or len(self.held[key]) < size:
            self.held[key] = like.new_empty(size)
        return self.held[key][: shape[0] * shape[1]].view(shape)


room = _Rooms().room
