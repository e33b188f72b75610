"""Folds spread every class, hold groups together and never leave a class without a label."""

import torch

from likewise.advice.folds import NEVER, fold_count, stratified_folds


def test_every_class_is_spread_evenly_and_folds_are_of_one_size():
    labels = torch.arange(4).repeat(7)  # 7 labels of 4 classes in 5 folds
    fold_of = stratified_folds(labels, None, 5, seed=0)
    for label in range(4):
        counts = torch.bincount(fold_of[labels == label], minlength=5)
        assert set(counts.tolist()) == {1, 2}
    sizes = torch.bincount(fold_of)
    assert sizes.max() - sizes.min() <= 1


def test_the_only_label_of_a_class_is_never_held_out():
    labels = torch.tensor([0, 0, 1, 1, 2])
    fold_of = stratified_folds(labels, None, 2, seed=0)
    assert fold_of[4] == NEVER
    for fold in range(2):
        assert set(labels[fold_of != fold].tolist()) == {0, 1, 2}


def test_groups_are_in_one_fold_and_those_with_all_of_a_class_are_never_held_out():
    labels = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1, 2, 0])
    groups = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3, 4, 4])  # class 2 lies in group 4 alone
    fold_of = stratified_folds(labels, groups, 2, seed=0)
    for group in groups.unique():
        assert len(fold_of[groups == group].unique()) == 1
    assert (fold_of[groups == 4] == NEVER).all()
    assert set(fold_of[groups != 4].tolist()) == {0, 1}


def test_no_more_folds_than_labels_of_most_classes():
    assert fold_count(torch.arange(10).repeat(2)) == 2
    assert fold_count(torch.arange(10).repeat(3)) == 3
    assert fold_count(torch.arange(10).repeat(50)) == 5
    assert fold_count(torch.arange(10)) == 1
    rare = torch.cat([torch.arange(10).repeat(20), torch.tensor([10, 10])])
    assert fold_count(rare) == 5  # one rare class does not take folds from the others


def test_folds_depend_on_the_seed_alone():
    labels = torch.arange(3).repeat(9)
    assert torch.equal(stratified_folds(labels, None, 5, 1), stratified_folds(labels, None, 5, 1))
    assert not torch.equal(
        stratified_folds(labels, None, 5, 1), stratified_folds(labels, None, 5, 2)
    )
