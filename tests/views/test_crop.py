import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from torch import Tensor
from torch.nn import functional
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms import functional as reference

from likewise.randomness import BatchRNG
from likewise.views.image.crop import centre_boxes, random_boxes
from likewise.views.image.view_params import ViewParams

RATIO = (3 / 4, 4 / 3)


def smooth(rows: int, side: int) -> Tensor:
    """uint8 [B, 3, S, S] of broad waves, each row's own, so that a place is told by its colour."""
    random = torch.Generator().manual_seed(3)
    across, down = torch.meshgrid(
        torch.linspace(0, 1, side), torch.linspace(0, 1, side), indexing="xy"
    )
    slope = (torch.rand(rows, 3, 2, 1, 1, generator=random) * 2 + 1) * 1.5
    waves = torch.sin(slope[:, :, 0] * across + slope[:, :, 1] * down)
    return (waves * 127 + 128).round().to(torch.uint8)


def whole_pixel_boxes(rows: int, height: int, width: int) -> tuple[list[list[int]], Tensor, Tensor]:
    """Top, left, height, width in pixels; whether mirrored; and the same as boxes."""
    random = torch.Generator().manual_seed(1)
    extent = torch.stack(
        [torch.randint(3, side + 1, (rows,), generator=random) for side in (height, width)], dim=1
    )
    extent[0] = torch.tensor([height, width])
    start = (
        torch.rand(rows, 2, generator=random) * (torch.tensor([height, width]) + 1 - extent)
    ).long()
    mirrored = torch.rand(rows, generator=random) < 0.5
    share = extent / torch.tensor([height, width])
    middle = (2 * start + extent) / torch.tensor([height, width]) - 1
    box = torch.zeros(rows, 2, 3)
    box[:, 0, 0] = torch.where(mirrored, -share[:, 1], share[:, 1])
    box[:, 1, 1], box[:, 0, 2], box[:, 1, 2] = share[:, 0], middle[:, 1], middle[:, 0]
    return torch.cat([start, extent], dim=1).tolist(), mirrored, box


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [16, 28, 33, 50])
def test_whole_pixel_boxes_equal_torchvision(make, channels: int, size: int) -> None:
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (48, channels, 40, 30), generator=random, dtype=torch.uint8)
    corners, mirrored, box = whole_pixel_boxes(48, 40, 30)
    crops = [
        reference.resized_crop(
            image.float() / 255, top, left, tall, wide, [size, size], antialias=True
        )
        for image, (top, left, tall, wide) in zip(images, corners, strict=True)
    ]
    expected = torch.where(
        mirrored[:, None, None, None], torch.stack(crops).flip(3), torch.stack(crops)
    )
    assert (make(images, ViewParams(box), size) - expected).abs().max() < 0.01 / 255


@pytest.mark.parametrize("size", [24, 64])
def test_the_box_tells_where_the_pixels_come_from(make, size: int) -> None:
    images = smooth(32, 64)
    box = random_boxes(BatchRNG((0,), 32), torch.ones(32), (0.2, 1.0), RATIO, flip=0.5)
    grid = functional.affine_grid(box, [32, 3, size, size], align_corners=False)
    sampled = functional.grid_sample(
        images.float() / 255, grid, align_corners=False, padding_mode="border"
    )
    # Half a pixel of the image at the crop's edge is repeated rather than looked up.
    assert (make(images, ViewParams(box), size) - sampled).abs().max() < 0.04
    assert (box[:, 0, 0] < 0).any() and (box[:, 0, 0] > 0).any()


def test_two_crops_agree_where_they_overlap(make) -> None:
    images, rng = smooth(32, 64), BatchRNG((1,), 32)
    box_a, box_b = (
        random_boxes(rng.stream(name), torch.ones(32), (0.3, 1.0), RATIO, flip=0.5) for name in "ab"
    )
    view_a, view_b = make(images, ViewParams(box_a), 40), make(images, ViewParams(box_b), 40)
    in_image = functional.affine_grid(box_b, [32, 3, 40, 40], align_corners=False)
    in_a = (in_image - box_a[:, None, None, :, 2]) / box_a[:, (0, 1), (0, 1)][:, None, None]
    shared = (in_a.abs() < 0.95).all(dim=3)
    shared[:, (0, -1)] = shared[:, :, (0, -1)] = False  # there the edge is repeated
    found = functional.grid_sample(view_a, in_a, align_corners=False)
    difference = (found - view_b).abs().amax(dim=1)[shared]
    assert len(difference) > 10_000 and difference.max() < 0.03


def test_boxes_are_distributed_as_torchvisions() -> None:
    torch.manual_seed(0)
    width, height, area = 1200, 800, (0.08, 1.0)
    aspect = torch.full((6000,), width / height)
    box = random_boxes(BatchRNG((4,), 6000), aspect, area, RATIO, flip=0.5)
    drawn = [
        RandomResizedCrop.get_params(torch.empty(3, height, width), list(area), list(RATIO))
        for _ in range(6000)
    ]
    top, left, tall, wide = torch.tensor(drawn).float().unbind(1)
    ours = torch.stack([box[:, 0, 0].abs(), box[:, 1, 1], box[:, 0, 2], box[:, 1, 2]])
    theirs = torch.stack(
        [wide / width, tall / height, (2 * left + wide) / width - 1, (2 * top + tall) / height - 1]
    )
    levels = torch.linspace(0.05, 0.95, 10)
    # The standard error of a quantile of 6,000 draws is under 0.01 here.
    assert (
        torch.quantile(ours, levels, dim=1) - torch.quantile(theirs, levels, dim=1)
    ).abs().max() < 0.05
    assert abs((box[:, 0, 0] < 0).float().mean() - 0.5) < 0.03


def test_on_a_panorama_the_largest_box_that_fits_lies_anywhere() -> None:
    box = random_boxes(BatchRNG((2,), 500), torch.full((500,), 12.0), (0.5, 1.0), RATIO, flip=0.0)
    assert torch.allclose(box[:, 1, 1], torch.ones(500))
    assert torch.allclose(box[:, 0, 0] * 12, torch.full((500,), 4 / 3))
    assert box[:, 0, 2].std() > 0.4


@settings(max_examples=50, deadline=None)
@given(some.floats(0.02, 50), some.floats(0.01, 1), some.floats(0.1, 1), some.integers(0, 10**6))
def test_boxes_stay_inside_the_image(aspect: float, least: float, narrow: float, key: int) -> None:
    ratio = (narrow, 1 / narrow)
    box = random_boxes(
        BatchRNG((key,), 64), torch.full((64,), aspect), (least, 1.0), ratio, flip=0.5
    )
    assert (box[:, (0, 1), (0, 1)].abs() + box[:, :, 2].abs()).max() <= 1 + 1e-5
    shape = box[:, 0, 0].abs() * aspect / box[:, 1, 1]
    assert shape.min() > ratio[0] * 0.999 and shape.max() < ratio[1] * 1.001


@settings(max_examples=30, deadline=None)
@given(some.integers(2, 40), some.integers(2, 40), some.floats(0.001, 0.2), some.integers(0, 10**6))
def test_even_boxes_under_a_pixel_give_pixels_in_range(
    make, side: int, size: int, area: float, key: int
) -> None:
    images = torch.randint(
        0, 256, (16, 1, side, side), generator=torch.Generator().manual_seed(key), dtype=torch.uint8
    )
    box = random_boxes(BatchRNG((key,), 16), torch.ones(16), (area / 10, area), RATIO, flip=0.5)
    view = make(images, ViewParams(box), size)
    assert view.isfinite().all() and view.min() >= 0 and view.max() <= 1


@pytest.mark.parametrize(("width", "height"), [(96, 48), (48, 96), (64, 64)])
def test_centre_boxes_undo_the_squeeze(make, width: int, height: int) -> None:
    photograph = functional.interpolate(
        smooth(1, 96).float(), size=(height, width), mode="bilinear", antialias=True
    )
    stored = functional.interpolate(photograph, size=(48, 48), mode="bilinear", antialias=True)
    box = centre_boxes(torch.tensor([width / height]), 0.875)
    shorter = reference.resize(photograph, [32], antialias=True)
    expected = reference.center_crop(shorter, [28, 28]) / 255
    assert (make(stored.round().to(torch.uint8), ViewParams(box), 28) - expected).abs().max() < 0.04
