import itertools

import pytest
import torch
from sklearn.datasets import load_sample_image
from torch import Tensor
from torchvision.transforms import functional as reference

from likewise.views import colour

ONE_LEVEL = 1 / 255
REFERENCES = {
    "brighten": reference.adjust_brightness,
    "contrast": reference.adjust_contrast,
    "saturate": reference.adjust_saturation,
    "shift_hue": reference.adjust_hue,
}


def natural(rows: int, channels: int) -> Tensor:
    """Patches of two photographs, float [B, C, 24, 24]."""
    photographs = [torch.from_numpy(load_sample_image(name).copy()) for name in ("china.jpg", "flower.jpg")]
    random = torch.Generator().manual_seed(5)
    patches = []
    for row in range(rows):
        top, left = torch.randint(0, 400, (2,), generator=random).tolist()
        patches.append(photographs[row % 2][top : top + 24, left : left + 24].permute(2, 0, 1))
    images = torch.stack(patches).float() / 255
    return images if channels == 3 else images[:, :1].clone()


def synthetic(rows: int, channels: int) -> Tensor:
    """Noise, and the images at which HSV is touchy: black, white, greys, pure colours, ties between channels."""
    random = torch.Generator().manual_seed(7)
    images = torch.rand(rows, channels, 12, 12, generator=random)
    images[0], images[1] = 0, 1
    images[2] = images[2, :1]
    images[3:8] = images[3:8].round()
    images[8:12] = (images[8:12] * 3).round() / 3
    return images


def factors_of(rows: int) -> Tensor:
    """[B, 4] factors from none to double, turns from -half to half, the ends included."""
    drawn = torch.rand(rows, 4, generator=torch.Generator().manual_seed(11)) * 2
    drawn[:, 3] = drawn[:, 3] / 2 - 0.5
    drawn[0], drawn[1] = torch.tensor([0, 0, 0, -0.5]), torch.tensor([2, 2, 2, 0.5])
    return drawn


@pytest.mark.parametrize("images_of", [natural, synthetic])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("place", range(4))
def test_each_change_equals_torchvision(images_of, channels: int, place: int) -> None:
    images, factors = images_of(48, channels), factors_of(48)[:, place]
    change = colour.CHANGES[place]
    expected = torch.stack([REFERENCES[change.__name__](i, f.item()) for i, f in zip(images, factors, strict=True)])
    before = images.clone()
    assert (change(images, factors) - expected).abs().max() < ONE_LEVEL / 10
    assert torch.equal(images, before), "a change must not alter its input"


@pytest.mark.parametrize("images_of", [natural, synthetic])
@pytest.mark.parametrize("channels", [1, 3])
def test_jitter_equals_torchvision_in_every_order(images_of, channels: int) -> None:
    order = torch.tensor(list(itertools.permutations(range(4)))).repeat(3, 1)
    order[-2:] = -1
    images, factors = images_of(len(order), channels), factors_of(len(order))
    expected = images.clone()
    for row, places in enumerate(order.tolist()):
        for place in places:
            if place >= 0:
                apply = REFERENCES[colour.CHANGES[place].__name__]
                expected[row] = apply(expected[row], factors[row, place].item())
    assert (colour.jitter(images, factors, order) - expected).abs().max() < ONE_LEVEL


def test_grey_images_have_neither_saturation_nor_hue() -> None:
    images = natural(4, 1)
    assert torch.equal(colour.saturate(images, torch.zeros(4)), images)
    assert torch.equal(colour.shift_hue(images, torch.full((4,), 0.3)), images)
    assert torch.equal(colour.grey(images), images)


def test_grey_and_solarize_equal_torchvision() -> None:
    images = natural(6, 3)
    assert torch.allclose(colour.grey(images), reference.rgb_to_grayscale(images, 3), atol=1e-6)
    assert torch.allclose(colour.solarize(images), reference.solarize(images, 0.5), atol=1e-6)
