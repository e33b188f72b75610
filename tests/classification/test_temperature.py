"""The temperature against a grid of temperatures, at few labels, and where nothing can be held out."""

import math

import pytest
import torch

from likewise.classification import fit_temperature
from likewise.classification.head import ABSENT


def drawn(count, scale, classes=4, seed=0):
    """Logits whose true temperature is ``scale``, and labels drawn from their probabilities at it."""
    random = torch.Generator().manual_seed(seed)
    logits = torch.randn(count, classes, generator=random) * 2
    labels = torch.multinomial(logits.softmax(dim=1), 1, generator=random)[:, 0]
    return logits * scale, labels


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_finds_the_temperature_that_labels_were_drawn_at(scale):
    assert fit_temperature(*drawn(4000, scale)) == pytest.approx(scale, rel=0.1)


def test_is_the_least_penalised_cross_entropy_on_a_grid():
    logits, labels = drawn(40, 2.0)
    grid = torch.linspace(math.log(0.1), math.log(10), 4000, dtype=torch.float64)
    log_probability = (logits.double()[None] / grid.exp()[:, None, None]).log_softmax(dim=2)
    surprise = -log_probability[:, torch.arange(40), labels].sum(dim=1) + grid**2 / (2 * 0.5**2)
    assert fit_temperature(logits, labels) == pytest.approx(
        float(grid[surprise.argmin()].exp()), rel=5e-3
    )


def test_few_labels_that_are_all_correct_do_not_make_it_certain():
    logits = torch.tensor([[2.0, 0.0], [0.0, 2.0], [2.0, 0.0]])
    assert 0.5 < fit_temperature(logits, torch.tensor([0, 1, 0])) < 1


def test_rows_that_were_never_held_out_and_classes_never_seen_do_not_count():
    logits, labels = drawn(200, 2.0)
    nothing = torch.full((3, 4), torch.nan)
    unseen = torch.tensor([[1.0, 0.0, 0.0, ABSENT]])
    more = torch.cat([logits, nothing, unseen])
    assert fit_temperature(
        more, torch.cat([labels, torch.tensor([0, 1, 2, 3])])
    ) == fit_temperature(logits, labels)
    assert fit_temperature(nothing, torch.tensor([0, 1, 2])) == 1.0
