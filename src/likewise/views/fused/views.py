"""Views made by the kernels of `likewise.views.fused.kernels`.

Triton is imported by the first call, never by ``import likewise``. The first call for a size and a set of
augmentations takes some seconds, in which Triton compiles; it keeps the outcome on disk.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from likewise.gpu_kernels import kernels, launch_on, power_of_two, runs_on
from likewise.views.fused.packing import Packed
from likewise.views.image.blur import kernel_size

WHOLE = 64
"""Pixels along a side up to which one program makes a whole view."""

TILE = 32
"""Pixels along a side of a tile of a larger view."""

WARPS = {16: 2, 32: 4, 64: 16}
"""Of a program that makes a whole view, by the side of its tile."""

TILE_WARPS = 4
"""Of a program that makes a tile of a larger view: a thread has eight pixels of a column, which share its taps."""

KNOWS_STRIDES = 64
"""Images of a batch from which on the distances of channels, lines and columns in memory are constants of the kernels.

Then of four neighbours in three channels only one address is computed, and another size of stored images has kernels of
its own, which take seconds to compile. Fewer images may well be each of another size.
"""

TAPS_WARPS = 4
"""Of a program that makes the taps of a larger view."""

BLUR_WARPS = 4
"""Of a program of the blur's own kernels."""

BLUR_REGISTERS = 96
"""Of a thread that makes a whole view and blurs it. The compiler would take 146: three programs at once, not five."""


class EncoderInput(NamedTuple):
    """What an encoder makes of views first: normalised, in its dtype, channels last."""

    mean: Tensor
    """[C]"""
    std: Tensor
    """[C]"""
    dtype: torch.dtype = torch.bfloat16

    def table(self, device: torch.device) -> Tensor:
        """By which a channel is multiplied, and what is added: float32 [C, 2]."""
        scale = 1 / self.std.to(device, torch.float32)
        return torch.stack([scale, -self.mean.to(device) * scale], dim=1)


def supports(images: Tensor) -> bool:
    """Whether the kernels can make views of these images; if not, the caller takes another way.

    They need uint8, and a device on which `gpu_kernels.runs_on` says that they run. On a CPU they run only through
    Triton's interpreter (``TRITON_INTERPRET=1`` before Triton is imported), for tests.
    """
    return images.dtype == torch.uint8 and runs_on(images.device)


def make(images: Tensor, packed: Packed, size: int, encoder: EncoderInput | None = None) -> Tensor:
    """The views' pixels: uint8 [B, C, H, W] -> float32 [B, C, size, size] in [0, 1], or as an encoder takes them.

    Launches one kernel up to `WHOLE` pixels, up to five beyond, and never waits for the device.

    Args:
        images: of any strides: channels may come first or last, and rows may be a part of a larger tensor.
        packed: parameters of the B views, on the images' device. Contrast may come once a row.
        size: pixels along a side of a view.
        encoder: for which views are normalised in the same pass. All is computed in float32, and rounded once.
    """
    count, channels = images.shape[:2]
    form: dict[str, Any] = {}
    if encoder is not None:
        form = {"dtype": encoder.dtype, "memory_format": torch.channels_last}
    views = torch.empty(count, channels, size, size, device=images.device, **form)
    if count:
        _launch_all(images, packed, views, encoder)
    return views


def _launch_all(
    images: Tensor, packed: Packed, views: Tensor, encoder: EncoderInput | None
) -> None:
    """The kernels that the views need, one after the other."""
    size = views.shape[-1]
    crop = _Crop.of(images, packed, size)
    if size > WHOLE:
        _launch_taps(crop, packed.box)
    normalisation = packed.box if encoder is None else encoder.table(images.device)
    sums = None
    if packed.coloured and size > WHOLE:
        sums = views.new_empty(crop.grid)
        launch(
            "sum_kernel",
            crop.grid,
            crop.warps,
            (images, *crop.tables, crop.rows, sums),
            crop.numbers,
            **crop.flags,
        )
    unblurred = views
    if packed.blurs and (size > WHOLE or encoder is not None):
        unblurred = torch.empty(views.shape, device=views.device)
    launch(
        "view_kernel",
        crop.grid,
        crop.warps,
        (images, packed.box, *crop.tables, crop.rows, sums, views, unblurred, normalisation),
        (packed.cutout_side, *crop.numbers),
        **crop.flags,
        **_blur_flags(size),
        CUTS_OUT=packed.cutout_side > 0,
        TILES=power_of_two(math.ceil(size / tile_of(size)) ** 2, 16),
        COLOURED=packed.coloured,
        SOLARIZES=packed.solarizes,
        BLURS=packed.blurs,
        WHOLE=size <= WHOLE,
        FOR_ENCODER=encoder is not None,
        maxnreg=BLUR_REGISTERS if packed.blurs and size <= WHOLE else None,
    )
    if packed.blurs and size > WHOLE:
        _launch_blur(crop, unblurred, views, normalisation, packed, encoder is not None)


def _launch_taps(crop: _Crop, box: Tensor) -> None:
    """The tables of each view, which the programs of its tiles read."""
    size, height, width, *_ = crop.numbers
    launch(
        "taps_kernel",
        (len(box),),
        TAPS_WARPS,
        (box, *crop.tables),
        (size, height, width),
        SIDE=power_of_two(size),
        TAPS=crop.flags["CROP_TAPS"],
        SHRINKS=crop.flags["SHRINKS"],
    )


def _launch_blur(
    crop: _Crop,
    unblurred: Tensor,
    views: Tensor,
    normalisation: Tensor,
    packed: Packed,
    for_encoder: bool,
) -> None:
    """The views that are blurred, from what the kernel of views left unblurred: across, then down."""
    half_blurred = torch.empty_like(unblurred)
    size, _, _, planes, *_ = crop.numbers
    numbers = (size, planes, crop.rows.stride(0))
    tile = {name: crop.flags[name] for name in ("ROWS", "COLUMNS", "RGB")}
    flags = {**tile, **_blur_flags(size)}
    launch(
        "across_kernel",
        crop.grid,
        BLUR_WARPS,
        (crop.rows, unblurred, half_blurred),
        numbers,
        **flags,
    )
    launch(
        "down_kernel",
        crop.grid,
        BLUR_WARPS,
        (crop.rows, half_blurred, views, normalisation),
        (packed.cutout_side, *numbers),
        **flags,
        SOLARIZES=packed.solarizes,
        CUTS_OUT=packed.cutout_side > 0,
        FOR_ENCODER=for_encoder,
    )


class _Crop(NamedTuple):
    """What the kernels that read images are launched with."""

    grid: tuple[int]
    """a program for each tile of each view (of an image that is not RGB: of each of its channels)"""
    warps: int
    rows: Tensor
    """the views' parameters; the boxes where there are none, which then no kernel reads"""
    tables: tuple[Tensor, Tensor]
    """memory for the views' taps: see `likewise.views.fused.kernels.taps`"""
    numbers: tuple[int, ...]
    flags: dict[str, Any]

    @classmethod
    def of(cls, images: Tensor, packed: Packed, size: int) -> _Crop:
        """Of images uint8 [B, C, H, W], for views of so many pixels."""
        count, channels, height, width = images.shape
        side = tile_of(size)
        tiles = math.ceil(size / side)
        rgb = channels == 3
        planes = 1 if rgb else channels
        rows = packed.box if packed.rows is None else packed.rows
        taps = math.ceil(2 * max(1, height / size, width / size))
        strides = _strides(images)
        known = strides[1:] if count >= KNOWS_STRIDES else (0, 0, 0)
        return cls(
            grid=(count * planes * tiles**2,),
            warps=WARPS[side] if size <= WHOLE else TILE_WARPS,
            rows=rows,
            tables=(
                packed.box.new_empty(count, 2, size + 1, dtype=torch.int32),
                packed.box.new_empty(count, 2, taps, size),
            ),
            numbers=(size, height, width, planes, *strides, rows.stride(0)),
            flags={
                "ROWS": side,
                "COLUMNS": side,
                "RGB": rgb,
                "CROP_TAPS": taps,
                "SHRINKS": max(height, width) > size,
                "SCALED": packed.scaled,
                **dict(zip(("STRIDE_C", "STRIDE_H", "STRIDE_W"), known, strict=True)),
            },
        )


def _strides(images: Tensor) -> tuple[int, ...]:
    """Those of images, so that the pixel beside the only one of an axis is itself: the crop reads two."""
    return tuple(
        stride if pixels > 1 else 0
        for stride, pixels in zip(images.stride(), images.shape, strict=True)
    )


def _blur_flags(size: int) -> dict[str, int]:
    taps = kernel_size(size)
    return {"RADIUS": taps // 2, "TAPS": power_of_two(taps, 16)}


def tile_of(size: int) -> int:
    """Pixels along a side of a tile: a power of two, as matrix units need it from 16 up."""
    return power_of_two(size, 16) if size <= WHOLE else TILE


def launch(
    name: str,
    grid: tuple[int, ...],
    warps: int,
    tensors: tuple[Tensor | None, ...],
    numbers: tuple[float, ...],
    **flags: Any,
) -> None:
    """Start a kernel on the device of its first tensor."""
    kernel = getattr(kernels("views.fused.kernels"), name)
    first = cast(Tensor, tensors[0])
    launch_on(first, kernel, grid, (*tensors, *numbers), **flags, num_warps=warps)
