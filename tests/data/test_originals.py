"""Crops from the files' own resolution: the same boxes as from stored squares, with the detail that those have lost."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2 import functional as torchvision

import likewise as lw
from data.pictures import picture, save
from likewise.data.images import FileImages
from likewise.data.loader import Loader, ViewStream
from likewise.data.open_images import open_images
from likewise.data.originals import (
    CropStream,
    OriginalImages,
    StoredPixels,
    cut_box,
    open_originals,
)
from likewise.data.pixel_source import FilePixels
from likewise.data.sources.open import open_manifest
from likewise.errors import LikewiseError
from likewise.randomness import BatchRNG
from likewise.views.from_callable import CallableViews
from likewise.views.image.making import make_view
from likewise.views.policies import fixmatch_strong, simclr, weak
from likewise.views.view_policy import ViewPolicy

SIZE, VIEW = 32, 28
SIDES = ((200, 120), (90, 150), (64, 64), (300, 260), (40, 50), (128, 99))


@pytest.fixture
def photographs(tmp_path):
    for number, (width, height) in enumerate(SIDES):
        soft = picture(number, width // 8, height // 8).resize(
            (width, height), Image.Resampling.BICUBIC
        )
        soft.save(tmp_path / f"{number}.png")
    return open_manifest(tmp_path)


def rng(name: str, step: int = 3) -> BatchRNG:
    return BatchRNG((7, step, name), 6)


def stream(policy: ViewPolicy, name: str = "first") -> CropStream:
    return CropStream(name, policy.sample_boxes, policy.size or SIZE, of_support=False)


@pytest.mark.parametrize("memory_limit", [0, 10**9])
def test_a_crop_is_torchvisions_crop_of_the_file(photographs, memory_limit):
    policy = weak(VIEW)
    images = open_originals(photographs, SIZE, 3, memory_limit)
    assert images is not None and isinstance(images.source, StoredPixels) == (memory_limit > 0)
    pixels, positions = images.cropped(
        torch.tensor([3, 0, 4, 1, 2, 5]), None, [stream(policy)], rng
    )
    assert positions.tolist() == [3, 0, 4, 1, 2, 5] and pixels.crops is not None
    torch.testing.assert_close(
        pixels.aspect, torch.tensor([SIDES[i][0] / SIDES[i][1] for i in positions.tolist()])
    )
    wanted = policy.sample_boxes(rng("first"), pixels.aspect)
    view = policy(pixels, rng("first"))
    assert torch.equal(view.box, pixels.crops["first"].box)
    for slot, row in enumerate(positions.tolist()):
        width, height = SIDES[row]
        x, _, across, _, y, down = view.box[slot].flatten().tolist()
        assert abs(wanted[slot] - view.box[slot]).max() <= 1.01 / min(width, height)
        left, top = round((across - abs(x) + 1) / 2 * width), round((down - y + 1) / 2 * height)
        sides = [round(y * height), round(abs(x) * width)]
        file = torchvision.pil_to_tensor(Image.open(photographs.pixels.paths[row]))
        expected = (
            torchvision.resized_crop(file, top, left, *sides, [VIEW, VIEW], antialias=True).float()
            / 255
        )
        expected = expected.flip(2) if x < 0 else expected
        torch.testing.assert_close(view.pixels[slot], expected, atol=1.01 / 255, rtol=0)


def test_crops_keep_the_detail_that_a_stored_square_has_lost(tmp_path):
    # Stripes of 4 pixels.
    fine = (np.indices((240, 320)).sum(axis=0) // 4 % 2 * 255).astype(np.uint8)
    for number in range(6):
        Image.fromarray(fine).save(tmp_path / f"{number}.png")
    manifest = open_manifest(tmp_path)
    policy = ViewPolicy(VIEW, crop_area=(0.01, 0.015), crop_ratio=(1, 1))
    originals, squares = open_originals(manifest, SIZE, 1), open_images(manifest, SIZE, 1)
    assert originals is not None
    sharp = policy(
        originals.cropped(torch.arange(6), None, [stream(policy)], rng).pixels, rng("first")
    )
    blurred = policy(squares.read(torch.arange(6)), rng("first"))
    assert float(sharp.pixels.std()) > 0.35 and float(blurred.pixels.std()) < 0.15
    torch.testing.assert_close(sharp.box, blurred.box, atol=0.01, rtol=0)


@pytest.mark.parametrize("policy", [simclr(size=VIEW), fixmatch_strong(VIEW)])
def test_colours_and_operations_are_those_of_the_same_numbers(photographs, policy):
    """A view of a crop is the view of an image that is that crop and nothing else."""
    images = open_originals(photographs, SIZE, 3)
    assert images is not None
    pixels = images.cropped(torch.arange(6), None, [stream(policy)], rng).pixels
    assert pixels.crops is not None
    view, box = policy(pixels, rng("first")), pixels.crops["first"].box
    params = policy.sample_params(pixels, rng("first"))
    mirror = torch.eye(2, 3).repeat(6, 1, 1)
    mirror[:, 0, 0] = box[:, 0, 0].sign()
    cut = params._replace(box=mirror, is_cut=True)
    alone = make_view(pixels.crops["first"].pixels, cut, VIEW)
    assert torch.equal(view.pixels, alone.pixels)
    corner = torch.tensor([1.0, 1.0, 1.0])
    inside = (alone.box @ corner)[:, :, None]  # where the view's corner lies in the crop
    cut = torch.cat([box[:, :, :2].abs(), box[:, :, 2:]], dim=2)
    torch.testing.assert_close(
        view.box @ corner, (cut @ torch.cat([inside, torch.ones(6, 1, 1)], 1))[:, :, 0]
    )


def test_jpegs_are_decoded_smaller_only_where_every_crop_has_pixels_to_spare(tmp_path, monkeypatch):
    for number in range(2):
        save(tmp_path / f"{number}.jpg", number, 800, 800)
    images = open_originals(open_manifest(tmp_path), SIZE, 3, memory_limit=0)
    assert images is not None
    sides = []
    monkeypatch.setattr(
        "likewise.data.originals.cut_box",
        lambda planes, box, size: sides.append(planes.shape[-1]) or cut_box(planes, box, size),
    )

    def numbers(name):
        return BatchRNG((0, name), 2)

    for area in (1.0, 0.3, 0.01):
        policy = ViewPolicy(VIEW, crop_area=(area, area), crop_ratio=(1, 1))
        images.cropped(torch.arange(2), None, [stream(policy)], numbers)
    assert sides == [100, 100, 200, 200, 800, 800]


def test_an_unreadable_photograph_is_replaced_with_its_own_boxes(photographs):
    assert isinstance(photographs.pixels, FilePixels)
    photographs.pixels.paths[0].write_bytes(b"no image")
    for limit in (0, 10**9):
        images = open_originals(photographs, SIZE, 3, limit)
        assert images is not None and len(images.unreadable) == (limit > 0)
        pixels, positions = images.cropped(
            torch.tensor([0, 1, 2, 3, 4, 5]), None, [stream(weak(VIEW))], rng
        )
        assert positions.tolist() == [1, 1, 2, 3, 4, 5] and set(images.unreadable) == {"0.png"}
        assert pixels.aspect[0] == pixels.aspect[1]


def test_images_no_larger_than_the_store_are_left_as_they_are(tmp_path):
    save(tmp_path / "a.png", 0, 32, 30)
    assert open_originals(open_manifest(tmp_path), SIZE, 3) is None
    assert open_originals(open_manifest(np.zeros((3, 8, 8), np.uint8)), 9, 1) is None


def test_ranks_and_microbatches_cut_the_same_crops(photographs):
    images = open_originals(photographs, SIZE, 3)
    assert isinstance(images, OriginalImages) and isinstance(images, FileImages)
    streams = [stream(weak(VIEW))]
    whole = Loader(images, torch.zeros(6).long(), 6, 1, crop_streams=streams).batch(2)
    parts = [
        Loader(images, torch.zeros(6).long(), 6, 1, None, 0, r, 2, crop_streams=streams).batch(2)
        for r in (0, 1)
    ]
    assert whole.pixels.crops is not None
    joined = torch.cat([part.pixels.crops["first"].pixels for part in parts])
    assert torch.equal(joined, whole.pixels.crops["first"].pixels)
    second = whole.microbatches(2)[1].pixels
    assert second.images.shape == (3, 3, SIZE, SIZE)
    assert torch.equal(second.crops["first"].box, whole.pixels.crops["first"].box[1::2])


def test_a_view_that_no_crop_was_cut_for_is_an_error(photographs):
    images = open_originals(photographs, SIZE, 3)
    assert images is not None
    pixels = images.cropped(torch.arange(6), None, [stream(weak(VIEW))], rng).pixels
    with pytest.raises(LikewiseError, match="--store squeezed"):
        weak(VIEW)(pixels, rng("second"))
    with pytest.raises(LikewiseError, match="--store squeezed"):
        lw.views.CentreView(VIEW)(pixels)


@pytest.mark.parametrize("method", ["simclr", "suncet", "swav"])
def test_a_run_on_photographs_cuts_from_the_files_and_resumes_to_the_same_weights(tmp_path, method):
    for number in range(24):
        save(tmp_path / "data" / "ab"[number % 2] / f"{number}.jpg", number, 60 + number, 70)
    settings = {
        "encoder": "conv4",
        "image_size": 16,
        "batch_size": 8,
        "steps": 4,
        "num_evals": 1,
        "loggers": (),
    }
    run = lw.train(str(tmp_path / "data"), method=method, out=str(tmp_path / "a"), **settings)
    squeezed = lw.train(
        str(tmp_path / "data"), method=method, out=str(tmp_path / "b"), store="squeezed", **settings
    )
    again = lw.train(
        str(tmp_path / "data"), method=method, out=str(tmp_path / "c"), num_workers=0, **settings
    )
    weights = [each.encoder.state_dict() for each in (run, squeezed, again)]
    name = next(name for name in weights[0] if name.endswith("weight"))
    assert torch.equal(weights[0][name], weights[2][name]) and not torch.equal(
        weights[0][name], weights[1][name]
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_kinds_of_files_are_stored_as_they_are_read(tmp_path, channels):
    for mode, ending in (
        ("L", "jpg"),
        ("RGB", "jpg"),
        ("CMYK", "jpg"),
        ("LA", "png"),
        ("RGBA", "png"),
        ("P", "gif"),
    ):
        picture(len(mode), 50, 40).convert(mode).save(tmp_path / f"{mode}.{ending}")
    values = np.random.default_rng(0).integers(0, 65536, (40, 50), np.uint16)
    values[0, 0] = 65535
    Image.fromarray(values).save(tmp_path / "deep.png")
    manifest, everything = open_manifest(tmp_path), torch.arange(7)
    stored, from_files = (open_originals(manifest, SIZE, channels, limit) for limit in (10**9, 0))
    assert stored is not None and from_files is not None and isinstance(stored.source, StoredPixels)
    whole = ViewPolicy(VIEW, crop_area=(1, 1), crop_ratio=(1, 1))
    crops = []
    for images in (stored, from_files):
        pixels = images.cropped(
            everything, None, [stream(whole)], lambda name: BatchRNG((7, 3, name), 7)
        ).pixels
        assert not images.unreadable and pixels.crops is not None
        crops.append(pixels.crops["first"].pixels)
    assert torch.equal(*crops)
    assert float(crops[0].float().std(dim=(1, 2, 3)).min()) > 1


class Recorded:
    """A user's augmentation: it records what it is given, crops a corner, and blackens the image."""

    def __init__(self):
        self.given = []

    def __call__(self, image):
        assert isinstance(image, torch.Tensor)
        self.given.append(image.clone())
        view = torchvision.resize(image[:, :VIEW, :VIEW], [VIEW, VIEW]).clone()
        image.zero_()
        return view


@pytest.mark.parametrize("memory_limit", [None, 0], ids=["in memory", "from files"])
def test_a_callable_is_given_the_photograph_at_the_size_of_its_file(photographs, memory_limit):
    originals = open_originals(photographs, SIZE, 3, memory_limit)
    recorded = Recorded()
    views = CallableViews(recorded, size=VIEW, takes="tensor")
    streams = [ViewStream(name, views.make, of_support=False) for name in ("first", "second")]
    loader = Loader(originals, torch.full((6,), -1), batch_size=6, seed=7, view_streams=streams)
    for step in range(2):
        recorded.given.clear()
        batch = loader.batch(step)
        assert torch.equal(batch.pixels.views["first"], batch.pixels.views["second"])
        for row, index in enumerate(batch.indices.tolist()):
            file = np.array(Image.open(photographs.pixels.paths[index]).convert("RGB"))
            assert np.array_equal(recorded.given[row].permute(1, 2, 0).numpy(), file)
            corner = file[:VIEW, :VIEW] / np.float32(255)
            view = batch.pixels.views["first"][row].permute(1, 2, 0).numpy()
            assert np.array_equal(view, corner)
            assert batch.pixels.aspect[row] == pytest.approx(file.shape[1] / file.shape[0])


def test_no_square_is_made_of_a_photograph_whose_views_are_all_there(photographs):
    loaders = []
    for has_squares in (True, False):
        views = CallableViews(Recorded(), size=VIEW, takes="tensor")
        streams = [ViewStream("view", views.make, of_support=False, has_squares=has_squares)]
        images = open_originals(photographs, SIZE, 3)
        loaders.append(Loader(images, torch.full((6,), -1), 6, seed=7, view_streams=streams))
    squares, none = (loader.batch(1).pixels for loader in loaders)
    assert squares.images.any() and not none.images.any()
    assert none.images.shape == squares.images.shape
    assert torch.equal(none.views["view"], squares.views["view"])
    assert torch.equal(none.aspect, squares.aspect)


def test_a_photograph_that_cannot_be_read_is_replaced_before_a_callable_sees_it(photographs):
    broken = photographs.pixels.paths[2]
    broken.write_bytes(broken.read_bytes()[:200])
    originals = open_originals(photographs, SIZE, 3, memory_limit=0)
    rows, given = originals.whole(torch.arange(6), None)
    assert rows.positions[2] != 2 and list(originals.unreadable) == [originals.ids[2]]
    replaced = given[int(rows.positions[2])]
    assert torch.equal(given[2], replaced) and given[2].shape[0] == 3
