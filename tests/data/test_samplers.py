from __future__ import annotations

from collections import Counter

import pytest
import torch

from likewise.data.samplers import (
    ClassBalanced,
    _permutation,
    long_tailed,
    shuffled,
    step_imbalanced,
)
from likewise.errors import LikewiseError

LABELS = torch.tensor(([0, 1, 2, 3, 4] * 12) + [-1] * 20)


def test_an_epoch_shows_every_example_at_most_once():
    drawn = torch.cat([shuffled(103, 10, seed=0, step=s) for s in range(10)])
    assert len(set(drawn.tolist())) == 100
    following = torch.cat([shuffled(103, 10, seed=0, step=s) for s in range(10, 20)])
    assert len(set(following.tolist())) == 100
    assert drawn.tolist() != following.tolist()


def test_a_step_is_a_function_of_seed_and_step_alone():
    later = shuffled(103, 10, 0, 57)
    for step in range(5):
        shuffled(103, 10, 0, step)
    _permutation.cache_clear()
    assert shuffled(103, 10, 0, 57).tolist() == later.tolist()
    assert shuffled(103, 10, 1, 57).tolist() != later.tolist()
    sampler = ClassBalanced(LABELS, 3, 4, 0)
    assert [sampler(s).tolist() for s in (9, 2)] == [
        ClassBalanced(LABELS, 3, 4, 0)(s).tolist() for s in (9, 2)
    ]


@pytest.mark.parametrize(("classes", "images"), [(5, 2), (2, 4), (3, 12), (1, 5)])
def test_support_is_balanced_interleaved_and_without_repeats(classes, images):
    for step in range(30):
        drawn = ClassBalanced(LABELS, classes, images, 0)(step)
        by_turn = LABELS[drawn].view(images, classes)
        assert len(set(by_turn[0].tolist())) == classes
        assert (by_turn == by_turn[0]).all() and (by_turn >= 0).all()
        assert len(set(drawn.tolist())) == classes * images


def test_support_shows_every_class_and_image_equally_often():
    # 2 passes of 12 images a class
    drawn = torch.cat([ClassBalanced(LABELS, 5, 4, 0)(s) for s in range(6)])
    assert set(Counter(drawn.tolist()).values()) == {2} and len(set(drawn.tolist())) == 60
    classes = Counter(
        LABELS[torch.cat([ClassBalanced(LABELS, 2, 1, 0)(s) for s in range(200)])].tolist()
    )
    # 80 each if exact; the fifth class of a permutation is left out by chance
    assert min(classes.values()) > 50


def test_a_class_with_too_few_images_repeats_them_evenly():
    labels = torch.tensor([0, 0, 0, 1] + [2] * 9)
    drawn = ClassBalanced(labels, 3, 7, 0)(0).tolist()
    counts = Counter(drawn)
    assert sorted(counts[i] for i in (0, 1, 2)) == [2, 2, 3]
    assert counts[3] == 7
    assert max(counts[i] for i in range(4, 13)) == 1


def test_support_that_labels_cannot_fill_is_refused():
    with pytest.raises(LikewiseError, match=r"6 classes.* 5 "):
        ClassBalanced(LABELS, 6, 2, 0)(0)
    with pytest.raises(LikewiseError, match="budget above none"):
        ClassBalanced(torch.full((5,), -1), 1, 2, 0)(0)


def test_the_long_tail_has_the_ratio_asked_for():
    labels = torch.arange(10).repeat(500)
    kept = long_tailed(labels, ratio=100, seed=0)
    counts = torch.bincount(labels[kept]).tolist()
    assert counts == [round(500 * 100 ** (-k / 9)) for k in range(10)]
    assert counts[0] == 100 * counts[-1]
    assert set(long_tailed(labels, 100, 0).tolist()) <= set(long_tailed(labels, 10, 0).tolist())
    assert long_tailed(labels, 100, 1).tolist() != kept.tolist()


def test_the_step_makes_the_last_classes_rare():
    kept = step_imbalanced(LABELS, rare_classes=2, ratio=4, seed=0)
    assert torch.bincount(LABELS[kept]).tolist() == [12, 12, 12, 3, 3]
    assert torch.bincount(LABELS[step_imbalanced(LABELS, 0.4, 4, 0)]).tolist() == [12, 12, 12, 3, 3]
    with pytest.raises(LikewiseError, match="ratio"):
        step_imbalanced(LABELS, 2, 0.5, 0)
