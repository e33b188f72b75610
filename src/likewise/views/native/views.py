"""Views made by the compiled ``views.cpp``."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from likewise.counts import amount
from likewise.views.image.blur import kernel_size
from likewise.views.image.view_params import ViewParams
from likewise.views.native.library import library

WORTH_A_THREAD = 2**17
"""Pixel values per thread that make another thread pay off: it takes a fraction of a millisecond to start."""

_TYPES = {
    "box": torch.float32,
    "factors": torch.float32,
    "order": torch.int64,
    "grey": torch.bool,
    "blurred": torch.bool,
    "sigma": torch.float32,
    "solarized": torch.bool,
}
_POINTERS = ("images", "views", *_TYPES)
_NUMBERS = (
    "rows",
    "channels",
    "height",
    "width",
    "size",
    "blur_taps",
    "threads",
    "is_cut",
    "interleaved",
)


class Work(ctypes.Structure):
    """The arguments of ``likewise_make_views``, as the struct of this name in ``views.cpp`` has them."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in _POINTERS),
        *((name, ctypes.c_int64) for name in _NUMBERS),
    ]


def can_make(images: Tensor) -> bool:
    """Whether the images are on the CPU as uint8, and the compiled library is available."""
    return images.device.type == "cpu" and images.dtype == torch.uint8 and library() is not None


def make(images: Tensor, params: ViewParams, size: int) -> Tensor:
    """The views' pixels: uint8 [B, C, H, W] -> float32 [B, C, size, size] in [0, 1].

    Large batches use ``torch.get_num_threads()`` threads; the result does not depend on their number.
    """
    compiled = library()
    assert compiled is not None
    rows, channels, height, width = images.shape
    views = torch.empty(rows, channels, size, size)
    is_cut = int(params.is_cut and (height, width) == (size, size))
    interleaved = int(is_cut and images.is_contiguous(memory_format=torch.channels_last))
    # The tensors must stay alive until the call returns, because C++ gets their addresses only.
    layout = torch.channels_last if interleaved else torch.contiguous_format
    tensors = {
        "images": images.contiguous(memory_format=layout),
        "views": views,
        **_on_cpu(params, rows),
    }
    pointers = {name: tensor.data_ptr() for name, tensor in tensors.items()}
    work = Work(
        **pointers,
        rows=rows,
        channels=channels,
        height=height,
        width=width,
        size=size,
        blur_taps=kernel_size(size),
        threads=max(1, min(torch.get_num_threads(), views.numel() // WORTH_A_THREAD)),
        is_cut=is_cut,
        interleaved=interleaved,
    )
    compiled.likewise_make_views(ctypes.byref(work))
    return views


def _on_cpu(params: ViewParams, rows: int) -> dict[str, Tensor]:
    """The parameters by name, in the memory layout that C++ expects; no colours if there is no colour augmentation."""
    parts = {"box": params.box}
    if params.colour is not None:
        parts.update(params.colour._asdict())
    parts.pop("channel_factors", None)
    for name, part in parts.items():
        if len(part) != rows:
            raise ValueError(
                f"{rows} images, but the view parameters' {name} has {amount(len(part), 'row')}"
            )
        parts[name] = part.to("cpu", _TYPES[name]).contiguous()
    return parts
