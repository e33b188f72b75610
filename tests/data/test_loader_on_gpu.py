"""Decoded images live on a GPU where they leave it enough memory."""

import pytest
import torch
from torch import Tensor

from likewise.data import loader as loader_module
from likewise.data.batch import Pixels
from likewise.data.images import InMemoryImages
from likewise.data.left_out import Skipped
from likewise.data.loader import Loader, Support, ViewStream

BYTES = 8 * 3 * 4 * 4


@pytest.fixture
def device(monkeypatch):
    """A GPU's name and memory; what is sent there stays here."""

    def of(free):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 10 * free))
        return torch.device("cuda")

    monkeypatch.setattr(Pixels, "map", lambda pixels, change: pixels)
    monkeypatch.setattr(Tensor, "to", lambda tensor, *where, **how: tensor)
    return of


def loader(**options):
    pixels = Pixels(torch.zeros(8, 3, 4, 4, dtype=torch.uint8), torch.ones(8))
    return Loader(InMemoryImages(pixels), torch.zeros(8).long(), 4, 0, **options)


def test_images_go_to_a_gpu_that_has_four_times_their_bytes(device):
    assert loader().on_device(device(4 * BYTES)).stored is not None
    here = loader()
    assert here.on_device(device(4 * BYTES - 4)) is here
    assert here.on_device(torch.device("cpu")) is here


def test_images_that_a_callable_looks_at_stay(device):
    streams = [ViewStream("view", lambda images, keys: torch.zeros(4, 3, 4, 4), of_support=False)]
    here = loader(view_streams=streams)
    assert here.on_device(device(100 * BYTES)) is here


@pytest.mark.parametrize("rank", [0, 1])
def test_a_stored_set_gives_the_batches_of_the_loader(rank, monkeypatch):
    monkeypatch.setattr(loader_module, "has_room", lambda device, images: True)
    pixels = Pixels(
        torch.arange(20, dtype=torch.uint8)[:, None, None, None].repeat(1, 3, 2, 2), torch.rand(20)
    )
    lost = {3: Skipped("3", "torn"), 8: Skipped("8", "torn")}  # others take their place
    whole = Loader(
        InMemoryImages(pixels, lost),
        torch.arange(20) % 4 - 1,
        batch_size=8,
        seed=1,
        support=Support(classes=2, images=2, until_step=5),
        rank=rank,
        world_size=2,
        modalities={"number": Numbers()},
    )
    stored = whole.on_device(torch.device("cpu"))
    pairs = list(zip(stored.stored_batches(2, 8), whole.batches(2, 8), strict=True))
    assert len(pairs) == 6
    for of_set, batch in pairs:
        assert_same(of_set.gathered(), batch)


class Numbers:
    """A modality: ten times the position."""

    def __len__(self):
        return 20

    def read(self, index):
        return 10 * index


def assert_same(one, other):
    assert torch.equal(one.pixels.images, other.pixels.images)
    assert torch.equal(one.pixels.aspect, other.pixels.aspect)
    assert torch.equal(one.labels, other.labels) and torch.equal(one.indices, other.indices)
    assert torch.equal(one.modalities["number"], other.modalities["number"])
    assert (one.support is None) == (other.support is None)
    if one.support is not None:
        assert_same(one.support, other.support)
