"""Numbers that are drawn together are those that are drawn one range after the other."""

import pytest
import torch

from likewise.randomness import BatchRNG, Uniform, generator

RANGES = [Uniform(-2, 3), Uniform(columns=4), Uniform(0.1, 0.2, 1), Uniform(5, 5), Uniform(-1, 1)]


def one_by_one(key, total):
    """By PyTorch's generator, a call for each range: what every run so far was drawn with."""
    random = generator(*key)
    for each in RANGES:
        shape = (total,) if each.columns is None else (total, each.columns)
        yield torch.rand(shape, generator=random) * (each.high - each.low) + each.low
    yield torch.rand((total,), generator=random)


@pytest.mark.parametrize(
    ("rows", "total", "first", "stride"),
    [(7, None, 0, 1), (3, 7, 2, 1), (3, 7, 1, 2), (1, 7, 6, 1)],
)
def test_ranges_drawn_together_give_the_numbers_of_single_draws(rows, total, first, stride):
    rng = BatchRNG((3, "view"), rows, total, first, stride=stride)
    own = slice(first, first + (rows - 1) * stride + 1, stride)
    *expected, following = one_by_one((3, "view"), total or rows)
    for found, wanted in zip(rng.uniforms(RANGES), expected, strict=True):
        assert torch.equal(found, wanted[own])
    assert torch.equal(rng.uniform(), following[own])
