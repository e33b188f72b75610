"""Scores of features that lie on a GPU are those of the same features on the CPU; a stand-in device shows it here."""

import pytest
import torch

from evaluation.stand_in_device import OnDevice, stand_in_device
from likewise.evaluation import evaluate_features as evaluating
from likewise.evaluation.evaluate_features import Targets, evaluate_features
from likewise.evaluation.evaluation import EvaluationSettings
from likewise.evaluation.metrics.few_label import FewLabel
from likewise.evaluation.metrics.knn import Knn
from likewise.evaluation.metrics.label_free import effective_rank, uniformity
from likewise.evaluation.metrics.linear_probe import LinearProbe
from likewise.evaluation.statistics import scores
from likewise.evaluation.statistics.scores import Features


def clouds(count, seed):
    random = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    centres = 0.8 * torch.randn(3, 10, generator=torch.Generator().manual_seed(9))
    return Features(torch.randn(count, 10, generator=random) + centres[labels], labels)


MEASURES = {
    "knn": lambda train, test: [Knn(k=5).evaluate(train, test)],
    "linear": lambda train, test: [LinearProbe().fit(train).evaluate(test)],
    "few labels": lambda train, test: FewLabel((2, 5), draws=2).evaluate(
        train, test, [str(n) for n in range(120)]
    ),
}


@pytest.mark.parametrize(
    ("name", "fewest"), [("knn", 0), ("linear", 0), ("linear", 10**6), ("few labels", 10**6)]
)
def test_a_measure_is_the_same_and_comes_back(name, fewest, monkeypatch):
    """Of few numbers a probe is fitted on the host."""
    train, test = clouds(120, 0), clouds(60, 1)
    right = list(MEASURES[name](train, test))
    monkeypatch.setattr(scores, "FEW_NUMBERS", fewest)
    with stand_in_device() as device:
        found = list(
            MEASURES[name](
                *(Features(part.vectors.to(device), part.labels) for part in (train, test))
            )
        )
        for measurement, other in zip(found, right, strict=True):
            assert type(measurement.predictions) is torch.Tensor
            assert torch.equal(measurement.predictions, other.predictions)
            assert measurement.score == other.score


def test_a_gpu_with_room_scores_every_encoder_and_gives_back_the_vectors(monkeypatch):
    train, test = clouds(120, 0), clouds(60, 1)
    ids = [str(number) for number in range(120)]
    wanted = [Targets(labels=part.labels, ids=ids[: len(part.labels)]) for part in (train, test)]
    settings = EvaluationSettings(few_label=FewLabel((2,), draws=2), label_free=False)

    def evaluation():
        source = {"train": train.vectors, "test": test.vectors}.__getitem__
        return evaluate_features({"trained": source, "untrained": source}, *wanted, settings)

    right = evaluation()
    with stand_in_device() as device:
        moved = []
        monkeypatch.setattr(
            evaluating, "scored_on", lambda _, vectors: moved.append(1) or vectors.to(device)
        )
        found = evaluation()
    assert len(moved) == 4
    assert type(found.vectors) is torch.Tensor
    assert not isinstance(found.predictions, OnDevice)
    assert found.by_encoder == right.by_encoder


def test_measures_without_labels_are_the_same():
    vectors = clouds(60, 1).vectors
    right = effective_rank(vectors), uniformity(vectors)
    with stand_in_device() as device:
        found = effective_rank(vectors.to(device)), uniformity(vectors.to(device))
    assert found == pytest.approx(right)


def test_features_stay_where_they_are_without_a_gpu():
    vectors = torch.ones(2, 2)
    assert evaluating.scored_on("cpu", vectors) is vectors
    assert evaluating.scored_on(None, vectors) is vectors
