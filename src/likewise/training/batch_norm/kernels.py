"""The GPU kernels: a map in channels-last format is a matrix [rows, channels], with a row for each pixel of each image.

A program has a block of channels and a share of the rows. Sums over rows are summed in a fixed order, so that two
runs give the same numbers. Only `launches` imports this file, and late.
"""

# What Triton's compiler reads is not typed Python: a tile is no Tensor, and a flag decides which names exist.
# pyright: reportMissingImports=false, reportGeneralTypeIssues=false, reportPossiblyUnboundVariable=false, reportArgumentType=false, reportOperatorIssue=false
from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def statistics_kernel(
    x, means, squares, rows, channels, share, ROWS: tl.constexpr, COLUMNS: tl.constexpr
) -> None:  # fmt: skip
    """Mean, and sum of squared differences from it, of a share of the rows of each channel."""
    first = tl.program_id(0) * share
    last = tl.minimum(first + share, rows)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    # Differences from a value near the mean lose no digits where the mean is far from zero.
    place, there = _tile(first, last, column, channels, ROWS)
    value = tl.load(x + place, mask=there, other=0.0).to(tl.float32)
    near = tl.sum(value, 0) / tl.minimum(last - first, ROWS)
    sums = tl.zeros([ROWS, COLUMNS], tl.float32)
    sums_of_squares = tl.zeros([ROWS, COLUMNS], tl.float32)
    for start in range(first, last, ROWS):
        place, there = _tile(start, last, column, channels, ROWS)
        value = tl.load(x + place, mask=there, other=0.0).to(tl.float32)
        difference = tl.where(there, value - near[None, :], 0.0)
        sums += difference
        sums_of_squares += difference * difference
    total = tl.sum(sums, 0)
    mean = total / (last - first)
    kept = tl.program_id(0) * channels + column
    tl.store(means + kept, near + mean, mask=column < channels)
    tl.store(squares + kept, tl.sum(sums_of_squares, 0) - total * mean, mask=column < channels)


@triton.jit
def finish_statistics_kernel(
    means, squares, weight, bias, running_mean, running_var, batches, table,
    rows, channels, share, shares, eps, momentum,
    SHARES: tl.constexpr, COLUMNS: tl.constexpr,
) -> None:  # fmt: skip
    """Statistics of all rows from those of the shares; the running ones follow.

    The table has rows [channels] of the mean, 1 / standard deviation, that times the weight, and the bias.
    """
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    within = column < channels
    part = tl.arange(0, SHARES)
    count = tl.minimum(rows - part * share, share).to(tl.float32)
    of_all = tl.where(part < shares, count / rows, 0.0)[:, None]
    kept = part[:, None] * channels + column[None, :]
    there = (part < shares)[:, None] & within[None, :]
    part_mean = tl.load(means + kept, mask=there, other=0.0)
    mean = tl.sum(part_mean * of_all, 0)
    apart = part_mean - mean[None, :]
    variance = tl.sum(tl.load(squares + kept, mask=there, other=0.0), 0) / rows
    variance += tl.sum(apart * apart * of_all, 0)
    factor = 1.0 / tl.sqrt(variance + eps)
    scale = factor * tl.load(weight + column, mask=within, other=0.0)
    tl.store(table + column, mean, mask=within)
    tl.store(table + channels + column, factor, mask=within)
    tl.store(table + 2 * channels + column, scale, mask=within)
    offset = tl.load(bias + column, mask=within, other=0.0)
    tl.store(table + 3 * channels + column, offset, mask=within)

    unbiased = variance * (rows / (rows - 1.0))
    _move(running_mean, mean, momentum, column, within)
    _move(running_var, unbiased, momentum, column, within)
    if tl.program_id(0) == 0:
        tl.store(batches, tl.load(batches) + 1)


@triton.jit
def apply_kernel(
    x, residual, table, y, rows, channels,
    RELU: tl.constexpr, RESIDUAL: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
) -> None:  # fmt: skip
    """The normalised map, with a residual map added, and without its negative numbers."""
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    place, there = _tile(tl.program_id(0) * ROWS, rows, column, channels, ROWS)
    value = tl.load(x + place, mask=there, other=0.0).to(tl.float32)
    mean, scale, offset = _line(table, column, channels)
    value = _normalised(value, mean, scale, offset)
    if RESIDUAL:
        value += tl.load(residual + place, mask=there, other=0.0).to(tl.float32)
    if RELU:
        value = tl.where(value < 0, 0.0, value)  # NaN stays
    tl.store(y + place, value, mask=there)


@triton.jit
def gradient_sums_kernel(
    grad, x, y, table, passed, sums, products, rows, channels, share,
    RELU: tl.constexpr, RESIDUAL: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
) -> None:  # fmt: skip
    """Sums of a share of the rows: of the gradient behind the ReLU, and of that times x less its mean.

    With a residual, whose gradient it is, the gradient behind the ReLU is kept in ``passed``.
    """
    first = tl.program_id(0) * share
    last = tl.minimum(first + share, rows)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    mean, scale, offset = _line(table, column, channels)
    summed = tl.zeros([ROWS, COLUMNS], tl.float32)
    multiplied = tl.zeros([ROWS, COLUMNS], tl.float32)
    for start in range(first, last, ROWS):
        place, there = _tile(start, last, column, channels, ROWS)
        value = tl.load(x + place, mask=there, other=0.0).to(tl.float32)
        slope = tl.load(grad + place, mask=there, other=0.0).to(tl.float32)
        if RESIDUAL:
            slope = tl.where(tl.load(y + place, mask=there, other=0.0) <= 0, 0.0, slope)
            tl.store(passed + place, slope, mask=there)
        elif RELU:
            slope = tl.where(_normalised(value, mean, scale, offset) <= 0, 0.0, slope)
        summed += slope
        multiplied += slope * (value - mean[None, :])
    kept = tl.program_id(0) * channels + column
    tl.store(sums + kept, tl.sum(summed, 0), mask=column < channels)
    tl.store(products + kept, tl.sum(multiplied, 0), mask=column < channels)


@triton.jit
def finish_gradient_sums_kernel(
    sums, products, table, of_weight, of_bias, lines, rows, channels, shares,
    SHARES: tl.constexpr, COLUMNS: tl.constexpr,
) -> None:  # fmt: skip
    """Gradients of weight and bias, and the line through x that `input_gradient_kernel` subtracts: slope, height."""
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    within = column < channels
    part = tl.arange(0, SHARES)
    kept = part[:, None] * channels + column[None, :]
    there = (part < shares)[:, None] & within[None, :]
    total = tl.sum(tl.load(sums + kept, mask=there, other=0.0), 0)
    product = tl.sum(tl.load(products + kept, mask=there, other=0.0), 0)
    factor = tl.load(table + channels + column, mask=within, other=0.0)
    tl.store(of_bias + column, total, mask=within)
    tl.store(of_weight + column, product * factor, mask=within)
    tl.store(lines + column, product * factor * factor / rows, mask=within)
    tl.store(lines + channels + column, total / rows, mask=within)


@triton.jit
def input_gradient_kernel(
    grad, x, table, lines, of_x, rows, channels,
    RELU: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
) -> None:  # fmt: skip
    """Scale x (gradient - its mean - normalised x times the mean of gradient x normalised x)."""
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    within = column < channels
    place, there = _tile(tl.program_id(0) * ROWS, rows, column, channels, ROWS)
    value = tl.load(x + place, mask=there, other=0.0).to(tl.float32)
    slope = tl.load(grad + place, mask=there, other=0.0).to(tl.float32)
    mean, scale, offset = _line(table, column, channels)
    if RELU:
        slope = tl.where(_normalised(value, mean, scale, offset) <= 0, 0.0, slope)
    along = tl.load(lines + column, mask=within, other=0.0)
    height = tl.load(lines + channels + column, mask=within, other=0.0)
    line = (value - mean[None, :]) * along[None, :] + height[None, :]
    tl.store(of_x + place, (slope - line) * scale[None, :], mask=there)


@triton.jit
def _tile(first, last, column, channels, ROWS: tl.constexpr):
    """Where the numbers of some rows and channels lie, and which of them there are."""
    row = first + tl.arange(0, ROWS)
    place = row.to(tl.int64)[:, None] * channels + column[None, :]
    return place, (row < last)[:, None] & (column < channels)[None, :]


@triton.jit
def _line(table, column, channels):
    """Mean, scale and offset of some channels, from the table of `finish_statistics_kernel`."""
    within = column < channels
    mean = tl.load(table + column, mask=within, other=0.0)
    scale = tl.load(table + 2 * channels + column, mask=within, other=0.0)
    offset = tl.load(table + 3 * channels + column, mask=within, other=0.0)
    return mean, scale, offset


@triton.jit
def _normalised(value, mean, scale, offset):
    """The same operations forward and backward, so that the backward finds the sign that the forward found."""
    return (value - mean[None, :]) * scale[None, :] + offset[None, :]


@triton.jit
def _move(running, newest, momentum, column, within) -> None:
    """A moving average takes in the newest value."""
    before = tl.load(running + column, mask=within, other=0.0)
    tl.store(running + column, before + momentum * (newest - before), mask=within)
