"""Of each row the loss and the gradient."""

from __future__ import annotations

import triton
import triton.language as tl

from likewise.losses.fused.kernels.blocks import (
    LN2,
    LOG2E,
    add_tile,
    load_part,
    load_rows,
    store_part,
    store_rows,
)


@triton.jit
def _log_sum(
    logits, row, rows, scale, D: tl.constexpr, WIDTH: tl.constexpr, ROWS: tl.constexpr
):  # fmt: skip
    """Log-sum-exp of some rows of logits."""
    top = tl.full([ROWS], float("-inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    for first in range(0, D, WIDTH):
        within = first + tl.arange(0, WIDTH) < D
        score = load_part(logits, row, rows, first, D, WIDTH).to(tl.float32) * scale
        top, total = add_tile(top, total, tl.where(within[None, :], score, float("-inf")))
    return top + tl.log2(total)


@triton.jit(do_not_specialize=["rows"])
def logits_kernel(
    logits, targets, temperature, loss, gradient, rows,
    D: tl.constexpr, WIDTH: tl.constexpr, ROWS: tl.constexpr, DISTILS: tl.constexpr,
) -> None:  # fmt: skip
    """What some rows add to the mean loss, and the gradient of their logits, float32.

    The targets are probabilities, or the teacher's logits where it DISTILS.
    """
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    there = row < rows
    scale = LOG2E / temperature
    log_sum = _log_sum(logits, row, rows, scale, D, WIDTH, ROWS)
    if DISTILS:
        teacher_sum = _log_sum(targets, row, rows, scale, D, WIDTH, ROWS)
        weight = tl.full([ROWS], 1.0, tl.float32)
    else:
        weight = tl.zeros([ROWS], tl.float32)
        for first in range(0, D, WIDTH):
            target = load_part(targets, row, rows, first, D, WIDTH).to(tl.float32)
            weight += tl.sum(target, 1)
    value = tl.zeros([ROWS], tl.float32)
    for first in range(0, D, WIDTH):
        within = (first + tl.arange(0, WIDTH) < D)[None, :]
        score = load_part(logits, row, rows, first, D, WIDTH).to(tl.float32) * scale
        score -= log_sum[:, None]
        target = load_part(targets, row, rows, first, D, WIDTH).to(tl.float32)
        apart = -score
        if DISTILS:
            target_score = target * scale - teacher_sum[:, None]
            apart = target_score - score
            target = tl.exp2(target_score)
        value += tl.sum(tl.where(within, target * apart, 0.0), 1)
        slope = (weight[:, None] * tl.exp2(score) - target) * (temperature / rows)
        store_part(gradient, row, first, slope, there, D, WIDTH)
    value *= LN2 * temperature * temperature / rows
    tl.store(loss + row, value, mask=there)


@triton.jit
def _unit(matrix, row, rows, D: tl.constexpr, WIDTH: tl.constexpr):
    """Some rows of length 1, and one over their lengths."""
    value = load_rows(matrix, row, rows, D, WIDTH, True).to(tl.float32)
    scale = 1.0 / tl.maximum(tl.sqrt(tl.sum(value * value, 1)), 1e-12)
    return value * scale[:, None], scale


@triton.jit(do_not_specialize=["rows"])
def cosine_kernel(
    predictions, targets, loss, gradient, rows,
    D: tl.constexpr, WIDTH: tl.constexpr, ROWS: tl.constexpr,
) -> None:  # fmt: skip
    """What some rows add to the mean loss, and the gradient of the predictions, float32."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    prediction, scale = _unit(predictions, row, rows, D, WIDTH)
    target, _ = _unit(targets, row, rows, D, WIDTH)
    cosine = tl.sum(prediction * target, 1)
    slope = (prediction * cosine[:, None] - target) * (2.0 * scale / rows)[:, None]
    tl.store(loss + row, (2.0 - 2.0 * cosine) / rows, mask=row < rows)
    store_rows(gradient, row, slope, row < rows, D, WIDTH)
