"""The probe on few labels: which labels it sees, and what its average says."""

import pytest
import torch

from likewise.data.label_budget import LabelBudget
from likewise.errors import LikewiseError
from likewise.evaluation.metrics.few_label import FewLabel
from likewise.evaluation.metrics.linear_probe import LinearProbe
from likewise.evaluation.statistics.scores import Features

IDS = [f"photo {number}" for number in range(120)]


def clouds(count: int, seed: int) -> Features:
    random = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    centres = 1.2 * torch.randn(3, 10, generator=torch.Generator().manual_seed(9))
    return Features(torch.randn(count, 10, generator=random) + centres[labels], labels)


def test_each_draw_is_the_probe_on_that_label_budget():
    train, test = clouds(120, 0), clouds(60, 1)
    few = FewLabel(per_class=(2, 10), draws=3, seed=4)
    for amount, outcome in zip(few.per_class, few.evaluate(train, test, IDS), strict=True):
        assert outcome.score.name == f"few{amount}_top1" and outcome.predictions.shape == (3, 60)
        for draw in range(3):
            shown = LabelBudget(per_class=amount, seed=4 + draw).apply(train.labels, IDS)
            expected = LinearProbe().fit(Features(train.vectors, shown)).predict(test.vectors)
            assert torch.equal(outcome.predictions[draw], expected)
        right = (outcome.predictions == test.labels).float()
        assert outcome.score.value == pytest.approx(float(right.mean()))
        assert outcome.score.low < outcome.score.value < outcome.score.high
        assert (
            outcome.score.protocol["seeds"] == [4, 5, 6]
            and outcome.score.protocol["labelled"] == 3 * amount
        )


def test_draws_do_not_depend_on_the_order_of_the_images():
    train, test = clouds(120, 0), clouds(60, 1)
    order = torch.randperm(120, generator=torch.Generator().manual_seed(0))
    shuffled = Features(train.vectors[order], train.labels[order])
    few = FewLabel(per_class=(4,), draws=2)
    here = next(few.evaluate(train, test, IDS)).predictions
    there = next(few.evaluate(shuffled, test, [IDS[place] for place in order])).predictions
    # Validation parts do go by order, so a strength may differ; a draw of other images would differ everywhere.
    assert float((here == there).float().mean()) > 0.9


def test_one_draw_says_that_it_is_one():
    outcome = next(FewLabel(per_class=(2,), draws=1).evaluate(clouds(120, 0), clouds(60, 1), IDS))
    assert "one draw" in outcome.score.protocol["interval"]


def test_budgets_that_a_class_cannot_pay_are_refused_or_left_out():
    train, test = clouds(120, 0), clouds(60, 1)
    scarce = Features(
        train.vectors, torch.where((train.labels == 2) & (torch.arange(120) > 12), -1, train.labels)
    )
    assert FewLabel(per_class=(2, 4, 10)).within(scarce.labels).per_class == (2, 4)
    assert FewLabel().within(torch.full((5,), -1)).per_class == ()
    with pytest.raises(LikewiseError, match="10"):
        list(FewLabel(per_class=(10,)).evaluate(scarce, test, IDS))


def test_unlabelled_test_images_are_predicted_but_not_counted():
    train, test = clouds(120, 0), clouds(60, 1)
    some = Features(test.vectors, torch.where(torch.arange(60) < 20, test.labels, -1))
    outcome = next(FewLabel(per_class=(4,), draws=2).evaluate(train, some, IDS))
    assert outcome.predictions.shape == (2, 60) and outcome.score.count == 20
    assert outcome.score.value == pytest.approx(
        float((outcome.predictions == test.labels)[:, :20].float().mean())
    )
