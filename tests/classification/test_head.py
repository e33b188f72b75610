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
    """Logits [N, K] by scikit-learn, fitted to some rows of features at the scales that few labels get."""
    own = features.double().var(dim=0, correction=0)
    scale = ((len(labels) * own + 100 * own.mean()) / (len(labels) + 100)).sqrt()
    scaled = ((features.double() - features.double().mean(dim=0)) / scale).numpy()
    fitted = LogisticRegression(C=1 / strength, tol=1e-8, max_iter=20000).fit(
        scaled[rows], labels[rows].numpy()
    )
    return torch.from_numpy(fitted.decision_function(scaled)).float()


def centred(logits):
    """What of logits matters to softmax."""
    return logits - logits.mean(dim=1, keepdim=True)


def test_the_head_is_scikit_learns_on_raw_features_but_for_its_norm():
    features, labels = clouds(120)
    found = fit_head(features, labels, 3)
    ours = centred(found.head(features))
    expected = centred(theirs(features, labels, found.protocol["strength"], torch.arange(120)))
    shrunk = float(ours.norm() / expected.norm())
    assert 0.8 < shrunk < 1
    torch.testing.assert_close(ours, expected * shrunk, atol=2e-2, rtol=2e-2)


@pytest.mark.parametrize(("count", "repeats"), [(60, 4), (330, 1)])
def test_out_of_fold_logits_are_the_mean_over_heads_that_never_saw_the_fold(count, repeats):
    features, labels = clouds(count, apart=0.5)
    found = fit_head(features, labels, 3, seed=4)
    judged = torch.zeros(repeats, count, 3)
    for repeat in range(repeats):
        fold_of = stratified_folds(labels, 4 * 4 + repeat, 10)
        for fold in range(10):
            held_out = fold_of == fold
            expected = theirs(
                features, labels, found.protocol["strength"], (~held_out).nonzero().flatten()
            )
            judged[repeat, held_out] = centred(expected)[held_out]
    ours = found.out_of_fold_logits.softmax(dim=1)
    torch.testing.assert_close(ours, judged.mean(dim=0).softmax(dim=1), atol=2e-2, rtol=0)


def test_few_labels_do_not_blow_up_features_that_hardly_vary_among_them():
    random = torch.Generator().manual_seed(0)
    labels = torch.arange(2000) % 4
    centres = torch.randn(4, 200, generator=random)
    sparse = (
        (torch.rand(2000, 200, generator=random) < 0.02)
        * torch.randn(2000, 200, generator=random)
        * 3
    )
    features = torch.cat(
        [centres[labels] * 0.35 + torch.randn(2000, 200, generator=random), sparse], dim=1
    )
    found = fit_head(features[:16], labels[:16], 4)
    rows = StandardScaler().fit(features[:16].numpy()).transform(features.numpy())
    usual = (
        LogisticRegression(C=1 / found.protocol["strength"])
        .fit(rows[:16], labels[:16].numpy())
        .predict(rows)
    )
    ours = (found.head(features).argmax(dim=1) == labels)[16:].float().mean()
    assert ours > (torch.from_numpy(usual) == labels)[16:].float().mean() + 0.05


def test_a_group_is_never_in_two_folds():
    groups = torch.arange(200) // 10
    of_group = torch.randn(20, 30, generator=torch.Generator().manual_seed(3))
    features = of_group[groups] + 0.1 * torch.randn(
        200, 30, generator=torch.Generator().manual_seed(4)
    )
    # Only the group tells the label, so it cannot be told of a group that was not seen.
    labels = groups % 2
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
    assert (
        found.protocol["folds"] == (0 if per_class == 1 else per_class)
        and found.protocol["repeats"] == 4
    )


def test_classes_without_a_label_and_rows_without_one():
    features, labels = clouds(90)
    labels = labels * 2  # classes 0, 2, 4 of 6
    labels[60:] = -1
    found = fit_head(features, labels, 6)
    assert (
        found.out_of_fold_logits[60:].isnan().all()
        and not found.out_of_fold_logits[:60].isnan().any()
    )
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
