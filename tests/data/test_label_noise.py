"""Labels that are falsified: how many, which, and that nobody else's are touched."""

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from likewise.data.label_budget import LabelBudget
from likewise.data.label_noise import with_label_noise
from likewise.errors import LikewiseError

LABELS = torch.arange(6000) % 6
LABELS[5000:] = -1
IDS = [f"photo/{i}" for i in range(6000)]


def wrong(share, seed=0, labels=LABELS):
    return set(
        torch.nonzero(with_label_noise(labels, IDS, share, 6, seed) != labels).flatten().tolist()
    )


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5])
def test_about_the_share_is_wrong_and_every_other_class_is_as_likely(share):
    after = with_label_noise(LABELS, IDS, share, 6, 0)
    changed = (after != LABELS)[:5000]
    deviation = (share * (1 - share) / 5000) ** 0.5
    assert float(changed.double().mean()) == pytest.approx(share, abs=4 * deviation)
    steps = torch.bincount((after - LABELS)[:5000][changed] % 6, minlength=6)
    assert steps[0] == 0
    expected = int(changed.sum()) / 5
    assert ((steps[1:] - expected).abs() < 4 * expected**0.5).all()


def test_what_is_hidden_stays_hidden_and_nothing_is_changed_in_place():
    before = LABELS.clone()
    after = with_label_noise(LABELS, IDS, 0.5, 6, 0)
    assert (after[5000:] == -1).all()
    assert 0 <= int(after[:5000].min()) <= int(after.max()) < 6
    assert torch.equal(LABELS, before)
    none = with_label_noise(LABELS, IDS, 0.0, 6, 0)
    assert torch.equal(none, LABELS)
    none[0] = 5
    assert LABELS[0] == 0


@settings(max_examples=10, deadline=None)
@given(st.floats(0, 0.9), st.floats(0, 0.9), st.integers(0, 5))
def test_noise_is_nested_in_its_share(few, many, seed):
    few, many = sorted((few, many))
    assert wrong(few, seed) <= wrong(many, seed)
    both = sorted(wrong(few, seed))
    assert torch.equal(
        with_label_noise(LABELS, IDS, few, 6, seed)[both],
        with_label_noise(LABELS, IDS, many, 6, seed)[both],
    )


def test_another_seed_falsifies_others():
    first, second = wrong(0.2, 0), wrong(0.2, 1)
    assert len(first & second) < 0.3 * len(first)


def test_the_same_labels_are_wrong_in_any_order_and_under_any_budget():
    order = list(range(6000))
    random.Random(0).shuffle(order)
    shuffled = with_label_noise(LABELS[order], [IDS[i] for i in order], 0.2, 6, 0)
    assert torch.equal(shuffled, with_label_noise(LABELS, IDS, 0.2, 6, 0)[order])
    few = LabelBudget(20).apply(LABELS, IDS)
    known = few != -1
    assert torch.equal(
        with_label_noise(few, IDS, 0.2, 6, 0)[known],
        with_label_noise(LABELS, IDS, 0.2, 6, 0)[known],
    )


@pytest.mark.parametrize(
    ("share", "labels", "classes"),
    [(1.0, LABELS, 6), (-0.1, LABELS, 6), (0.2, LABELS * 0 - 1, 6), (0.2, LABELS * 0, 1)],
)
def test_misuse_says_what_to_type(share, labels, classes):
    with pytest.raises(LikewiseError, match="--label-noise"):
        with_label_noise(labels, IDS, share, classes, 0)
