"""Balanced assignments and their prediction against reference values and naive loops."""

import pytest
import torch

from likewise.losses import LossInputError, sinkhorn, swapped_prediction
from losses.vectors import ZA, ZB, raw, unit

PROTOTYPES = unit(raw(3, 3, 5))
SCORES = [ZA @ PROTOTYPES.T, ZB @ PROTOTYPES.T, unit(raw(4, 3, 1.1)) @ PROTOTYPES.T]


def naive_codes(scores, epsilon, iterations):
    """The paper's Listing: a matrix of positive numbers scaled in turns."""
    codes = torch.exp(scores / epsilon)
    rows, columns = codes.shape
    for _ in range(iterations):
        for j in range(columns):
            codes[:, j] = codes[:, j] / (codes[:, j].sum() * columns)
        for i in range(rows):
            codes[i] = codes[i] / (codes[i].sum() * rows)
    return codes / codes.sum(dim=1, keepdim=True)


def test_reference_values():
    codes = sinkhorn(SCORES[1], 0.05, 3)
    expected = torch.tensor([0.0021536196, 0.8342921202, 0.1635542602], dtype=torch.float64)
    torch.testing.assert_close(codes[0], expected, atol=1e-10, rtol=0)
    term = swapped_prediction(
        SCORES[:2], [torch.full((4, 3), 1 / 3, dtype=torch.float64), codes], 0.1
    )
    uniform = -(SCORES[1] / 0.1).log_softmax(dim=1).mean()
    assert float(2 * term - uniform) == pytest.approx(4.828130167186359, rel=1e-10)


@pytest.mark.parametrize(("epsilon", "iterations"), [(0.05, 3), (0.5, 1), (0.2, 0)])
def test_codes_equal_the_naive_ones(epsilon, iterations):
    torch.testing.assert_close(
        sinkhorn(SCORES[0], epsilon, iterations),
        naive_codes(SCORES[0], epsilon, iterations),
        rtol=1e-10,
        atol=1e-14,
    )


def test_every_prototype_is_used_as_much_in_the_end():
    scores = torch.randn(12, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    codes = sinkhorn(scores + torch.tensor([5.0, 0, 0, 0]), 0.5, 200)
    torch.testing.assert_close(
        codes.sum(dim=0), torch.full((4,), 3.0, dtype=torch.float64), rtol=1e-6, atol=0
    )
    torch.testing.assert_close(codes.sum(dim=1), torch.ones(12, dtype=torch.float64))


def test_a_sharp_code_neither_overflows_nor_divides_by_zero():
    codes = sinkhorn(torch.stack([SCORES[0][0], -SCORES[0][0]]).float(), 1e-4, 3)
    torch.testing.assert_close(codes.sum(dim=1), torch.ones(2))


def test_codes_take_no_gradient_and_half_precision_is_widened():
    scores = SCORES[0].clone().requires_grad_()
    assert not sinkhorn(scores).requires_grad
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert sinkhorn(SCORES[0].bfloat16()).dtype == torch.float32


def test_loss_and_gradient_equal_the_naive_ones():
    ours = [s.clone().requires_grad_() for s in SCORES]
    naive = [s.clone().requires_grad_() for s in SCORES]
    codes = [sinkhorn(s) for s in SCORES[:2]]
    found, expected = swapped_prediction(ours, codes, 0.1), 0.0
    for a in range(2):
        for v in range(3):
            if v != a:
                for row in range(4):
                    prediction = torch.softmax(naive[v][row] / 0.1, dim=0)
                    expected = expected - sum(
                        codes[a][row][k] * prediction[k].log() for k in range(3)
                    ) / 4 / (2 * 2)
    found.backward()
    expected.backward()
    assert float(found.detach()) == pytest.approx(float(expected.detach()), rel=1e-12)
    for our_own, theirs in zip(ours, naive, strict=True):
        torch.testing.assert_close(our_own.grad, theirs.grad)


def test_what_cannot_be_assigned_or_swapped_is_refused():
    with pytest.raises(LossInputError, match=r"temperature.*0.0"):
        sinkhorn(SCORES[0], 0.0)
    with pytest.raises(LossInputError, match=r"sinkhorn.*\(3,\)"):
        sinkhorn(SCORES[0][0])
    with pytest.raises(LossInputError, match=r"swapped_prediction.*1 .*1 "):
        swapped_prediction(SCORES[:1], [sinkhorn(SCORES[0])])
