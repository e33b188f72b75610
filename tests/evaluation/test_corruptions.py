"""Every corruption: a function of image, id and seed; stronger with each severity; equal to a plain computation."""

import colorsys
import io
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage, stats
from torchvision.transforms.v2 import functional as reference

from likewise.errors import LikewiseError
from likewise.evaluation.corruptions import KINDS, SEVERITIES, RandomFields, corrupt
from likewise.evaluation.corruptions.blurs import defocus_blur
from likewise.evaluation.corruptions.fractals import plasma
from likewise.evaluation.corruptions.linear_maps import (
    along_both,
    convolve,
    disk_kernel,
    gaussian_matrix,
    streak_kernels,
    zoom_matrix,
)
from likewise.evaluation.corruptions.severities import PUBLISHED, scale_of

IDS = [f"test/{row}.png" for row in range(6)]
NOT_IN_STEPS = {"glass_blur", "frost", "elastic", "snow"}
"""Kinds whose published figures trade one thing for another (frost's ice for the scene, elastic's corners for its
waves, glass's rounds for its blur, snow's grain for its amount): the distance to the clean image need not grow."""
RANDOM = {
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "glass_blur",
    "motion_blur",
    "snow",
    "frost",
    "fog",
    "elastic",
}


def pictures(size: int = 32, channels: int = 3) -> torch.Tensor:
    """Smooth scenes with edges, as a file holds them: multiples of 1/255, neither black nor white."""
    random = torch.Generator().manual_seed(0)
    coarse = torch.rand(len(IDS), channels, 5, 5, generator=random)
    smooth = torch.nn.functional.interpolate(coarse, (size, size), mode="bilinear")
    for row, image in enumerate(smooth):  # a disk in each, elsewhere, so that no grid fits its edge
        axis = torch.arange(size) - size * (0.3 + 0.07 * row)
        image[:, torch.hypot(axis, axis[:, None]) < size / 4] += 0.3
    return (smooth * 0.6 + 0.1).mul(255).round().div(255)


def fields(seed: int = 0) -> RandomFields:
    return RandomFields.of(IDS, seed)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("size", "channels"), [(28, 1), (32, 3), (96, 3)])
def test_a_corrupted_image_is_an_image_and_differs_more_and_more(kind, size, channels):
    clean = pictures(size, channels)
    before = clean.clone()
    spoilt = [corrupt(clean, kind, severity, fields()) for severity in SEVERITIES]
    for image in spoilt:
        assert image.shape == clean.shape and image.dtype == torch.float32
        assert 0 <= float(image.min()) <= float(image.max()) <= 1
        assert torch.equal((image * 255).round() / 255, image), "values of a file"
    assert torch.equal(clean, before)
    distance = [float((image - clean).square().mean().sqrt()) for image in spoilt]
    assert distance[0] > 0.001
    if kind not in NOT_IN_STEPS:
        # 28 and 27 coarse pixels of 32: either may fit the edges better
        slack = 1.1 if kind == "pixelate" else 1.001
        assert all(low <= high * slack for low, high in pairwise(distance))
        assert distance[-1] > 1.2 * distance[0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_corruption_is_a_function_of_seed_and_id_and_not_of_the_batch(kind):
    clean = pictures()
    whole = corrupt(clean, kind, 3, fields())
    assert torch.equal(whole, corrupt(clean, kind, 3, fields()))
    two = corrupt(clean[[4, 1]], kind, 3, RandomFields.of([IDS[4], IDS[1]], 0))
    # A sum in another order may round the other way.
    assert float((two - whole[[4, 1]]).abs().max()) < 1.5 / 255
    assert float((two != whole[[4, 1]]).float().mean()) < 0.01
    same = clean[:1].expand(2, -1, -1, -1)
    first, second = corrupt(same, kind, 3, RandomFields.of(["a", "b"], 0))
    other_seed = corrupt(same[:1], kind, 3, RandomFields.of(["a"], 1))[0]
    assert torch.equal(first, second) == (kind not in RANDOM)
    assert torch.equal(first, other_seed) == (kind not in RANDOM)


def test_bfloat16_around_it_changes_nothing():
    clean = pictures()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(
            corrupt(clean, "zoom_blur", 3, fields()), corrupt(clean, "zoom_blur", 3, fields())
        )
    plain = corrupt(clean, "zoom_blur", 3, fields())
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(corrupt(clean, "zoom_blur", 3, fields()), plain)


def test_what_there_is_not_is_refused():
    with pytest.raises(LikewiseError, match=r"'forst'.*'frost'"):
        corrupt(pictures(), "forst", 1, fields())
    for severity in (0, 6):
        with pytest.raises(LikewiseError, match=rf"severity.*\b{severity}\b"):
            corrupt(pictures(), "fog", severity, fields())
    with pytest.raises(LikewiseError, match=r"\[6, 2, 32, 32\]"):
        corrupt(pictures()[:, :2], "fog", 1, fields())


def test_the_words_are_splitmix64_and_the_numbers_even_and_normal():
    def splitmix(state: int) -> int:
        mask = 2**64 - 1
        z = state & mask
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return z ^ (z >> 31)

    key = -123456789
    found = RandomFields(torch.tensor([key])).uniform(3)[0].tolist()
    expected = [(splitmix(key + n * 0x9E3779B97F4A7C15) >> 40) / 2**24 for n in (1, 2, 3)]
    assert found == expected
    many = RandomFields.of(["x"], 0)
    assert stats.kstest(many.uniform(20000)[0].numpy(), "uniform").pvalue > 0.001
    assert stats.kstest(many.stream("n").normal(20001)[0].numpy(), "norm").pvalue > 0.001
    a, b = many.stream("a").uniform(5000)[0], many.stream("b").uniform(5000)[0]
    assert abs(float(torch.corrcoef(torch.stack([a, b]))[0, 1])) < 0.05


def test_shot_noise_counts_photons_as_poisson_does():
    level, photons = 100 / 255, 12
    image = torch.full((1, 1, 96, 96), level)
    counts = (
        (corrupt(image, "shot_noise", 3, RandomFields.of(["x"], 0)) * photons)
        .round()
        .flatten()
        .long()
        .numpy()
    )
    below = counts[counts < photons]  # at full brightness a file is white
    expected = stats.poisson(level * photons)
    shares = np.bincount(below, minlength=photons)[:photons] / counts.size
    np.testing.assert_allclose(shares, expected.pmf(np.arange(photons)), atol=0.015)


def test_impulse_noise_spoils_its_share_black_and_white():
    image = torch.full((6, 1, 96, 96), 0.5)
    spoilt = corrupt(image, "impulse_noise", 5, fields())
    assert float((spoilt == 0).float().mean()) == pytest.approx(0.27 / 2, abs=0.01)
    assert float((spoilt == 1).float().mean()) == pytest.approx(0.27 / 2, abs=0.01)


def test_jpeg_is_pillows():
    clean = pictures()
    spoilt = corrupt(clean, "jpeg", 5, fields())
    for image, found in zip(clean, spoilt, strict=True):
        file = io.BytesIO()
        array = (image * 255).byte().permute(1, 2, 0).numpy()
        Image.fromarray(array).save(file, "JPEG", quality=40)
        expected = np.asarray(Image.open(file)).astype(int)
        assert np.abs((found * 255).round().permute(1, 2, 0).numpy() - expected).max() <= 2


@pytest.mark.parametrize(("severity", "share"), [(1, 0.95), (3, 0.85), (5, 0.65)])
def test_pixelation_is_pillows_box_filter(severity, share):
    clean = pictures()
    found = corrupt(clean, "pixelate", severity, fields())
    small = int(32 * share)
    for image, ours in zip(clean, found, strict=True):
        array = Image.fromarray((image * 255).byte().permute(1, 2, 0).numpy())
        expected = array.resize((small, small), Image.Resampling.BOX).resize(
            (32, 32), Image.Resampling.BOX
        )
        difference = (ours * 255).round().permute(1, 2, 0).numpy() - np.asarray(expected).astype(
            int
        )
        assert np.abs(difference).max() <= 1


def test_brightness_raises_hsvs_value_and_contrast_is_torchvisions():
    clean = pictures(8)
    clean[0, :, 0, 0] = 0
    found = corrupt(clean, "brightness", 5, fields())
    for (row, y, x), _ in np.ndenumerate(clean[:, 0].numpy()):
        hue, saturation, value = colorsys.rgb_to_hsv(*clean[row, :, y, x].tolist())
        expected = colorsys.hsv_to_rgb(hue, saturation, min(value + 0.3, 1))
        assert found[row, :, y, x].tolist() == pytest.approx(expected, abs=0.6 / 255)
    gray = pictures(32, 1)
    expected = reference.adjust_contrast(gray, 0.15)
    assert float((corrupt(gray, "contrast", 5, fields()) - expected).abs().max()) <= 0.6 / 255


@pytest.mark.parametrize("sigma", [0.4, 2.0, 11.0])
def test_gaussian_blur_and_convolution_are_scipys(sigma):
    image = pictures(32, 1)[0, 0]
    ours = along_both(image, gaussian_matrix(sigma, 32, torch.device("cpu")))
    expected = ndimage.gaussian_filter(
        image.numpy(), sigma, mode="reflect", radius=max(1, int(np.ceil(3 * sigma)))
    )
    np.testing.assert_allclose(ours.numpy(), expected, atol=2e-6)


def test_each_image_has_its_own_streak_and_disk_is_one_for_all():
    clean = pictures(32, 1)
    kernels = streak_kernels(6, 2.0, torch.linspace(-0.7, 0.7, len(IDS)))
    assert torch.allclose(kernels.sum(dim=(1, 2)), torch.ones(len(IDS)), atol=1e-6)
    found = convolve(clean, kernels, "replicate")
    for image, kernel, ours in zip(clean, kernels, found, strict=True):
        expected = ndimage.convolve(image[0].numpy(), kernel.numpy(), mode="nearest")
        np.testing.assert_allclose(ours[0].numpy(), expected, atol=2e-6)
    disk = disk_kernel(3.0, 0.1, torch.device("cpu"))
    expected = ndimage.convolve(clean[0, 0].numpy(), disk[0].numpy(), mode="mirror")
    np.testing.assert_allclose(
        defocus_blur(clean, 3.0, 0.1, scale=1.0)[0, 0].numpy(), expected, atol=2e-6
    )


def test_zoom_keeps_the_middle_and_enlarges():
    ramp = torch.arange(33.0)[None].expand(33, -1)
    zoomed = along_both(ramp, zoom_matrix(2.0, 33, torch.device("cpu")))
    torch.testing.assert_close(zoomed[16], 16 + (torch.arange(33.0) - 16) / 2)
    assert torch.equal(zoom_matrix(1.0, 7, torch.device("cpu")), torch.eye(7))


def test_plasma_is_made_as_the_diamonds_and_squares_say():
    """The same draws, point by point, on a torus of 8 x 8."""
    made = RandomFields.of(["x"], 0)
    grid, side, width = np.zeros((1, 1)), 1, 1.0
    while side < 8:
        draw = (made.stream(f"octave {side}").uniform(3, side, side)[0].numpy() * 2 - 1) * width
        larger = np.zeros((2 * side, 2 * side))
        for y in range(side):
            for x in range(side):
                larger[2 * y, 2 * x] = grid[y, x]
                corners = [grid[(y + dy) % side, (x + dx) % side] for dy in (0, 1) for dx in (0, 1)]
                larger[2 * y + 1, 2 * x + 1] = np.mean(corners) + draw[0, y, x]
        full = 2 * side
        for y in range(side):
            for x in range(side):
                for number, (dy, dx) in enumerate([(0, 1), (1, 0)], start=1):
                    row, column = 2 * y + dy, 2 * x + dx
                    around = [
                        larger[(row + a) % full, (column + b) % full]
                        for a, b in ((0, 1), (0, -1), (1, 0), (-1, 0))
                    ]
                    larger[row, column] = np.mean(around) + draw[number, y, x]
        grid, side, width = larger, full, width / 1.5**2
    expected = (grid - grid.min()) / (grid.max() - grid.min())
    np.testing.assert_allclose(plasma(made, 8, 1.5)[0].numpy(), expected, atol=1e-5)


def test_sizes_take_the_nearer_published_figures():
    assert (scale_of(32), scale_of(224)) == ((32, 1.0), (224, 1.0))
    assert [scale_of(size).published for size in (8, 28, 64, 84, 85, 128, 512)] == [
        32,
        32,
        32,
        32,
        224,
        224,
        224,
    ]
    assert scale_of(112).lengths == 0.5
    for kinds in PUBLISHED.values():
        assert tuple(kinds) == KINDS
        assert all(len(figures) == len(SEVERITIES) for figures in kinds.values())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("kind", KINDS)
def test_the_device_changes_nothing_that_can_be_seen(kind):
    clean = pictures()
    found = corrupt(clean.cuda(), kind, 4, fields().to("cuda"))
    assert found.is_cuda
    assert float((found.cpu() - corrupt(clean, kind, 4, fields())).abs().max()) < 2.5 / 255
