"""What each ingredient is worth compares like with like."""

import torch
from torch.nn import functional

from likewise.advice.arm import ArmCard
from likewise.advice.cross_validation import TriedArm
from likewise.advice.frozen import MEAN_OF_ALL
from likewise.advice.worth import UNLABELLED_IMAGES, gains_of

LABELS = torch.arange(100) % 2


def tried(name, right, **card):
    """An arm on frozen pretrained features that is right about the first so many images."""
    answers = LABELS.where(torch.arange(100) < right, 1 - LABELS)
    card = ArmCard(name, "pretrained", trains_encoder=False, **card)
    return TriedArm(card, functional.one_hot(answers, 2).float(), outcome="complete")


def worth_of_unlabelled(arms):
    return next(gain for gain in gains_of(arms, LABELS, None) if gain.of == UNLABELLED_IMAGES)


def test_a_mean_of_more_heads_says_nothing_about_images_without_a_label():
    arms = [tried("mean of heads", 60), tried("with propagation", 62, unlabelled=True)]
    fair = worth_of_unlabelled(arms)
    assert fair.first == "with propagation" and fair.value is not None and fair.value < 0.05
    assert worth_of_unlabelled([*arms, tried(MEAN_OF_ALL, 90, unlabelled=True)]) == fair
