"""Planned views made by the compiled ``views.cpp``."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from likewise.views.image.blur import kernel_size
from likewise.views.image.view_params import ViewParams
from likewise.views.native.library import library

WORTH_A_THREAD = 2**17
"""Values of views for which another thread pays: it takes a fraction of a millisecond to start, they about half one."""

_TYPES = {
    "box": torch.float32,
    "factors": torch.float32,
    "order": torch.int64,
    "grey": torch.bool,
    "blurred": torch.bool,
    "sigma": torch.float32,
    "solarized": torch.bool,
}
_PLACES = ("images", "views", *_TYPES)
_NUMBERS = ("rows", "channels", "height", "width", "size", "blur_taps", "threads")


class Work(ctypes.Structure):
    """The arguments of ``likewise_make_views``, as the struct of this name in ``views.cpp`` has them."""

    _fields_ = [(name, ctypes.c_void_p) for name in _PLACES] + [(name, ctypes.c_int64) for name in _NUMBERS]


def can_make(images: Tensor) -> bool:
    """Whether these images lie where compiled code can read them, and there is compiled code."""
    return images.device.type == "cpu" and images.dtype == torch.uint8 and library() is not None


def make(images: Tensor, plan: ViewParams, size: int) -> Tensor:
    """The views' pixels: uint8 [B, C, H, W] -> float32 [B, C, size, size] in [0, 1].

    On ``torch.get_num_threads()`` threads where the batch is worth them; the number of threads changes no bit.
    """
    compiled = library()
    assert compiled is not None
    rows, channels, height, width = images.shape
    views = torch.empty(rows, channels, size, size)
    # Held by name until the call returns: it gets their addresses alone.
    held = {"images": images.contiguous(), "views": views, **_on_cpu(plan, rows)}
    threads = max(1, min(torch.get_num_threads(), views.numel() // WORTH_A_THREAD))
    numbers = zip(_NUMBERS, (rows, channels, height, width, size, kernel_size(size), threads), strict=True)
    work = Work(**{name: tensor.data_ptr() for name, tensor in held.items()}, **dict(numbers))
    compiled.likewise_make_views(ctypes.byref(work))
    return views


def _on_cpu(plan: ViewParams, rows: int) -> dict[str, Tensor]:
    """The plan's parts by name, laid out as C++ reads them; no more than the box where nothing else is planned."""
    parts = {"box": plan.box, **(plan.changes._asdict() if plan.changes is not None else {})}
    parts.pop("channel_factors", None)
    for name, part in parts.items():
        if len(part) != rows:
            raise ValueError(f"{rows} images, but the plan's {name} has {len(part)} rows")
    return {name: part.to("cpu", _TYPES[name]).contiguous() for name, part in parts.items()}
