"""Distances to what was learned, against all pairs."""

import pytest
import torch

from likewise.classification import Reference
from likewise.classification.reference import MAX_REFERENCE

NOTHING = torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64)


def test_distance_is_to_the_fifth_nearest_and_the_limit_leaves_each_row_out():
    features = torch.randn(60, 5)
    reference = Reference.of(features, *NOTHING, temperature=1.0)
    queries = torch.randn(7, 5)
    cosines = torch.nn.functional.cosine_similarity(queries[:, None], features[None], dim=2)
    expected = 1 - cosines.sort(dim=1, descending=True).values[:, 4]
    torch.testing.assert_close(reference.distances(queries), expected, atol=1e-5, rtol=0)

    among = torch.nn.functional.cosine_similarity(
        features[:, None], features[None], dim=2
    ).fill_diagonal_(-9)
    left_out = 1 - among.sort(dim=1, descending=True).values[:, 4]
    assert reference.distance_limit == pytest.approx(float(left_out.quantile(0.99)), abs=1e-5)


def test_keeps_only_some_of_many_and_works_with_one():
    assert (
        len(Reference.of(torch.randn(MAX_REFERENCE + 10, 2), *NOTHING, temperature=1.0).vectors)
        == MAX_REFERENCE
    )
    alone = Reference.of(torch.randn(1, 3), *NOTHING, temperature=1.0)
    assert alone.distance_limit == 2.0 and len(alone.distances(torch.randn(4, 3))) == 4


def test_held_out_predictions_are_judged_at_the_temperature():
    logits = torch.tensor([[2.0, 0.0], [2.0, 0.0], [torch.nan, torch.nan], [0.0, 0.0]])
    reference = Reference.of(
        torch.randn(4, 3), logits, torch.tensor([0, 1, 0, -1]), temperature=2.0
    )
    assert reference.correct.tolist() == [True, False]
    torch.testing.assert_close(reference.confidence, torch.tensor([1.0, 1.0]).double().sigmoid())
