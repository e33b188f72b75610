"""Losses as modules: they are the functions, on one process and on two."""

import warnings

import pytest
import torch
import torch.nn.functional as F

from likewise import losses
from ranks import needs_gloo, results_of_ranks

ROWS, WIDTH = 8, 6


def rows(seed, count=ROWS, width=WIDTH):
    return torch.randn(
        count, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


def labels():
    return torch.arange(ROWS) % 2


def inputs_of(name):
    """What each module is called with: tensors whose first dimension is the row, and the rest."""
    first, second = rows(1), rows(2)
    return {
        "NTXentLoss": ((first, second), ()),
        "SupConLoss": ((first, labels()), ()),
        "SuNCEtLoss": ((first, labels()), ()),
        "InfoNCELoss": ((first, second), (rows(3, 16),)),
        "ISDLoss": ((first, second), (rows(3, 16),)),
        "BarlowTwinsLoss": ((first, second), ()),
        "CACRLoss": ((torch.stack([first, second], dim=1),), ()),
        "CLIPLoss": ((first, second), (10.0,)),
    }[name]


DISTRIBUTED = [
    "NTXentLoss", "SupConLoss", "SuNCEtLoss", "InfoNCELoss", "ISDLoss", "BarlowTwinsLoss", "CACRLoss", "CLIPLoss",
]  # fmt: skip


def test_nt_xent_is_the_formula():
    z0, z1 = rows(1), rows(2)
    z = F.normalize(torch.cat([z0, z1]), dim=1)
    logits = (z @ z.T / 0.3).fill_diagonal_(-torch.inf)
    partner = torch.arange(2 * ROWS).roll(ROWS)
    expected = F.cross_entropy(logits, partner)
    assert losses.NTXentLoss(temperature=0.3)(z0, z1).item() == pytest.approx(
        expected.item(), abs=1e-12
    )


def test_sup_con_takes_flat_embeddings_and_views():
    z = rows(1)
    unit = F.normalize(z, dim=1)
    log_prob = (unit @ unit.T / 0.1).fill_diagonal_(-torch.inf).log_softmax(dim=1)
    positives_logsumexp = (labels()[:, None] == labels()[None]).fill_diagonal_(False)
    expected = -(
        log_prob.where(positives_logsumexp, 0).sum(dim=1) / positives_logsumexp.sum(dim=1)
    ).mean()
    assert losses.SupConLoss()(z, labels()).item() == pytest.approx(expected.item(), abs=1e-12)
    views = torch.stack([z, rows(2)], dim=1)  # [B, V, D]
    assert losses.SupConLoss()(views, labels()).item() == pytest.approx(
        losses.sup_con(views, labels()).item()
    )


def test_suncet_is_the_stochastic_neighbour_formula():
    z = F.normalize(rows(1), dim=1)
    similarity = (z @ z.T / 0.1).exp().fill_diagonal_(0)
    positives_logsumexp = labels()[:, None] == labels()[None]
    expected = -((similarity * positives_logsumexp).sum(dim=1) / similarity.sum(dim=1)).log().mean()
    assert losses.SuNCEtLoss()(rows(1), labels()).item() == pytest.approx(
        expected.item(), abs=1e-12
    )


def test_queue_losses_normalise_their_inputs():
    query, key, queue = rows(1), rows(2), rows(3, 16)
    unit_query, unit_key, unit_queue = (F.normalize(each, dim=1) for each in (query, key, queue))
    logits = (
        torch.cat(
            [(unit_query * unit_key).sum(dim=1, keepdim=True), unit_query @ unit_queue.T], dim=1
        )
        / 0.2
    )
    expected = F.cross_entropy(logits, torch.zeros(ROWS, dtype=torch.int64))
    assert losses.InfoNCELoss()(query, 3 * key, queue).item() == pytest.approx(
        expected.item(), abs=1e-12
    )
    expected = losses.similarity_distillation(unit_query, unit_key, unit_queue, 0.02, 0.01)
    assert losses.ISDLoss(teacher_temperature=0.01)(query, key, queue).item() == pytest.approx(
        expected.item()
    )


def test_cosine_takes_no_gradient_to_its_target():
    prediction, target = rows(1).float().requires_grad_(), rows(2).float().requires_grad_()
    loss = losses.NegativeCosineSimilarity()(prediction, target)
    loss.backward()
    assert target.grad is None and prediction.grad.abs().sum() > 0
    assert losses.cosine_regression(prediction, target).item() == pytest.approx(
        2 + 2 * loss.item(), abs=1e-6
    )
    with pytest.raises(losses.LossInputError):
        losses.NegativeCosineSimilarity()(prediction, target[:2])


def test_the_cosine_keeps_float64():
    prediction, target = rows(1).requires_grad_(), rows(2)
    assert torch.autograd.gradcheck(losses.NegativeCosineSimilarity(), (prediction, target))
    loss = losses.NegativeCosineSimilarity()(prediction.bfloat16(), target.bfloat16())
    assert loss.dtype == torch.float32


CONSTANTS = {"InfoNCELoss": ["positive_keys", "negative_keys"], "ISDLoss": ["teacher", "queue"]}


@pytest.mark.parametrize("name", CONSTANTS)
def test_rows_that_want_a_gradient_and_get_none_are_told(name):
    first, second, queue = rows(1).requires_grad_(), rows(2), rows(3, 16)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        getattr(losses, name)()(first, second, queue)
        with torch.no_grad():
            getattr(losses, name)()(first, second.clone().requires_grad_(), queue)
    with pytest.warns(UserWarning) as told:
        getattr(losses, name)()(first, second.requires_grad_(), queue.requires_grad_())
    assert {each.filename for each in told} == {__file__}
    for argument, each in zip(CONSTANTS[name], told, strict=True):
        assert argument in str(each.message)


def test_swav_predicts_the_codes_of_the_other_view():
    high, low = [rows(1).tanh(), rows(2).tanh()], [rows(3).tanh()]
    codes = [losses.sinkhorn(view) for view in high]
    expected = losses.swapped_prediction([*high, *low], codes)
    assert losses.SwAVLoss()(high, low).item() == pytest.approx(expected.item())
    assert losses.SwAVLoss(sinkhorn_iterations=0)(high, low).item() != pytest.approx(
        expected.item()
    )


@pytest.mark.parametrize(
    "kind", ["NTXentLoss", "SupConLoss", "SuNCEtLoss", "InfoNCELoss", "SwAVLoss", "ISDLoss"]
)
def test_a_temperature_of_nothing_is_refused(kind):
    setting = "student_temperature" if kind == "ISDLoss" else "temperature"
    with pytest.raises(losses.LossInputError, match="temperature"):
        getattr(losses, kind)(**{setting: 0.0})


def loss_and_gradients(name, part=slice(None)):
    """A module's loss over some rows, and the gradient of each row that takes one."""
    given, others = inputs_of(name)
    constants = [1] if name in CONSTANTS else []
    tensors = [
        each[part].clone().requires_grad_(each.is_floating_point() and place not in constants)
        for place, each in enumerate(given)
    ]
    loss = getattr(losses, name)()(*tensors, *others)
    loss.backward()
    return loss.detach(), [each.grad for each in tensors]


def one_of_two(rank, port, results):
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    half = ROWS // 2
    for name in DISTRIBUTED:
        results[name, rank] = loss_and_gradients(name, slice(rank * half, (rank + 1) * half))
    alone = losses.NTXentLoss(gather_distributed=False)(rows(1)[:half], rows(2)[:half])
    results["alone", rank] = alone
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def two_processes():
    return results_of_ranks(one_of_two, 2)


@needs_gloo
@pytest.mark.parametrize("name", DISTRIBUTED)
def test_two_processes_have_the_loss_and_the_gradient_of_one(name, two_processes):
    loss, gradients = loss_and_gradients(name)
    halves = [two_processes[name, rank] for rank in range(2)]
    # What data parallelism does: the mean over ranks, of losses and of each parameter's gradient.
    assert torch.stack([half for half, _ in halves]).mean().item() == pytest.approx(
        loss.item(), abs=1e-9
    )
    for place, gradient in enumerate(gradients):
        if gradient is None:
            assert halves[0][1][place] is None
            continue
        found = torch.cat([half[place] for _, half in halves]) / 2
        assert torch.allclose(found, gradient, atol=1e-9)


@needs_gloo
def test_a_rank_can_keep_to_its_own_rows(two_processes):
    half = ROWS // 2
    expected = losses.NTXentLoss()(rows(1)[:half], rows(2)[:half])
    assert two_processes["alone", 0].item() == pytest.approx(expected.item(), abs=1e-12)


@pytest.mark.parametrize(
    "given", [[[1.0, 2.0]], None, rows(1).numpy()], ids=["a list", "nothing", "an array"]
)
@pytest.mark.parametrize("kind", ["NTXentLoss", "BarlowTwinsLoss"])
def test_what_is_no_tensor_is_refused(kind, given):
    with pytest.raises(losses.LossInputError):
        getattr(losses, kind)()(given, given)


def test_an_unknown_kind_is_refused():
    with pytest.raises(losses.LossInputError, match="'foo'"):
        losses.SupConLoss(kind="foo")
    with pytest.raises(losses.LossInputError, match="'foo'"):
        losses.sup_con(rows(1), labels(), kind="foo")
