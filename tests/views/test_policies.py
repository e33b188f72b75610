import dataclasses
import json
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from likewise.data.batch import Pixels
from likewise.errors import LikewiseError
from likewise.randomness import BatchRNG
from likewise.views import policies
from likewise.views.image.blur import gaussian_blur, kernel_size
from likewise.views.image.colour import grey, solarize
from likewise.views.policies import (
    byol,
    centre,
    comatch_strong,
    identity,
    moco_v2,
    rand_augment,
    simclr,
    simclr_small,
    supcon,
    weak,
)
from likewise.views.view import View
from likewise.views.view_policy import ViewPolicy

pytestmark = pytest.mark.usefixtures("way")
PRESETS = [simclr(), simclr_small(), supcon(), moco_v2(), weak(), *policies.byol()]


def noise(rows: int, channels: int = 3, side: int = 32) -> Pixels:
    random = torch.Generator().manual_seed(rows)
    images = torch.randint(
        0, 256, (rows, channels, side, side), generator=random, dtype=torch.uint8
    )
    return Pixels(images, torch.rand(rows, generator=random) + 0.5)


def view_of(policy: ViewPolicy, pixels: Pixels, key: int = 0) -> Tensor:
    return policy(pixels, BatchRNG((key,), len(pixels.images))).pixels


def changed(policy: ViewPolicy, rows: int = 3000) -> Tensor:
    """Whether each of many small views differs from what crop and flip alone make with the same key."""
    pixels = noise(rows, side=8)
    plain = ViewPolicy(crop_area=policy.crop_area)
    return (view_of(policy, pixels) - view_of(plain, pixels)).abs().amax(dim=(1, 2, 3)) > 1e-4


@pytest.mark.parametrize("policy", PRESETS)
@pytest.mark.parametrize(("channels", "side", "size"), [(1, 28, None), (3, 32, 24), (3, 64, 224)])
def test_every_preset_gives_pixels_in_range_and_boxes(
    policy: ViewPolicy, channels: int, side: int, size
) -> None:
    view = replace(policy, size=size)(noise(8, channels, side), BatchRNG((0,), 8))
    assert (
        view.pixels.shape == (8, channels, size or side, size or side)
        and view.pixels.dtype == torch.float32
    )
    assert view.pixels.isfinite().all() and view.pixels.min() >= 0 and view.pixels.max() <= 1
    assert view.box.shape == (8, 2, 3)


@pytest.mark.parametrize("policy", PRESETS)
def test_a_part_of_the_batch_gets_that_parts_views(policy: ViewPolicy) -> None:
    pixels = noise(24)
    whole = policy(pixels, BatchRNG((7, 3), 24))
    part = policy(pixels.map(lambda t: t[5:17]), BatchRNG((7, 3), 12, total=24, first=5))
    assert torch.equal(part.box, whole.box[5:17])
    assert torch.equal(part.pixels, whole.pixels[5:17])


def test_the_same_key_gives_the_same_view_and_another_key_another() -> None:
    first, again, other = (view_of(simclr(), noise(16), key) for key in (1, 1, 2))
    assert torch.equal(first, again)
    assert ((first - other).abs().amax(dim=(1, 2, 3)) > 0.05).all()


def test_steps_come_in_the_order_of_the_papers() -> None:
    pixels = noise(16)
    coloured = ViewPolicy(jitter=1, brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2)
    greyed = replace(coloured, grey=1)
    blurred = replace(greyed, blur=1, blur_sigma=(1.5, 1.5))
    expected = grey(view_of(coloured, pixels))
    assert torch.allclose(view_of(greyed, pixels), expected, atol=1e-6)
    expected = gaussian_blur(expected, torch.full((16,), 1.5), kernel_size(32))
    assert torch.allclose(view_of(blurred, pixels), expected, atol=1e-6)
    assert torch.allclose(
        view_of(replace(blurred, solarize=1), pixels), solarize(expected), atol=1e-6
    )


def test_a_flip_mirrors_the_same_crop() -> None:
    pixels = noise(16)
    left = ViewPolicy(flip=0)(pixels, BatchRNG((0,), 16))
    right = ViewPolicy(flip=1)(pixels, BatchRNG((0,), 16))
    assert torch.allclose(right.pixels, left.pixels.flip(3), atol=1e-5)
    assert torch.equal(right.box[:, 0, 0], -left.box[:, 0, 0])


@pytest.mark.parametrize("step", ["grey", "blur", "solarize", "jitter"])
@pytest.mark.parametrize("probability", [0.0, 0.2, 0.8, 1.0])
def test_probabilities_are_per_image(step: str, probability: float) -> None:
    policy = replace(ViewPolicy(brightness=0.5, blur_sigma=(1, 1)), **{step: probability})
    assert abs(changed(policy).float().mean() - probability) < 0.03  # standard error 0.009


@pytest.mark.parametrize("strength", [0.4, 1.5])
def test_brightness_factors_spread_evenly_and_never_fall_below_nought(strength: float) -> None:
    policy = ViewPolicy(jitter=1, brightness=strength)
    pixels = Pixels(torch.full((2000, 1, 4, 4), 100, dtype=torch.uint8), torch.ones(2000))
    factor = view_of(policy, pixels)[:, 0, 0, 0] * 255 / 100
    low, high = max(0.0, 1 - strength), 1 + strength
    levels = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0])
    assert torch.allclose(torch.quantile(factor, levels), low + (high - low) * levels, atol=0.06)


def test_hue_turns_evenly_both_ways() -> None:
    """Red turned towards yellow gains green, and towards magenta blue, in proportion to the turn."""
    red = torch.tensor([255, 0, 0], dtype=torch.uint8).view(1, 3, 1, 1).expand(2000, 3, 4, 4)
    view = view_of(ViewPolicy(jitter=1, hue=0.1), Pixels(red, torch.ones(2000)))
    turn = (view[:, 1] - view[:, 2])[:, 0, 0] / 6
    assert torch.allclose(
        torch.quantile(turn, torch.tensor([0, 0.5, 1])), torch.tensor([-0.1, 0, 0.1]), atol=0.01
    )


def test_changes_of_a_grey_image_come_in_either_order() -> None:
    """The factors are read off dark pixels, which clamp nowhere; the bright ones clamp, so the two orders differ."""
    still = ViewPolicy(crop_area=(1, 1), crop_ratio=(1, 1), flip=0, jitter=1)
    tones = (
        torch.tensor([80, 120, 250, 250], dtype=torch.uint8)
        .repeat(4)
        .view(1, 1, 4, 4)
        .expand(600, 1, 4, 4)
    )
    pixels, image = Pixels(tones, torch.ones(600)), tones / 255
    dark, mean = 80 / 255, image[0].mean()
    brightness = view_of(replace(still, brightness=0.4), pixels)[:, :, :1, :1] / dark
    contrast = (view_of(replace(still, contrast=0.4), pixels)[:, :, :1, :1] - mean) / (dark - mean)
    views = view_of(replace(still, brightness=0.4, contrast=0.4), pixels)

    def contrasted(images: Tensor) -> Tensor:
        return (
            images * contrast + images.mean(dim=(1, 2, 3), keepdim=True) * (1 - contrast)
        ).clamp(0, 1)

    bright_first = contrasted((image * brightness).clamp(0, 1))
    contrast_first = (contrasted(image) * brightness).clamp(0, 1)
    first, second = (
        ((views - v).abs().amax(dim=(1, 2, 3)) < 1e-4) for v in (bright_first, contrast_first)
    )
    assert (first | second).all()
    assert (first & ~second).sum() > 100 and (second & ~first).sum() > 100


def test_presets_hold_the_papers_numbers() -> None:
    assert simclr() == ViewPolicy(
        jitter=0.8, brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2, grey=0.2, blur=0.5
    )
    assert simclr_small() == ViewPolicy(
        jitter=0.8, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, grey=0.2
    )
    assert moco_v2() == replace(simclr(0.5), crop_area=(0.2, 1.0))
    assert supcon() == replace(moco_v2(), blur=0.0)
    assert weak() == ViewPolicy(crop_area=(0.2, 1.0))


@pytest.mark.parametrize("size", [16, 32])
def test_autocast_does_not_coarsen_views(size: int) -> None:
    pixels, policy = noise(8), replace(simclr(), size=size)
    expected, expected_centre = view_of(policy, pixels), centre(size)(pixels).pixels
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(view_of(policy, pixels), expected)
        assert torch.equal(centre(size)(pixels).pixels, expected_centre)


def test_the_evaluation_view_is_the_stored_image_where_nothing_is_to_be_done() -> None:
    pixels = Pixels(noise(8).images, torch.ones(8))
    view = centre()(pixels)
    assert isinstance(view, View)
    assert torch.allclose(view.pixels, pixels.images / 255, atol=1e-5)
    assert torch.allclose(view.box, torch.eye(2, 3).expand(8, 2, 3))


def test_settings_survive_json() -> None:
    stored = json.loads(json.dumps(dataclasses.asdict(simclr())))
    policy = ViewPolicy(**stored)
    assert torch.equal(view_of(policy, noise(4)), view_of(simclr(), noise(4)))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"flip": 1.5}, "flip=1.5"),
        ({"grey": float("nan")}, "grey=nan"),
        ({"hue": 0.6}, "hue=0.6"),
        ({"crop_area": (0.5, 0.2)}, "crop_area=\\(0.5, 0.2"),
        ({"crop_area": (0.0, 1.0)}, "crop_area"),
        ({"brightness": -1.0}, "brightness=-1.0"),
        ({"blur_sigma": (0.0, 1.0)}, "blur_sigma"),
        ({"size": 0}, "size=0"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict, told: str) -> None:
    with pytest.raises(LikewiseError, match=told):
        ViewPolicy(**settings)


@pytest.mark.parametrize("channels", [2, 4, 13])
def test_images_without_rgb_have_each_channel_changed_by_itself(channels) -> None:
    pixels = Pixels(torch.full((64, channels, 8, 8), 100, dtype=torch.uint8), torch.ones(64))
    policy = replace(identity(8), jitter=0.5, saturation=0.6, hue=0.1, grey=0.5)
    view = view_of(policy, pixels)
    factors = (view[:, :, 0, 0] * 255 / 100).clamp(max=2.55)  # [B, C]
    changed = (factors - 1).abs().amax(dim=1) > 1e-3
    assert 0.25 < changed.float().mean() < 0.75
    assert factors.min() >= 0.4 - 1e-3 and factors.max() <= 1.6 + 1e-3
    assert factors[changed].std(dim=1).median() > 0.05  # not all channels of an image by one factor
    (note,) = policy.notes(channels)
    assert f"{channels} channels" in note and "saturation" in note and "hue" in note
    assert policy.notes(3) == policy.notes(1) == weak().notes(channels) == []


@pytest.mark.parametrize("channels", [2, 13])
def test_every_policy_takes_any_number_of_channels(channels) -> None:
    pixels = noise(4, channels=channels)
    for policy in (simclr(), moco_v2(), byol()[1], rand_augment(), comatch_strong(), weak()):
        view = view_of(replace(policy, size=16), pixels)
        assert view.shape == (4, channels, 16, 16)
        assert 0 <= view.min() and view.max() <= 1


def test_contrast_without_rgb_is_that_of_each_channel() -> None:
    pixels = noise(3, channels=2)._replace(aspect=torch.ones(3))
    exact = pixels.images.float() / 255
    view = view_of(replace(identity(32), jitter=1.0, contrast=0.5), pixels)
    centred = exact - exact.mean(dim=(2, 3), keepdim=True)
    ratio = (view - exact.mean(dim=(2, 3), keepdim=True)) / centred
    inside = (view > 0) & (view < 1) & (centred.abs() > 0.1)
    for image in range(3):
        assert ratio[image][inside[image]].std() < 1e-3
