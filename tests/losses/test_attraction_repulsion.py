"""CACR's terms and weights against naive loops, reference values, and what the paper says of them."""

import pytest
import torch
import torch.nn.functional as F

from likewise.losses import (
    LossInputError,
    attraction_weights,
    cacr,
    contrastive_attraction,
    contrastive_repulsion,
    repulsion_weights,
)
from likewise.losses.attraction_repulsion import (
    multi_view_attraction,
    multi_view_repulsion,
    unit_views,
)
from losses.vectors import QUEUE, raw, unit

VIEWS = torch.stack([raw(4, 3, offset) for offset in (0, 0.5, 1.1)], dim=1)
"""[B, V, D] of the reference values, not normalised."""


def distance(a, b):
    return ((a - b) ** 2).sum()


def weighted(distances, sharpness, attached):
    """sum_k softmax(sharpness * c)_k c_k, one term at a time."""
    powers = [torch.exp(sharpness * (c if attached else c.detach())) for c in distances]
    return sum(power * c for power, c in zip(powers, distances, strict=True)) / sum(powers)


def naive_attraction(anchors, positives, sharpness, attached):
    rows = [
        weighted([distance(a, p) for p in self_index], sharpness, attached)
        for a, self_index in zip(anchors, positives, strict=True)
    ]
    return sum(rows) / len(rows)


def naive_repulsion(anchors, others, sharpness, attached, self_index):
    rows = [
        -weighted(
            [distance(a, b) for j, b in enumerate(others) if j != self_index[i]],
            -sharpness,
            attached,
        )
        for i, a in enumerate(anchors)
    ]
    return sum(rows) / len(rows)


def naive(z, pull, push, attached):
    """Both terms over all views of z [B, V, D]."""
    z = F.normalize(z, dim=2)
    count = range(z.shape[1])
    attraction = [
        naive_attraction(z[:, v], z[:, [w for w in count if w != v]], pull, attached) for v in count
    ]
    pairs = [(v, w) for v in count for w in count if v < w]
    repulsion = [naive_repulsion(z[:, v], z[:, w], push, attached, range(len(z))) for v, w in pairs]
    return sum(attraction) / len(attraction) + sum(repulsion) / len(repulsion)


def value_and_gradient(loss, *inputs):
    inputs = [tensor.clone().requires_grad_() for tensor in inputs]
    value = loss(*inputs)
    return [value.detach(), *torch.autograd.grad(value, inputs)]


def assert_alike(found, expected):
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


def test_reference_values():
    """Computed by the authors' own functions on the same inputs."""
    views = unit_views(VIEWS)
    assert float(multi_view_attraction(views, views, 1.0, True)) == pytest.approx(
        0.7114065106406086, rel=1e-12
    )
    assert float(multi_view_repulsion(views, 0.9, True)) == pytest.approx(
        -0.8292278892139434, rel=1e-12
    )
    assert float(cacr(VIEWS, 1.0, 0.9)) == pytest.approx(-0.11782137857333486, rel=1e-12)


def test_reference_gradient_with_and_without_the_weights():
    (_, full), (_, cut) = (
        value_and_gradient(lambda z, on=on: cacr(z, 1.0, 0.9, on), VIEWS) for on in (True, False)
    )
    assert (cut.norm() / full.norm()).item() == pytest.approx(0.8663, abs=5e-5)
    assert F.cosine_similarity(cut.flatten(), full.flatten(), dim=0).item() == pytest.approx(
        0.9635, abs=5e-5
    )


def test_the_weights_give_the_reference_values_of_the_authors_forms_for_imagenet():
    """One key view, the other views as queries, weights without gradient; their sums are over the batch."""
    key, *queries = unit_views(VIEWS)
    pulled = attraction_weights(key, torch.stack(queries, dim=1), 1.0)
    image = torch.arange(4)
    rbf = sum(
        2 * (pulled[:, v] * F.cross_entropy(q @ key.T, image, reduction="none")).mean()
        for v, q in enumerate(queries)
    )
    assert float(rbf) == pytest.approx(2.346063415349252, rel=1e-12)
    euclidean = 0.0
    for v, query in enumerate(queries):
        pushed = repulsion_weights(query, key, 0.5, image)
        repulsion = (pushed * (query @ key.T)).sum(dim=1) - 1
        euclidean += float((pulled[:, v] * (1 - (query * key).sum(dim=1) + repulsion)).sum())
    assert euclidean == pytest.approx(-0.9480186692960411, rel=1e-12)


@pytest.mark.parametrize("attached", [True, False])
@pytest.mark.parametrize(("views", "pull", "push"), [(2, 1.0, 2.0), (3, 1.0, 0.9), (5, 0.0, 3.0)])
def test_cacr_is_the_formula(views, pull, push, attached):
    torch.manual_seed(1)
    z = torch.randn(4, views, 6, dtype=torch.float64)
    found = value_and_gradient(lambda z: cacr(z, pull, push, attached), z)
    assert_alike(found, value_and_gradient(lambda z: naive(z, pull, push, attached), z))


@pytest.mark.parametrize("attached", [True, False])
def test_attraction_is_the_formula(attached):
    torch.manual_seed(2)
    anchors = unit(torch.randn(5, 4, dtype=torch.float64))
    positives = torch.randn(5, 3, 4, dtype=torch.float64)
    positives = F.normalize(positives, dim=2)
    found = value_and_gradient(
        lambda a, p: contrastive_attraction(_unit(a), _unit(p), 1.7, attached), anchors, positives
    )
    expected = value_and_gradient(
        lambda a, p: naive_attraction(_unit(a), _unit(p), 1.7, attached), anchors, positives
    )
    assert_alike(found, expected)


@pytest.mark.parametrize("attached", [True, False])
@pytest.mark.parametrize("self_index", [None, [3, -1, 0, 2]])
def test_repulsion_is_the_formula(self_index, attached):
    torch.manual_seed(3)
    anchors, others = unit(torch.randn(4, 3, dtype=torch.float64)), QUEUE
    columns = None if self_index is None else torch.tensor(self_index)
    found = value_and_gradient(
        lambda a, o: contrastive_repulsion(_unit(a), _unit(o), 1.3, columns, attached),
        anchors,
        others,
    )
    expected = value_and_gradient(
        lambda a, o: naive_repulsion(_unit(a), _unit(o), 1.3, attached, self_index or [-1] * 4),
        anchors,
        others,
    )
    assert_alike(found, expected)


def _unit(z):
    return F.normalize(z, dim=-1)


def test_the_farthest_positive_and_the_nearest_other_weigh_the_most():
    torch.manual_seed(4)
    anchors, others = _unit(torch.randn(6, 8)), _unit(torch.randn(20, 8))
    positives = _unit(torch.randn(6, 5, 8))
    pulled = attraction_weights(anchors, positives, 1.0)
    pushed = repulsion_weights(anchors, others, 2.0)
    near = torch.einsum("nd,nkd->nk", anchors, positives)
    assert torch.equal(pulled.argsort(dim=1), near.argsort(dim=1, descending=True))
    assert torch.equal(pushed.argsort(dim=1), (anchors @ others.T).argsort(dim=1))
    for weights in (pulled, pushed):
        torch.testing.assert_close(weights.sum(dim=1), torch.ones(6))


def test_without_sharpness_all_weigh_alike_and_ones_own_image_nothing():
    anchors = _unit(torch.randn(4, 3))
    assert torch.allclose(
        attraction_weights(anchors, _unit(torch.randn(4, 5, 3)), 0.0), torch.tensor(0.2)
    )
    weights = repulsion_weights(anchors, anchors, 0.0, self_index=torch.arange(4))
    torch.testing.assert_close(weights, (1 - torch.eye(4)) / 3)


def test_collapse_is_zero_and_the_sharpest_repulsion_is_from_the_nearest():
    positives_logsumexp = torch.ones(3, 2, 4)
    assert float(cacr(positives_logsumexp)) == pytest.approx(0, abs=1e-6)
    anchors, others = _unit(torch.randn(5, 3)), _unit(torch.randn(9, 3))
    nearest = torch.cdist(anchors, others).min(dim=1).values.square().mean()
    assert float(contrastive_repulsion(anchors, others, 1e4)) == pytest.approx(
        -float(nearest), abs=1e-3
    )


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda: cacr(torch.ones(4, 1, 3)),
            r"at least 2 views of at least 2 images; got \(4, 1, 3\)",
        ),
        (lambda: cacr(torch.ones(1, 4, 3)), "with one image nothing to repel"),
        (lambda: cacr(torch.ones(4, 3)), r"\[B, V, D\]"),
        (lambda: cacr(torch.ones(4, 2, 3), -1.0), "sharpness must be 0 or more, got -1.0"),
        (lambda: contrastive_attraction(torch.ones(4, 3), torch.ones(4, 3)), r"\[B, P, D\]"),
        (lambda: contrastive_attraction(torch.ones(4, 3), torch.ones(5, 2, 3)), r"\[B, P, D\]"),
        (
            lambda: contrastive_attraction(torch.ones(4, 3), torch.ones(4, 0, 3)),
            r"positives \(4, 0, 3\)",
        ),
        (lambda: contrastive_repulsion(torch.ones(4, 3), torch.ones(0, 3)), r"others \(0, 3\)"),
        (
            lambda: repulsion_weights(
                torch.ones(1, 3), torch.ones(1, 3), self_index=torch.tensor([0])
            ),
            "at least two images",
        ),
    ],
)
def test_what_cannot_teach_is_refused(call, said):
    with pytest.raises(LossInputError, match=said):
        call()


def test_half_precision_is_widened():
    torch.manual_seed(5)
    z = torch.randn(8, 3, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert cacr(z) == cacr(z.float())
    assert cacr(z.bfloat16()).dtype == torch.float32
