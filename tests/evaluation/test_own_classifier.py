"""How far a student answers as its teacher does."""

import pytest
import torch

from likewise.errors import LikewiseError
from likewise.evaluation.own_classifier import teacher_agreement


def test_agreement_counts_like_answers_right_or_wrong():
    score = teacher_agreement(torch.tensor([0, 1, 2, 2, 1]), torch.tensor([0, 1, 1, 2, 0]))
    assert (score.name, score.value, score.count) == ("teacher_agreement", pytest.approx(0.6), 5)
    assert 0 < score.low < 0.6 < score.high < 1
    assert teacher_agreement(torch.arange(4), torch.arange(4)).value == 1


def test_answers_to_other_images_are_refused():
    with pytest.raises(LikewiseError, match=r"3.*2"):
        teacher_agreement(torch.zeros(3), torch.zeros(2))
    with pytest.raises(LikewiseError, match=r"0.*0"):
        teacher_agreement(torch.zeros(0), torch.zeros(0))
