"""Decoded images live on a GPU where they leave it enough memory."""

import pytest
import torch

from likewise.data.batch import Pixels
from likewise.data.images import InMemoryImages
from likewise.data.loader import Loader, ViewStream

BYTES = 8 * 3 * 4 * 4


@pytest.fixture
def device(monkeypatch):
    """A GPU's name and memory; what is sent there stays here, and is marked."""

    def of(free):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 10 * free))
        return torch.device("cuda")

    def sent(images, device):
        moved = InMemoryImages(images.pixels)
        moved.sent_to = device
        return moved

    monkeypatch.setattr(InMemoryImages, "to", sent)
    return of


def loader(**options):
    pixels = Pixels(torch.zeros(8, 3, 4, 4, dtype=torch.uint8), torch.ones(8))
    return Loader(InMemoryImages(pixels), torch.zeros(8).long(), 4, 0, **options)


def test_images_go_to_a_gpu_that_has_four_times_their_bytes(device):
    there = loader().on_device(device(4 * BYTES))
    assert there.images.sent_to.type == "cuda"
    here = loader()
    assert here.on_device(device(4 * BYTES - 4)) is here
    assert here.on_device(torch.device("cpu")) is here


def test_images_that_a_callable_looks_at_stay(device):
    streams = [ViewStream("view", lambda images, keys: torch.zeros(4, 3, 4, 4), of_support=False)]
    here = loader(view_streams=streams)
    assert here.on_device(device(100 * BYTES)) is here
