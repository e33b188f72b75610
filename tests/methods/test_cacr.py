"""CACR's step in both forms; what holds for every method is in test_contract, where CACR has a queue."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from likewise.errors import LikewiseError
from likewise.losses import cacr
from likewise.methods.cacr import CACR
from likewise.report.pictures.method_pictures import illustrate
from losses.test_attraction_repulsion import naive_attraction, naive_repulsion
from methods.fixtures import loader, nets_of, progress, sliced
from training.test_cached_gradients import assert_same, batch_of, gradients, networks


def rule_of(**settings):
    return CACR(
        **{
            "hidden": 16,
            "dim": 8,
            "queue": 0,
            "views": dataclasses.replace(CACR().views, size=12),
            **settings,
        }
    )


def test_within_the_batch_the_step_is_the_loss_over_all_views():
    rule = rule_of(positives=3)
    nets = nets_of(rule)
    assert dict(nets.named_children()).keys() == {"encoder", "head"}
    rows = rule.embed(nets, loader(rule).batch(0), progress())
    assert rows["queries"].shape == (8, 4, 8)
    step = rule.compute_loss(nets, rows, progress())
    assert step.loss.item() == pytest.approx(cacr(rows["queries"], 1.0, 0.9).item(), rel=1e-6)
    assert (step.metrics["attraction"] + step.metrics["repulsion"]).item() == pytest.approx(
        step.loss.item(), rel=1e-6
    )
    assert step.memory_updates == {}
    rule.after_update(nets, step, progress())


@pytest.mark.parametrize("attached", [True, False])
def test_with_a_queue_every_view_meets_the_teacher_the_queue_and_the_batch(attached):
    """The authors' code for large data gives the queue's repulsion to the first view alone."""
    rule = rule_of(positives=2, queue=5, through_weights=attached)
    nets = nets_of(rule).double()
    nets.queue.rows = F.normalize(nets.queue.rows, dim=1)
    torch.manual_seed(0)
    z = torch.randn(4, 3, 8, dtype=torch.float64, requires_grad=True)
    keys = torch.randn(4, 3, 8, dtype=torch.float64)
    step = rule.compute_loss(nets, {"queries": z, "keys": keys}, progress())
    unit, teacher, queue = F.normalize(z, dim=2), F.normalize(keys, dim=2), nets.queue.rows
    terms = []
    for v in range(3):
        others = [w for w in range(3) if w != v]
        terms.append(naive_attraction(unit[:, v], teacher[:, others], 1.0, attached))
        everyone = [*queue, *unit[:, v]]
        terms.append(
            naive_repulsion(unit[:, v], everyone, 0.9, attached, [5 + i for i in range(4)])
        )
    expected = sum(terms) / 3
    assert step.loss.item() == pytest.approx(expected.item(), rel=1e-12)
    torch.testing.assert_close(*(torch.autograd.grad(loss, z)[0] for loss in (step.loss, expected)))
    torch.testing.assert_close(step.memory_updates["queue"], teacher[:, -1])


def test_views_are_of_the_image_that_they_belong_to():
    """An image's rows follow it when the batch is reordered."""
    rule = dataclasses.replace(
        rule_of(positives=2), views=dataclasses.replace(rule_of().views, crop_area=(1.0, 1.0))
    )
    rule = dataclasses.replace(
        rule, views=dataclasses.replace(rule.views, jitter=0, grey=0, blur=0, flip=0)
    )
    nets, batch = nets_of(rule).eval(), loader(rule).batch(0)
    rows = rule.embed(nets, batch, progress())["queries"]
    for v in range(1, 3):  # nothing but the crop's shape is random, and the same images look alike
        assert torch.equal(torch.cdist(rows[:, v], rows[:, 0]).argmin(dim=1), torch.arange(8))
    half = rule.embed(nets, sliced(batch, slice(4, 8)), progress()._replace(rank=1, world_size=2))
    torch.testing.assert_close(half["queries"], rows[4:], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pieces", [2, 3])
def test_without_a_queue_microbatches_give_the_gradient_of_the_batch(pieces):
    rule = rule_of(positives=2)
    batch = batch_of(rule)
    _, expected = gradients(rule, networks(rule, batch_norm=False), 1, batch)
    _, found = gradients(rule, networks(rule, batch_norm=False), pieces, batch)
    assert_same(found, expected)


@pytest.mark.parametrize("queue", [0, 5])
def test_the_page_shows_the_weights_that_a_step_uses(queue):
    """Against loops over the formulas of the paper, for each picture that is shown."""
    rule = rule_of(positives=3, queue=queue)
    nets, batch = nets_of(rule).eval(), loader(rule).batch(0)
    if queue:
        nets.queue.rows = F.normalize(nets.queue.rows, dim=1)
    with torch.no_grad():
        made = illustrate(rule, nets, batch, progress())
        rows = rule.embed(nets, batch, progress())
    z = F.normalize(rows["queries"], dim=2)
    keys = F.normalize(rows["keys"], dim=2) if queue else z
    names = [f"view {v}" for v in range(4)]
    views = [rule.views(batch.pixels, progress().rng(name, batch)).pixels for name in names]
    seen = 0 if queue else 1
    assert len(made.rows) == 6
    for i, (anchor, *others) in enumerate(made.rows):
        assert torch.equal(anchor.pixels, views[0][i])
        pull = torch.tensor([(z[i, 0] - keys[i, v]).square().sum() for v in (1, 2, 3)]).softmax(0)
        for picture, k in zip(others[:3], pull.argsort(descending=True).tolist(), strict=True):
            assert torch.equal(picture.pixels, views[1 + k][i])
            assert float(picture.caption.removesuffix("%")) == pytest.approx(
                100 * pull[k].item(), rel=5e-3
            )
        pushing = [*(nets.queue.rows if queue else []), *z[:, seen]]
        push = torch.tensor([-0.9 * (z[i, 0] - other).square().sum() for other in pushing])
        push[queue + i] = -torch.inf
        push = push.softmax(0)[queue:]
        strongest = push.argsort(descending=True).tolist()[:6]
        for picture, j in zip(others[3:], strongest, strict=True):
            assert torch.equal(picture.pixels, views[seen][j])
            assert float(picture.caption.removesuffix("%")) == pytest.approx(
                100 * push[j].item(), rel=5e-3
            )


def test_no_positives_are_refused():
    with pytest.raises(LikewiseError, match="positives=0"):
        CACR(positives=0)
