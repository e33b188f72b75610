"""A device that is not the CPU, on a CPU: tensors that say so, and that no operation mixes with those of the host.

It computes with the host's operations. So code that leaves a tensor behind, or reads one from the wrong side, is found
on a machine without a GPU.
"""

from contextlib import contextmanager

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

DEVICE = torch.device("meta")
"""as which it is known: PyTorch has it everywhere"""

aten = torch.ops.aten
MAY_MIX = {aten.copy_, aten.index, aten.index_put_, aten.index_put}
"""A copy between devices, and positions that lie on the host"""


class OnDevice(torch.Tensor):
    """A tensor of that device, whose numbers are the host's."""

    @staticmethod
    def __new__(cls, held):
        return torch.Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=DEVICE,
        )

    def __init__(self, held):
        self.held = held

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return computed(function, args, kwargs or {})


def computed(function, args, kwargs):
    """The operation on the host, and its result on the device that it belongs to."""
    seen = []
    tree_map(
        lambda each: seen.append(each) if isinstance(each, torch.Tensor) else None, (args, kwargs)
    )
    here = [each for each in seen if isinstance(each, OnDevice)]
    strangers = [each for each in seen if not isinstance(each, OnDevice) and each.dim() > 0]
    if here and strangers and function.overloadpacket not in MAY_MIX:
        raise RuntimeError(f"{function} mixes devices")
    to = kwargs.get("device", DEVICE if here else None)
    kwargs = {**kwargs, "device": torch.device("cpu")} if "device" in kwargs else kwargs
    args, kwargs = tree_map(
        lambda each: each.held if isinstance(each, OnDevice) else each, (args, kwargs)
    )
    found = function(*args, **kwargs)
    if to is None or torch.device(to) != DEVICE:
        return found
    in_place = function._schema.name.endswith("_") and isinstance(seen[0], OnDevice)
    if in_place:
        return seen[0]
    return tree_map(lambda each: OnDevice(each) if isinstance(each, torch.Tensor) else each, found)


class _Factories(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return computed(function, args, kwargs or {})


@contextmanager
def stand_in_device():
    """While the context is open there is such a device; gives it."""
    with _Factories():
        yield DEVICE
