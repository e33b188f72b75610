"""The classifier from class prototypes: its weights and its scale against a computation one image at a time."""

import math

import numpy as np
import pytest
import torch

from likewise.adaptation import prototype_classifier
from likewise.adaptation.prototypes import SCALE_WITHOUT_EVIDENCE
from likewise.errors import LikewiseError


def features_and_labels(each, noise, seed=0):
    random = torch.Generator().manual_seed(seed)
    means = torch.randn(3, 6, generator=random)
    labels = torch.arange(3).repeat(each)
    return means[labels] + noise * torch.randn(len(labels), 6, generator=random) + 2, labels


def naive_logits(features, labels, scale, left_out=False):
    rows = features.numpy().astype(float)
    rows = rows - rows.mean(axis=0)
    norm = np.linalg.norm(rows, axis=1).mean()
    logits = np.zeros((len(rows), 3))
    for i, row in enumerate(rows):
        for number in range(3):
            members = [
                j for j in range(len(rows)) if labels[j] == number and not (left_out and i == j)
            ]
            mean = np.mean([rows[j] / np.linalg.norm(rows[j]) for j in members], axis=0)
            logits[i, number] = scale * row @ mean / np.linalg.norm(mean) / norm
    return logits


def naive_loss(logits, labels):
    exponentials = np.exp(logits)
    return -np.log(exponentials[np.arange(len(labels)), labels] / exponentials.sum(axis=1)).mean()


def test_logits_are_scaled_cosines_and_the_scale_suits_images_that_were_left_out():
    features, labels = features_and_labels(each=5, noise=1.2)
    losses = {
        s: naive_loss(naive_logits(features, labels, s, left_out=True), labels)
        for s in np.geomspace(1, 100, 90)
    }
    best = min(losses, key=losses.get)
    layer = prototype_classifier(features, labels, 3)
    expected = naive_logits(features, labels, best)
    assert 1.1 < best < 90
    assert np.allclose(
        layer(features).detach().numpy(), expected, rtol=0.06, atol=0.02 * np.abs(expected).max()
    )


def test_clear_classes_get_a_greater_scale_than_mixed_ones():
    scales = []
    for noise in (0.3, 1.5):
        features, labels = features_and_labels(each=8, noise=noise)
        norm = (features - features.mean(dim=0)).norm(dim=1).mean()
        weights = prototype_classifier(features, labels, 3).weight.detach()
        scales.append(float(weights[0].norm() * norm))
    assert scales[0] > 2 * scales[1]


@pytest.mark.parametrize("noise", [0.8, 1.5])
def test_confidence_is_the_accuracy_on_images_without_a_label(noise):
    features, labels = features_and_labels(each=200, noise=noise)
    shown = torch.full_like(labels, -1)
    shown[:60] = labels[:60]
    probabilities = prototype_classifier(features, shown, 3)(features[60:]).detach().softmax(dim=1)
    confidence, predicted = probabilities.max(dim=1)
    accuracy = (predicted == labels[60:]).float().mean()
    assert 0.4 < accuracy < 0.97
    assert abs(float(confidence.mean() - accuracy)) < 0.06


def test_one_label_a_class_and_a_class_without_one():
    features, labels = features_and_labels(each=4, noise=0.5)
    labels[3:] = -1
    labels[2] = -1
    layer = prototype_classifier(features, labels, 3)
    norm = (features - features.mean(dim=0)).norm(dim=1).mean()
    assert math.isclose(
        float(layer.weight[0].detach().norm() * norm), SCALE_WITHOUT_EVIDENCE, rel_tol=1e-4
    )
    assert torch.equal(layer.weight[2], torch.zeros(6))
    assert bool((layer(features[:2]).argmax(dim=1) == labels[:2]).all())


def test_no_label_is_refused():
    with pytest.raises(LikewiseError, match="label"):
        prototype_classifier(torch.randn(4, 3), torch.full((4,), -1), 2)
