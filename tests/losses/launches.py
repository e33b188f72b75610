"""What a GPU would have to do: operations that its host waits for are refused, the others are counted."""

from collections import Counter

import torch
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten

WAITS = {
    aten._local_scalar_dense,
    aten._unique2,
    aten.bincount,
    aten.equal,
    aten.is_nonzero,
    aten.masked_select,
    aten.nonzero,
    aten.unique_consecutive,
    aten.unique_dim,
}
"""The host needs a value, or a shape that depends on values."""

FREE = {
    aten._unsafe_view, aten.alias, aten.as_strided, aten.detach, aten.diagonal, aten.empty, aten.empty_like,
    aten.empty_strided, aten.expand, aten.new_empty, aten.new_empty_strided, aten.permute, aten.select, aten.slice,
    aten.split, aten.split_with_sizes, aten.squeeze, aten.t, aten.transpose, aten.unbind, aten.unsqueeze, aten.view,
}  # fmt: skip
"""Views and memory: no kernel is launched."""


class Waits(AssertionError):
    """The host would have to wait for the device."""


class Launches(TorchDispatchMode):
    """Counts the operations that launch a kernel, and raises at one that waits."""

    def __init__(self):
        super().__init__()
        self.operations = Counter()
        self.largest = 0  # numbers of a tensor that one of them made

    @property
    def count(self):
        return sum(self.operations.values())

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        packet = function.overloadpacket
        by_mask = packet in (aten.index, aten.index_put, aten.index_put_) and any(
            index is not None and index.dtype == torch.bool for index in args[1]
        )
        if packet in WAITS or by_mask:
            raise Waits(f"{packet} makes the host wait for the device")
        if packet not in FREE:
            self.operations[str(packet)] += 1
        made = function(*args, **(kwargs or {}))
        if packet not in FREE and isinstance(made, torch.Tensor):
            self.largest = max(self.largest, made.numel())
        return made
