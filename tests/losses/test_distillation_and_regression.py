"""Soft-target and regression losses against reference values and naive loops."""

import pytest
import torch

from likewise.losses import (
    LossInputError,
    cosine_regression,
    knowledge_distillation,
    similarity_distillation,
    soft_cross_entropy,
    soft_nce,
)
from losses.vectors import QUEUE, ZA, ZB, raw


@pytest.mark.parametrize(
    ("student_temperature", "teacher_temperature", "value"),
    [(0.02, 0.02, 4.7341639397818875), (0.1, 0.01, 1.0867102963716158)],
)
def test_isd_reference_values(student_temperature, teacher_temperature, value):
    loss = similarity_distillation(ZA, ZB, QUEUE, student_temperature, teacher_temperature)
    assert float(loss) == pytest.approx(value, rel=1e-12)


def test_isd_is_zero_where_student_and_teacher_agree():
    assert float(similarity_distillation(ZA, ZA, QUEUE)) == pytest.approx(0, abs=1e-14)


def test_only_the_student_receives_gradient():
    student, teacher, anchors = (t.clone().requires_grad_() for t in (ZA, ZB, QUEUE))
    similarity_distillation(student, teacher, anchors).backward()
    assert student.grad.norm() > 0
    assert teacher.grad is None
    assert anchors.grad is None


def test_byol_reference_value_and_stopped_target():
    target = ZB.clone().requires_grad_()
    prediction = ZA.clone().requires_grad_()
    loss = cosine_regression(prediction, target)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0.2643606811970846, rel=1e-12)
    assert target.grad is None
    assert prediction.grad is not None


def test_soft_nce_with_one_hot_targets_is_cross_entropy():
    target = torch.tensor([2, 0, 4, 1])
    soft = torch.nn.functional.one_hot(target, 5).double()
    expected = torch.nn.functional.cross_entropy(ZA @ QUEUE.T / 0.2, target)
    assert float(soft_nce(ZA, QUEUE, soft, 0.2)) == pytest.approx(float(expected), rel=1e-12)


def test_soft_cross_entropy_by_hand():
    logits = torch.tensor([[0.0, 1.0], [2.0, -1.0]], dtype=torch.float64)
    targets = torch.tensor([[0.3, 0.7], [0.5, 0.5]], dtype=torch.float64)
    rows = [
        sum(-t * (x - torch.logsumexp(row, 0)) for t, x in zip(target, row, strict=True))
        for target, row in zip(targets, logits, strict=True)
    ]
    assert float(soft_cross_entropy(logits, targets)) == pytest.approx(
        float(sum(rows)) / 2, rel=1e-12
    )


def test_shapes_and_empty_queues_are_refused():
    with pytest.raises(LossInputError, match=r"targets.*\(2, 3\)"):
        soft_cross_entropy(ZA, ZB[:2])
    with pytest.raises(LossInputError, match=r"similarity_distillation.*anchors"):
        similarity_distillation(ZA, ZB, QUEUE[:0])


STUDENT, TEACHER = 2 * raw(4, 3, 0.9), 2 * raw(4, 3, 0.2)


@pytest.mark.parametrize(
    ("temperature", "value"), [(3, 0.3774462318717275), (4, 0.38228481839679157)]
)
def test_kd_reference_values(temperature, value):
    assert float(knowledge_distillation(STUDENT, TEACHER, temperature)) == pytest.approx(
        value, rel=1e-12
    )


def test_kd_and_its_gradient_by_hand():
    """The gradient of a row is T (softmax(s / T) - softmax(t / T)) over the number of rows, never of elements."""
    student = STUDENT.clone().requires_grad_()
    teacher = TEACHER.clone().requires_grad_()
    temperature = 3
    loss = knowledge_distillation(student, teacher, temperature)
    loss.backward()
    total = 0.0
    for s, t, gradient in zip(
        STUDENT / temperature, TEACHER / temperature, student.grad, strict=True
    ):
        p, q = t.exp() / t.exp().sum(), s.exp() / s.exp().sum()
        total += sum(float(a * (a.log() - b.log())) for a, b in zip(p, q, strict=True))
        torch.testing.assert_close(gradient, temperature * (q - p) / 4)
    assert float(loss.detach()) == pytest.approx(temperature**2 * total / 4, rel=1e-12)
    assert teacher.grad is None


def test_kd_is_zero_where_both_agree_and_refuses_other_shapes():
    assert float(knowledge_distillation(TEACHER, TEACHER + 5, 3)) == pytest.approx(0, abs=1e-14)
    with pytest.raises(LossInputError, match=r"teacher.*\(2, 3\)"):
        knowledge_distillation(STUDENT, TEACHER[:2], 3)
    with pytest.raises(LossInputError, match="temperature"):
        knowledge_distillation(STUDENT, TEACHER, 0)
