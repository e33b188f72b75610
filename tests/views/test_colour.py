import itertools

import pytest
import torch
from sampled_params import natural, synthetic, whole_images
from torch import Tensor
from torchvision.transforms import functional as reference

from likewise.views.image import colour

ONE_LEVEL = 1 / 255
REFERENCES = {
    "brighten": reference.adjust_brightness,
    "contrast": reference.adjust_contrast,
    "saturate": reference.adjust_saturation,
    "shift_hue": reference.adjust_hue,
}


def factors_of(rows: int) -> Tensor:
    """[B, 4] factors from none to double, turns from -half to half, the ends included."""
    drawn = torch.rand(rows, 4, generator=torch.Generator().manual_seed(11)) * 2
    drawn[:, 3] = drawn[:, 3] / 2 - 0.5
    drawn[0], drawn[1] = torch.tensor([0, 0, 0, -0.5]), torch.tensor([2, 2, 2, 0.5])
    return drawn


def by_torchvision(images: Tensor, factors: Tensor, order: Tensor) -> Tensor:
    """Each row's changes in its order, image by image."""
    changed = images / 255
    for row, places in enumerate(order.tolist()):
        for place in places:
            if place >= 0:
                apply = REFERENCES[colour.COLOUR_OPS[place].__name__]
                changed[row] = apply(changed[row], factors[row, place].item())
    return changed


@pytest.mark.parametrize("images_of", [natural, synthetic])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("place", range(4))
def test_each_change_equals_torchvision(make, images_of, channels: int, place: int) -> None:
    images, factors = images_of(48, channels), factors_of(48)
    order = torch.tensor([-1, -1, place, -1]).repeat(48, 1)
    view = make(images, whole_images(48, factors=factors, order=order), images.shape[-1])
    assert (view - by_torchvision(images, factors, order)).abs().max() < ONE_LEVEL / 10


@pytest.mark.parametrize("images_of", [natural, synthetic])
@pytest.mark.parametrize("channels", [1, 3])
def test_changes_equal_torchvision_in_every_order(make, images_of, channels: int) -> None:
    order = torch.tensor(list(itertools.permutations(range(4)))).repeat(4, 1)
    order[24:48][torch.rand(24, 4, generator=torch.Generator().manual_seed(2)) < 0.4] = -1
    order[-2:] = -1
    images, factors = images_of(len(order), channels), factors_of(len(order))
    view = make(images, whole_images(len(order), factors=factors, order=order), images.shape[-1])
    assert (view - by_torchvision(images, factors, order)).abs().max() < ONE_LEVEL


@pytest.mark.parametrize("change", colour.COLOUR_OPS)
def test_a_change_does_not_alter_its_input(change) -> None:
    images = natural(8, 3) / 255
    before = images.clone()
    change(images, factors_of(8)[:, 3])
    assert torch.equal(images, before)


def test_grey_images_have_neither_saturation_nor_hue() -> None:
    images = natural(4, 1) / 255
    assert torch.equal(colour.saturate(images, torch.zeros(4)), images)
    assert torch.equal(colour.shift_hue(images, torch.full((4,), 0.3)), images)
    assert torch.equal(colour.grey(images), images)


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_and_solarize_equal_torchvision_where_they_are_planned(make, channels: int) -> None:
    images, chosen = natural(6, channels), torch.tensor([True, False] * 3)
    grey = make(images, whole_images(6, grey=chosen), 24)
    solarized = make(images, whole_images(6, solarized=chosen), 24)
    plain = images / 255
    expected = reference.rgb_to_grayscale(plain, 3) if channels == 3 else plain
    assert torch.allclose(grey[::2], expected[::2], atol=1e-5) and torch.allclose(
        grey[1::2], plain[1::2], atol=1e-5
    )
    expected = reference.solarize(plain, 0.5)
    assert torch.allclose(solarized[::2], expected[::2], atol=1e-5)
    assert torch.allclose(solarized[1::2], plain[1::2], atol=1e-5)
