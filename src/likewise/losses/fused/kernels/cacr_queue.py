"""Each row's softmax over a queue and over its own view, that over its teachers, and the gradient of both."""

from __future__ import annotations

import triton
import triton.language as tl

from likewise.losses.fused.kernels.blocks import (
    LOG2E,
    load_part,
    load_rows,
    product,
    scores,
    store_part,
    store_rows,
)


@triton.jit
def _keys(
    queue, queued, rows, others, column, first, D: tl.constexpr, WIDTH: tl.constexpr
) -> tl.tensor:  # fmt: skip
    """Keys of a share, from a column of them on: of the queue, or of the view. Of one of both there are none."""
    found = load_part(queue, column, queued, first, D, WIDTH).to(tl.float32)
    return found + load_part(rows, column, others, first, D, WIDTH)


@triton.jit
def _scores(
    view, image, images, queue, queued, others, column, held, met,
    D: tl.constexpr, WIDTH: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, PRECISION: tl.constexpr,
    NARROW: tl.constexpr = 128, STEP: tl.constexpr = 64,
) -> tl.tensor:  # fmt: skip
    """Inner products of images of a view with keys of a share; as `row_scores`, which has one kind of keys."""
    if D <= NARROW:
        return scores(held, met, ROWS, COLUMNS, PRECISION)
    else:
        found = tl.zeros([ROWS, COLUMNS], tl.float32)
        for first in range(0, D, STEP):
            row = load_part(view, image, images, first, D, STEP)
            key = _keys(queue, queued, view, others, column, first, D, STEP)
            found = product(row, tl.trans(key), found, PRECISION)
        return found


@triton.jit
def _nothing(ROWS: tl.constexpr, WIDTH: tl.constexpr):
    """Of an empty softmax: the greatest power; the sums of weights, of scores, of keys, and of keys times scores."""
    row = tl.zeros([ROWS], tl.float32)
    key = tl.zeros([ROWS, WIDTH], tl.float32)
    return row + float("-inf"), row, row, key, key


@triton.jit
def _weight(top, power):
    """The greatest power so far with one more of each row, its weight, and by how much those before shrink."""
    highest = tl.maximum(top, power)
    return highest, tl.exp2(power - highest), tl.exp2(top - highest)


@triton.jit(do_not_specialize=["images", "columns"])
def repulsion_kernel(
    rows, queue, sharpness, log_sums, expected, mean_keys, scored_keys, images, columns,
    D: tl.constexpr, WIDTH: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    THROUGH: tl.constexpr, PRECISION: tl.constexpr,
) -> None:  # fmt: skip
    """Of a block of a view's images over a share of what repels them: a part of the queue, or the view's other images.

    Log-sum and expected score go to [shares, rows], of which the view is the last share; the mean key, and the mean of
    key times score, to [shares, rows, D]. Where WIDTH does not hold D, a program makes that part of the means.
    """
    share, shares = tl.program_id(1), tl.num_programs(1)
    at, blocks = tl.program_id(0), tl.cdiv(images, ROWS)
    view = (at // blocks).to(tl.int64) * images
    image = at % blocks * ROWS + tl.arange(0, ROWS)
    there = image < images
    part = tl.program_id(2) * WIDTH
    of_view = rows + view * D
    is_view = share == shares - 1
    queued = tl.where(is_view, 0, columns)
    others = tl.where(is_view, images, 0)
    step = tl.cdiv(tl.cdiv(columns, COLUMNS), shares - 1)
    start = tl.where(is_view, 0, share * step * COLUMNS)
    end = tl.where(is_view, images, tl.minimum(columns, (share + 1) * step * COLUMNS))
    held = load_part(of_view, image, images, part, D, WIDTH)
    scale = LOG2E * 2.0 * sharpness
    top, total, summed, mean, scored = _nothing(ROWS, WIDTH)
    for first in range(start, end, COLUMNS):
        column = first + tl.arange(0, COLUMNS)
        key = _keys(queue, queued, of_view, others, column, part, D, WIDTH)
        score = _scores(
            *(of_view, image, images, queue, queued, others, column, held, key),
            D, WIDTH, ROWS, COLUMNS, PRECISION,
        )  # fmt: skip
        itself = is_view & (image[:, None] == column[None, :])
        compared = (column < end)[None, :] & (itself == 0)
        power = tl.where(compared, score * scale, float("-inf"))
        # Of two images or more, the first tile has one that is another.
        highest = tl.maximum(top, tl.max(power, 1))
        power = tl.exp2(power - highest[:, None])
        shrunk = tl.exp2(top - highest)
        total = total * shrunk + tl.sum(power, 1)
        summed = summed * shrunk + tl.sum(power * score, 1)
        mean = product(power, key, mean * shrunk[:, None], PRECISION)
        if THROUGH:
            scored = product(power * score, key, scored * shrunk[:, None], PRECISION)
        top = highest
    empty = total == 0.0  # a share of no tiles
    divisor = tl.where(empty, 1.0, total)
    target = share.to(tl.int64) * (tl.num_programs(0) // blocks * images) + view + image
    tl.store(log_sums + target, top + tl.log2(divisor), mask=there & (part == 0))
    tl.store(expected + target, summed / divisor, mask=there & (part == 0))
    store_part(mean_keys, target, part, mean / divisor[:, None], there, D, WIDTH)
    if THROUGH:
        store_part(scored_keys, target, part, scored / divisor[:, None], there, D, WIDTH)


@triton.jit
def _pulled(
    rows, teachers, row, count, images, views, sharpness,
    D: tl.constexpr, WIDTH: tl.constexpr, ROWS: tl.constexpr, THROUGH: tl.constexpr,
):  # fmt: skip
    """Expected score of rows with their image's other views by the teacher, and its gradient."""
    held = load_rows(rows, row, count, D, WIDTH, True)
    pull = -2.0 * sharpness
    top, total, summed, mean, scored = _nothing(ROWS, WIDTH)
    for further in range(1, views):
        other = (row + further * images) % count
        key = load_rows(teachers, other, count, D, WIDTH, True).to(tl.float32)
        score = tl.sum(held * key, 1)
        power = score * pull * LOG2E
        top, weight, shrunk = _weight(top, power)
        total = total * shrunk + weight
        summed = summed * shrunk + weight * score
        mean = mean * shrunk[:, None] + weight[:, None] * key
        scored = scored * shrunk[:, None] + (weight * score)[:, None] * key
    expected = summed / total
    slope = _slope(mean / total[:, None], scored / total[:, None], expected, pull, THROUGH)
    return expected, slope


@triton.jit
def _slope(mean, scored, expected, sharpness, THROUGH: tl.constexpr) -> tl.tensor:
    """The gradient of rows' expected scores; the sharpness multiplies scores."""
    if THROUGH:
        mean += sharpness * (scored - expected[:, None] * mean)
    return mean


@triton.jit(do_not_specialize=["count", "images", "views", "shares"])
def rows_kernel(
    rows, teachers, attraction_sharpness, repulsion_sharpness, log_sums, expected, mean_keys, scored_keys,
    of_rows, terms, gradients, count, images, views, shares,
    D: tl.constexpr, WIDTH: tl.constexpr, ROWS: tl.constexpr, THROUGH: tl.constexpr,
) -> None:  # fmt: skip
    """Of some rows both terms, [2, rows], and their gradients by the rows as queries, [2, rows, D].

    Log-sum and expected score over all that repels them go to ``of_rows``, [2, rows].
    """
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    there = row < count
    top, total, summed, mean, scored = _nothing(ROWS, WIDTH)
    for share in range(0, shares):  # of which the first is never empty
        before = count.to(tl.int64) * share
        log_sum = tl.load(log_sums + before + row, mask=there, other=0.0)
        top, weight, shrunk = _weight(top, log_sum)
        total = total * shrunk + weight
        score = tl.load(expected + before + row, mask=there, other=0.0)
        summed = summed * shrunk + weight * score
        key = load_rows(mean_keys + before * D, row, count, D, WIDTH, True)
        mean = mean * shrunk[:, None] + weight[:, None] * key
        if THROUGH:
            key = load_rows(scored_keys + before * D, row, count, D, WIDTH, True)
            scored = scored * shrunk[:, None] + weight[:, None] * key
    pushed = summed / total
    push = 2.0 * repulsion_sharpness
    by_push = _slope(mean / total[:, None], scored / total[:, None], pushed, push, THROUGH)
    pulled, by_pull = _pulled(
        *(rows, teachers, row, count, images, views, attraction_sharpness),
        D, WIDTH, ROWS, THROUGH,
    )  # fmt: skip
    tl.store(of_rows + row, top + tl.log2(total), mask=there)
    tl.store(of_rows + count + row, pushed, mask=there)
    tl.store(terms + row, (2.0 - 2.0 * pulled) / count, mask=there)
    tl.store(terms + count + row, (2.0 * pushed - 2.0) / count, mask=there)
    store_rows(gradients, row, by_pull * (-2.0 / count), there, D, WIDTH)
    of_repulsion = gradients + count.to(tl.int64) * D
    store_rows(of_repulsion, row, by_push * (2.0 / count), there, D, WIDTH)


@triton.jit(do_not_specialize=["count", "images"])
def gradient_kernel(
    rows, sharpness, of_rows, gradients, by_attraction, by_repulsion, found, count, images,
    D: tl.constexpr, WIDTH: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    THROUGH: tl.constexpr, PRECISION: tl.constexpr,
) -> None:  # fmt: skip
    """Of a block of a view's images: the gradients as queries, and that as what repels the view's other images."""
    at, blocks = tl.program_id(0), tl.cdiv(images, ROWS)
    view = (at // blocks).to(tl.int64) * images
    image = at % blocks * ROWS + tl.arange(0, ROWS)
    part = tl.program_id(1) * WIDTH
    of_view = rows + view * D
    held = load_part(of_view, image, images, part, D, WIDTH)
    push = 2.0 * sharpness
    as_key = tl.zeros([ROWS, WIDTH], tl.float32)
    for first in range(0, images, COLUMNS):
        column = first + tl.arange(0, COLUMNS)
        key = load_part(of_view, column, images, part, D, WIDTH)
        score = _scores(
            *(of_view, image, images, of_view, images, 0, column, held, key),
            D, WIDTH, ROWS, COLUMNS, PRECISION,
        )  # fmt: skip
        log_sum = tl.load(of_rows + view + column, mask=column < images, other=float("inf"))
        weight = tl.exp2(score * push * LOG2E - log_sum[None, :])
        if THROUGH:
            mean = tl.load(of_rows + count + view + column, mask=column < images, other=0.0)
            weight *= 1.0 + push * (score - mean[None, :])
        weight = tl.where(image[:, None] == column[None, :], 0.0, weight)
        as_key = product(weight, key, as_key, PRECISION)
    pull_slope = tl.load(by_attraction).to(tl.float32)
    push_slope = tl.load(by_repulsion).to(tl.float32)
    of_attraction = load_part(gradients + view * D, image, images, part, D, WIDTH)
    as_query = load_part(gradients + (count + view) * D, image, images, part, D, WIDTH)
    gradient = pull_slope * of_attraction + push_slope * (as_query + as_key * (2.0 / count))
    store_part(found + view * D, image, part, gradient, image < images, D, WIDTH)
