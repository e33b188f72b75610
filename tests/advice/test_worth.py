"""What each ingredient is worth compares like with like, and what does not help is not said to."""

import pytest
import torch
from torch.nn import functional

from likewise.advice.arm import ArmCard
from likewise.advice.cross_validation import TriedArm
from likewise.advice.frozen import MEAN_OF_ALL
from likewise.advice.worth import OWN, OWN_PRETRAINING, TUNING, UNLABELLED_IMAGES, WEIGHTS, gains_of

LABELS = torch.arange(100) % 2


def tried(name, right, start="pretrained", trains_encoder=False, **card):
    """An arm that is right about some images: bool [100], or how many of the first."""
    right = torch.as_tensor(right)
    right = torch.arange(100) < right if right.ndim == 0 else right
    answers = LABELS.where(right, 1 - LABELS)
    card = ArmCard(name, start, trains_encoder=trains_encoder, **card)
    return TriedArm(card, functional.one_hot(answers, 2).float(), outcome="complete")


def worth(of, arms, groups=None):
    return next(gain for gain in gains_of(arms, LABELS, groups) if gain.of == of)


def test_a_mean_of_more_heads_says_nothing_about_images_without_a_label():
    arms = [tried("mean of heads", 60), tried("with propagation", 62, unlabelled=True)]
    fair = worth(UNLABELLED_IMAGES, arms)
    assert fair.first == "with propagation" and fair.value is not None and fair.value < 0.05
    more = [*arms, tried(MEAN_OF_ALL, 90, unlabelled=True)]
    assert worth(UNLABELLED_IMAGES, more) == fair


WITH = {
    OWN: {"start": "scratch", "unlabelled": True},
    UNLABELLED_IMAGES: {"unlabelled": True},
    WEIGHTS: {},
    TUNING: {"trains_encoder": True},
}
"""of arms with an ingredient"""


@pytest.mark.parametrize("of", WITH)
@pytest.mark.parametrize("grouped", [False, True])
def test_what_does_not_help_is_seldom_said_to(of, grouped):
    draws = torch.Generator().manual_seed(5)
    groups = torch.arange(100) // 5 if grouped else None
    name = OWN_PRETRAINING if of == OWN else "with"
    without = {"start": "scratch"} if of == WEIGHTS else {}

    def equally_good():
        """Right about seven of ten images, or of ten groups of images."""
        right = torch.rand(20 if grouped else 100, generator=draws) < 0.7
        return right.repeat_interleave(5) if grouped else right

    claims = 0
    for _ in range(60):
        arms = [tried(f"without {number}", equally_good(), **without) for number in range(2)]
        arms += [tried(f"{name} {number}", equally_good(), **WITH[of]) for number in range(4)]
        low = worth(of, arms, groups).low
        claims += low is not None and low > 0
    assert claims <= 3
