"""What all kernels share: the tile of a program, and how it goes to memory."""

from __future__ import annotations

import triton
import triton.language as tl

from likewise.views.fused.kernels.layout import CUTOUT, SAYS_ORDER, SOLARIZED
from likewise.views.image.random_ops import GREY

EMPTY = tl.constexpr(GREY)
"""Value of what Cutout or a move leaves empty."""


@triton.jit
def tile_coordinates(
    planes, size: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr
) -> tuple[tl.tensor, ...]:
    """This program's image and channel, and the pixels of its tile.

    Programs that start one after the other have tiles of one view, whose pixels of the image lie side by side.
    """
    across = tl.cdiv(size, COLUMNS)
    plane = tl.program_id(0) // tile_count(size, ROWS, COLUMNS)
    tile = tl.program_id(0) % tile_count(size, ROWS, COLUMNS)
    y = (tile // across) * ROWS + tl.arange(0, ROWS)
    x = (tile % across) * COLUMNS + tl.arange(0, COLUMNS)
    return (plane // planes).to(tl.int64), plane % planes, y, x


@triton.jit
def tile_count(size: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr) -> tl.constexpr:
    """Of a view."""
    return tl.cdiv(size, ROWS) * tl.cdiv(size, COLUMNS)


@triton.jit
def plane_offset(row, channel, planes, size, RGB: tl.constexpr) -> tl.tensor:
    """Where the first of a program's planes [size, size] lies in [B, C, size, size]."""
    return (row * planes + channel) * size * size * (3 if RGB else 1)


@triton.jit
def target_offset(
    row, channel, channels, planes, size, RGB: tl.constexpr, FOR_ENCODER: tl.constexpr
) -> tl.tensor:
    """Where the first of a program's numbers goes: in [B, C, size, size], or in [B, size, size, C] for an encoder."""
    if FOR_ENCODER:
        return row * size * size * channels + channel
    else:
        return plane_offset(row, channel, planes, size, RGB)


@triton.jit
def inside(y, x, size: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr) -> tl.tensor:
    """Which pixels of a tile lie in the view: bool [ROWS, COLUMNS]; known to be all where tiles fill a view."""
    if size % ROWS == 0 and size % COLUMNS == 0:
        return tl.full([ROWS, COLUMNS], True, tl.int1)
    else:
        return (y < size)[:, None] & (x < size)[None, :]


@triton.jit
def within(value) -> tl.tensor:
    """Clamped to [0, 1]."""
    return tl.minimum(tl.maximum(value, 0.0), 1.0)


@triton.jit
def store(
    red, green, blue, y, x, there, out, parameters, cutout_side, size, normalisation, channels,
    RGB: tl.constexpr, SOLARIZES: tl.constexpr, CUTS_OUT: tl.constexpr, FOR_ENCODER: tl.constexpr,
) -> None:  # fmt: skip
    """The last changes, and a tile into planes [size, size], or into [size, size, channels] as an encoder takes it."""
    hidden = there
    if CUTS_OUT:
        across = _hidden_along(x, tl.load(parameters + CUTOUT), cutout_side, size)
        down = _hidden_along(y, tl.load(parameters + CUTOUT + 1), cutout_side, size)
        hidden = down[:, None] & across[None, :]
    threshold = 2.0  # no value reaches it
    if SOLARIZES:
        threshold = 2.0 - 1.5 * tl.load(parameters + SOLARIZED)
    step = 1
    area = size * size
    if FOR_ENCODER:
        step = channels
        area = 1
    pointers = out + (y * (size * step))[:, None] + (x * step)[None, :]
    if SAYS_ORDER:
        pointers = tl.max_contiguous(pointers, [1, 2])
    _store_channel(
        red, pointers, there, hidden, threshold, normalisation, SOLARIZES, CUTS_OUT, FOR_ENCODER
    )
    if RGB:
        _store_channel(
            green, pointers + area, there, hidden, threshold, normalisation + 2,
            SOLARIZES, CUTS_OUT, FOR_ENCODER,
        )  # fmt: skip
        _store_channel(
            blue, pointers + 2 * area, there, hidden, threshold, normalisation + 4,
            SOLARIZES, CUTS_OUT, FOR_ENCODER,
        )  # fmt: skip


@triton.jit
def _store_channel(
    value, pointers, there, hidden, threshold, normalisation,
    SOLARIZES: tl.constexpr, CUTS_OUT: tl.constexpr, FOR_ENCODER: tl.constexpr,
):  # fmt: skip
    """``colour.solarize``, ``random_ops.cut_out`` and an encoder's normalisation of one channel, into memory."""
    if SOLARIZES:
        value = tl.where(value >= threshold, 1 - value, value)
    if CUTS_OUT:
        value = tl.where(hidden, EMPTY, value)
    if FOR_ENCODER:
        value = value * tl.load(normalisation) + tl.load(normalisation + 1)
    tl.store(pointers, value.to(pointers.dtype.element_ty), mask=there)


@triton.jit
def _hidden_along(index, centre, side, size):
    """Which pixels of an axis are inside the square of ``random_ops.cut_out``."""
    pixel_centre = (index.to(tl.float32) + 0.5) / size
    return tl.floor((pixel_centre - centre + side * 0.5) / side) == 0
