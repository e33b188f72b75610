from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from data.pictures import cut_short, photo_folder, picture, save
from likewise.data.images import FileImages, InMemoryImages
from likewise.data.open_images import open_images
from likewise.data.sources.open import open_manifest
from likewise.errors import LikewiseError


def test_small_images_of_one_size_stay_what_they_are(tmp_path):
    manifest = open_manifest(photo_folder(tmp_path, "a.png", "b.png"))
    images = open_images(manifest)
    assert isinstance(images, InMemoryImages)
    assert (images.size, images.channels) == (8, 3)
    pixels = images.read(torch.tensor([1, 0]))
    np.testing.assert_array_equal(pixels.images[0].permute(1, 2, 0), np.asarray(picture(1)))
    assert pixels.aspect.tolist() == [1, 1]


def test_an_image_that_is_not_square_is_squeezed_and_remembers_its_shape(tmp_path):
    save(tmp_path / "wide.png", width=200, height=100)
    save(tmp_path / "tall.jpg", width=90, height=300)
    images = open_images(open_manifest(tmp_path))
    assert images.size == 128
    pixels = images.read(torch.tensor([1, 0]))
    torch.testing.assert_close(pixels.aspect, torch.tensor([2.0, 0.3]))
    expected = picture(0, 200, 100).resize((128, 128), Image.Resampling.BILINEAR)
    assert off_by(pixels.images[0].permute(1, 2, 0), expected) <= 1


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize(
    ("width", "height", "size"), [(37, 53, 20), (20, 30, 64), (300, 5, 16), (1, 1, 6), (64, 64, 63)]
)
def test_squares_are_resized_as_pillow_resizes_them(tmp_path, mode, width, height, size):
    image = picture(3, width, height, mode)
    image.save(tmp_path / "a.png")
    read = (
        open_images(open_manifest(tmp_path), size=size, channels=3)
        .read(torch.tensor([0]))
        .images[0]
    )
    expected = image.resize((size, size), Image.Resampling.BILINEAR).convert("RGB")
    assert off_by(read.permute(1, 2, 0), expected) <= 1


def off_by(pixels, image: Image.Image) -> int:
    """The largest difference of uint8 [H, W, C] from an image, of 255."""
    return int(np.abs(np.asarray(pixels, int) - np.asarray(image, int)).max())


def test_gray_sets_have_one_channel_and_mixed_ones_three(tmp_path):
    picture(0, mode="L").save(tmp_path / "a.png")
    picture(1, mode="1").save(tmp_path / "b.png")
    assert open_images(open_manifest(tmp_path)).channels == 1
    assert open_images(open_manifest(tmp_path), channels=3).read(
        torch.tensor([0])
    ).images.shape == (1, 3, 8, 8)
    picture(2).save(tmp_path / "c.png")
    assert open_images(open_manifest(tmp_path)).channels == 3


def test_memory_and_files_give_the_same_pixels(tmp_path):
    for i in range(4):
        save(tmp_path / f"{i}.jpg", i, width=60 + i, height=50)
    manifest = open_manifest(tmp_path)
    index = torch.tensor([3, 1, 1, 0])
    in_memory = open_images(manifest, size=24)
    in_files = open_images(manifest, size=24, memory_limit=100)
    assert isinstance(in_files, FileImages)
    copy = pickle.loads(pickle.dumps(in_files))
    for images in (in_files, copy):
        for a, b in zip(in_memory.read(index)[:2], images.read(index)[:2], strict=True):
            assert torch.equal(a, b)


def broken_set(tmp_path, count=6, lost=(2, 3)):
    """Images that are cut short after they were looked at."""
    for i in range(count):
        save(tmp_path / f"{i}.png", i, 30, 30)
    manifest = open_manifest(tmp_path)
    for i in lost:
        cut_short(tmp_path / f"{i}.png")
    return manifest


@pytest.mark.parametrize("memory_limit", [0, 10**9])
def test_an_unreadable_image_is_replaced_by_the_next_and_listed(tmp_path, memory_limit):
    images = open_images(broken_set(tmp_path), memory_limit=memory_limit)
    for _ in range(2):
        rows = images.replaced(torch.tensor([2, 0, 3]))
        assert rows.positions.tolist() == [4, 0, 4]
        np.testing.assert_array_equal(
            rows.pixels.images[0].permute(1, 2, 0), np.asarray(picture(4, 30, 30))
        )
    assert set(images.unreadable) == {"2.png", "3.png"}
    assert "truncated" in images.unreadable["2.png"]


@pytest.mark.parametrize("memory_limit", [0, 10**9])
def test_a_replacement_has_the_same_label_if_any_image_has(tmp_path, memory_limit):
    images = open_images(broken_set(tmp_path), memory_limit=memory_limit)
    labels = torch.tensor([0, 0, 0, 1, 2, 2])
    assert images.replaced(torch.tensor([2]), labels=labels).positions.tolist() == [0]
    assert images.replaced(torch.tensor([3]), labels=labels).positions.tolist() == [4]


@pytest.mark.parametrize("memory_limit", [0, 10**9])
def test_what_is_not_for_training_has_no_pixels_of_another_image(tmp_path, memory_limit):
    images = open_images(broken_set(tmp_path), memory_limit=memory_limit)
    found = images.readable(torch.tensor([5, 3, 0, 2]))
    assert (
        found.positions.tolist() == [5, 0]
        and len(found.pixels.images) == len(found.pixels.aspect) == 2
    )
    np.testing.assert_array_equal(
        found.pixels.images[0].permute(1, 2, 0), np.asarray(picture(5, 30, 30))
    )
    assert set(images.unreadable) == {"2.png", "3.png"}
    with pytest.raises(LikewiseError, match=r"3\.png"):
        images.read(torch.tensor([0, 3]))
    some = images.take(torch.tensor([3, 1, 3]))
    assert some.readable(torch.arange(3)).positions.tolist() == [1] and set(some.unreadable) == {
        "3.png"
    }


def test_a_set_of_which_nothing_can_be_decoded_is_one_message(tmp_path):
    manifest = broken_set(tmp_path, lost=range(6))
    with pytest.raises(LikewiseError, match=r"0\.png"):
        open_images(manifest)
    with pytest.raises(LikewiseError, match=r"0\.png"):
        open_images(manifest, memory_limit=0).read(torch.tensor([0]))
    with pytest.raises(LikewiseError, match=" 6 "):
        open_images(manifest, memory_limit=0).replaced(torch.tensor([0]))


def test_many_images_are_decoded_by_processes_to_the_same_end(tmp_path, monkeypatch):
    for i in range(9):
        save(tmp_path / f"{i}.{'jpg' if i % 2 else 'png'}", i, 40, 40)
    manifest = open_manifest(tmp_path)
    cut_short(tmp_path / "7.jpg")
    threads = open_images(manifest, size=6)
    monkeypatch.setattr("likewise.data.parallel_map.ROWS_WORTH_PROCESSES", 1)
    monkeypatch.setattr("likewise.data.parallel_map.ROWS_AT_A_TIME", 2)
    processes = open_images(manifest, size=6)
    ours, theirs = threads.readable(torch.arange(9)), processes.readable(torch.arange(9))
    assert ours.positions.tolist() == theirs.positions.tolist() == [0, 1, 2, 3, 4, 5, 6, 8]
    assert torch.equal(ours.pixels.images, theirs.pixels.images)
    assert threads.unreadable == processes.unreadable and set(threads.unreadable) == {"7.jpg"}


def test_no_images_and_odd_settings_are_refused(tmp_path):
    manifest = open_manifest(photo_folder(tmp_path, "a.png"))
    with pytest.raises(LikewiseError):
        open_images(manifest.split("test"))
    with pytest.raises(LikewiseError, match="-3"):
        open_images(manifest, size=-3)


@pytest.mark.parametrize("channels", [2, 4, 13])
def test_any_number_of_channels_is_resized_channel_by_channel(channels):
    values = np.random.default_rng(0).integers(0, 256, (3, 9, 7, channels), dtype=np.uint8)
    manifest = open_manifest(values)
    for limit in (0, 10**9):
        images = open_images(manifest, size=6, memory_limit=limit)
        assert images.channels == channels
        pixels = images.read(torch.arange(3))
        torch.testing.assert_close(pixels.aspect, torch.full((3,), 7 / 9))
        last = Image.fromarray(values[1, ..., -1]).resize((6, 6), Image.Resampling.BILINEAR)
        assert off_by(pixels.images[1, -1], last) <= 1


@pytest.mark.parametrize(("own", "wanted"), [(3, 2), (13, 3), (13, 1), (4, 3)])
def test_only_grey_and_rgb_are_converted_into_each_other(own, wanted):
    manifest = open_manifest(np.zeros((3, 8, 8, own), np.uint8))
    with pytest.raises(LikewiseError, match=rf"\b{own}\b.*\b{wanted}\b"):
        open_images(manifest, channels=wanted, memory_limit=0)  # refused before an image is decoded


def test_a_set_of_images_with_different_channels_is_refused():
    thirteen, colours = np.zeros((3, 8, 8, 13), np.uint8), np.zeros((3, 8, 8, 3), np.uint8)
    with pytest.raises(LikewiseError, match=r"3 channels.*13 channels"):
        open_images(open_manifest({"train": thirteen, "test": colours}))


def test_the_fourth_of_four_channels_is_not_alpha_but_a_marked_one_is(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 4), dtype=np.uint8)
    np.testing.assert_array_equal(
        open_images(open_manifest(values)).read(torch.tensor([1])).images[0].permute(1, 2, 0),
        values[1],
    )
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "transparent.png")
    images = open_images(open_manifest(tmp_path))
    assert images.channels == 3 and bool((images.read(torch.tensor([0])).images == 255).all())


def test_thirteen_channels_are_trained_and_scored(tmp_path):
    import likewise as lw

    values = np.random.default_rng(0).integers(0, 256, (48, 16, 16, 13), dtype=np.uint8)
    settings = {"encoder": "conv4", "batch_size": 16, "steps": 2, "out": str(tmp_path / "run")}
    run = lw.train((values, np.arange(48) % 2), method="simclr", **settings)
    assert "linear_top1" in run.scores
    assert run.embed(values[:4]).vectors.shape[0] == 4
