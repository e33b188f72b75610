import pytest
import torch
from sampled_params import natural, whole_images
from torchvision.transforms import functional as reference

from likewise.views.image.blur import gaussian_blur, kernel_size


@pytest.mark.parametrize(("size", "taps"), [(28, 3), (32, 5), (224, 23)])
def test_kernel_is_odd_and_near_a_tenth_of_the_side(size: int, taps: int) -> None:
    assert kernel_size(size) == taps


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("taps", [3, 5, 23])
def test_blur_equals_torchvision_row_by_row(channels: int, taps: int) -> None:
    images = torch.rand(12, channels, 20, 26, generator=torch.Generator().manual_seed(0))
    sigma = torch.linspace(0.1, 3, 12)
    expected = [
        reference.gaussian_blur(i, [taps, taps], [s.item()] * 2)
        for i, s in zip(images, sigma, strict=True)
    ]
    assert (gaussian_blur(images, sigma, taps) - torch.stack(expected)).abs().max() < 1e-5


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [12, 28, 32, 47, 100])
def test_a_blurred_view_equals_torchvision_row_by_row(make, channels: int, size: int) -> None:
    images, taps, sigma = natural(12, channels, size), kernel_size(size), torch.linspace(0.1, 3, 12)
    blurred = torch.arange(12) % 4 > 0
    view = make(images, whole_images(12, blurred=blurred, sigma=sigma), size)
    for row, image in enumerate(images / 255):
        expected = (
            reference.gaussian_blur(image, [taps, taps], [sigma[row].item()] * 2)
            if blurred[row]
            else image
        )
        assert (view[row] - expected).abs().max() < 1e-5


def test_blur_of_white_stays_in_range() -> None:
    blurred = gaussian_blur(torch.ones(8, 1, 32, 32), torch.linspace(0.1, 2, 8), 5)
    assert blurred.max() <= 1 and blurred.min() > 1 - 1e-6
