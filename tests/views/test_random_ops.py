"""RandAugment's operations and Cutout against torchvision v2 and Pillow, image by image."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from sampled_params import natural, synthetic, whole_images
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as reference

from likewise.data.batch import Pixels
from likewise.errors import LikewiseError
from likewise.randomness import BatchRNG
from likewise.views.image import tone
from likewise.views.image.making import make_view
from likewise.views.image.random_ops import (
    OPERATIONS,
    amounts,
    chained,
    operate,
    operation_ranges,
    operations_of,
)
from likewise.views.image.view_params import CutoutParams, RandAugmentParams
from likewise.views.policies import (
    comatch_strong,
    fixmatch_strong,
    fixmatch_weak,
    rand_augment,
    simclr,
)
from likewise.views.view_policy import ViewPolicy

ONE_LEVEL = 1 / 255
NAMES = list(OPERATIONS)
STILL = ViewPolicy(crop_area=(1, 1), crop_ratio=(1, 1), flip=0)


def affine(
    image: Tensor, angle=0.0, translate=(0.0, 0.0), shear=(0.0, 0.0), corner=False
) -> Tensor:
    """On the image in a wide grey frame, for at the edge torchvision weighs its ``fill`` twice."""
    frame = image.shape[-1]
    moved = reference.affine(
        reference.pad(image, [frame], fill=0.5),
        angle=angle,
        translate=list(translate),
        scale=1.0,
        shear=[math.degrees(math.atan(slope)) for slope in shear],
        interpolation=InterpolationMode.BILINEAR,
        center=[frame, frame] if corner else None,
    )
    return moved[:, frame:-frame, frame:-frame]


REFERENCES = {
    "identity": lambda image, _: image,
    "autocontrast": lambda image, _: reference.autocontrast(image),
    "equalize": lambda image, _: reference.equalize(image),
    "brightness": reference.adjust_brightness,
    "colour": reference.adjust_saturation,
    "contrast": reference.adjust_contrast,
    "sharpness": reference.adjust_sharpness,
    "posterize": lambda image, bits: reference.posterize(image, int(bits)),
    "solarize": reference.solarize,
    "rotate": lambda image, radians: affine(image, angle=-math.degrees(radians)),
    "shear x": lambda image, slope: affine(image, shear=(slope, 0), corner=True),
    "shear y": lambda image, slope: affine(image, shear=(0, slope), corner=True),
    "translate x": lambda image, share: affine(image, translate=(-share * image.shape[-1], 0)),
    "translate y": lambda image, share: affine(image, translate=(0, -share * image.shape[-1])),
}


def sampled(
    rng: BatchRNG, count: int, chance: float, strength: tuple[float, float]
) -> RandAugmentParams:
    return operations_of(rng.uniforms(operation_ranges(count, strength)), chance)


def one_kind(name: str, rows: int) -> RandAugmentParams:
    """The operation once on each row, at all strengths from none to full and with both signs."""
    strength, sign = torch.linspace(0, 1, rows), torch.ones(rows)
    sign[::2] = -1
    kind = torch.full((rows,), NAMES.index(name))
    amount = amounts(kind, strength, sign)
    if name == "solarize":  # torchvision allows none above 1
        amount = amount.clamp(max=1)
    return RandAugmentParams(kind[:, None], amount[:, None])


def test_every_operation_of_the_papers_has_a_reference() -> None:
    assert len(OPERATIONS) == 14 and set(REFERENCES) == set(NAMES)


@pytest.mark.parametrize("images_of", [natural, synthetic])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", NAMES)
def test_each_operation_equals_torchvision(images_of, channels: int, name: str) -> None:
    images, operations = images_of(24, channels) / 255, one_kind(name, 24)
    expected = [
        REFERENCES[name](image, amount)
        for image, amount in zip(images, operations.amount[:, 0].tolist(), strict=True)
    ]
    before = images.clone()
    origin = operate(images, operations)
    assert (images - torch.stack(expected)).abs().max() < ONE_LEVEL / 10
    if channels == 1 and name == "colour":
        assert torch.equal(images, before)
    assert torch.equal(origin[0], torch.eye(2, 3)) and (origin[1:] != torch.eye(2, 3)).any() == (
        NAMES.index(name) > 8
    )


def pillow(name: str, image: Image.Image, amount: float) -> Image.Image:
    side = image.width
    transforms = {
        "rotate": None,
        "shear x": (1, amount, 0, 0, 1, 0),
        "shear y": (1, 0, 0, amount, 1, 0),
        "translate x": (1, 0, amount * side, 0, 1, 0),
        "translate y": (1, 0, 0, 0, 1, amount * side),
    }
    if name == "rotate":
        return image.rotate(math.degrees(amount), Image.Resampling.BILINEAR)
    if name in transforms:
        return image.transform(
            image.size, Image.Transform.AFFINE, transforms[name], Image.Resampling.BILINEAR
        )
    enhancers = {
        "brightness": "Brightness",
        "colour": "Color",
        "contrast": "Contrast",
        "sharpness": "Sharpness",
    }
    if name in enhancers:
        return getattr(ImageEnhance, enhancers[name])(image).enhance(amount)
    plain = {
        "identity": lambda i: i,
        "autocontrast": ImageOps.autocontrast,
        "equalize": ImageOps.equalize,
    }
    return plain[name](image)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("posterize", "solarize")])
def test_each_operation_equals_pillow_up_to_its_rounding(name: str) -> None:
    """Inside, for Pillow blends no grey in at the edge; it rounds to whole levels, and contrast's mean too."""
    images, operations = natural(24, 3), one_kind(name, 24)
    found = images / 255
    operate(found, operations)
    for row, amount in enumerate(operations.amount[:, 0].tolist()):
        theirs = pillow(name, Image.fromarray(images[row].permute(1, 2, 0).numpy()), amount)
        difference = found[row] - torch.from_numpy(np.array(theirs)).permute(2, 0, 1) / 255
        assert difference[:, 9:15, 9:15].abs().max() < 2.5 * ONE_LEVEL


def test_posterize_keeps_the_upper_bits_and_solarize_inverts_from_its_threshold() -> None:
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    for bits in (4, 5, 7):
        kept = tone.posterize(levels / 255, torch.tensor([float(bits)])) * 2**bits
        assert (kept.round() - (levels.float() / 255 * 2**bits - 1e-4).floor()).abs().max() <= 1
        assert len(kept.unique()) == 2**bits
    full, half = levels / 255, levels / 255
    operate(
        full,
        RandAugmentParams(torch.tensor([[NAMES.index("solarize")]]), torch.tensor([[256 / 255]])),
    )
    assert torch.equal(full, levels / 255), "at full strength nothing is inverted, white included"
    operate(
        half,
        RandAugmentParams(torch.tensor([[NAMES.index("solarize")]]), torch.tensor([[128 / 255]])),
    )
    assert torch.allclose(half, torch.where(levels >= 128, 255 - levels, levels) / 255)


def test_operations_follow_each_other_in_each_rows_own_order() -> None:
    images = natural(40, 3) / 255
    operations = sampled(BatchRNG((3,), 40), 3, 0.8, (0.2, 0.9))
    expected = images.clone()
    for row, (kinds, parameters) in enumerate(
        zip(operations.kind.tolist(), operations.amount.tolist(), strict=True)
    ):
        for kind, amount in zip(kinds, parameters, strict=True):
            expected[row] = REFERENCES[NAMES[kind]](expected[row], amount)
    operate(images, operations)
    # A threshold turns the last bit of one operation into a level of the next.
    assert ((images - expected).abs().amax(1) < ONE_LEVEL).float().mean() > 0.999


def test_operations_are_drawn_alike_and_their_amounts_span_the_papers_ranges() -> None:
    operations = sampled(BatchRNG((1,), 60_000), 2, 0.75, (0.0, 1.0))
    shares = torch.stack([(operations.kind == place).float().mean() for place in range(14)])
    assert shares[0].item() == pytest.approx(0.25 + 0.75 / 14, abs=0.01)
    assert torch.allclose(shares[1:], torch.full((13,), 0.75 / 14), atol=0.005)
    spans = {
        "brightness": (0.1, 1.9),
        "posterize": (4, 7),
        "solarize": (0, 256 / 255),
        "shear x": (-0.3, 0.3),
    }
    spans |= {"rotate": (-math.pi / 6, math.pi / 6), "translate y": (-10 / 32, 10 / 32)}
    for name, (least, greatest) in spans.items():
        found = operations.amount[operations.kind == NAMES.index(name)]
        assert found.min().item() == pytest.approx(least, abs=0.01)
        assert found.max().item() == pytest.approx(greatest, abs=0.01)
        assert abs(found.mean().item() - (least + greatest) / 2) < 0.06


def test_a_full_strength_operation_has_the_numbers_of_comatchs_code() -> None:
    operations = sampled(BatchRNG((1,), 4000), 1, 1.0, (1.0, 1.0))
    wanted = {
        "colour": {1.9},
        "posterize": {4.0},
        "rotate": {-math.pi / 6, math.pi / 6},
        "translate x": {-0.3125, 0.3125},
    }
    for name, wanted_amounts in wanted.items():
        found = operations.amount[operations.kind == NAMES.index(name)].unique()
        assert found.tolist() == pytest.approx(sorted(wanted_amounts), abs=1e-6)


@pytest.mark.parametrize("side", [0.25, 0.5, 1.0])
def test_cutout_hides_the_square_that_erase_would(side: float) -> None:
    images, size = natural(12, 3, 32), 32
    half = round(side * size / 2)
    middles = torch.randint(0, 33, (12, 2), generator=torch.Generator().manual_seed(4))
    cutout = CutoutParams(middles / size, side)
    view = make_view(images, whole_images(12)._replace(cutout=cutout), size)
    for row, (across, down) in enumerate(middles.tolist()):
        top, left = max(down - half, 0), max(across - half, 0)
        height, width = min(down + half, size) - top, min(across + half, size) - left
        grey = torch.full((3, height, width), 0.5)
        expected = reference.erase(images[row] / 255, top, left, height, width, grey)
        assert (view.pixels[row] - expected).abs().max() < 1e-5


@pytest.mark.usefixtures("way")
class TestAsViews:
    """What holds for a policy, whichever way its crops are made."""

    @pytest.mark.parametrize("policy", [rand_augment(), fixmatch_strong(), comatch_strong()])
    @pytest.mark.parametrize(
        ("channels", "side", "size"), [(1, 28, None), (3, 32, 24), (3, 40, 64)]
    )
    def test_pixels_in_range(self, policy: ViewPolicy, channels: int, side: int, size) -> None:
        view = replace(policy, size=size)(
            Pixels(natural(32, channels, side), torch.ones(32)), BatchRNG((0,), 32)
        )
        assert view.pixels.shape == (32, channels, size or side, size or side)
        assert (
            view.pixels.isfinite().all()
            and view.pixels.min() >= 0
            and view.pixels.max() <= 1 + 1e-5
        )

    @pytest.mark.parametrize("policy", [fixmatch_strong(), comatch_strong()])
    def test_a_part_of_the_batch_gets_that_parts_views(self, policy: ViewPolicy) -> None:
        pixels = Pixels(natural(24, 3), torch.ones(24))
        whole = policy(pixels, BatchRNG((7, 3), 24))
        part = policy(pixels.map(lambda t: t[5:17]), BatchRNG((7, 3), 12, total=24, first=5))
        assert torch.equal(part.box, whole.box[5:17]) and torch.equal(
            part.pixels, whole.pixels[5:17]
        )

    def test_crops_are_those_of_a_policy_without(self) -> None:
        pixels = Pixels(natural(16, 3), torch.ones(16))
        plain = replace(simclr(), random_ops=0)(pixels, BatchRNG((1,), 16))
        never = replace(simclr(), random_ops=3, op_chance=0.0)(pixels, BatchRNG((1,), 16))
        hidden = replace(simclr(), cutout=0.5)(pixels, BatchRNG((1,), 16))
        assert torch.equal(plain.pixels, never.pixels) and torch.equal(plain.box, hidden.box)
        kept = (hidden.pixels == 0.5).all(1).logical_not()[:, None].expand_as(plain.pixels)
        assert (
            torch.equal(plain.pixels[kept], hidden.pixels[kept])
            and 0.1 < 1 - kept.float().mean() < 0.3
        )
        both = replace(simclr(), random_ops=2, op_chance=0.0, cutout=0.5)(
            pixels, BatchRNG((1,), 16)
        )
        assert torch.equal(both.pixels, hidden.pixels)

    def test_a_views_box_says_where_its_pixels_came_from(self) -> None:
        """In an image whose values are its own coordinates, each pixel tells its place."""
        line = (torch.arange(64) * 4).to(torch.uint8)
        images = torch.stack(
            [line.expand(64, 64), line[:, None].expand(64, 64), torch.zeros(64, 64).byte()]
        )
        policy = replace(STILL, size=32, crop_area=(0.5, 0.8), flip=0.5)
        pixels = Pixels(images.expand(200, 3, 64, 64).contiguous(), torch.ones(200))
        rng = BatchRNG((5,), 200)
        params = policy.sample_params(pixels, rng)
        kinds = torch.randint(9, 14, (200, 2), generator=torch.Generator().manual_seed(1))
        amount = torch.rand(200, 2, generator=torch.Generator().manual_seed(2)) * 0.5 - 0.25
        view = make_view(
            pixels.images, params._replace(rand_augment=RandAugmentParams(kinds, amount)), 32
        )
        place = (torch.arange(32) * 2 + 1) / 32 - 1
        plane = torch.stack(
            [place.expand(32, 32), place[:, None].expand(32, 32), torch.ones(32, 32)]
        )
        where = torch.einsum("bij,jhw->bihw", view.box, plane)  # across and down in [-1, 1]
        shown = view.pixels[:, :2] * 255 / 4 / 32 - 1 + 1 / 64
        inside = view.pixels[:, 2] < 0.01
        # Only what neither left the crop nor lies at its edge, where pixels are repeated.
        assert inside.float().mean() > 0.5
        error = (shown - where).abs().amax(1)[inside]
        assert (error < 0.03).float().mean() > 0.98


def test_maps_chain() -> None:
    outer, inner = torch.randn(2, 4, 2, 3, generator=torch.Generator().manual_seed(0))
    point = torch.tensor([0.3, -0.7, 1.0])
    between = torch.cat([inner @ point, torch.ones(4, 1)], dim=1)
    assert torch.allclose(
        chained(outer, inner) @ point, (outer @ between[:, :, None])[:, :, 0], atol=1e-6
    )


def test_presets_hold_the_sources_numbers() -> None:
    assert fixmatch_strong() == replace(fixmatch_weak(), random_ops=2, cutout=0.5)
    assert comatch_strong() == replace(
        fixmatch_weak(), random_ops=2, op_chance=0.5, op_strength=(1.0, 1.0), cutout=0.5
    )


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"random_ops": -1}, "random_ops=-1"),
        ({"op_chance": 1.1}, "op_chance=1.1"),
        ({"op_strength": (0.5, 0.2)}, r"op_strength=\(0.5, 0.2"),
        ({"op_strength": (0.5, 1.2)}, "op_strength"),
        ({"cutout": 2.0}, "cutout=2.0"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict, told: str) -> None:
    with pytest.raises(LikewiseError, match=told):
        ViewPolicy(**settings)


def test_four_channels_have_operations_and_cutout() -> None:
    pixels = Pixels(torch.zeros(2, 4, 16, 16, dtype=torch.uint8), torch.ones(2))
    assert (replace(STILL, cutout=0.5)(pixels, BatchRNG((0,), 2)).pixels == 0.5).any()
    noisy = Pixels(torch.randint(0, 256, (400, 4, 16, 16), dtype=torch.uint8), torch.ones(400))
    plain, changed = (
        replace(STILL, random_ops=ops)(noisy, BatchRNG((0,), 400)).pixels for ops in (0, 2)
    )
    assert 0.5 < (plain != changed).flatten(1).any(dim=1).float().mean() < 1
