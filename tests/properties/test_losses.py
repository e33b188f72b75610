"""Invariances of the losses: of the order of a batch, of which view is which, of names of classes, of scale."""

from __future__ import annotations

from collections.abc import Callable

import torch
from hypothesis import strategies as some
from torch import Tensor
from torch.nn import functional

from likewise import losses
from properties.holding import holds

SEEDS = some.integers(0, 10**6)
ROWS = some.integers(3, 9)
TEMPERATURES = some.floats(0.05, 2)
Pair = Callable[[Tensor, Tensor, float], Tensor]

OF_VIEWS: dict[str, Pair] = {
    "nt_xent": losses.nt_xent,
    "barlow_twins": lambda a, b, _: losses.barlow_twins(a, b),
    "clip_loss": lambda a, b, t: losses.clip_loss(
        functional.normalize(a), functional.normalize(b), 1 / t
    ),
    "cacr": lambda a, b, _: losses.cacr(torch.stack([a, b], dim=1)),
    "y_aware_nce": lambda a, b, t: losses.y_aware_nce(a, b, torch.eye(len(a), dtype=a.dtype), t),
    "set of two views": lambda a, b, t: losses.sup_con(
        torch.stack([a, b], dim=1), torch.full((len(a),), -1), t
    ),
}
OF_LABELS: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "sup_con out": losses.sup_con,
    "sup_con in": lambda z, labels, t: losses.sup_con(z, labels, t, kind="in"),
    "suncet": losses.suncet,
}


def drawn(seed: int, rows: int, width: int = 6) -> tuple[Tensor, Tensor, torch.Generator]:
    chance = torch.Generator().manual_seed(seed)
    return (*torch.randn(2, rows, width, generator=chance, dtype=torch.float64), chance)


def close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-9)


@holds(some.sampled_from(sorted(OF_VIEWS)), SEEDS, ROWS, TEMPERATURES, few=40)
def test_losses_of_two_views(name, seed, rows, temperature):
    loss = OF_VIEWS[name]
    first, second, chance = drawn(seed, rows)
    whole = loss(first, second, temperature)
    assert torch.isfinite(whole)
    order = torch.randperm(rows, generator=chance)
    close(loss(first[order], second[order], temperature), whole)
    if name != "cacr":  # the first view's rows are its anchors
        close(loss(second, first, temperature), whole)
    # Each number is standardised over the batch, with 1e-5 added to its variance.
    if name == "barlow_twins":
        torch.testing.assert_close(
            loss(3 * first + 1, 2 * second - 2, temperature), whole, rtol=1e-2, atol=1e-4
        )
    else:
        scales = torch.rand(rows, 1, generator=chance, dtype=torch.float64) + 0.1
        close(loss(first * scales, second * 7, temperature), whole)


@holds(some.sampled_from(sorted(OF_LABELS)), SEEDS, ROWS, TEMPERATURES, few=30)
def test_losses_of_labels(name, seed, rows, temperature):
    loss = OF_LABELS[name]
    z = torch.cat(drawn(seed, rows)[:2])
    chance = torch.Generator().manual_seed(seed + 1)
    labels = torch.arange(rows).repeat(2) % max(rows // 2, 2)
    whole = loss(z, labels, temperature)
    order = torch.randperm(2 * rows, generator=chance)
    close(loss(z[order], labels[order], temperature), whole)
    renamed = torch.randperm(50, generator=chance)[labels]
    close(loss(z, renamed, temperature), whole)
    scales = torch.rand(2 * rows, 1, generator=chance, dtype=torch.float64) + 0.1
    close(loss(z * scales, labels, temperature), whole)
    turn, _ = torch.linalg.qr(torch.randn(6, 6, generator=chance, dtype=torch.float64))
    close(loss(z @ turn, labels, temperature), whole)


@holds(SEEDS, ROWS, TEMPERATURES)
def test_labels_of_pairs_are_two_views(seed, rows, temperature):
    first, second, _ = drawn(seed, rows)
    image = torch.arange(rows).repeat(2)
    both = torch.cat([first, second])
    close(losses.sup_con(both, image, temperature), losses.nt_xent(first, second, temperature))
    close(losses.suncet(both, image, temperature), losses.nt_xent(first, second, temperature))


@holds(SEEDS, ROWS, TEMPERATURES)
def test_a_loss_that_normalises_has_no_gradient_along_its_rows(seed, rows, temperature):
    first, second, _ = drawn(seed, rows)
    first.requires_grad_()
    losses.nt_xent(first, second, temperature).backward()
    assert first.grad is not None
    assert float((first.grad * first.detach()).sum(dim=1).abs().max()) < 1e-9


@holds(SEEDS, ROWS, some.integers(2, 5), some.sampled_from([1, 3]))
def test_assignments_use_every_prototype_equally(seed, rows, prototypes, rounds):
    scores, _, chance = drawn(seed, rows, prototypes)
    codes = losses.sinkhorn(scores, iterations=50)
    close(codes.sum(dim=1), torch.ones(rows, dtype=torch.float64))
    order = torch.randperm(rows, generator=chance)
    close(
        losses.sinkhorn(scores[order], iterations=rounds),
        losses.sinkhorn(scores, iterations=rounds)[order],
    )
