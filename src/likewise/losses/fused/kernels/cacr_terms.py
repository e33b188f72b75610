"""Each anchor's softmax over the scores, and the loss's slopes by the scores.

A matrix of scores [V B, V B] is of V views of B images, view by view; a number of an anchor lies in [V, V, B] at its
view, the other's view, and its image. Where both views are one, it is that of the attraction.
"""

from __future__ import annotations

import triton
import triton.language as tl

from likewise.losses.fused.kernels.blocks import LOG2E


@triton.jit
def _score(scores, row, column, compared, size):
    """A tile of the scores [size, size], 0 where rows are not compared with columns."""
    pointers = scores + row.to(tl.int64)[:, None] * size + column
    return tl.load(pointers, mask=compared, other=0.0)


@triton.jit(do_not_specialize=["views", "images"])
def anchors_kernel(
    scores, attraction_sharpness, repulsion_sharpness, log_sums, expected, terms, views, images,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
) -> None:  # fmt: skip
    """Of some images in one view: log-sum and expected score over another view's images, or over their own views.

    What these add to the attraction and to the repulsion goes to the two parts [V, V, B] of the terms.
    """
    view, other = tl.program_id(1), tl.program_id(2)
    attracts = view == other
    repels = view < other  # the conditional is that of the first view alone
    image = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    there = image < images
    scale = LOG2E * 2.0 * tl.where(attracts, -attraction_sharpness, repulsion_sharpness)
    top = tl.full([ROWS], float("-inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    summed = tl.zeros([ROWS], tl.float32)
    itself = tl.where(attracts, view, image)
    columns = tl.where(attracts, views, tl.where(repels, images, 0))
    for start in range(0, columns, COLUMNS):
        column = start + tl.arange(0, COLUMNS)[None, :]
        met = tl.where(attracts, column * images + image[:, None], other * images + column)
        compared = there[:, None] & (column < columns) & (column != itself[:, None])
        score = _score(scores, view * images + image, met, compared, views * images)
        power = tl.where(compared, score * scale, float("-inf"))
        highest = tl.maximum(top, tl.max(power, 1))
        shift = tl.where(highest == float("-inf"), 0.0, highest)  # -inf less -inf would be NaN
        power = tl.exp2(power - shift[:, None])
        shrunk = tl.exp2(top - shift)
        total = total * shrunk + tl.sum(power, 1)
        summed = summed * shrunk + tl.sum(power * score, 1)
        top = highest
    mean = summed / total
    target = (view * views + other) * images + image
    tl.store(log_sums + target, top + tl.log2(total), mask=there)
    tl.store(expected + target, mean, mask=there)
    distance = 2.0 - 2.0 * mean
    attraction = tl.where(attracts, distance / (views * images), 0.0)
    repulsion = tl.where(repels, -2.0 * distance / (views * (views - 1) * images), 0.0)
    tl.store(terms + target, attraction, mask=there)
    tl.store(terms + views * views * images + target, repulsion, mask=there)


@triton.jit
def _slope(score, log_sum, mean, sharpness, THROUGH: tl.constexpr):
    """The derivative of an anchor's expected score by a score; the sharpness multiplies scores."""
    weight = tl.exp2(score * sharpness * LOG2E - log_sum)
    if THROUGH:
        weight *= 1.0 + sharpness * (score - mean)
    return weight


@triton.jit
def _of_anchor(log_sums, expected, view, other, image, views, images):
    """Log-sum and expected score of some images."""
    source = (view * views + other) * images + image
    log_sum = tl.load(log_sums + source, mask=image < images, other=0.0)
    return log_sum, tl.load(expected + source, mask=image < images, other=0.0)


@triton.jit(do_not_specialize=["views", "images"])
def slopes_kernel(
    scores, attraction_sharpness, repulsion_sharpness, log_sums, expected, by_attraction, by_repulsion, slopes,
    views, images,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, THROUGH: tl.constexpr,
) -> None:  # fmt: skip
    """The slopes of both terms by the scores of some images in one view with another's images: a symmetric matrix."""
    view, other = tl.program_id(1), tl.program_id(2)
    image = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    size = views * images
    first, second = tl.minimum(view, other), tl.maximum(view, other)
    numbers = log_sums, expected
    sum_row, mean_row = _of_anchor(*numbers, first, second, image, views, images)
    # Both views of an image are attracted by each other.
    sum_here, mean_here = _of_anchor(*numbers, view, view, image, views, images)
    sum_there, mean_there = _of_anchor(*numbers, other, other, image, views, images)
    pull, push = -2.0 * attraction_sharpness, 2.0 * repulsion_sharpness
    of_pull = tl.load(by_attraction).to(tl.float32) * -2.0 / size
    of_push = tl.load(by_repulsion).to(tl.float32) * 4.0 / (size * (views - 1))
    for start in range(0, images, COLUMNS):
        column = start + tl.arange(0, COLUMNS)
        compared = (image < images)[:, None] & (column < images)[None, :]
        met = other * images + column[None, :]
        score = _score(scores, view * images + image, met, compared, size)
        sum_column, mean_column = _of_anchor(*numbers, first, second, column, views, images)
        is_row = view < other  # the anchor is the image in the first of both views
        log_sum = tl.where(is_row, sum_row[:, None], sum_column[None, :])
        mean = tl.where(is_row, mean_row[:, None], mean_column[None, :])
        pulled = _slope(score, sum_here[:, None], mean_here[:, None], pull, THROUGH)
        pulled += _slope(score, sum_there[:, None], mean_there[:, None], pull, THROUGH)
        pushed = _slope(score, log_sum, mean, push, THROUGH)
        same = image[:, None] == column[None, :]
        slope = tl.where(same, pulled * of_pull, pushed * of_push)
        slope = tl.where(view == other, 0.0, slope)  # images of one view are not compared
        pointers = slopes + (view * images + image).to(tl.int64)[:, None] * size + met
        tl.store(pointers, slope, mask=compared)
