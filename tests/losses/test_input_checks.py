"""What losses refuse, by the argument that is wrong: shapes that would broadcast, empty batches, odd temperatures."""

import pytest
import torch

from likewise import losses
from likewise.losses import LossInputError
from likewise.losses.regression import masked_l1

ROWS, FEWER, NONE = torch.randn(4, 3), torch.randn(1, 3), torch.zeros(0, 3)
QUEUE = torch.randn(6, 3)

OF_A_PAIR = {
    "queue_nce": (lambda a, b: losses.queue_nce(a, b, QUEUE, 0.2), "positives"),
    "similarity_distillation": (lambda a, b: losses.similarity_distillation(a, b, QUEUE), "teacher"),
    "cosine_regression": (losses.cosine_regression, "target"),
    "soft_cross_entropy": (losses.soft_cross_entropy, "targets"),
    "knowledge_distillation": (lambda a, b: losses.knowledge_distillation(a, b, 2.0), "teacher"),
}


@pytest.mark.parametrize("name", OF_A_PAIR)
def test_one_row_is_not_broadcast_to_all(name):
    loss, second = OF_A_PAIR[name]
    with pytest.raises(LossInputError, match=rf"{second}.*\(1, 3\)"):
        loss(ROWS, FEWER)


@pytest.mark.parametrize("name", OF_A_PAIR)
def test_an_empty_batch_has_no_mean(name):
    loss, _ = OF_A_PAIR[name]
    with pytest.raises(LossInputError, match=r"\(0, 3\)"):
        loss(NONE, NONE)


@pytest.mark.parametrize("temperature", [float("inf"), float("nan"), 0, -1.0, None, "0.1", torch.tensor(float("inf"))])
def test_a_temperature_is_finite_and_above_0(temperature):
    with pytest.raises(LossInputError, match="temperature"):
        losses.nt_xent(torch.randn(4, 3), torch.randn(4, 3), temperature)


def test_a_frame_that_is_masked_out_may_hold_nan():
    prediction = torch.randn(2, 3, 4, requires_grad=True)
    target, valid = torch.randn(2, 3, 4), torch.tensor([[1, 1, 0], [1, 0, 0]])
    expected = masked_l1(prediction, target, valid)
    target[0, 2] = float("nan")
    found = masked_l1(prediction, target, valid)
    found.backward()
    assert torch.equal(found, expected)
    assert prediction.grad.isfinite().all()


def test_frames_that_do_not_fit_are_named():
    with pytest.raises(LossInputError, match="target"):
        masked_l1(torch.randn(2, 3, 4), torch.randn(1, 3, 4), torch.ones(2, 3))
    with pytest.raises(LossInputError, match="valid"):
        masked_l1(torch.randn(2, 3, 4), torch.randn(2, 3, 4), torch.ones(2, 2))
    with pytest.raises(LossInputError, match="valid"):
        masked_l1(torch.randn(2, 3, 4), torch.randn(2, 3, 4), torch.zeros(2, 3))
