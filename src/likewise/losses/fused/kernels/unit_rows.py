"""Rows of one length, and their gradient."""

from __future__ import annotations

import triton
import triton.language as tl

from likewise.losses.fused.kernels.blocks import load_rows, store_rows


@triton.jit(do_not_specialize=["rows"])
def unit_kernel(
    given, unit, factor, rows, length, D: tl.constexpr, WIDTH: tl.constexpr, ROWS: tl.constexpr
) -> None:  # fmt: skip
    """Rows of one length, float32, and by what each was multiplied."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    there = row < rows
    value = load_rows(given, row, rows, D, WIDTH, True).to(tl.float32)
    norm = tl.sqrt(tl.sum(value * value, 1))
    scale = length / tl.maximum(norm, 1e-12)
    store_rows(unit, row, value * scale[:, None], there, D, WIDTH)
    tl.store(factor + row, scale, mask=there)


@triton.jit(do_not_specialize=["rows"])
def unit_gradient_kernel(
    by_unit, unit, factor, gradient, rows, squared_length, D: tl.constexpr, WIDTH: tl.constexpr, ROWS: tl.constexpr
) -> None:  # fmt: skip
    """The gradient of rows before they were made one length."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    there = row < rows
    slope = load_rows(by_unit, row, rows, D, WIDTH, True).to(tl.float32)
    held = load_rows(unit, row, rows, D, WIDTH, True)
    scale = tl.load(factor + row, mask=there, other=0.0)
    found = across(slope, held, squared_length) * scale[:, None]
    store_rows(gradient, row, found, there, D, WIDTH)


@triton.jit
def across(slope, held, squared_length) -> tl.tensor:
    """The slopes of rows of one length without their parts along the rows, by which no row turns."""
    along = tl.sum(slope * held, 1) / squared_length
    return slope - held * along[:, None]
