"""PAWS's guesses and targets against reference values and naive loops."""

import math

import pytest
import torch

from likewise.losses import (
    LossInputError,
    mean_entropy,
    probability_cross_entropy,
    sharpen,
    soft_neighbours,
)
from losses.vectors import ZA, ZB, raw, unit

SUPPORT, CLASSES = unit(raw(4, 3, 3)), torch.tensor([0, 1, 0, 1])


def naive_guess(query, support, labels, temperature, smoothing):
    count = len(set(labels.tolist()))
    weights = [torch.exp(query @ row / temperature) for row in support]
    prediction = [torch.zeros((), dtype=query.dtype)] * count
    for weight, label in zip(weights, labels.tolist(), strict=True):
        for c in range(count):
            share = (1 - smoothing if c == label else 0) + smoothing / count
            prediction[c] = prediction[c] + share * weight / sum(weights)
    return torch.stack(prediction)


def naive_sharpened(prediction, temperature):
    powers = prediction ** (1 / temperature)
    return powers / powers.sum()


def both_views(first, second, support):
    predictions = torch.cat([soft_neighbours(view, support, CLASSES) for view in (first, second)])
    targets = torch.cat(
        [sharpen(soft_neighbours(view, support, CLASSES)) for view in (second, first)]
    )
    return predictions, targets  # which have a gradient here: the loss is to cut it


def test_classes_beyond_those_of_the_support_have_probability_zero():
    right = soft_neighbours(ZA, SUPPORT, CLASSES)
    found = soft_neighbours(ZA, SUPPORT, CLASSES * 7, classes=4)
    torch.testing.assert_close(found[:, :2], right)
    assert (found[:, 2:] == 0).all()
    with pytest.raises(LossInputError, match="classes=1"):
        soft_neighbours(ZA, SUPPORT, CLASSES, classes=1)


def test_reference_values():
    predictions, targets = both_views(ZA, ZB, SUPPORT)
    cut = torch.where(targets < 1e-4, 0, targets)  # the authors' code does that; the loss does not
    assert float(probability_cross_entropy(predictions, cut)) == pytest.approx(
        0.6131047136367976, rel=1e-12
    )
    assert float(probability_cross_entropy(predictions, targets)) == pytest.approx(
        0.6131047136367976, rel=1e-4
    )
    assert float(-mean_entropy(sharpen(predictions))) == pytest.approx(
        -0.661765753555702, rel=1e-12
    )


def test_loss_and_gradients_equal_the_naive_ones():
    ours = [t.clone().requires_grad_() for t in (ZA, ZB, SUPPORT)]
    naive = [t.clone().requires_grad_() for t in (ZA, ZB, SUPPORT)]
    predictions, targets = both_views(*ours)
    found = probability_cross_entropy(predictions, targets) - mean_entropy(sharpen(predictions))
    first, second, support = naive
    rows, mean = [], torch.zeros(2, dtype=torch.float64)
    for view, other in ((first, second), (second, first)):
        for query, target in zip(view, other, strict=True):
            prediction = naive_guess(query, support, CLASSES, 0.1, 0.1)
            wanted = naive_sharpened(naive_guess(target, support, CLASSES, 0.1, 0.1), 0.25).detach()
            rows.append(-(wanted * prediction.log()).sum())
            mean = mean + naive_sharpened(prediction, 0.25) / 8
    expected = sum(rows) / 8 + (mean * mean.log()).sum()
    found.backward()
    expected.backward()
    assert float(found.detach()) == pytest.approx(float(expected.detach()), rel=1e-12)
    for our_own, theirs in zip(ours, naive, strict=True):
        torch.testing.assert_close(our_own.grad, theirs.grad)


def test_class_numbers_may_have_gaps_and_stand_in_any_order():
    gaps = torch.tensor([3, 9, 3, 9])
    torch.testing.assert_close(
        soft_neighbours(ZA, SUPPORT, gaps), soft_neighbours(ZA, SUPPORT, CLASSES)
    )
    order = torch.tensor([2, 1, 3, 0])
    torch.testing.assert_close(
        soft_neighbours(ZA, SUPPORT[order], CLASSES[order]), soft_neighbours(ZA, SUPPORT, CLASSES)
    )


def test_a_sure_guess_without_smoothing_has_a_finite_gradient():
    queries = torch.eye(3).requires_grad_()
    predictions = soft_neighbours(queries, torch.eye(3), torch.arange(3), 1e-3, smoothing=0.0)
    (
        probability_cross_entropy(predictions, torch.eye(3)) - mean_entropy(sharpen(predictions))
    ).backward()
    assert bool(queries.grad.isfinite().all())


def test_entropy_of_the_mean_is_that_of_how_classes_are_used():
    assert float(mean_entropy(torch.eye(4).double())) == pytest.approx(math.log(4), rel=1e-12)
    assert float(mean_entropy(torch.eye(4).double()[[0, 0, 0]])) == pytest.approx(0, abs=1e-12)


def test_unlabelled_support_and_unlike_shapes_are_refused():
    with pytest.raises(LossInputError, match=r"soft_neighbours.*1 of.* 4 "):
        soft_neighbours(ZA, SUPPORT, torch.tensor([0, 1, -1, 1]))
    with pytest.raises(LossInputError, match=r"labels.*\(4, 3\).*\(3,\)"):
        soft_neighbours(ZA, SUPPORT, CLASSES[:3])
    with pytest.raises(LossInputError, match=r"targets.*\(2, 3\)"):
        probability_cross_entropy(ZA, ZB[:2])
