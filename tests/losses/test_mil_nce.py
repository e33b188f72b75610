"""The loss of rows and their bags against a naive loop, gradients included, and against losses that it contains."""

import math

import pytest
import torch
import torch.nn.functional as F

from likewise.losses import LossInputError, dense, info_nce, mil_nce
from likewise.losses.log_sums import cached_tile

N, L, D = 5, 3, 4


def rows_and_bags(seed=0, count=N, size=L):
    torch.manual_seed(seed)
    rows = F.normalize(torch.randn(count, D, dtype=torch.float64), dim=1)
    bags = F.normalize(torch.randn(count, size, D, dtype=torch.float64), dim=2)
    return rows.requires_grad_(), bags.requires_grad_()


def naive(rows, bags, temperature):
    total = 0.0
    for i in range(len(rows)):
        below, above = 0.0, 0.0
        for j in range(len(rows)):
            for element in range(bags.shape[1]):
                below = below + (rows[i].dot(bags[j, element]) / temperature).exp()
                if j != i:
                    below = below + (rows[j].dot(bags[i, element]) / temperature).exp()
                else:
                    above = above + (rows[i].dot(bags[i, element]) / temperature).exp()
        total = total - (above / below).log()
    return total / len(rows)


def assert_same_with_gradients(found, expected, inputs):
    assert found.item() == pytest.approx(expected.item(), rel=1e-10, abs=1e-12)
    for ours, theirs in zip(
        torch.autograd.grad(found, inputs), torch.autograd.grad(expected, inputs), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("form", [mil_nce, dense.mil_nce])
@pytest.mark.parametrize(("count", "size"), [(N, L), (2, 1), (3, 7)])
def test_it_is_the_formula_as_a_loop(form, count, size):
    rows, bags = rows_and_bags(1, count, size)
    temperature = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    found, expected = form(rows, bags, temperature), naive(rows, bags, temperature)
    assert_same_with_gradients(found, expected, [rows, bags, temperature])


def test_large_batches_go_through_tiles_and_give_the_same(monkeypatch):
    rows, bags = rows_and_bags(2, 40, 6)
    expected = dense.mil_nce(rows, bags, 0.1)
    monkeypatch.setattr(cached_tile, "MOST_PAIRS", 0)
    assert_same_with_gradients(mil_nce(rows, bags, 0.1), expected, [rows, bags])


def test_bags_of_one_are_contrast_within_the_batch():
    """A row and its partner as one query: both look for the other among all partners and all rows."""
    rows, bags = rows_and_bags(3, N, 1)
    partners, nothing, image = bags[:, 0], torch.zeros_like(rows), torch.arange(N)
    queries = torch.cat([rows, partners], dim=1)
    keys = torch.cat([torch.cat([partners, nothing], dim=1), torch.cat([nothing, rows], dim=1)])
    expected = info_nce(
        queries, keys, image, torch.cat([image, torch.full((N,), -1)]), 0.2, self_index=image + N
    )
    assert_same_with_gradients(mil_nce(rows, bags, 0.2), expected, [rows, bags])


def test_a_perfect_match_costs_nothing_where_the_doubled_bag_would_cost_log_two():
    unlike = torch.eye(N)
    assert mil_nce(unlike, unlike[:, None], 0.01).item() == pytest.approx(0, abs=1e-6)


def test_a_collapse_costs_the_log_of_how_many_are_compared():
    positives_logsumexp, size = torch.ones(N, D) / math.sqrt(D), 2
    assert mil_nce(
        positives_logsumexp, positives_logsumexp[:, None].repeat(1, size, 1), 0.1
    ).item() == pytest.approx(math.log(2 * N - 1), rel=1e-5)


def test_one_good_element_of_a_bag_is_enough():
    rows = torch.eye(N)
    bags = torch.stack([rows, -rows], dim=1)
    assert mil_nce(rows, bags, 0.02).item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(
    ("rows", "bags", "temperature"),
    [((1, 4), (1, 2, 4), 0.1), ((3, 4), (2, 2, 4), 0.1), ((3, 4), (3, 2, 5), 0.1), ((3, 4), (3, 4), 0.1),
     ((3, 4), (3, 0, 4), 0.1), ((3, 4), (3, 2, 4), 0.0)],
)  # fmt: skip
def test_what_does_not_fit_is_refused(rows, bags, temperature):
    with pytest.raises(LossInputError):
        mil_nce(torch.ones(rows), torch.ones(bags), temperature)
