from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps

from data.pictures import photograph
from likewise.data.checks import near_duplicates as module
from likewise.data.checks.copy_candidates import NEAREST, candidates
from likewise.data.checks.near_duplicates import find_copies, near_duplicates, thumbnail
from likewise.data.checks.picture_descriptors import RESOLUTION, SIDE, reference_descriptors
from likewise.data.sources.open import open_manifest

OTHERS = 40


def thumbnails(images: list[Image.Image]) -> np.ndarray:
    return np.stack([thumbnail(np.asarray(image)) for image in images])


def recoded(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=40)
    return Image.open(buffer)


@pytest.mark.parametrize(("kind", "change"), [
    ("same", recoded),
    ("same", lambda image: image.resize((64, 64))),
    ("same", lambda image: image.convert("L")),
    ("same", lambda image: ImageEnhance.Brightness(image).enhance(1.2)),
    ("same", lambda image: ImageEnhance.Contrast(image).enhance(0.6)),
    ("mirrored", ImageOps.mirror),
    ("mirrored", ImageOps.flip),
    ("turned", lambda image: image.rotate(90)),
    ("turned", lambda image: image.rotate(180)),
    ("turned", lambda image: image.rotate(270)),
    ("cropped", lambda image: image.crop((5, 5, 91, 91))),
    ("cropped", lambda image: image.crop((10, 0, 96, 86))),
    ("cropped", lambda image: image.crop((0, 3, 87, 90))),
    ("cropped", lambda image: image.crop((0, 0, 86, 96))),
    ("mirrored", lambda image: ImageOps.mirror(image.crop((5, 2, 92, 89)))),
    ("turned", lambda image: image.crop((2, 9, 89, 96)).rotate(90)),
])  # fmt: skip
@pytest.mark.parametrize("number", [0, 11, 23])
def test_a_copy_is_found_among_others_with_its_kind(kind, change, number):
    others = [photograph(number) for number in range(OTHERS)]
    groups = near_duplicates(thumbnails([*others, change(photograph(number))]))
    assert [(group.rows, group.kinds) for group in groups] == [([number, OTHERS], (kind,))]


def test_a_picture_that_is_its_own_mirror_image_has_not_been_mirrored():
    half = photograph(5)
    whole = Image.new("RGB", (192, 96))
    whole.paste(half, (0, 0))
    whole.paste(ImageOps.mirror(half), (96, 0))
    assert [
        copy.kind for copy in find_copies(thumbnails([whole, recoded(whole), photograph(6)]))
    ] == ["same"]


def test_different_photographs_are_no_copies():
    assert near_duplicates(thumbnails([photograph(number) for number in range(OTHERS)])) == []
    assert near_duplicates(np.zeros((0, SIDE, SIDE), np.uint8)) == []


def test_garments_that_look_alike_are_no_copies_and_a_mirrored_garment_is_one():
    source = open_manifest("fashion-mnist-mini").pixels
    garments = np.stack([thumbnail(source.read(row).pixels.squeeze()) for row in range(600)])
    groups = [
        group.rows for group in near_duplicates(np.concatenate([garments, garments[7:8, :, ::-1]]))
    ]
    assert [7, 600] in groups and len(groups) <= 2


def test_blank_pages_with_a_little_noise_are_not_accused():
    rng = np.random.default_rng(0)
    pages = (235 + rng.integers(0, 4, (200, SIDE, SIDE))).astype(np.uint8)
    shaded = (pages * np.linspace(0.7, 1, SIDE)).astype(np.uint8)
    assert near_duplicates(np.concatenate([pages, shaded])) == []


def test_equal_images_are_one_group_that_takes_no_comparison(monkeypatch):
    compared = []
    monkeypatch.setattr(
        module, "candidates", lambda images: compared.append(len(images)) or candidates(images)
    )
    black = np.zeros((500, SIDE, SIDE), np.uint8)
    copies = find_copies(
        np.concatenate([black, thumbnails([photograph(number) for number in range(3)])])
    )
    assert compared == [4]
    assert [(copy.one, copy.other) for copy in copies] == [(0, row) for row in range(1, 500)]


def test_copies_of_copies_are_one_group():
    original = photograph(4)
    crop = original.crop((0, 0, 87, 96))
    images = [
        original,
        ImageOps.mirror(original),
        original.rotate(90),
        recoded(crop),
        photograph(9),
    ]
    (group,) = near_duplicates(thumbnails(images))
    assert group.rows == [0, 1, 2, 3] and group.kinds == ("mirrored", "turned", "cropped")


def test_comparisons_grow_with_the_number_of_images():
    many = look_alikes(1500)
    assert 0 < len(candidates(many[:500])) <= NEAREST * 500
    assert 0 < len(candidates(many)) <= NEAREST * 1500


def test_the_number_of_threads_changes_nothing():
    coarse = np.random.default_rng(0).integers(0, 256, (400, 4, 4), np.uint8)
    many = thumbnails(
        [Image.fromarray(each).resize((SIDE, SIDE), Image.Resampling.BICUBIC) for each in coarse]
    )
    mirrored = many[::3, :, ::-1]
    found = {}
    for threads in (1, 2, 7):
        with torch_threads(threads):
            found[threads] = find_copies(np.concatenate([many, mirrored]))
            assert torch.get_num_threads() == threads
    assert len(found[1]) >= len(mirrored)
    assert found[1] == found[2] == found[7]


def test_sums_of_products_of_descriptors_are_exact():
    images = look_alikes(1, noise=80)
    (vector,) = reference_descriptors(images).vectors
    numbers = vector / RESOLUTION
    assert (numbers == numbers.round()).all() and abs(np.linalg.norm(vector) - 1) < 0.01
    # Whole numbers add up exactly in float32 as long as they stay below 2^24.
    assert np.abs(numbers).sum() * np.abs(numbers).max() < 2**24


def look_alikes(count: int, noise: float = 6) -> np.ndarray:
    """One photograph with different noise."""
    alike = np.asarray(photograph(4).convert("L").resize((SIDE, SIDE)), np.float32)
    grains = np.random.default_rng(0).normal(0, noise, (count, SIDE, SIDE))
    return (alike + grains).clip(0, 255).astype(np.uint8)


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
