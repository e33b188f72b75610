"""The GPU kernels against a dense computation in float64, with autograd for its gradients.

On a machine with a GPU the kernels are compiled. Everywhere else the same cases run through Triton's interpreter, which
must be chosen before Triton is imported, and so has a process of its own.
"""

import math
import os
import subprocess
import sys

import pytest
import torch

from likewise import losses
from likewise.errors import LikewiseError
from likewise.losses import dense as dense_losses
from likewise.losses.fused import gpu_sizes
from likewise.losses.fused.tiling import Tiles, fitting
from likewise.losses.log_sums import gpu_tiles
from likewise.losses.log_sums.launch import backward_tiles, forward_tiles
from likewise.losses.log_sums.own_keys import own_spans, spans
from losses.kernels import (
    DEVICE,
    compiled_for_a_gpu_that_is_not_here,
    needs_triton,
    on_kernels,
)

SMALL = Tiles(16, 16)
"""so that a few dozen rows are several blocks and tiles"""


def dense(queries, keys, self_index, query_id, key_id):
    """Both log-sums from the whole matrix of scores."""
    scores = queries @ keys.T
    compared = torch.ones_like(scores, dtype=torch.bool)
    if self_index is not None:
        compared = self_index[:, None] != torch.arange(len(keys), device=self_index.device)
    all_logsumexp = scores.masked_fill(~compared, -math.inf).logsumexp(dim=1)
    if query_id is None:
        return all_logsumexp, None
    alike = compared & (query_id[:, None] == key_id)
    return all_logsumexp, scores.masked_fill(~alike, -math.inf).logsumexp(dim=1)


def dense_gradients(queries, keys, self_index, query_id, key_id, grads):
    """By autograd; rows whose log-sum is -inf are left out of the sum, which is what adding nothing means."""
    queries, keys = queries.clone().requires_grad_(), keys.clone().requires_grad_()
    log_sums = dense(queries, keys, self_index, query_id, key_id)
    pairs = [(s, g) for s, g in zip(log_sums, grads, strict=True) if s is not None]
    total = sum((g[s > -math.inf] * s[s > -math.inf]).sum() for s, g in pairs)
    return torch.autograd.grad(total, (queries, keys))


def rows(count, width, seed, dtype=torch.float32, scale=1.0):
    """Standard normal rows of length about `scale`, as the kernels get them."""
    drawn = torch.randn(
        count, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    return (drawn * scale / width**0.5).to(DEVICE, dtype)


def whole_numbers(low, high, count, seed):
    return torch.randint(low, high, (count,), generator=torch.Generator().manual_seed(seed)).to(
        DEVICE
    )


def weights(count, ids):
    drawn = torch.randn(
        2, count, generator=torch.Generator().manual_seed(9), dtype=torch.float64
    ).to(DEVICE)
    return drawn[0], drawn[1] if ids else None


def error(ours, right):
    """The norm of the difference against the norm of what is right; both must be -inf in the same places."""
    assert ours.shape == right.shape
    none = right == -math.inf
    assert torch.equal(ours == -math.inf, none)
    difference = (ours.double() - right.double())[~none]
    return float(difference.norm() / right[~none].norm().clamp(min=1e-30))


def compare(
    queries,
    keys,
    self_index,
    query_id,
    key_id,
    tiles=SMALL,
    tolerance=2e-6,
    gradient_tolerance=2e-6,
):
    """Log-sums and both gradients."""
    exact = (queries.double(), keys.double(), self_index, query_id, key_id)
    grads = weights(len(queries), query_id is not None)
    all_logsumexp, positives_logsumexp = gpu_tiles.forward(
        queries, keys, self_index, query_id, key_id, tiles
    )
    assert all_logsumexp.dtype == torch.float32
    for found, right in zip((all_logsumexp, positives_logsumexp), dense(*exact), strict=True):
        assert (found is None) == (right is None)
        if found is not None:
            assert error(found, right) < tolerance
    found = gpu_tiles.backward(
        queries,
        keys,
        self_index,
        query_id,
        key_id,
        all_logsumexp,
        positives_logsumexp,
        grads[0],
        grads[1],
        (True, True),
        tiles,
    )
    for side, right in zip(found, dense_gradients(*exact, grads), strict=True):
        assert side.dtype == torch.float32
        assert torch.isfinite(side).all()
        assert error(side, right) < gradient_tolerance


def compare_square(z, self_index, ids, tiles=SMALL, gradient_tolerance=2e-6):
    exact = z.double()
    grads = weights(len(z), ids is not None)
    all_logsumexp, positives_logsumexp = gpu_tiles.forward(z, z, self_index, ids, ids, tiles)
    found = gpu_tiles.backward_square(
        z, self_index, ids, all_logsumexp, positives_logsumexp, grads[0], grads[1], tiles
    )
    right = sum(dense_gradients(exact, exact, self_index, ids, ids, grads))
    assert found.dtype == torch.float32
    assert torch.isfinite(found).all()
    assert error(found, right) < gradient_tolerance


# Blocks of 16 with a rest on both sides. At scale 60 the scores go from -150 to 150 and log-sums lie 100 apart: beyond
# what the way without maxima takes. Float32 holds such a score to 1e-5, and its exponential no better.
@on_kernels
@pytest.mark.parametrize(
    ("scale", "self_index", "ids"),
    [
        (1.0, "none", "none"),
        (1.0, "none", "five"),
        (1.0, "first", "none"),
        (1.0, "first", "all different"),
        (1.0, "mixed", "one"),
        (1.0, "mixed", "five"),
        (60.0, "none", "one"),
        (60.0, "first", "five"),
        (60.0, "mixed", "none"),
        (60.0, "mixed", "all different"),
    ],
)
def test_kernels_are_the_formula(scale, self_index, ids):
    n, m = 21, 54
    queries, keys = rows(n, 20, 1, scale=scale), rows(m, 20, 2, scale=4.0)
    counted = torch.arange(m, device=DEVICE)
    mixed = whole_numbers(0, m, n, 3).where(whole_numbers(0, 3, n, 4) > 0, -1)
    own_key = {"none": None, "first": counted[:n], "mixed": mixed}[self_index]
    query_id, key_id = {
        "none": (None, None),
        "one": (counted[:n] * 0, counted * 0),
        "all different": (counted[:n], counted + 10),
        "five": (whole_numbers(0, 5, n, 5), whole_numbers(0, 5, m, 6)),
    }[ids]
    compare(
        queries, keys, own_key, query_id, key_id, gradient_tolerance=2e-6 if scale < 2 else 1e-4
    )


@on_kernels
@pytest.mark.parametrize(
    ("self_index", "with_ids"),
    [("none", True), ("itself", False), ("itself", True), ("mixed", True)],
)
@pytest.mark.parametrize("scale", [1.0, 20.0])
def test_kernels_of_the_square_are_the_formula(self_index, with_ids, scale):
    z = rows(36, 20, 1, scale=scale)
    own_key = {
        "none": None,
        "itself": torch.arange(36, device=DEVICE),
        "mixed": whole_numbers(-1, 36, 36, 3),
    }[self_index]
    ids = whole_numbers(0, 16, 36, 7) if with_ids else None
    compare_square(z, own_key, ids, gradient_tolerance=2e-6 if scale < 2 else 1e-4)


@on_kernels
@pytest.mark.parametrize(("count", "scale"), [(1, 1.0), (16, 1.0), (21, 20.0)])
@pytest.mark.parametrize("with_ids", [False, True])
def test_kernels_of_the_first_rows_of_a_square_are_those_of_the_square(count, scale, with_ids):
    z, ids = rows(37, 20, 1, scale=scale), whole_numbers(0, 9, 37, 7) if with_ids else None
    first_ids = None if ids is None else ids[:count]
    sums = gpu_tiles.forward(z, z, gpu_tiles.ITSELF, ids, ids, SMALL)
    first = gpu_tiles.forward(z[:count], z, gpu_tiles.ITSELF, first_ids, ids, SMALL)
    grads = [
        None if log_sum is None else rows(1, 37, seed)[0]
        for seed, log_sum in enumerate(sums, start=3)
    ]
    whole = gpu_tiles.backward_square(z, gpu_tiles.ITSELF, ids, *sums, *grads, SMALL)
    part = gpu_tiles.backward_square(z, gpu_tiles.ITSELF, ids, *sums, *grads, SMALL, count)
    for ours, theirs in zip((*first, part), (*sums, whole), strict=True):
        assert (ours is None) == (theirs is None)
        if theirs is not None:
            torch.testing.assert_close(ours, theirs[:count], rtol=1e-5, atol=1e-5)


@on_kernels
@pytest.mark.parametrize(
    ("width", "tiles"),
    [
        (5, Tiles(16, 32, splits=3)),
        (16, Tiles(32, 16)),
        (64, Tiles(16, 32)),
        (128, Tiles(32, 16, splits=2)),
    ],
)
def test_kernels_take_any_width_and_any_cut(width, tiles):
    self_index = torch.arange(33, device=DEVICE)
    compare(
        rows(33, width, 1),
        rows(48, width, 2),
        self_index,
        self_index % 7,
        torch.arange(48, device=DEVICE) % 7,
        tiles,
    )
    compare_square(rows(33, width, 1), self_index, self_index % 7, tiles)


@on_kernels
def test_kernels_have_tiles_of_their_own():
    self_index = torch.arange(150, device=DEVICE)
    compare(rows(150, 24, 1), rows(170, 24, 2), self_index, None, None, tiles=None)
    compare_square(rows(150, 24, 1), self_index, self_index % 70, tiles=None)


# The coefficients are rounded once to the 8 bits of a bfloat16 (2**-9 each, at random) or the 11 of a float16.
@on_kernels
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 5e-3), (torch.float16, 6e-4)])
def test_kernels_in_half_precision(dtype, tolerance):
    self_index = torch.arange(40, device=DEVICE)
    queries, keys = rows(40, 64, 1, dtype, scale=8.0), rows(52, 64, 2, dtype)
    key_id = torch.arange(52, device=DEVICE) % 6
    compare(queries, keys, self_index, self_index % 6, key_id, gradient_tolerance=tolerance)
    compare_square(
        keys, self_index[:1].expand(52).contiguous(), key_id, gradient_tolerance=tolerance
    )


@on_kernels
def test_kernels_keep_tiny_weights_in_float16():
    """The weight of a mean over 65536 rows lies where float16 has few bits left, and its share of a row has none."""
    z = rows(40, 16, 1, torch.float16)
    self_index = torch.arange(40, device=DEVICE)
    all_logsumexp, _ = gpu_tiles.forward(z, z, self_index, None, None, SMALL)
    weight = torch.full((40,), 1e-6, device=DEVICE)
    found = gpu_tiles.backward_square(z, self_index, None, all_logsumexp, None, weight, None, SMALL)
    right = sum(
        dense_gradients(z.double(), z.double(), self_index, None, None, (weight.double(), None))
    )
    assert error(found, right) < 6e-4


@on_kernels
def test_kernels_at_a_tiny_temperature():
    """Scores up to 1000: exp overflows, positives lie hundreds below the maximum, own keys hundreds above all."""
    z = torch.nn.functional.normalize(rows(40, 8, 1), dim=1)
    self_index, ids = torch.arange(40, device=DEVICE), torch.arange(40, device=DEVICE) % 13
    # A score of 1000 is off by 6e-5 in float32, and its exponential by as much.
    compare(z * 1000, z, self_index, ids, ids, gradient_tolerance=2e-4)
    compare_square(z * 1000**0.5, self_index, ids, gradient_tolerance=2e-4)


@on_kernels
@pytest.mark.parametrize("scale", [1.0, 60.0])
def test_kernels_of_rows_that_are_compared_with_nothing(scale):
    z = rows(20, 8, 1, scale=scale)
    alone = torch.arange(20, device=DEVICE)
    all_logsumexp, positives_logsumexp = gpu_tiles.forward(z, z, alone, alone, alone, SMALL)
    assert torch.isfinite(all_logsumexp).all()
    assert (positives_logsumexp == -math.inf).all()
    # A score of thousands is off by its last bit in float32, and its exponential by as much.
    rounding = torch.finfo(z.dtype).eps * float((z @ z.T).fill_diagonal_(0).abs().max())
    compare_square(z, alone, alone.clamp(min=10), gradient_tolerance=max(2e-6, rounding))

    one = rows(1, 8, 3, scale=scale)
    nobody, _ = gpu_tiles.forward(one, one, alone[:1], None, None, SMALL)
    assert nobody.tolist() == [-math.inf]
    bad = torch.full((1,), math.nan, device=DEVICE)
    assert (
        gpu_tiles.backward_square(one, alone[:1], None, nobody, None, bad, None, SMALL) == 0
    ).all()
    compare(one, z, None, None, None, gradient_tolerance=2e-6 if scale < 2 else 1e-4)

    empty, _ = gpu_tiles.forward(z, z[:0], None, None, None, SMALL)
    assert empty.tolist() == [-math.inf] * 20


@on_kernels
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_kernels_never_read_the_weight_of_an_empty_sum(dtype):
    z, self_index = rows(20, 8, 1, dtype), torch.arange(20, device=DEVICE)
    all_logsumexp, positives_logsumexp = gpu_tiles.forward(
        z, z, self_index, self_index, self_index, SMALL
    )
    weight, nan = torch.ones(20, device=DEVICE), torch.full((20,), math.nan, device=DEVICE)
    found = gpu_tiles.backward_square(
        z, self_index, self_index, all_logsumexp, positives_logsumexp, weight, nan, SMALL
    )
    assert torch.equal(
        found,
        gpu_tiles.backward_square(z, self_index, None, all_logsumexp, None, weight, None, SMALL),
    )


@on_kernels
@pytest.mark.parametrize("scale", [1.0, 60.0])
def test_kernels_take_a_log_sum_of_minus_infinity_for_nothing_at_all(scale):
    z, ids = rows(40, 8, 1, scale=scale), torch.arange(40, device=DEVICE) % 5
    all_logsumexp, positives_logsumexp = gpu_tiles.forward(z, z, None, ids, ids, SMALL)
    silent = ids == 2
    grads = weights(40, ids=True)
    heard = [grad.masked_fill(silent, 0) for grad in grads]
    right = gpu_tiles.backward_square(
        z, None, ids, all_logsumexp, positives_logsumexp, *heard, SMALL
    )
    log_sums = [
        log_sum.masked_fill(silent, -math.inf) for log_sum in (all_logsumexp, positives_logsumexp)
    ]
    assert error(gpu_tiles.backward_square(z, None, ids, *log_sums, *grads, SMALL), right) < 2e-6
    nobody = torch.full_like(all_logsumexp, -math.inf)
    assert (gpu_tiles.backward_square(z, None, ids, nobody, nobody, *grads, SMALL) == 0).all()


@on_kernels
def test_kernels_where_an_own_key_scores_above_all_others():
    """In a square of long rows a pair left out is exp(400) times the sum, and must not reach it as inf times 0."""
    z = rows(20, 64, 1, scale=2.0)
    z[3] *= 12
    compare_square(z, torch.arange(20, device=DEVICE), None, gradient_tolerance=1e-5)


@on_kernels
def test_kernels_take_matrices_that_are_not_contiguous():
    wide, tall = rows(37, 40, 1), rows(20, 50, 2)
    ids, self_index = (whole_numbers(0, high, 100, high)[::2] for high in (6, 50))
    compare(wide[:, ::2], tall.T, self_index[:37], ids[:37], ids)
    compare_square(tall.T, self_index, ids)
    share = torch.ones((), device=DEVICE).expand(37)
    all_logsumexp, _ = gpu_tiles.forward(wide, wide, None, None, None, SMALL)
    found = gpu_tiles.backward_square(wide, None, None, all_logsumexp, None, share, None, SMALL)
    assert (
        error(
            found,
            sum(dense_gradients(wide.double(), wide.double(), None, None, None, (share, None))),
        )
        < 2e-6
    )


@on_kernels
def test_kernels_read_nothing_behind_the_last_row():
    memory = torch.full((1000,), math.nan, device=DEVICE)
    z = memory[: 32 * 5].view(32, 5)
    z.copy_(rows(32, 5, 1))
    compare_square(z, None, None)


@on_kernels
@pytest.mark.parametrize("wants", [(True, False), (False, True), (False, False)])
def test_kernels_give_the_gradients_that_are_wanted(wants):
    queries, keys = rows(20, 8, 1), rows(24, 8, 2)
    all_logsumexp, _ = gpu_tiles.forward(queries, keys, None, None, None, SMALL)
    ones = torch.ones_like(all_logsumexp)
    arguments = (queries, keys, None, None, None, all_logsumexp, None, ones, None)
    both = gpu_tiles.backward(*arguments, (True, True), SMALL)
    found = gpu_tiles.backward(*arguments, wants, SMALL)
    for side, asked, right in zip(found, wants, both, strict=True):
        assert torch.equal(side, right) if asked else side is None


@on_kernels
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_kernels_give_the_same_bits_twice(dtype):
    z, self_index = rows(50, 20, 1, dtype, scale=3.0), whole_numbers(-1, 50, 50, 2)
    ids = self_index % 5
    tiles = SMALL._replace(splits=2)
    log_sums = [gpu_tiles.forward(z, z, self_index, ids, ids, tiles) for _ in range(2)]
    assert torch.equal(log_sums[0][0], log_sums[1][0])
    assert torch.equal(log_sums[0][1], log_sums[1][1])
    grads = weights(50, ids=True)
    found = [
        gpu_tiles.backward_square(z, self_index, ids, *log_sums[0], *grads, tiles) for _ in range(2)
    ]
    assert torch.equal(found[0], found[1])


@on_kernels
def test_kernels_pass_nan_on():
    z = rows(20, 8, 1)
    z[4, 2] = math.nan
    all_logsumexp, _ = gpu_tiles.forward(z, z, torch.arange(20, device=DEVICE), None, None, SMALL)
    assert all_logsumexp.isnan().all()
    found = gpu_tiles.backward_square(
        z, None, None, all_logsumexp, None, torch.ones_like(all_logsumexp), None, SMALL
    )
    assert found.isnan().all()


@on_kernels
def test_kernels_refuse_what_they_cannot_serve():
    wide, exact = rows(20, 129, 1), rows(20, 8, 1, torch.float64)
    assert not gpu_tiles.supports(wide, wide)
    assert not gpu_tiles.supports(exact, exact)
    assert not gpu_tiles.supports(rows(20, 8, 1), rows(20, 8, 1, torch.bfloat16))
    assert not gpu_tiles.supports(*[rows(20, 513, 1, torch.bfloat16)] * 2)
    assert gpu_tiles.supports(*[rows(20, 512, 1, torch.bfloat16)] * 2)
    with pytest.raises(LikewiseError, match="float32 with at most 128"):
        gpu_tiles.forward(wide, wide, None, None, None)
    with pytest.raises(LikewiseError, match="float64"):
        gpu_tiles.backward_square(exact, None, None, exact[:, 0], None, exact[:, 0], None)


# Bytes of shared memory that a program may have: capability 9.0, 8.0, and 8.6 and 8.9.
@pytest.mark.parametrize("shared_memory", [232448, 166912, 101376])
@pytest.mark.parametrize("choice", [forward_tiles, backward_tiles])
@pytest.mark.parametrize(
    ("dtype", "width"), [(torch.bfloat16, 128), (torch.bfloat16, 512), (torch.float32, 128)]
)
def test_tiles_are_cut_down_to_the_shared_memory(shared_memory, choice, dtype, width):
    z = torch.empty(1, width, dtype=dtype)
    tiles = fitting(choice(z), width, z.element_size(), shared_memory)
    needed = width * z.element_size() * (tiles.rows + tiles.stages * tiles.columns)
    assert shared_memory / 8 < needed < shared_memory
    assert min(tiles.rows, tiles.columns) >= 16


def test_spans_hold_every_pair_that_is_left_out():
    """16 rows a block, 4 columns a tile: both as the queries meet their own keys, and as the keys meet the queries."""
    self_index = torch.tensor([-1] * 16 + [5, 9, -1, 6] * 4 + [31] * 3, dtype=torch.int32)
    tiles = Tiles(16, 4)
    assert spans(self_index, tiles, 35, 40, (True, False)).tolist() == [[0, 0], [1, 3], [7, 8]]
    assert spans(self_index, tiles, 40, 35, (False, True)).tolist() == [[4, 8], [8, 9], [0, 0]]
    assert spans(self_index, tiles, 35, 35, (True, True)).tolist() == [[4, 8], [1, 9], [7, 8]]
    assert spans(None, tiles, 35, 40, (True, True)) is None


@pytest.mark.parametrize("count", [1, 35, 64])
def test_spans_of_rows_among_themselves_are_known_without_looking(count):
    for tiles in (Tiles(16, 4), Tiles(16, 64)):
        itself = torch.arange(count, dtype=torch.int32)
        for roles in ((True, False), (True, True)):
            found = own_spans(tiles, count, itself.device)
            assert torch.equal(found, spans(itself, tiles, count, count, roles))


COMPILING = """
from likewise.losses.log_sums import gpu_tiles, launch

Compiled.instructions = ("wgmma",)
launch.kernels = compiled
gpu_tiles.supports = lambda *sides: True
z, own = torch.ones(300, 128, dtype=torch.bfloat16), torch.arange(300)
everyone, same = gpu_tiles.forward(z, z, own, own, own)
gpu_tiles.backward_square(z, own, own, everyone, same, everyone, same)
"""


@pytest.mark.slow
@needs_triton
def test_the_compiler_takes_both_for_a_gpu_that_is_not_here():
    """What the interpreter runs may still not compile; this compiles for capability 9.0, tensor cores and all."""
    assert compiled_for_a_gpu_that_is_not_here(COMPILING) == 2


def test_a_cpu_without_the_interpreter_is_not_served_and_triton_stays_unloaded():
    code = (
        "import sys, torch, likewise.losses, likewise.losses.log_sums.gpu_tiles as t; z = torch.zeros(4, 4);"
        "assert not t.supports(z, z); assert 'triton' not in sys.modules; print('fine')"
    )
    clean = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    run = subprocess.run(
        [sys.executable, "-c", code], env=clean, capture_output=True, text=True, timeout=300
    )
    assert run.stdout.strip() == "fine", run.stderr


@on_kernels
@pytest.mark.parametrize(
    "name",
    [
        "among, out",
        "among, nca",
        "between, out",
        "between, in",
        "queue",
        "distillation",
        "soft targets",
    ],
)
def test_kernels_serve_the_losses(name, monkeypatch):
    """The whole way from a loss of the library to its gradient, by kernels, against the dense form in float64."""
    monkeypatch.setattr(gpu_sizes, "SOFT_TARGETS", 0)  # up to which `against_keys` has others
    z = rows(24, 16, 1, scale=2.0)
    keys = rows(40, 16, 2, scale=2.0)
    ids = torch.arange(24, device=DEVICE) // 2
    itself, others = torch.arange(24, device=DEVICE), whole_numbers(-1, 9, 40, 3)
    targets = (
        torch.rand(24, 40, generator=torch.Generator().manual_seed(4)).softmax(dim=1).to(DEVICE)
    )
    loss = {
        "among, out": lambda m, z, k: m.info_nce(z, z, ids, ids, 0.2, itself),
        "among, nca": lambda m, z, k: m.info_nce(
            z, z, ids.flip(0), ids.flip(0), 0.2, itself, "nca"
        ),
        "between, out": lambda m, z, k: m.info_nce(z, k, ids, others, 0.2),
        "between, in": lambda m, z, k: m.info_nce(z, k, ids, others, 0.2, itself.flip(0), "in"),
        "queue": lambda m, z, k: m.queue_nce(z, z.flip(0), k, 0.2),
        "distillation": lambda m, z, k: m.similarity_distillation(z, z.flip(0), k, 0.1, 0.05),
        "soft targets": lambda m, z, k: m.soft_nce(z, k, targets.to(z), 0.2),
    }[name]

    def gradients(module, dtype):
        leaves = [side.detach().to(dtype).requires_grad_() for side in (z, keys)]
        value = loss(module, *leaves)
        return value, [
            g for g in torch.autograd.grad(value, leaves, allow_unused=True) if g is not None
        ]

    assert gpu_tiles.supports(z, keys)
    value, ours = gradients(losses, torch.float32)
    right, exact = gradients(dense_losses, torch.float64)
    assert value.item() == pytest.approx(right.item(), rel=1e-5)
    for side, wanted in zip(ours, exact, strict=True):
        assert error(side, wanted) < 2e-5
