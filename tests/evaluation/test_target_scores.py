"""Scores of numbers against scikit-learn's."""

import pytest
import torch
from sklearn.metrics import r2_score

from likewise.evaluation.target_scores import r2


@pytest.mark.parametrize(
    ("offset", "spread"), [(0.0, 1.0), (-311_030.0, 6.0), (1e6, 1e-2), (1e-9, 1e-12)]
)
def test_r2_is_scikit_learns_wherever_the_numbers_lie(offset, spread):
    rng = torch.Generator().manual_seed(0)
    truth = offset + spread * torch.randn(60, 2, generator=rng, dtype=torch.float64)
    predictions = truth + spread * torch.randn(60, 2, generator=rng, dtype=torch.float64)
    weights = torch.ones(2, 60, dtype=torch.float64)
    weights[1, :30] = 3
    found = r2(truth, predictions, weights)
    for row, weight in zip(found, weights, strict=True):
        expected = r2_score(truth.numpy(), predictions.numpy(), sample_weight=weight.numpy())
        assert float(row) == pytest.approx(expected, rel=1e-6)
