"""Measures without labels against their formulas, and at collapse."""

import math

import numpy as np
import pytest
import torch

from likewise.evaluation.metrics.label_free import effective_rank, label_free, uniformity
from likewise.methods.method import feature_std


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("count", "width"), [(200, 16), (16, 200), (50, 50)])
def test_effective_rank_is_the_papers_formula(count, width):
    vectors = noise(count, width) * torch.logspace(0, -3, width) + 0.5
    singular = np.linalg.svd(vectors.double().numpy(), compute_uv=False)
    share = singular / np.abs(singular).sum() + 1e-7
    assert effective_rank(vectors) == pytest.approx(
        float(np.exp(-(share * np.log(share)).sum())), rel=1e-4
    )


def test_effective_rank_counts_directions():
    orthogonal = torch.linalg.qr(noise(40, 8)).Q
    assert effective_rank(orthogonal) == pytest.approx(8, rel=1e-3)
    assert effective_rank(noise(40, 1) @ noise(1, 8, seed=1)) == pytest.approx(1, abs=1e-3)
    assert effective_rank(5 * orthogonal) == pytest.approx(effective_rank(orthogonal))


def test_effective_rank_of_nothing_and_of_nan():
    assert effective_rank(torch.zeros(5, 3)) == 0.0
    assert effective_rank(torch.empty(0, 3)) == 0.0
    assert math.isnan(effective_rank(torch.tensor([[1.0, math.nan]])))
    assert math.isnan(effective_rank(torch.tensor([[1.0, math.inf]])))


def test_spread_is_one_when_even_and_zero_at_collapse():
    assert float(feature_std(noise(20000, 64))) == pytest.approx(1, rel=0.01)
    assert float(feature_std(torch.ones(50, 64) * torch.rand(50, 1))) == pytest.approx(0, abs=1e-6)
    assert float(feature_std(noise(1, 4))) == 0.0


def test_uniformity_equals_a_double_loop():
    vectors = noise(30, 5)
    units = vectors / vectors.norm(dim=1, keepdim=True)
    pairs = [
        math.exp(-2 * float(((units[i] - units[j]) ** 2).sum()))
        for i in range(30)
        for j in range(i)
    ]
    assert uniformity(vectors) == pytest.approx(math.log(sum(pairs) / len(pairs)), rel=1e-5)


def test_uniformity_in_blocks_leaves_every_row_out_of_its_own_sum():
    vectors = noise(2100, 3)
    squared = torch.pdist(torch.nn.functional.normalize(vectors.double())).square()
    assert uniformity(vectors) == pytest.approx(float((-2 * squared).exp().mean().log()), rel=1e-6)


def test_uniformity_at_collapse_and_of_one_row():
    assert uniformity(torch.ones(10, 4)) == pytest.approx(0, abs=1e-6)
    assert math.isnan(uniformity(torch.ones(1, 4)))


def test_label_free_gives_every_measure():
    assert set(label_free(noise(20, 4))) == {"effective_rank", "feature_std", "uniformity"}
