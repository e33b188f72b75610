"""Large batches of wide rows by PyTorch's products and a kernel for each step beside them, against float64."""

import math

import pytest
import torch

from likewise import losses
from likewise.losses.fused import gpu_sizes
from likewise.losses.log_sums import choice, matrix_kernels, row_blocks
from likewise.losses.log_sums.sums import Pairs, SumGradients
from losses.kernels import (
    DEVICE,
    compiled_for_a_gpu_that_is_not_here,
    needs_triton,
    on_kernels,
)
from losses.log_sums.test_gpu_tiles import dense, dense_gradients, error, rows, whole_numbers


@pytest.fixture
def by_rows(monkeypatch):
    """Blocks of eight rows or so."""
    monkeypatch.setattr(choice, "form_of", lambda *arguments, **flags: row_blocks)
    monkeypatch.setattr(row_blocks, "SCORES", 300)
    monkeypatch.setattr(matrix_kernels, "ROW_TILE", {"ROWS": 4, "COLUMNS": 16})
    monkeypatch.setattr(matrix_kernels, "COLUMN_TILE", {"ROWS": 4, "COLUMNS": 16})
    monkeypatch.setattr(matrix_kernels, "SLOPE_TILE", {"ROWS": 4, "COLUMNS": 16})


def random_gradients(*log_sums):
    return [
        None if each is None else rows(1, len(each), seed)[0]
        for seed, each in enumerate(log_sums, start=5)
    ]


@on_kernels
@pytest.mark.parametrize(
    ("self_index", "ids"), [("none", "none"), ("some", "some"), ("some", "none"), ("none", "alone")]
)
@pytest.mark.parametrize("scale", [1.0, 60.0])
def test_kernels_of_a_block_of_rows_are_the_formula(by_rows, self_index, ids, scale):
    n, m = 21, 35
    queries, keys = rows(n, 20, 1, scale=scale), rows(m, 20, 2, scale=4.0)
    own = whole_numbers(-1, m, n, 3) if self_index == "some" else None
    query_id, key_id = {
        "none": (None, None),
        "some": (whole_numbers(0, 5, n, 5), whole_numbers(0, 5, m, 6)),
        "alone": (whole_numbers(0, 5, n, 5), whole_numbers(7, 9, m, 6)),
    }[ids]
    pairs = Pairs(own, query_id, key_id)
    sums = row_blocks.forward(queries, keys, pairs)
    exact = queries.double(), keys.double(), *pairs
    for found, right in zip(sums[:2], dense(*exact), strict=True):
        assert (found is None) == (right is None)
        assert found is None or error(found, right) < 2e-6
    grads = random_gradients(*sums[:2])
    found = row_blocks.backward(queries, keys, pairs, sums, SumGradients(*grads))
    wide = [None if grad is None else grad.double() for grad in grads]
    for side, right in zip(found, dense_gradients(*exact, wide), strict=True):
        assert torch.isfinite(side).all()
        assert error(side, right) < (2e-6 if scale < 2 else 1e-4)


@on_kernels
@pytest.mark.parametrize("with_ids", [False, True])
@pytest.mark.parametrize("count", [12, 29])
def test_kernels_of_a_square_by_blocks_of_rows_are_the_formula(by_rows, with_ids, count):
    z = rows(29, 20, 1, scale=3.0)
    ids = whole_numbers(0, 9, 29, 7) if with_ids else None
    sums = row_blocks.forward_square(z, ids, 29)
    itself = torch.arange(29, device=DEVICE)
    for found, right in zip(sums[:2], dense(z.double(), z.double(), itself, ids, ids), strict=True):
        assert found is None or error(found, right) < 2e-6
    grads = random_gradients(*sums[:2])
    found = row_blocks.backward_square(z, ids, sums, SumGradients(*grads), count)
    wide = [None if grad is None else grad.double() for grad in grads]
    right = sum(dense_gradients(z.double(), z.double(), itself, ids, ids, wide))
    assert error(found, right[:count]) < 1e-5


@on_kernels
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_kernels_of_both_ways_are_those_of_each(by_rows, dtype):
    queries, keys = rows(21, 20, 1, dtype, scale=8.0), rows(35, 20, 2, dtype)
    log_sums = row_blocks.forward_both(queries, keys)
    scores = queries.double() @ keys.double().T
    for found, right in zip(log_sums, (scores.logsumexp(1), scores.logsumexp(0)), strict=True):
        assert found.dtype == torch.float32 and error(found, right) < 2e-6
    grads = random_gradients(*log_sums)
    found = row_blocks.backward_both(queries, keys, log_sums, tuple(grads))
    leaves = [side.double().requires_grad_() for side in (queries, keys)]
    scores = leaves[0] @ leaves[1].T
    total = (grads[0].double() * scores.logsumexp(1)).sum() + (
        grads[1].double() * scores.logsumexp(0)
    ).sum()
    for side, right in zip(found, torch.autograd.grad(total, leaves), strict=True):
        # the coefficients are rounded once to the 8 bits of a bfloat16
        assert error(side, right) < (2e-6 if dtype == torch.float32 else 5e-3)


@on_kernels
def test_kernels_pass_over_scores_that_are_not_there_and_those_that_are_no_number():
    scores = torch.full((3, 40), -math.inf, device=DEVICE)
    scores[1] = 1.0
    scores[2, 3] = math.nan
    found = matrix_kernels.log_sums(scores, Pairs()).all_logsumexp
    assert found[0] == -math.inf and found[1].item() == pytest.approx(1 + math.log(40))
    assert found[2].isnan()
    assert (
        matrix_kernels.column_log_sums(scores[:2], Pairs(), 3).all_logsumexp.tolist() == [1.0] * 37
    )


@on_kernels
@pytest.mark.parametrize("learned", [False, True])
def test_kernels_of_blocks_of_rows_serve_clip(by_rows, monkeypatch, learned):
    monkeypatch.setattr(gpu_sizes, "CLIP_PAIRS", 0)
    images, texts = rows(27, 20, 1, scale=2.0), rows(27, 20, 2, scale=2.0)
    scale = torch.tensor(3.0, device=DEVICE)
    ours = [side.clone().requires_grad_() for side in (images, texts, scale)]
    exact = [side.double().requires_grad_() for side in (images, texts, scale)]
    value = losses.clip_loss(ours[0], ours[1], ours[2] if learned else 3.0, 0.1)
    found = torch.autograd.grad(value, ours[: 2 + learned])
    scores = exact[0] @ exact[1].T * exact[2]
    targets = torch.full_like(scores, 0.1 / 26).fill_diagonal_(0.9)
    cross_entropies = [
        -(targets * way.log_softmax(dim=1)).sum(dim=1).mean() for way in (scores, scores.T)
    ]
    right = sum(cross_entropies) / 2
    wanted = torch.autograd.grad(right, exact[: 2 + learned])
    assert value.item() == pytest.approx(right.item(), rel=1e-5)
    for side, exact_side in zip(found, wanted, strict=True):
        assert error(side.reshape(1, -1), exact_side.reshape(1, -1)) < 2e-5


COMPILING = """
from likewise.losses.log_sums import matrix_kernels, sums

matrix_kernels.kernels = compiled
scores, numbers = torch.ones(300, 400), [torch.ones(300), torch.ones(300)]
ids, key_ids = torch.arange(300), torch.arange(400)
for pairs in (sums.Pairs(), sums.Pairs(ids, ids, key_ids)):
    matrix_kernels.log_sums(scores, pairs)
    def role(count):
        each = torch.ones(count)
        same = None if pairs.query_id is None else each
        return sums.Sums(each, same), sums.SumGradients(each, same)
    for dtype in (torch.float32, torch.bfloat16):
        matrix_kernels.slopes(scores, pairs, role(300), role(400), dtype)
    matrix_kernels.column_log_sums(scores, pairs)
"""


@pytest.mark.slow
@needs_triton
def test_the_compiler_takes_what_reads_scores_for_a_gpu_that_is_not_here():
    assert compiled_for_a_gpu_that_is_not_here(COMPILING) == 8
