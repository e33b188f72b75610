"""What every policy of views keeps to."""

from __future__ import annotations

import torch
from hypothesis import strategies as some
from torch import Tensor

from likewise.data.batch import Pixels
from likewise.randomness import BatchRNG
from likewise.views.centre_view import CentreView
from likewise.views.view_policy import ViewPolicy
from properties.holding import holds

CHANCES = some.sampled_from([0.0, 0.5, 1.0])
POLICIES = some.builds(
    ViewPolicy,
    size=some.sampled_from([None, 7, 12]),
    crop_area=some.sampled_from([(0.08, 1.0), (0.5, 0.5), (1.0, 1.0)]),
    flip=CHANCES, jitter=CHANCES, brightness=some.floats(0, 2), contrast=some.floats(0, 2),
    saturation=some.floats(0, 2), hue=some.floats(0, 0.5), grey=CHANCES, blur=CHANCES, solarize=CHANCES,
    random_ops=some.integers(0, 3), cutout=some.sampled_from([0.0, 0.3, 1.0]),
)  # fmt: skip
STEPS = some.integers(0, 10**6)


def pictures(seed: int, rows: int = 6, channels: int = 3, side: int = 10) -> Pixels:
    chance = torch.Generator().manual_seed(seed)
    images = torch.randint(
        0, 256, (rows, channels, side, side), generator=chance, dtype=torch.uint8
    )
    return Pixels(images, torch.rand(rows, generator=chance) + 0.5)


def rows_of(pixels: Pixels, chosen: slice) -> Pixels:
    return pixels.map(lambda part: part[chosen])


@holds(POLICIES, some.sampled_from([1, 3]), STEPS, few=15)
def test_a_view_lies_in_its_range_and_its_image(policy, channels, step):
    pixels = pictures(step, channels=channels)
    before = pixels.images.clone()
    view = policy(pixels, BatchRNG((0, step), 6))
    side = policy.size or 10
    assert view.pixels.shape == (6, channels, side, side) and view.pixels.dtype == torch.float32
    assert 0 <= float(view.pixels.min()) and float(view.pixels.max()) <= 1
    assert torch.equal(pixels.images, before)
    reach = view.box[:, [0, 1], [0, 1]].abs() + view.box[:, :, 2].abs()  # [B, 2], from the centre
    assert policy.random_ops or float(reach.max()) <= 1 + 1e-5  # those translate and rotate crops


@holds(POLICIES, STEPS, some.integers(1, 3), few=15)
def test_views_depend_on_key_and_row_alone(policy, step, share):
    pixels = pictures(step)
    whole = policy(pixels, BatchRNG((0, step), 6))
    assert torch.equal(policy(pixels, BatchRNG((0, step), 6)).pixels, whole.pixels)
    part = policy(rows_of(pixels, slice(share, 2 * share)), BatchRNG((0, step), share, 6, share))
    assert torch.allclose(part.pixels, whole.pixels[share : 2 * share], atol=1e-6)
    assert torch.equal(part.box, whole.box[share : 2 * share])


@holds(some.integers(0, 255), STEPS, some.sampled_from([(0.08, 1.0), (0.3, 0.9)]))
def test_crops_flips_and_blurs_of_one_colour_are_that_colour(value, step, area):
    policy = ViewPolicy(crop_area=area, blur=0.5)
    flat = Pixels(torch.full((6, 3, 10, 10), value, dtype=torch.uint8), torch.ones(6))
    assert torch.allclose(
        policy(flat, BatchRNG((0, step), 6)).pixels, torch.tensor(value / 255), atol=1 / 255
    )


@holds(STEPS, some.integers(4, 14))
def test_whole_images_without_changes_are_the_images(step, side):
    pixels = pictures(step, side=side)._replace(aspect=torch.ones(6))
    policy = ViewPolicy(crop_area=(1.0, 1.0), crop_ratio=(1.0, 1.0), flip=0.0)
    expected = pixels.images.float() / 255
    assert torch.allclose(policy(pixels, BatchRNG((0, step), 6)).pixels, expected, atol=1e-4)
    assert torch.allclose(CentreView(side)(pixels).pixels, expected, atol=1e-4)


@holds(STEPS)
def test_a_flip_mirrors_and_says_so(step):
    pixels, key = pictures(step), (0, step)
    kept, mirrored = (ViewPolicy(flip=chance)(pixels, BatchRNG(key, 6)) for chance in (0.0, 1.0))
    assert torch.allclose(mirrored.pixels, kept.pixels.flip(-1), atol=1e-5)
    assert torch.equal(mirrored.box[:, 0, 0], -kept.box[:, 0, 0])


def grey_of(image: Tensor) -> Tensor:
    return image[:, :1].expand_as(image)


@holds(STEPS)
def test_grey_views_have_one_value_in_all_channels(step):
    view = ViewPolicy(grey=1.0)(pictures(step), BatchRNG((0, step), 6)).pixels
    assert torch.allclose(view, grey_of(view), atol=1e-6)
