"""A policy as a transform: one image or a uint8 batch, anywhere that torchvision's transforms work."""

import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.datasets import FakeData

import likewise as lw
from likewise.data.batch import Pixels
from likewise.errors import LikewiseError
from likewise.randomness import BatchRNG


def noise(*shape):
    return torch.randint(
        0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


@pytest.mark.parametrize(
    "name", [name for name in lw.views.__all__ if name.islower() and name != "single_frame"]
)
def test_every_policy_is_a_transform_of_its_size(name):
    policies = getattr(lw.views, name)(size=24)
    for policy in policies if isinstance(policies, tuple) else (policies,):
        assert policy(noise(3, 40, 30)).shape == (3, 24, 24)


def test_one_image_and_a_batch_are_views_of_the_same_kind():
    image = noise(3, 40, 30)
    centre = lw.views.centre(size=24)
    alone = centre(image)
    assert alone.dtype == torch.float32 and 0 <= alone.min() and alone.max() <= 1
    assert torch.equal(centre(torch.stack([image, image]))[1], alone)
    pillow = Image.fromarray(image.permute(1, 2, 0).numpy())
    assert torch.equal(centre(pillow), alone)
    assert torch.equal(centre(image.permute(1, 2, 0).numpy()), alone)
    assert centre(Image.new("L", (30, 40))).shape == (1, 24, 24)
    assert centre(np.zeros((40, 30), np.uint8)).shape == (1, 24, 24)
    trained = centre(Pixels(image[None], torch.tensor([30 / 40]))).pixels[0]
    assert torch.equal(trained, alone)


def test_the_randomness_is_that_of_pytorch():
    simclr, batch = lw.views.simclr(size=24), noise(4, 3, 32, 32)
    torch.manual_seed(5)
    first, second = simclr(batch), simclr(batch)
    torch.manual_seed(5)
    assert torch.equal(simclr(batch), first)
    assert not torch.equal(first, second)
    stored = Pixels(batch, torch.ones(4))
    assert torch.equal(
        simclr(stored, BatchRNG((1,), 4)).pixels, simclr(stored, BatchRNG((1,), 4)).pixels
    )


def test_it_works_in_a_torchvision_data_set_and_its_workers():
    data = FakeData(size=8, image_size=(3, 32, 28), transform=lw.views.simclr(size=16))
    batches = list(DataLoader(data, batch_size=4, num_workers=2))
    assert [images.shape for images, _ in batches] == [(4, 3, 16, 16)] * 2
    assert pickle.loads(pickle.dumps(data.transform)) == data.transform


@pytest.mark.parametrize(
    "given",
    [
        torch.rand(3, 8, 8),
        torch.zeros(8, 8, dtype=torch.uint8),
        np.zeros((8, 8, 3)),
        "photo.jpg",
        [1, 2],
    ],
    ids=["floats", "no channels", "float array", "a name", "a list"],
)
def test_what_is_no_uint8_image_is_refused(given):
    with pytest.raises(LikewiseError, match="uint8"):
        lw.views.simclr(size=8)(given)


def test_a_transform_needs_a_size():
    with pytest.raises(LikewiseError, match="size="):
        lw.views.simclr()(noise(3, 8, 8))
