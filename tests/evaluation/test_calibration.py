"""Expected calibration error against a loop over bins."""

import pytest
import torch

from likewise.evaluation.metrics.calibration import Calibration, calibration, calibration_of


def naive(confidence: list[float], correct: list[bool], bins: int) -> float:
    error = 0.0
    for number in range(bins):
        low, high = number / bins, (number + 1) / bins
        inside = [at for at, each in enumerate(confidence) if low < each <= high]
        if inside:
            sure = sum(confidence[at] for at in inside) / len(inside)
            right = sum(correct[at] for at in inside) / len(inside)
            error += len(inside) / len(confidence) * abs(sure - right)
    return error


@pytest.mark.parametrize("bins", [15, 4])
def test_error_is_that_of_a_loop_over_bins(bins):
    random = torch.Generator().manual_seed(0)
    confidence = torch.rand(500, generator=random, dtype=torch.float64).clamp(min=1e-3)
    confidence[:bins] = torch.arange(1, bins + 1) / bins  # a bin holds its upper edge
    correct = torch.rand(500, generator=random) < 0.7 * confidence
    found = calibration(confidence, correct, bins)
    assert found.error == pytest.approx(naive(confidence.tolist(), correct.tolist(), bins))
    assert sum(found.counts) == 500 and len(found.counts) == bins
    assert Calibration.from_json(found.to_json()) == found


def test_the_two_extremes():
    sure = torch.ones(10)
    assert calibration(sure, torch.ones(10, dtype=torch.bool)).error == 0
    assert calibration(sure, torch.zeros(10, dtype=torch.bool)).error == 1
    assert calibration(torch.empty(0), torch.empty(0, dtype=torch.bool)).error == 0


def test_logits_are_read_by_class_and_unlabelled_images_left_out():
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0], [5.0, 0.0]])
    labels = torch.tensor([3, 3, -1])
    found = calibration_of(logits, labels, torch.tensor([3, 7]))
    assert found is not None
    confidence = logits[:2].softmax(dim=1).max(dim=1).values.tolist()
    assert found.error == pytest.approx(naive(confidence, [True, False], 15))
    assert calibration_of(logits, torch.full((3,), -1)) is None
