"""Heads against scikit-learn's, their out-of-fold logits against heads fitted by hand, and few labels."""

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from likewise.classification import fit_head
from likewise.classification.head import ABSENT
from likewise.errors import LikewiseError
from likewise.evaluation.metrics.linear_probe import stratified_folds


def clouds(count, width=8, classes=3, apart=2.0, seed=0):
    """Features of unlike scales around one centre a class, and their labels."""
    random = torch.Generator().manual_seed(seed)
    centres = torch.randn(classes, width, generator=torch.Generator().manual_seed(98)) * apart
    labels = torch.arange(count) % classes
    scales = torch.logspace(0, 2, width)
    return (torch.randn(count, width, generator=random) + centres[labels]) * scales + 5, labels


def theirs(features, labels, strength, rows):
    """Probabilities [N, K] by scikit-learn, fitted to some rows of features that are standardised over all."""
    scaled = StandardScaler().fit_transform(features.double().numpy())
    fitted = LogisticRegression(C=1 / strength, tol=1e-8, max_iter=20000).fit(scaled[rows], labels[rows].numpy())
    return torch.from_numpy(fitted.predict_proba(scaled)).float()


def test_the_head_is_scikit_learns_on_raw_features():
    features, labels = clouds(120)
    found = fit_head(features, labels, 3)
    expected = theirs(features, labels, found.protocol["strength"], torch.arange(120))
    torch.testing.assert_close(found.head(features).softmax(dim=1), expected, atol=2e-3, rtol=0)


def test_out_of_fold_logits_are_those_of_a_head_that_never_saw_the_fold():
    features, labels = clouds(60)
    found = fit_head(features, labels, 3, seed=4)
    fold_of = stratified_folds(labels, 4)
    for fold in range(5):
        held_out = fold_of == fold
        expected = theirs(features, labels, found.protocol["strength"], (~held_out).nonzero().flatten())
        ours = found.out_of_fold_logits[held_out].softmax(dim=1)
        torch.testing.assert_close(ours, expected[held_out], atol=5e-3, rtol=0)


def test_a_group_is_never_in_two_folds():
    groups = torch.arange(200) // 10
    of_group = torch.randn(20, 30, generator=torch.Generator().manual_seed(3))
    features = of_group[groups] + 0.1 * torch.randn(200, 30, generator=torch.Generator().manual_seed(4))
    labels = groups % 2  # only the group tells the label, so it cannot be told of a group that was not seen
    for given, low, high in ((None, 0.95, 1.0), (groups, 0.0, 0.75)):
        found = fit_head(features, labels, 2, groups=given)
        right = found.out_of_fold_logits.argmax(dim=1) == labels
        assert low <= float(right.float().mean()) <= high


@pytest.mark.parametrize("per_class", [1, 2, 3])
def test_few_labels_a_class(per_class):
    features, labels = clouds(3 * per_class, apart=6.0)
    found = fit_head(features, labels, 3)
    assert (found.head(features).argmax(dim=1) == labels).all()
    assert bool(found.out_of_fold_logits.isnan().any()) == (per_class == 1)
    assert found.protocol["folds"] == (0 if per_class == 1 else per_class)


def test_classes_without_a_label_and_rows_without_one():
    features, labels = clouds(90)
    labels = labels * 2  # classes 0, 2, 4 of 6
    labels[60:] = -1
    found = fit_head(features, labels, 6)
    assert found.out_of_fold_logits[60:].isnan().all() and not found.out_of_fold_logits[:60].isnan().any()
    assert (found.head(features)[:, [1, 3, 5]] == ABSENT).all()
    assert set(found.head(features).argmax(dim=1).tolist()) == {0, 2, 4}


def test_one_class_and_no_label_are_refused():
    features, _ = clouds(10)
    with pytest.raises(LikewiseError, match="two classes"):
        fit_head(features, torch.zeros(10, dtype=torch.int64), 2)
    with pytest.raises(LikewiseError, match="label"):
        fit_head(features, torch.full((10,), -1), 2)


def test_many_labels_are_searched_in_part_and_held_out_in_full(monkeypatch):
    from likewise.classification import head

    features, labels = clouds(400)
    usual = fit_head(features, labels, 3)
    monkeypatch.setattr(head, "SINGLE_SPLIT", 100)
    monkeypatch.setattr(head, "SEARCHED", 300)
    found = fit_head(features, labels, 3)
    assert not found.out_of_fold_logits.isnan().any()
    agreed = found.out_of_fold_logits.argmax(dim=1) == usual.out_of_fold_logits.argmax(dim=1)
    assert agreed.float().mean() > 0.97
