"""How far a student answers as its teacher does."""

import pytest
import torch

from likewise.errors import LikewiseError
from likewise.evaluation.own_classifier import agreement_score


def test_agreement_counts_like_answers_right_or_wrong():
    score = agreement_score(torch.tensor([0, 1, 2, 2, 1]), torch.tensor([0, 1, 1, 2, 0]))
    assert (score.name, score.value, score.count) == ("teacher_agreement", pytest.approx(0.6), 5)
    assert 0 < score.low < 0.6 < score.high < 1
    assert agreement_score(torch.arange(4), torch.arange(4)).value == 1


def test_answers_to_other_images_are_refused():
    with pytest.raises(LikewiseError, match="got 3 and 2"):
        agreement_score(torch.zeros(3), torch.zeros(2))
    with pytest.raises(LikewiseError, match="same images"):
        agreement_score(torch.zeros(0), torch.zeros(0))
