"""Images of tens of millions of pixels: equal to what they are read as otherwise, and bounded in memory."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageOps

from data.pictures import picture
from likewise.data import large_images
from likewise.data.decode_file import UnreadableImage, decode
from likewise.data.decoding import ORIENTATION, upright_pixels
from likewise.data.large_images import block_means, pixels_in_strips, reduction
from likewise.data.pixel_range import PixelRange
from likewise.data.sources.open import open_manifest
from likewise.errors import LikewiseError


@pytest.fixture
def small_strips(monkeypatch):
    monkeypatch.setattr(large_images, "STRIP", 100)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P", "1", "CMYK", "I", "I;16"])
def test_strips_are_the_whole_picture(small_strips, mode):
    image = picture(0, 37, 23).convert(mode if mode != "I;16" else "I").convert(mode)
    np.testing.assert_array_equal(
        pixels_in_strips(image, 1), np.asarray(upright_pixels(image.copy()))
    )


def test_a_palette_with_a_transparent_colour(small_strips, tmp_path):
    image = picture(0, 37, 23).convert("P")
    image.save(tmp_path / "a.png", transparency=image.getpixel((0, 0)))
    with Image.open(tmp_path / "a.png") as opened, Image.open(tmp_path / "a.png") as again:
        np.testing.assert_array_equal(
            pixels_in_strips(opened, 1), np.asarray(upright_pixels(again))
        )


def test_squares_become_their_mean(small_strips):
    image = picture(0, 37, 23)
    np.testing.assert_array_equal(pixels_in_strips(image, 4), np.asarray(image.reduce(4)))
    values = np.random.default_rng(0).integers(0, 60000, (11, 14, 2)).astype(np.uint16)
    expected = [
        [values[3 * y : 3 * y + 3, 3 * x : 3 * x + 3].mean(axis=(0, 1)) for x in range(4)]
        for y in range(3)
    ]
    np.testing.assert_array_equal(block_means(values, 3), np.rint(expected).astype(np.uint16))


@pytest.mark.parametrize("tag", range(1, 9))
def test_every_turn_is_pillows(small_strips, tag):
    image = picture(0, 37, 23)
    image.getexif()[ORIENTATION] = tag
    expected = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(pixels_in_strips(image, 1), expected)


def test_a_turned_large_image_has_the_aspect_of_what_is_seen(tmp_path, monkeypatch):
    monkeypatch.setattr("likewise.data.decode_file.LARGE", 100)
    monkeypatch.setattr(large_images, "LARGE", 100)
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    picture(0, 61, 30).save(tmp_path / "a.jpg", exif=exif)
    pixels, aspect = decode(tmp_path / "a.jpg", "a", 5)
    assert aspect == pytest.approx(30 / 61)
    assert pixels.shape[0] > pixels.shape[1]


def test_how_much_an_image_is_reduced():
    assert reduction(4000, 4000, 100) == 1  # not large
    assert reduction(13000, 13000, 448) == 29
    assert reduction(6000, 5000, None) == 1
    assert reduction(13000, 13000, None) == 2
    assert reduction(13000, 13000, 10**6) == 2


def test_values_are_scaled_in_parts_as_in_one(monkeypatch):
    values = np.random.default_rng(0).normal(size=(50, 7, 3)) * 100
    values[3, 2, 1] = np.nan
    scale = PixelRange(-100, 150)
    whole = scale.to_bytes(values)
    monkeypatch.setattr("likewise.data.pixel_range.AT_ONCE", 64)
    np.testing.assert_array_equal(scale.to_bytes(values), whole)


def test_what_is_too_large_is_refused_with_a_reason(tmp_path, monkeypatch):
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(
        tmp_path / "a.tif",
        np.zeros((40, 30, 13), np.uint16),
        photometric="minisblack",
        planarconfig="contig",
    )
    monkeypatch.setattr(large_images, "MOST_BYTES", 1000)
    with pytest.raises(UnreadableImage, match="30 x 40 pixels of 26 bytes"):
        decode(tmp_path / "a.tif", "a")
    with pytest.raises(LikewiseError, match="Cut it into tiles"):
        open_manifest(tmp_path)
    picture(0, 61, 30).save(tmp_path / "b.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(UnreadableImage, match="more than 200 pixels"):
        decode(tmp_path / "b.png", "b")


MEASURE = """
import resource, sys
from likewise.data.decode_file import decode
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
decode(__import__("pathlib").Path(sys.argv[1]), "a", 128)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "most"), [("RGBA", 1000), ("I;16", 700)])
def test_169_megapixels_cost_less_than_a_gigabyte(tmp_path, mode, most):
    """Pillow's own pixels are 4 bytes each of colours (676 MB) and 2 bytes of 16-bit grey (338 MB)."""
    Image.new(mode, (13000, 13000)).save(tmp_path / "a.png", compress_level=1)
    measured = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path / "a.png")],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert int(measured.stdout) < most
