"""The losses against a queue, of pairs, of soft targets, of ids and of bags in few launches.

They are compared with the same in float64 by PyTorch's operations.
"""

import pytest
import torch
import torch.nn.functional as F

from likewise import losses
from likewise.collectives import RowShard
from likewise.gpu_kernels import kernels
from likewise.losses.float32 import unit
from likewise.losses.fused import (
    against_keys,
    against_queue,
    clip_pairs,
    gpu_sizes,
    kernels_first,
)
from likewise.losses.fused.tiling import Tiles
from likewise.losses.second_derivatives import NotTwiceDifferentiable
from losses.kernels import (
    DEVICE,
    INTERPRETED,
    Counted,
    beside,
    compiled_for_a_gpu_that_is_not_here,
    needs_triton,
    on_kernels,
)
from losses.launches import Launches


def rows(count, width, seed):
    drawn = torch.randn(
        count, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    return F.normalize(drawn, dim=1).to(DEVICE)


def number(temperature):
    """As a float, where a loss learns none."""
    return temperature.item() if isinstance(temperature, torch.Tensor) else temperature


def soft_targets(count, dtype):
    """Rows of different sums, with zeros, read across; eighths, which every format holds."""
    eighths = torch.randint(-3, 8, (count, count), generator=torch.Generator().manual_seed(5))
    return (eighths.clamp(min=0) / 8).T.to(DEVICE, dtype)


def ids(count, classes=3):
    """Of which one is unknown, and one has no positive."""
    found = torch.arange(count) % classes
    if count > 2:
        found[:2] = torch.tensor([-1, 7])
    return found.to(DEVICE)


def own_keys(count):
    """Of every second query."""
    index = torch.arange(count)
    return torch.where(index % 2 == 0, index.flip(0), -1).to(DEVICE)


def bags(rows, size):
    """Of each row, and of rows before it."""
    return torch.stack([rows.roll(shift, 0) for shift in range(size)], dim=1)


LOSSES = {
    "info_nce": lambda a, b, queue, t: losses.info_nce(
        a, b, ids(len(a)), ids(len(b), 2), t, own_keys(len(a))
    ),
    "info_nce, over all": lambda a, b, queue, t: losses.info_nce(
        a, b, ids(len(a)), ids(len(b), 2), t, reduction="all"
    ),
    "info_nce in": lambda a, b, queue, t: losses.info_nce(
        a, b, ids(len(a)), ids(len(b), 2), t, own_keys(len(a)), "in"
    ),
    "info_nce nca, over all": lambda a, b, queue, t: losses.info_nce(
        a, b, ids(len(a)), ids(len(b), 2), t, kind="nca", reduction="all"
    ),
    "mil_nce": lambda a, b, queue, t: losses.mil_nce(a, bags(b, 3), t),
    "mil_nce, large bags": lambda a, b, queue, t: losses.mil_nce(a, bags(b, 17), t),
    "queue_nce": lambda a, b, queue, t: losses.queue_nce(a, b, queue, t),
    "similarity_distillation": lambda a, b, queue, t: losses.similarity_distillation(
        a, b, queue, number(t), 0.04
    ),
    "clip_loss": lambda a, b, queue, t: losses.clip_loss(a, b, 1 / t),
    "clip_loss, smoothed": lambda a, b, queue, t: losses.clip_loss(a, b, 1 / t, 0.3),
    "soft_nce": lambda a, b, queue, t: losses.soft_nce(a, b, soft_targets(len(a), a.dtype), t),
}


@pytest.fixture
def launched(monkeypatch):
    """Names of the kernels that were launched; several blocks, tiles and shares of the queue."""
    names = []
    for module in (against_queue, clip_pairs, against_keys):
        monkeypatch.setattr(module, "kernels", lambda file: Counted(kernels(file), names))
    monkeypatch.setattr(against_queue, "_tiles", lambda width: Tiles(16, 16, splits=3))
    for choice in ("FORWARD", "BACKWARD"):
        monkeypatch.setattr(clip_pairs, choice, (Tiles(16, 32, splits=1),) * 2)
        monkeypatch.setattr(against_keys, choice, (Tiles(16, 16, splits=2),) * 2)
    return names


def value_and_gradients(loss, leaves, queue, temperature):
    """The loss with its gradients by all of the rows, and by the temperature."""
    leaves = [leaf.detach().requires_grad_() for leaf in leaves]
    temperature = torch.tensor(
        temperature, dtype=leaves[0].dtype, device=DEVICE, requires_grad=True
    )
    value = loss(*leaves, queue, temperature)
    found = torch.autograd.grad(value * 1.7, [*leaves, temperature], allow_unused=True)
    return value.detach().double(), [None if each is None else each.double() for each in found]


def close(found, right, tolerance):
    return all(
        (one is None) == (other is None)
        and (one is None or (one - other).norm() <= tolerance * (other.norm() + 1e-2))
        for one, other in zip(found, right, strict=True)
    )


@on_kernels
@pytest.mark.parametrize(
    ("count", "keys", "width", "temperature"),
    [
        (2, 1, 5, 0.2),
        pytest.param(37, 70, 24, 0.2, marks=pytest.mark.slow),
        (37, 70, 24, 0.01),
        pytest.param(18, 20, 128, 0.01, marks=pytest.mark.slow),
        (5, 17, 300, 0.2),
    ],
)
@pytest.mark.parametrize("name", LOSSES)
def test_kernels_give_value_and_gradients(name, temperature, count, keys, width, launched):
    leaves, queue = [rows(count, width, 0), rows(count, width, 1)], rows(keys, width, 2)
    value, gradients = value_and_gradients(LOSSES[name], leaves, queue, temperature)
    assert not launched  # float64 goes another way
    narrow = [leaf.float() for leaf in leaves]
    found, found_gradients = value_and_gradients(LOSSES[name], narrow, queue.float(), temperature)
    assert launched
    torch.testing.assert_close(found, value, rtol=2e-6, atol=2e-5)  # a score of 100 is off by 8e-6
    assert close(found_gradients, gradients, 1e-5)


@on_kernels
def test_kernels_of_ids_give_nan_where_nothing_can_be_learned(launched):
    row, one = rows(3, 5, 0).float(), torch.zeros(3, dtype=torch.int64, device=DEVICE)
    unknown = torch.full_like(one, -1)
    assert losses.info_nce(row, row, unknown, unknown, 0.2).isnan()
    assert losses.info_nce(row, row[:1], one, one[:1], 0.2).isnan()
    assert losses.info_nce(row, row, one, one, 0.2).isfinite()  # asks for equal similarities
    for kind in ("in", "nca"):
        assert losses.info_nce(row, row, one, one, 0.2, kind=kind).isnan()
        assert losses.info_nce(row, row, one, 0 * one - 1, 0.2, kind=kind).isnan()
    only = torch.tensor([0, 0, 1], device=DEVICE)  # each is left with one key
    assert losses.info_nce(row, row[:2], one, one[:2], 0.2, only).isnan()
    assert launched


@on_kernels
@pytest.mark.parametrize("name", [name for name in LOSSES if "info_nce" not in name])
def test_kernels_of_one_row_and_one_key(name, launched):
    leaves, queue = [rows(1, 5, 0), rows(1, 5, 1)], rows(1, 5, 2)
    if "clip" in name or "mil_nce" in name:
        with pytest.raises(losses.LossInputError):
            value_and_gradients(LOSSES[name], leaves, queue, 0.2)
        return
    value, gradients = value_and_gradients(LOSSES[name], leaves, queue, 0.2)
    narrow = [leaf.float() for leaf in leaves]
    found, found_gradients = value_and_gradients(LOSSES[name], narrow, queue.float(), 0.2)
    # 0, as a difference of scores up to 25, which float32 holds to 2e-6.
    torch.testing.assert_close(found, value, rtol=1e-6, atol=4e-6)
    assert close(found_gradients, gradients, 1e-5)


@on_kernels
@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        *((name, torch.bfloat16) for name in LOSSES),
        *((name, torch.float16) for name in ("queue_nce", "clip_loss", "soft_nce")),
    ],
)
def test_kernels_take_half_precision_and_rows_that_are_not_contiguous(name, dtype, launched):
    """The gradient has the format of the rows; the queue stays in float32."""
    leaves = [rows(24, 20, seed).to(dtype).T.contiguous().T[:, ::2] for seed in range(2)]
    queue = rows(10, 50, 2).T
    exact = value_and_gradients(LOSSES[name], [leaf.double() for leaf in leaves], queue, 0.125)
    found = value_and_gradients(LOSSES[name], leaves, queue.float(), 0.125)
    torch.testing.assert_close(found[0], exact[0], rtol=1e-6, atol=1e-6)
    assert close(found[1], exact[1], 1e-2)
    assert launched


@on_kernels
@pytest.mark.parametrize(
    ("name", "kernels", "others"),
    [
        ("queue_nce", ["softmax_kernel", "loss_kernel"], (1, 3)),
        ("similarity_distillation", ["softmax_kernel", "loss_kernel"], (1, 1)),
        ("clip_loss", ["rows_kernel"], (2, 1)),
        ("soft_nce", ["rows_kernel", "mean_kernel"], (0, 1)),
        ("info_nce in", ["rows_kernel", "mean_kernel"], (0, 1)),
        ("info_nce nca", ["rows_kernel", "mean_kernel"], (0, 1)),
        ("mil_nce", ["rows_kernel", "rows_kernel", "mean_kernel"], (0, 1)),
    ],
)
def test_kernels_are_few_and_little_stands_beside_them(
    name, kernels, others, launched, monkeypatch
):
    """PyTorch makes the mean and joins images and texts; backward, it multiplies and sums up."""
    leaves = [rows(16, 12, seed).float().requires_grad_() for seed in range(2)]
    queue, one = rows(20, 12, 2).float(), torch.ones((), device=DEVICE)
    learned = (4 * one).requires_grad_()
    calls = LOSSES | {
        "clip_loss": lambda a, b, queue, scale: losses.clip_loss(a, b, scale),
        "similarity_distillation": lambda a, b, queue, _: losses.similarity_distillation(
            a, b, queue
        ),
        "soft_nce": lambda a, b, queue, t: losses.soft_nce(a, b, targets, t),
        "info_nce in": lambda a, b, queue, t: losses.info_nce(a, b, labels, labels, t, kind="in"),
        "info_nce nca": lambda a, b, queue, t: losses.info_nce(a, b, labels, labels, t, kind="nca"),
        "mil_nce": lambda a, b, queue, t: losses.mil_nce(a, b[:, None], t),
    }
    targets, labels = soft_targets(16, torch.float32), ids(16)
    monkeypatch.setattr(against_keys, "BACKWARD", (Tiles(16, 16, splits=1),) * 2)
    with Launches() as forward:
        value = calls[name](*leaves, queue, learned)
    assert launched == kernels
    with Launches() as backward:
        torch.autograd.grad(value, [leaves[0], learned], one, allow_unused=True)
    of_sides = 1 if name == "clip_loss" else 2 * ("mean_kernel" in kernels)
    assert launched[len(kernels) :] == ["gradient_kernel"] * of_sides
    counts = [beside(each) for each in (forward, backward)]
    assert tuple(sum(each.values()) for each in counts) == others, counts


@on_kernels
def test_kernels_give_exactly_nothing_where_student_and_teacher_agree(launched):
    student = rows(20, 16, 0).float().requires_grad_()
    loss = losses.similarity_distillation(student, student.detach(), rows(50, 16, 1).float())
    (gradient,) = torch.autograd.grad(loss, student)
    assert loss == 0
    assert (gradient == 0).all()


@on_kernels
@pytest.mark.parametrize("name", LOSSES)
def test_kernels_pass_nan_on(name, launched):
    leaves = [rows(20, 8, seed).float() for seed in range(2)]
    leaves[0][3, 2] = torch.nan
    found, gradients = value_and_gradients(LOSSES[name], leaves, rows(30, 8, 2).float(), 0.2)
    assert found.isnan()
    assert gradients[0][3].isnan().all()


@on_kernels
@pytest.mark.parametrize("name", LOSSES)
def test_kernels_refuse_second_derivatives(name):
    row = rows(8, 6, 0).float().requires_grad_()
    loss = LOSSES[name](row, rows(8, 6, 1).float(), rows(9, 6, 2).float(), 0.2)
    with pytest.raises(NotTwiceDifferentiable):
        torch.autograd.grad(loss, row, create_graph=True)


@on_kernels
def test_kernels_leave_what_they_do_not_serve(launched, monkeypatch):
    row, queue = rows(8, 6, 0).float(), rows(9, 6, 2).float()
    wide = rows(4, against_queue.MOST_COLUMNS + 1, 0).float()
    losses.queue_nce(wide, wide, wide, 0.2)
    monkeypatch.setattr(gpu_sizes, "CLIP_PAIRS", 7)
    losses.clip_loss(row, row, 5.0)
    for refused in (0.0, -1.0):
        with pytest.raises(losses.LossInputError):
            losses.queue_nce(row, row, queue, refused)
    monkeypatch.setenv("LIKEWISE_NATIVE", "0")
    losses.queue_nce(row, row, queue, 0.2)
    assert not launched


@on_kernels
@pytest.mark.parametrize("name", ["info_nce in", "mil_nce"])
def test_kernels_leave_many_pairs_to_the_ranks_that_divide_them(name, launched, monkeypatch):
    monkeypatch.setattr(against_keys, "shard_of", lambda rows: RowShard(0, 4, 8, 4))
    first, second = (rows(8, 6, seed).float() for seed in range(2))
    whole = LOSSES[name](first, second, None, 0.2)
    assert launched
    launched.clear()
    monkeypatch.setattr(gpu_sizes, "WHOLE_PAIRS", 63)
    torch.testing.assert_close(LOSSES[name](first, second, None, 0.2), whole)
    assert not launched


@pytest.mark.skipif(INTERPRETED, reason="a compiler cannot look into the interpreter")
def test_a_compiler_takes_these_losses_whole_and_by_pytorchs_operations(monkeypatch):
    def loss(first, second):
        first, second = unit(first), unit(second)
        return (
            losses.clip_loss(first, second, 5.0)
            + losses.queue_nce(first, second, second, 0.2)
            + losses.soft_nce(first, second, targets, 0.2)
        )

    targets = soft_targets(8, torch.float32)

    leaves = [(3 * rows(8, 6, seed)).float() for seed in range(2)]
    right = loss(*leaves)
    monkeypatch.setattr(kernels_first, "interpreted", lambda: True)
    for module in (against_queue, clip_pairs, against_keys):
        monkeypatch.setattr(
            module, "serves", lambda *given: pytest.fail("a kernel would have been launched")
        )
    found = torch.compile(loss, fullgraph=True, backend="eager")(*leaves)
    torch.testing.assert_close(found, right)


COMPILING = """
from likewise.losses.fused import clip_pairs, against_queue, against_keys
against_keys.kernels = compiled
against_queue.kernels = compiled
clip_pairs.kernels = compiled
for width, dtype in ((128, torch.bfloat16), (256, torch.float32), (768, torch.bfloat16)):
    z = torch.ones(512, width, dtype=dtype, requires_grad=True)
    against_queue.queue_nce(z, z, torch.ones(4096, width), torch.tensor(0.2)).backward()
    against_queue.similarity_distillation(z, z, torch.ones(4096, width), 0.2, 0.1).backward()
    clip_pairs.clip_loss(z, z, torch.tensor(10.0)).backward()
    against_keys.soft_nce(z, z, torch.ones(512, 512), 0.2).backward()
own = torch.arange(512)
for form in ("out", "in", "nca"):
    z = torch.ones(512, 128, requires_grad=True)
    against_keys.info_nce(z, z, own // 2, own // 2, 0.2, own, form).backward()
for width, dtype in ((128, torch.bfloat16), (256, torch.float32), (768, torch.bfloat16)):
    z, bags = torch.ones(512, width, dtype=dtype), torch.ones(512, 49, width, dtype=dtype)
    z.requires_grad_(), bags.requires_grad_()
    against_keys.mil_nce(z, bags, torch.tensor(0.2)).backward()
z = torch.ones(4096, 128, requires_grad=True)
clip_pairs.clip_loss(z, z, 10.0, 0.1).backward()
"""


@needs_triton
@pytest.mark.slow
def test_the_compiler_takes_all_for_a_gpu_that_is_not_here():
    assert compiled_for_a_gpu_that_is_not_here(COMPILING) == 59
