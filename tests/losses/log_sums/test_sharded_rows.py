"""Real processes that divide a loss's rows have the value and the gradient of one process, in float64."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from likewise import losses
from likewise.collectives import over_ranks, shard_of, sharded_rows
from likewise.losses.log_sums import cached_tile, choice, cpu_tiles, similarity_sums
from ranks import needs_gloo, results_of_ranks

pytestmark = needs_gloo

ROWS, WIDTH = 10, 5
"""No multiple of three rows, so that of three processes one computes more."""

PATHS = ("kept", "tiles", "unbounded tiles", "dense")
MATRIX_PRODUCTS = {"mm", "addmm", "addmm_"}


def rows(seed, count=ROWS, width=WIDTH, length=1.0):
    drawn = torch.randn(
        count, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    return torch.nn.functional.normalize(drawn, dim=1) * length


def soft(seed):
    return rows(seed, ROWS, ROWS).softmax(dim=1)


LABELS = torch.tensor([0, 1, -1, 0, 1, 2, -1, 2, 2, 0])
CLASSES = torch.tensor([0, 1, 1, 0, 1, 2, 2, 2, 2, 0])
OWN = torch.arange(ROWS)
SCALE = torch.tensor(4.0, dtype=torch.float64)

LOSSES = {
    "nt_xent": (losses.nt_xent, (rows(1), rows(2)), ()),
    "nt_xent, learned temperature": (losses.nt_xent, (rows(1), rows(2), 1 / SCALE), ()),
    "sup_con": (losses.sup_con, (rows(1),), (LABELS,)),
    "sup_con of views": (losses.sup_con, (rows(1, 2 * ROWS).view(ROWS, 2, WIDTH),), (LABELS,)),
    "sup_con in": (losses.sup_con, (rows(1),), (LABELS, 0.1, "in")),
    "suncet": (losses.suncet, (rows(1),), (CLASSES,)),
    "info_nce": (losses.info_nce, (rows(1), rows(2)), (LABELS, LABELS, 0.2, OWN, "nca")),
    "info_nce out": (losses.info_nce, (rows(1), rows(2)), (LABELS, LABELS, 0.2, None, "out")),
    "clip_loss": (losses.clip_loss, (rows(1), rows(2), SCALE), ()),
    "queue_nce": (losses.queue_nce, (rows(1),), (rows(2), rows(3, 16), 0.2)),
    "mil_nce": (losses.mil_nce, (rows(1), rows(2, 2 * ROWS).view(ROWS, 2, WIDTH)), (0.2,)),
    "y_aware_nce": (losses.y_aware_nce, (rows(1), rows(2)), (soft(3) + soft(3).T,)),
    "similarity_distillation": (losses.similarity_distillation, (rows(1),), (rows(2), rows(3, 16))),
    "soft_nce": (losses.soft_nce, (rows(1), rows(2)), (soft(3), 0.2)),
    "set_similarity": (
        losses.set_similarity,
        (rows(1, 2 * ROWS).view(ROWS, 2, WIDTH),),
        (
            rows(2, 2 * ROWS).view(ROWS, 2, WIDTH),
            rows(3, ROWS, 4).view(ROWS, 2, 2) > 0,
            rows(4, 16),
            0.2,
        ),
    ),
    "contrastive_repulsion": (losses.contrastive_repulsion, (rows(1), rows(2)), (2.0, OWN)),
    "soft_neighbours": (
        lambda queries, support, classes: (
            losses.soft_neighbours(queries, support, classes).square().sum()
        ),
        (rows(1), rows(2)),
        (CLASSES,),
    ),
    "barlow_twins": (losses.barlow_twins, (rows(1), rows(2)), ()),
}


def value_and_gradients(name):
    loss, given, others = LOSSES[name]
    leaves = [tensor.clone().requires_grad_() for tensor in given]
    value = loss(*leaves, *others)
    return [value.detach(), *torch.autograd.grad(1.7 * value, leaves)]


class Products(TorchDispatchMode):
    """Counts the multiplications of matrix products."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        if func.overloadpacket.__name__ in MATRIX_PRODUCTS:
            self.count += made.numel() * args[-2].shape[-1]
        return made


def products_of_nt_xent(count):
    first, second = (rows(seed, count, 16).requires_grad_() for seed in (1, 2))
    with Products() as products:
        losses.nt_xent(first, second).backward()
    return products.count


def take(path, patch):
    """Make all losses of this process go a way."""
    if "tiles" in path:
        patch.setattr(cached_tile, "MOST_PAIRS", 0)
        patch.setattr(cpu_tiles, "TILE", 4)
    if "unbounded" in path:
        for module in (similarity_sums, choice):
            patch.setattr(module, "bounded", lambda queries, keys: False)
    if path == "dense":
        patch.setattr(choice, "on_cpu", lambda queries, keys: False)


MODULES = {
    "NTXentLoss": lambda at: (rows(1)[at], rows(2)[at]),
    "SupConLoss": lambda at: (rows(1)[at], LABELS[at]),
    "SuNCEtLoss": lambda at: (rows(1)[at], CLASSES[at]),
    "CLIPLoss": lambda at: (rows(1)[at], rows(2)[at], 10.0),
    "CACRLoss": lambda at: (torch.stack([rows(1), rows(2)], dim=1)[at],),
    "BarlowTwinsLoss": lambda at: (rows(1)[at], rows(2)[at]),
}


def of_module(name, at):
    """A criterion's loss of some rows, and the gradient of the embeddings."""
    first, *rest = MODULES[name](at)
    first = first.clone().requires_grad_()
    loss = getattr(losses, name)()(first, *rest)
    loss.backward()
    return loss.detach(), first.grad


def of_labels_on_one_rank(rank, at):
    """SupCon where the rows of the first rank alone have labels."""
    labels = LABELS[at] if rank == 0 else torch.full_like(LABELS[at], -1)
    z = rows(1)[at].requires_grad_()
    loss = losses.SupConLoss()(z, labels)
    loss.backward()
    return loss.detach(), z.grad


def uneven(ranks):
    """The rows of each rank: the last has the two that are left, the others equally many."""
    many = (ROWS - 2) // (ranks - 1)
    return [
        slice(rank * many, (rank + 1) * many if rank < ranks - 1 else ROWS) for rank in range(ranks)
    ]


def one_of(rank, port, ranks, results):
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=ranks
    )
    found = {}
    for path in PATHS:
        with pytest.MonkeyPatch.context() as patch, sharded_rows():
            take(path, patch)
            found |= {(path, name): value_and_gradients(name) for name in LOSSES}
    at = uneven(ranks)[rank]
    found |= {name: of_module(name, at) for name in MODULES}
    found["labels on one rank"] = of_labels_on_one_rank(rank, at)
    with sharded_rows():
        found["products"] = products_of_nt_xent(30)
        found["rows"] = over_ranks(lambda row: torch.full_like(row, rank), [torch.zeros(ROWS)])
        found["fewer rows than ranks"] = shard_of(ranks - 1)
    results[rank] = found
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module", params=[3, pytest.param(2, marks=pytest.mark.slow)])
def of_ranks(request):
    """What each of several processes found."""
    results = results_of_ranks(one_of, request.param, request.param)
    return [results[rank] for rank in range(request.param)]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", LOSSES)
def test_each_rank_has_the_value_and_the_mean_over_ranks_is_the_gradient(name, path, of_ranks):
    wanted = value_and_gradients(name)
    for found in of_ranks:
        torch.testing.assert_close(found[path, name][0], wanted[0], rtol=1e-12, atol=1e-12)
        # To the bit, so that ranks decide alike.
        assert found[path, name][0] == of_ranks[0][path, name][0]
    for place, gradient in enumerate(wanted[1:], start=1):
        mean = torch.stack([found[path, name][place] for found in of_ranks]).mean(dim=0)
        torch.testing.assert_close(mean, gradient, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", MODULES)
def test_criteria_take_ranks_with_other_numbers_of_rows(name, of_ranks):
    loss, gradient = of_module(name, slice(None))
    gradients = [found[name][1] for found in of_ranks]
    assert len({len(each) for each in gradients}) > 1
    torch.testing.assert_close(
        torch.stack([found[name][0] for found in of_ranks]).mean(), loss, rtol=1e-12, atol=0
    )
    torch.testing.assert_close(
        torch.cat(gradients) / len(of_ranks), gradient, rtol=1e-10, atol=1e-10
    )


def test_labels_may_be_on_one_rank_alone(of_ranks):
    z, labels = rows(1).requires_grad_(), LABELS.clone()
    labels[uneven(len(of_ranks))[0].stop :] = -1
    loss = losses.sup_con(z, labels)
    loss.backward()
    found = [found["labels on one rank"] for found in of_ranks]
    torch.testing.assert_close(
        torch.stack([value for value, _ in found]).mean(), loss.detach(), rtol=1e-12, atol=0
    )
    gradient = torch.cat([of_rank for _, of_rank in found]) / len(of_ranks)
    torch.testing.assert_close(gradient, z.grad, rtol=1e-10, atol=1e-10)


def test_each_rank_multiplies_its_share_alone(of_ranks):
    whole = products_of_nt_xent(30)
    assert [found["products"] for found in of_ranks] == [whole // len(of_ranks)] * len(of_ranks)


def test_rows_come_back_in_order_and_a_few_are_not_divided(of_ranks):
    ranks = [
        row
        for rank in range(len(of_ranks))
        for row in [rank] * len(torch.arange(ROWS).tensor_split(len(of_ranks))[rank])
    ]
    for found in of_ranks:
        assert found["rows"].tolist() == ranks
        assert found["fewer rows than ranks"] is None
