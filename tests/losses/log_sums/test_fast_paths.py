"""Every path of the contrastive losses against the dense formulas in float64: value, gradient, odd shapes and ids."""

import itertools

import pytest
import torch
import torch.nn.functional as F

from likewise import losses
from likewise.losses import dense
from likewise.losses.log_sums import cached_tile, choice, cpu_tiles, row_blocks, similarity_sums
from likewise.losses.second_derivatives import NotTwiceDifferentiable

PATHS = ("kept", "tiles", "rows")


@pytest.fixture(params=PATHS)
def path(request, monkeypatch):
    """Everything small and kept; nothing kept and tiles so small that every batch has many, some of them cut; or the
    blocks of rows of a GPU, of as many scores as eight rows of thirty have."""
    if request.param == "tiles":
        monkeypatch.setattr(cached_tile, "MOST_PAIRS", 0)
        monkeypatch.setattr(cpu_tiles, "TILE", 8)
    if request.param == "rows":
        monkeypatch.setattr(choice, "form_of", lambda *arguments, **flags: row_blocks)
        monkeypatch.setattr(row_blocks, "SCORES", 240)
    return request.param


def rows(count, dim=5, seed=0, length=None):
    vectors = torch.randn(
        count, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )
    return F.normalize(vectors, dim=1) * (1 if length is None else length)


def whole_numbers(low, high, count, seed=1):
    return torch.randint(low, high, (count,), generator=torch.Generator().manual_seed(seed))


def value_and_gradients(loss, *inputs):
    leaves = [tensor.detach().clone().requires_grad_() for tensor in inputs]
    value = loss(*leaves)
    return value.detach(), torch.autograd.grad(value * 1.7, leaves, allow_unused=True)


def assert_same(fast, exact, *inputs, rel=1e-11):
    """Value and every gradient, in float64; then once more from float32."""
    value, gradients = value_and_gradients(fast, *inputs)
    wanted, exact_gradients = value_and_gradients(exact, *inputs)
    torch.testing.assert_close(value, wanted, rtol=rel, atol=rel)
    for ours, theirs in zip(gradients, exact_gradients, strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            torch.testing.assert_close(ours, theirs, rtol=rel, atol=rel)
    single, from_single = value_and_gradients(fast, *(tensor.float() for tensor in inputs))
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), wanted, rtol=1e-5, atol=1e-5)
    for ours, theirs in zip(from_single, exact_gradients, strict=True):
        if ours is not None:
            assert (ours.double() - theirs).norm() <= 2e-6 * theirs.norm() + 1e-7


def itself(count):
    return torch.arange(count)


IDS = {
    "mixed": lambda n: whole_numbers(-1, 4, n),
    "pairs": lambda n: torch.arange(n) // 2,
    "few unknown": lambda n: torch.where(torch.arange(n) % 5 == 3, -1, torch.arange(n) % 2),
    "two far apart": lambda n: torch.where(torch.arange(n) % n < 2, 2**40, torch.arange(n)),
}


@pytest.mark.parametrize("kind", ["out", "in", "nca"])
@pytest.mark.parametrize("ids", IDS)
@pytest.mark.parametrize("count", [4, 16, 27])
def test_rows_among_themselves(path, kind, ids, count):
    z, ids = rows(count), IDS[ids](count)
    assert_same(
        lambda z: losses.info_nce(z, z, ids, ids, 0.2, itself(count), kind),
        lambda z: dense.info_nce(z, z, ids, ids, 0.2, itself(count), kind),
        z,
    )


@pytest.mark.parametrize("kind", ["out", "in", "nca"])
@pytest.mark.parametrize("self_index", ["none", "some"])
@pytest.mark.parametrize("shape", [(9, 30), (30, 9), (1, 12), (17, 16)])
def test_queries_against_other_keys(path, kind, self_index, shape):
    many, other = shape
    query_id, key_id = whole_numbers(-1, 3, many, 2), whole_numbers(-1, 3, other, 3)
    query_id[0], key_id[:2] = 1, torch.tensor([1, 2])
    our_own = (
        None
        if self_index == "none"
        else whole_numbers(-1, other, many, 4).where(itself(many) > 0, 2)
    )
    assert_same(
        lambda q, k: losses.info_nce(q, k, query_id, key_id, 0.15, our_own, kind),
        lambda q, k: dense.info_nce(q, k, query_id, key_id, 0.15, our_own, kind),
        rows(many),
        rows(other, seed=7),
    )


@pytest.mark.parametrize("kind", ["out", "in", "nca"])
@pytest.mark.parametrize(("temperature", "length"), [(0.004, None), (0.2, 40.0), (0.002, 3.0)])
def test_scores_beyond_the_range_of_exp(path, kind, temperature, length):
    """1 / 0.004 = 250: e^250 is no float32, and e^-250 is not even a float64 above the smallest of e^250's sums."""
    ids = torch.arange(20) // 3
    z = rows(20, length=length)
    value, gradient = value_and_gradients(
        lambda z: losses.info_nce(z, z, ids, ids, temperature, itself(20), kind), z.float()
    )
    wanted, exact = value_and_gradients(
        lambda z: dense.info_nce(z, z, ids, ids, temperature, itself(20), kind), z
    )
    assert float(value) == pytest.approx(float(wanted), rel=1e-4)
    assert (gradient[0].double() - exact[0]).norm() <= 1e-3 * exact[0].norm()


def test_the_least_similar_positive_is_not_lost_beside_a_near_negative(path):
    """At temperature 0.01 they lie e^199 apart; a shift by the row's maximum would leave log 0."""
    z = F.normalize(torch.tensor([[1.0, 0.0], [-1.0, 0.05], [1.0, 0.01], [-1.0, 0.0]]), dim=1)
    ids = torch.tensor([0, 0, 1, 1])
    exact = dense.info_nce(z.double(), z.double(), ids, ids, 0.01, itself(4), "nca")
    assert float(losses.info_nce(z, z, ids, ids, 0.01, itself(4), "nca")) == pytest.approx(
        float(exact), rel=1e-5
    )


def test_all_alike_asks_for_equal_similarities(path):
    ids = torch.zeros(19, dtype=torch.int64)
    assert_same(
        lambda z: losses.info_nce(z, z, ids, ids, 0.3, itself(19)),
        lambda z: dense.info_nce(z, z, ids, ids, 0.3, itself(19)),
        rows(19),
    )


@pytest.mark.parametrize("detached", [False, True])
def test_nt_xent(path, detached):
    def exact(first, second):
        z = F.normalize(torch.cat([first, second]), dim=1)
        ids = torch.arange(len(first)).repeat(2)
        return dense.info_nce(z, z.detach() if detached else z, ids, ids, 0.2, itself(len(z)))

    assert_same(
        lambda a, b: losses.nt_xent(a, b, 0.2, detached),
        exact,
        3 * rows(13),
        0.2 * rows(13, seed=9),
    )


@pytest.mark.parametrize("temperature", [0.2, 0.01])
def test_against_a_queue(path, temperature):
    positives, queue = rows(11, seed=3), rows(37, seed=4)
    for a, b in [(positives, queue), (positives.float(), queue.float())]:
        fast, exact = (
            value_and_gradients(
                lambda q, f=f, a=a, b=b: f(q, a, b, temperature), rows(11).to(a.dtype)
            )
            for f in (losses.queue_nce, dense.queue_nce)
        )
        torch.testing.assert_close(
            fast, exact, rtol=1e-4 if a.dtype == torch.float32 else 1e-9, atol=1e-5
        )


@pytest.mark.parametrize("temperatures", [(0.1, 0.01), (0.02, 0.02), (0.3, 0.5)])
def test_similarity_distillation(path, temperatures):
    teacher, anchors = rows(11, seed=3), rows(37, seed=4)
    fast, exact = (
        value_and_gradients(lambda s, f=f: f(s, teacher, anchors, *temperatures), rows(11))
        for f in (losses.similarity_distillation, dense.similarity_distillation)
    )
    torch.testing.assert_close(fast, exact, rtol=1e-9, atol=1e-9)


def test_soft_targets_reach_both_sides(path):
    targets = torch.rand(
        9, 21, dtype=torch.float64, generator=torch.Generator().manual_seed(8)
    ).softmax(dim=1)
    targets[0] = 0  # a row without a target asks for nothing
    assert_same(
        lambda q, k: losses.soft_nce(q, k, targets.to(q), 0.1),
        lambda q, k: dense.soft_nce(q, k, targets, 0.1),
        rows(9),
        rows(21, seed=2),
    )


@pytest.mark.parametrize("shape", [(), (1,), (15, 1)])
def test_a_learned_temperature_gets_its_gradient(path, shape):
    ids = torch.arange(15) // 3
    assert_same(
        lambda z, t: losses.info_nce(z, z, ids, ids, t, itself(15)),
        lambda z, t: dense.info_nce(z, z, ids, ids, t, itself(15)),
        rows(15),
        torch.full(shape, 0.3, dtype=torch.float64),
    )


def test_rows_of_any_stride(path):
    ids = torch.arange(18) // 2
    z = rows(18)
    strided = z.T.contiguous().T
    assert not strided.is_contiguous()
    for kind in ("out", "nca"):
        ours, theirs = (
            value_and_gradients(
                lambda z, k=kind: losses.info_nce(z, z, ids, ids, 0.2, itself(18), k), a
            )
            for a in (z, strided)
        )
        torch.testing.assert_close(ours, theirs)


def test_backward_twice_through_a_kept_graph_gives_the_same(path):
    z, ids = rows(18).requires_grad_(), torch.arange(18) // 3
    for kind in ("out", "nca"):
        loss = losses.info_nce(z, z, ids, ids, 0.2, itself(18), kind)
        first, second = (torch.autograd.grad(loss, z, retain_graph=True)[0] for _ in range(2))
        assert torch.equal(first, second)


def test_two_losses_at_once_do_not_share_their_rooms(path):
    """The second forward must not overwrite what the first one's backward needs."""
    ids = torch.arange(18) // 3
    first, second = rows(18).requires_grad_(), rows(18, seed=5).requires_grad_()
    alone = torch.autograd.grad(
        losses.info_nce(first, first, ids, ids, 0.2, itself(18), "in"), first
    )[0]
    one = losses.info_nce(first, first, ids, ids, 0.2, itself(18), "in")
    losses.info_nce(second, second, ids, ids, 0.2, itself(18), "in").backward()
    assert torch.equal(torch.autograd.grad(one, first)[0], alone)


@pytest.mark.parametrize("make", ["among", "between", "fixed"])
def test_second_derivatives_are_refused_by_name_and_the_dense_form_has_them(path, make):
    z, queue, ids = rows(12).requires_grad_(), rows(20, seed=2), torch.arange(12) // 2
    loss = {
        "among": lambda m: m.info_nce(z, z, ids, ids, 0.2, itself(12)),
        "between": lambda m: m.info_nce(
            z, torch.cat([z, queue]), ids, torch.arange(32) // 2, 0.2, itself(12)
        ),
        "fixed": lambda m: m.queue_nce(z, queue[:12], queue, 0.2),
    }[make]
    with pytest.raises(NotTwiceDifferentiable, match=r"likewise\.losses\.dense"):
        torch.autograd.grad(loss(losses), z, create_graph=True)
    gradient = torch.autograd.grad(loss(dense), z, create_graph=True)[0]
    assert torch.autograd.grad(gradient.square().sum(), z)[0].abs().sum() > 0


def test_normalising_can_be_differentiated_twice():
    from likewise.losses.float32 import unit

    assert torch.autograd.gradgradcheck(unit, (3 * rows(4)).requires_grad_())
    assert torch.equal(unit(torch.zeros(2, 3)), torch.zeros(2, 3))


def test_tiles_at_their_real_size_agree_with_the_dense_form():
    """1,100 rows: two whole tiles and a piece, and classes that end within a tile."""
    z, labels = rows(1100, dim=16).float(), whole_numbers(-1, 9, 1100)
    known = labels != -1
    for kind, reduction in itertools.product(("out", "in"), ("valid", "all")):
        ours, gradient = value_and_gradients(
            lambda z, k=kind, r=reduction: losses.sup_con(z, labels, 0.1, k, r), z
        )
        theirs, exact = value_and_gradients(
            lambda z, k=kind, r=reduction: dense.info_nce(
                *[F.normalize(z, dim=1)] * 2, labels, labels, 0.1, itself(1100), k, r
            ),
            z.double(),
        )
        assert float(ours) == pytest.approx(float(theirs), rel=1e-6)
        assert (gradient[0].double() - exact[0]).norm() < 1e-6 * exact[0].norm()
    assert known.any() and not known.all()


def test_large_batches_hold_no_matrix_of_all_pairs():
    """Every tensor that the forward saves, and every one that is made on the way, is far below N x N."""
    count = 1600
    z = rows(count, dim=8).float().requires_grad_()
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            nonlocal largest
            out = function(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor):
                largest = max(largest, out.untyped_storage().nbytes())
            return out

    with Watch():
        losses.suncet(z, torch.arange(count) % 7, 0.1).backward()
    assert largest <= max(4 * cpu_tiles.TILE**2, cached_tile.MOST_PAIRS * 4)
    assert largest < count**2 * 4


def test_which_path_is_taken(monkeypatch):
    """Small batches keep, large ones tile, and scores that exp cannot hold go by running maxima."""
    calls = []

    def watched(name, real):
        return lambda *given: (calls.append(name), real(*given))[1]

    for name in (
        "cached_tile.forward_square",
        "cpu_tiles.forward_square",
        "cpu_tiles.forward",
    ):
        module = {"cached_tile": cached_tile, "cpu_tiles": cpu_tiles}[name.split(".")[0]]
        function = name.split(".")[1]
        monkeypatch.setattr(module, function, watched(name, getattr(module, function)))
    for count, scale in [(64, 1.0), (1100, 1.0), (64, 20.0)]:
        similarity_sums.self_logsumexp((rows(count).float() * scale).requires_grad_())
    assert calls == [
        "cached_tile.forward_square",
        "cpu_tiles.forward_square",
        "cpu_tiles.forward",
    ]
