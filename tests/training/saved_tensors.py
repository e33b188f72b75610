"""How much memory a computation keeps for its backward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

MadeT = TypeVar("MadeT")


def saved_bytes(forward: Callable[[], MadeT], but: nn.Module) -> tuple[int, MadeT]:
    """Bytes of memory that a computation keeps for its backward pass, and what it made.

    Args:
        forward: the computation.
        but: a network whose parameters and buffers, which are there anyway, are not counted.
    """
    there = {t.untyped_storage().data_ptr() for t in (*but.parameters(), *but.buffers())}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in there:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        made = forward()
    return sum(kept.values()), made


def peak_bytes(work: Callable[[], object], but: nn.Module) -> int:
    """The most bytes of memory that wait at a time for their backward pass while ``work`` runs.

    Args:
        work: forward and backward.
        but: a network whose parameters and buffers, which are there anyway, are not counted.
    """
    users = {t.untyped_storage().data_ptr(): 1 for t in (*but.parameters(), *but.buffers())}
    now = peak = 0

    class Waiting:
        """A tensor that waits; several can share memory, which counts once."""

        def __init__(self, tensor: Tensor) -> None:
            nonlocal now, peak
            self.tensor, self.storage = tensor, tensor.untyped_storage()
            place = self.storage.data_ptr()
            now += 0 if users.get(place) else self.storage.nbytes()
            peak = max(peak, now)
            users[place] = users.get(place, 0) + 1

        def __del__(self) -> None:
            nonlocal now
            place = self.storage.data_ptr()
            users[place] -= 1
            now -= 0 if users[place] else self.storage.nbytes()

    with saved_tensors_hooks(Waiting, lambda waiting: waiting.tensor):
        work()
    return peak
