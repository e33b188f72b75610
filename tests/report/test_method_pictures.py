"""Which methods have pictures of their own."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from likewise.data.batch import Batch, Pixels
from likewise.methods import METHODS, Nets, Progress
from likewise.report.pictures.illustration import Illustration, Picture
from likewise.report.pictures.method_pictures import PICTURES, draws_pictures, illustrate

BATCH = Batch(
    Pixels(torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.ones(2)),
    torch.zeros(2),
    torch.arange(2),
)


@dataclass(frozen=True)
class Derived(METHODS["simclr"]):
    pass


def test_a_registered_function_draws_for_its_class_and_those_derived_from_it(monkeypatch):
    seen = []

    def draw(method, nets, batch, progress):
        seen.append(
            (type(method), nets.part.training, torch.is_grad_enabled(), batch, progress.step)
        )
        return Illustration(
            "title", "explanation", [[Picture(torch.zeros(1, 4, 4), "below", "column")]]
        )

    monkeypatch.setitem(PICTURES, METHODS["simclr"], draw)
    nets = Nets(part=torch.nn.Linear(1, 1))
    made = illustrate(Derived(), nets, BATCH, Progress(9, 10))
    assert made is not None and made.title == "title"
    assert seen == [(Derived, False, False, BATCH, 9)]
    assert nets.part.training, "the networks are put back into the mode that they were in"


@pytest.mark.parametrize("name", ["byol", "simclr"])
def test_a_method_that_is_not_registered_has_no_pictures(name):
    method = METHODS[name]()
    assert not draws_pictures(method)
    assert illustrate(method, Nets(part=torch.nn.Linear(1, 1)), BATCH, Progress(0, 1)) is None


def test_those_with_pictures():
    assert {name for name, method in METHODS.items() if draws_pictures(method())} == {
        "cacr", "flow-similarity", "global-local", "lira", "ugan",
    }  # fmt: skip
