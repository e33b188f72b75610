"""Linear discriminant analysis against the formula with the whole covariance."""

import pytest
import torch
from torch.nn import functional

from likewise.classification import discriminant_head, fit_temperature
from likewise.classification.discriminant import SHARES, best_share
from likewise.classification.head import ABSENT
from likewise.errors import LikewiseError
from likewise.evaluation.metrics.linear_probe import stratified_folds


def rows(count, width, seed=0):
    random = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    centres = torch.randn(3, width, generator=torch.Generator().manual_seed(9))
    return torch.randn(count, width, generator=random) * torch.logspace(-1, 1, width) + centres[
        labels
    ] + 5, labels


def by_the_formula(features, labels, new, share):
    """Log posterior [M, 3] by the inverse of the D x D covariance."""
    means = torch.stack([features[labels == label].double().mean(dim=0) for label in range(3)])
    within = features.double() - means[labels]
    covariance = within.T @ within / len(within)
    identity = torch.eye(covariance.shape[0], dtype=torch.float64)
    covariance = (1 - share) * covariance + share * covariance.trace() / len(covariance) * identity
    shift = new.double()[:, None] - means  # [M, 3, D]
    distance = (shift @ torch.linalg.inv(covariance) * shift).sum(dim=2)
    prior = torch.bincount(labels).double() / len(labels)
    return (prior.log() - distance / 2).log_softmax(dim=1).float()


@pytest.mark.parametrize(("width", "share"), [(6, 0.1), (60, 0.1), (60, 0.9)])
def test_its_posterior_is_that_of_the_formula(width, share):
    features, labels = rows(40, width)
    new, _ = rows(25, width, seed=1)
    found = discriminant_head(features, labels, 3, share)(new).log_softmax(dim=1)
    expected = by_the_formula(features, labels, new, share)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_the_share_is_the_one_that_finds_held_out_rows_likeliest():
    features, labels = rows(40, 60)
    fold_of = stratified_folds(labels, 0, 5)
    losses = []
    for share in SHARES:
        logits = torch.zeros(40, 3)
        for fold in range(5):
            own = fold_of == fold
            logits[own] = by_the_formula(features[~own], labels[~own], features[own], share)
        at_best = logits / fit_temperature(logits, labels)
        losses.append(float(functional.cross_entropy(at_best, labels)))
    assert best_share(features.double(), labels) == SHARES[losses.index(min(losses))]


@pytest.mark.parametrize(("alike", "expected"), [(False, max(SHARES)), (True, min(SHARES))])
def test_the_share_is_great_where_directions_of_spread_do_not_matter(alike, expected):
    """Rows that differ along directions that all classes share are told apart by little of the identity."""
    random = torch.Generator().manual_seed(0)
    labels = torch.arange(120) % 2
    features = torch.randn(120, 30, generator=random).double()
    features[:, 0] += 2.0 * labels
    if alike:
        features[:, 1] = 20 * torch.randn(120, generator=random)
        features[:, 0] = 2.0 * labels + features[:, 1] + 0.5 * torch.randn(120, generator=random)
    assert best_share(features, labels) == expected


def test_it_finds_classes_apart_along_a_direction_in_which_features_hardly_vary():
    features, labels = rows(60, 40)
    new, truth = rows(300, 40, seed=1)
    for each, own in ((features, labels), (new, truth)):
        each[:, :-1] *= 50
        each[:, -1] = (
            0.2 * torch.randn(len(each), generator=torch.Generator().manual_seed(len(each))) + own
        )
    answers = discriminant_head(features, labels, 3)(new).argmax(dim=1)
    assert float((answers == truth).float().mean()) > 0.9


def test_hidden_rows_and_absent_classes_play_no_part():
    features, labels = rows(40, 8)
    shown = labels.where(torch.arange(40) < 30, -1)
    expected = discriminant_head(features[:30], labels[:30], 3)
    found = discriminant_head(features, shown, 5)
    torch.testing.assert_close(found.weight[:3], expected.weight)
    assert (found.bias[3:] == ABSENT).all() and not found.weight[3:].any()


def test_one_row_a_class_makes_a_classifier_by_the_nearest_mean():
    features, labels = rows(3, 20)
    assert (discriminant_head(features, labels, 3)(features).argmax(dim=1) == labels).all()


def test_one_class_is_refused():
    with pytest.raises(LikewiseError, match="two classes"):
        discriminant_head(torch.randn(5, 4), torch.zeros(5, dtype=torch.int64), 2)
