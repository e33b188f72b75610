"""The area for pairs of pixels against a loop over pairs of pairs."""

import math

import pytest
import torch

from likewise.claims.object_pairs import same_object_auc
from likewise.randomness import generator


def naive(embeddings, objects):
    count = len(objects)
    pairs = [(p, q) for p in range(count) for q in range(p + 1, count)]
    cosine = {(p, q): float(embeddings[p] @ embeddings[q]) for p, q in pairs}
    alike = [cosine[p, q] for p, q in pairs if objects[p] == objects[q] and objects[p] > 0]
    unlike = [cosine[p, q] for p, q in pairs if (objects[p] == 0) != (objects[q] == 0)]
    wins = sum((a > u) + 0.5 * (a == u) for a in alike for u in unlike)
    return wins / (len(alike) * len(unlike)) if alike and unlike else math.nan


def test_the_area_is_that_of_the_naive_loop():
    rows = torch.randn(4, 9, 3, generator=generator(1), dtype=torch.float64).round()  # ties occur
    embeddings = torch.nn.functional.normalize(rows + 0.1, dim=2)
    objects = torch.randint(0, 3, (4, 9), generator=generator(2))
    expected = [naive(*each) for each in zip(embeddings, objects.tolist(), strict=True)]
    assert same_object_auc(embeddings, objects).tolist() == pytest.approx(expected, rel=1e-12)


def test_extremes():
    objects = torch.tensor([[0, 0, 1, 1, 2, 2]])
    told = torch.eye(3)[[0, 0, 1, 1, 2, 2]][None]
    assert same_object_auc(told, objects).tolist() == [1.0]
    assert same_object_auc(torch.ones(1, 6, 1), objects).tolist() == [0.5]
    mixed = torch.eye(2)[[0, 0, 0, 1, 0, 1]][None]  # each object is half background's
    assert same_object_auc(mixed, objects).item() < 0.5


def test_an_image_without_a_pair_of_either_kind_has_no_area():
    objects = torch.tensor([[0, 0, 0], [1, 1, 1], [0, 1, 2]])
    assert same_object_auc(torch.eye(3).expand(3, 3, 3), objects).isnan().all()
