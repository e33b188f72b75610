"""Global generators of Python, NumPy and PyTorch are left as a program had them."""

import random

import numpy as np
import pytest
import rich.style  # noqa: F401 - draws a number from Python's generator when it is imported
import torch

import likewise as lw
from likewise.randomness import restored_rng, seed_networks

DATA = np.random.default_rng(0).integers(0, 256, (24, 8, 8, 3), dtype=np.uint8), [0, 1] * 12
SETTINGS = dict(
    method="simclr", encoder="conv4-half", steps=1, batch_size=8, num_evals=0, device="cpu"
)


def drawn():
    return random.random(), np.random.rand(), torch.rand(()).item()


def seeded():
    random.seed(3)
    np.random.seed(3)
    torch.manual_seed(3)


def test_training_draws_from_no_generator_of_the_program(tmp_path):
    seeded()
    expected = drawn()
    seeded()
    lw.train(DATA, out=tmp_path / "run", **SETTINGS)
    assert drawn() == expected


def test_generators_are_restored_after_an_error():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    with pytest.raises(KeyError), restored_rng():
        seed_networks(7)
        raise KeyError
    assert torch.equal(torch.rand(2), expected)
    assert torch.initial_seed() == 3


def test_a_run_does_not_depend_on_the_state_of_the_program(tmp_path):
    torch.manual_seed(1)
    first = lw.train(DATA, out=tmp_path / "a", **SETTINGS)
    torch.manual_seed(2)
    second = lw.train(DATA, out=tmp_path / "b", **SETTINGS)
    images = DATA[0]
    assert torch.equal(first.embed(images).vectors, second.embed(images).vectors)
