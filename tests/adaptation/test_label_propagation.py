"""Label propagation against the dense closed form, and on a shape that nearest prototypes get wrong."""

import numpy as np
import pytest
import torch
from sklearn.datasets import make_moons

from likewise.adaptation import label_propagation, propagate_labels
from likewise.errors import LikewiseError


def moons(count=400):
    """Two interleaved half circles on a sphere, so that cosines tell neighbours, with three labels each."""
    points, labels = make_moons(count, noise=0.05, random_state=0)
    features = np.concatenate([points, np.full((count, 1), 3.0)], axis=1)
    labels = torch.from_numpy(labels)
    shown = torch.full_like(labels, -1)
    for number in (0, 1):
        members = (labels == number).nonzero().flatten()[:3]
        shown[members] = number
    return torch.from_numpy(features).float(), labels, shown


def dense_scores(features, shown, neighbours, alpha, gamma):
    unit = features.double().numpy()
    unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -1)
    affinity = np.zeros_like(cosines)
    for i, row in enumerate(cosines):
        nearest = np.argsort(-row)[:neighbours]
        affinity[i, nearest] = row[nearest].clip(min=0) ** gamma
    affinity = affinity + affinity.T
    degree = affinity.sum(axis=1)
    smooth = affinity / np.sqrt(degree[:, None] * degree[None])
    targets = np.stack([(shown == number).numpy() for number in range(2)], axis=1).astype(float)
    return np.linalg.inv(np.eye(len(unit)) - alpha * smooth) @ targets


def test_scores_are_the_closed_form_whatever_the_chunk(monkeypatch):
    features = torch.randn(100, 5, generator=torch.Generator().manual_seed(0))
    shown = torch.full((100,), -1)
    shown[:6] = torch.arange(6) % 2
    expected = dense_scores(features, shown, neighbours=6, alpha=0.9, gamma=3)
    expected = expected / expected.sum(axis=1, keepdims=True)
    for chunk in (512, 7):
        monkeypatch.setattr(label_propagation, "CHUNK", chunk)
        got = propagate_labels(features, shown, 2, neighbours=6, alpha=0.9, balance=False)
        assert np.allclose(got.numpy(), expected, atol=1e-3)


def test_labels_follow_the_shape_of_the_data():
    features, labels, shown = moons()
    right = propagate_labels(features, shown, 2, neighbours=10).argmax(dim=1) == labels
    means = torch.stack([features[shown == number].mean(dim=0) for number in (0, 1)])
    by_means = torch.cdist(features, means).argmin(dim=1) == labels
    assert right.float().mean() > 0.97 > 0.9 > by_means.float().mean()


def test_an_image_that_no_label_reaches_has_every_class_alike():
    near, far = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    features = torch.stack([near, near, near, far, far, far]) + 0.01 * torch.rand(6, 2)
    got = propagate_labels(features, torch.tensor([0, 1, -1, -1, -1, -1]), 2, neighbours=2)
    assert torch.allclose(got[3:], torch.full((3, 2), 0.5))


def test_no_label_and_a_bad_alpha_are_refused():
    with pytest.raises(LikewiseError, match="label"):
        propagate_labels(torch.randn(5, 2), torch.full((5,), -1), 2)
    with pytest.raises(LikewiseError, match="alpha"):
        propagate_labels(torch.randn(5, 2), torch.zeros(5).long(), 2, alpha=1.0)
