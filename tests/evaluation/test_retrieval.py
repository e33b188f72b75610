"""Recall and flat hits against counting by hand."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from likewise.errors import LikewiseError
from likewise.evaluation.metrics import retrieval
from likewise.evaluation.metrics.retrieval import measure_retrieval, measure_zero_shot, ranks


def made(images=12, each=3, seed=0, noise=1.0):
    torch.manual_seed(seed)
    v = F.normalize(torch.randn(images, 5), dim=1)
    owner = torch.randperm(images * each) % images
    return v, F.normalize(v[owner] + noise * torch.randn(len(owner), 5), dim=1), owner


@pytest.mark.parametrize("at_a_time", [7, 1024])
def test_ranks_are_those_of_sorting(monkeypatch, at_a_time):
    monkeypatch.setattr(retrieval, "QUERIES_AT_A_TIME", at_a_time)
    v, t, owner = made()
    found = ranks(v, t, owner)
    similarity = (t @ v.T).numpy()
    for m in range(len(t)):
        assert np.argsort(-similarity[m]).tolist().index(owner[m]) == found.of_queries[m]
    for n in range(len(v)):
        order = np.argsort(-similarity[:, n])
        others_first = 0
        for m in order:
            if owner[m] == n:
                break
            others_first += 1
        assert others_first == found.of_images[n]


def test_scores_are_shares_of_ranks():
    v, t, owner = made()
    found = ranks(v, t, owner)
    scores = {each.score.name: each.score for each in measure_retrieval(found)}
    assert list(scores) == [
        f"{way}_r{k}" for way in ("text_to_image", "image_to_text") for k in (1, 5, 10)
    ]
    assert scores["text_to_image_r5"].value == pytest.approx(
        float((found.of_queries < 5).float().mean())
    )
    assert scores["image_to_text_r1"].value == pytest.approx(
        float((found.of_images < 1).float().mean())
    )
    assert all(score.low <= score.value <= score.high for score in scores.values())


def test_chance_is_what_random_vectors_find():
    owner = torch.arange(60) % 20
    drawn = [F.normalize(torch.randn(80, 50), dim=1).split([20, 60]) for _ in range(200)]
    found = [ranks(v, t, owner) for v, t in drawn]
    for score in (each.score for each in measure_retrieval(found[0])):
        of = [
            each.of_queries if score.name.startswith("text") else each.of_images for each in found
        ]
        k = int(score.name.rpartition("r")[2])
        assert float((torch.stack(of) < k).float().mean()) == pytest.approx(
            score.protocol["chance"], abs=0.02
        )


def test_a_collapse_finds_nothing():
    same = torch.ones(6, 4) / 2
    found = ranks(same, same, torch.arange(6))
    assert found.of_queries.tolist() == [5] * 6
    assert found.of_images.tolist() == [5] * 6


def test_an_image_without_text_is_refused():
    v, t, _ = made()
    with pytest.raises(LikewiseError, match=r"11.*12"):
        ranks(v, t, torch.zeros(len(t), dtype=torch.int64))


def test_zero_shot_hits_are_shares_of_the_nearest_classes():
    torch.manual_seed(0)
    v, classes, labels = torch.randn(40, 6), torch.randn(7, 6), torch.randint(0, 7, (40,))
    scores = {each.score.name: each.score.value for each in measure_zero_shot(v, classes, labels)}
    nearest = (v @ classes.T).argsort(dim=1, descending=True)
    for k in (1, 5):
        assert scores[f"zero_shot_hit{k}"] == pytest.approx(
            sum(int(labels[i]) in nearest[i, :k].tolist() for i in range(40)) / 40
        )
    assert [each.score.name for each in measure_zero_shot(v, classes[:3], labels % 3)] == [
        "zero_shot_hit1"
    ]
