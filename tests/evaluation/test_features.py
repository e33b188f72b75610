"""Extraction: eval mode and back, order, precision, and images read whatever the batch size."""

import threading

import pytest
import torch
from torch import nn

from likewise.data.batch import Pixels
from likewise.errors import LikewiseError
from likewise.evaluation.features import extract
from likewise.views.policies import centre


class Stored:
    """Images in memory that remember who asked for them."""

    def __init__(self, images: torch.Tensor) -> None:
        self.images, self.threads = images, set()

    def read(self, index: torch.Tensor) -> Pixels:
        self.threads.add(threading.get_ident())
        return Pixels(self.images[index], torch.ones(len(index)))


def stored(count: int = 50) -> Stored:
    random = torch.Generator().manual_seed(0)
    return Stored(torch.randint(0, 256, (count, 1, 6, 6), dtype=torch.uint8, generator=random))


def network() -> nn.Sequential:
    """Batch norm whose running statistics are far from those of any batch, and a part that is already frozen."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(36, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.BatchNorm1d(8)
    )
    net[2].running_mean.fill_(3.0)  # type: ignore[union-attr, operator]
    net[4].eval()
    return net


def pixels_in_unit_range(pixels: Pixels) -> torch.Tensor:
    return pixels.images.float() / 255


def test_batch_norm_and_dropout_are_in_eval_mode_and_untouched_afterwards():
    net, images = network(), stored()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    modes = [part.training for part in net.modules()]
    vectors = extract(net, images, torch.arange(50), pixels_in_unit_range)

    assert (
        [part.training for part in net.modules()] == modes == [True, True, True, True, True, False]
    )
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert torch.equal(vectors, extract(net, images, torch.arange(50), pixels_in_unit_range))
    expected = network().eval()(images.images.float() / 255)
    assert torch.allclose(vectors, expected, atol=1e-5)
    assert not torch.allclose(vectors, network().train()(images.images.float() / 255), atol=0.1)


@pytest.mark.parametrize("batch_size", [1, 7, 50, 512])
def test_rows_come_in_the_order_of_the_index_whatever_the_batch(batch_size):
    net, images = network(), stored()
    index = torch.tensor([4, 49, 0, 4, 17, 21, 3, 2, 30])
    vectors = extract(net, images, index, pixels_in_unit_range, batch_size)
    everything = extract(net, images, torch.arange(50), pixels_in_unit_range)
    assert torch.allclose(vectors, everything[index], atol=1e-6)
    assert threading.get_ident() not in images.threads


def test_views_with_geometry_are_taken():
    net, images = network(), stored()
    exact = extract(net, images, torch.arange(50), centre())
    assert torch.allclose(
        exact, extract(net, images, torch.arange(50), pixels_in_unit_range), atol=1e-5
    )


def test_a_probe_may_differentiate_through_the_features():
    vectors = extract(network(), stored(), torch.arange(50), centre())
    assert not vectors.requires_grad
    weight = torch.zeros(8, requires_grad=True)
    (vectors @ weight).sum().backward()
    assert weight.grad is not None and torch.allclose(weight.grad, vectors.sum(0), rtol=1e-4)


def test_the_network_is_in_its_own_mode_even_after_a_failure():
    class Breaks:
        def read(self, index: torch.Tensor) -> Pixels:
            raise LikewiseError("the disk is gone")

    net = network()
    with pytest.raises(LikewiseError, match="the disk is gone"):
        extract(net, Breaks(), torch.arange(2000), centre())
    assert net.training and not net[4].training


def test_no_images_are_refused():
    with pytest.raises(LikewiseError, match="index"):
        extract(network(), stored(), torch.arange(0), centre())
