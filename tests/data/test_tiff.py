from __future__ import annotations

import sys

import numpy as np
import pytest
import tifffile
import torch

from likewise.data.checks.doctor import examine
from likewise.data.open_images import open_images
from likewise.data.pixel_source import FRAMES
from likewise.data.sources.open import open_manifest
from likewise.errors import LikewiseError

RANDOM = np.random.default_rng(0)


def values(*shape) -> np.ndarray:
    return RANDOM.integers(0, 256, shape, dtype=np.uint8)


def only(path):
    """Header mode and pixels of one file."""
    manifest = open_manifest(path)
    return manifest.pixels.headers.modes[0], manifest.pixels.read(0).pixels


@pytest.mark.parametrize("bands", [2, 5, 13])
@pytest.mark.parametrize("options", [
    {"planarconfig": "contig"}, {"planarconfig": "separate"}, {"planarconfig": "contig", "bigtiff": True},
    {"planarconfig": "contig", "byteorder": ">"}, {"planarconfig": "contig", "compression": "lzw"},
])  # fmt: skip
def test_bands_are_channels(tmp_path, bands, options):
    pixels = values(6, 9, bands)
    given = pixels if options["planarconfig"] == "contig" else np.moveaxis(pixels, 2, 0)
    extra = ["unspecified"] * (bands - 1)
    tifffile.imwrite(
        tmp_path / "a.tif", given, photometric="minisblack", extrasamples=extra, **options
    )
    mode, read = only(tmp_path / "a.tif")
    assert mode == f"{bands} channels"
    np.testing.assert_array_equal(read, pixels)


def test_pages_of_one_size_are_channels(tmp_path):
    pages = values(4, 6, 9)
    tifffile.imwrite(tmp_path / "a.tif", pages, photometric="minisblack")
    mode, read = only(tmp_path / "a.tif")
    assert mode == "4 channels"
    np.testing.assert_array_equal(read, np.moveaxis(pages, 0, 2))


def test_of_pages_with_different_sizes_the_first_is_the_image(tmp_path):
    first = values(6, 9)
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(first, photometric="minisblack")
        file.write(values(3, 4), photometric="minisblack")
    mode, read = only(tmp_path / "a.tif")
    assert mode == "L" + FRAMES
    np.testing.assert_array_equal(read, first)


def test_the_fourth_band_is_alpha_only_where_the_file_marks_it(tmp_path):
    pixels = values(6, 9, 4)
    tifffile.imwrite(
        tmp_path / "plain.tif", pixels, photometric="rgb", extrasamples=["unspecified"]
    )
    tifffile.imwrite(tmp_path / "alpha.tif", pixels, photometric="rgb", extrasamples=["unassalpha"])
    np.testing.assert_array_equal(only(tmp_path / "plain.tif")[1], pixels)
    assert only(tmp_path / "alpha.tif")[1].shape == (6, 9, 3)


def test_sixteen_bits_are_scaled_by_their_full_range(tmp_path):
    pixels = np.full((4, 4, 5), 30000, np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack", planarconfig="contig")
    assert (only(tmp_path / "a.tif")[1] == 117).all()


def satellite_folder(folder, count=4, bands=13):
    for number in range(count):
        path = folder / ("field" if number % 2 else "forest") / f"{number}.tif"
        path.parent.mkdir(exist_ok=True)
        tifffile.imwrite(
            path, values(12, 10, bands), photometric="minisblack", planarconfig="contig"
        )
    return folder


def test_a_folder_of_classes_is_opened_and_examined(tmp_path):
    manifest = open_manifest(satellite_folder(tmp_path))
    assert manifest.class_names == ("field", "forest")
    images = open_images(manifest, size=8)
    assert images.read(torch.arange(4)).images.shape == (4, 13, 8, 8)
    names = {finding.name for finding in examine(manifest).found}
    assert names.isdisjoint({"unusable file", "near copy", "exact copy"})


def test_without_tifffile_the_reason_says_what_to_install(tmp_path, monkeypatch):
    satellite_folder(tmp_path)
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(LikewiseError, match=r"13 channels.*likewise\[tiff\]"):
        open_manifest(tmp_path)


@pytest.mark.parametrize("shape", [(6, 9), (6, 9, 3), (6, 9, 5)])
@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.int8, np.uint32, np.int32])
def test_values_of_any_depth_are_read_as_they_are(tmp_path, shape, kind):
    pixels = RANDOM.random(shape) if np.dtype(kind).kind == "f" else RANDOM.integers(0, 100, shape)
    pixels = pixels.astype(kind)
    for number in range(2):
        photometric = "rgb" if shape[2:] == (3,) else "minisblack"
        tifffile.imwrite(
            tmp_path / f"{number}.tif", pixels, photometric=photometric, planarconfig="contig"
        )
    manifest = open_manifest(tmp_path)
    assert not manifest.skipped
    images = open_images(manifest, size=9).read(torch.arange(2)).images
    assert images.shape[1] == (shape[2] if len(shape) == 3 else 1)
    scaled = np.rint(pixels.astype(np.float32) * 255) if np.dtype(kind).kind == "f" else pixels
    np.testing.assert_allclose(manifest.pixels.read(1).pixels, scaled, atol=1)


def test_pages_of_sixteen_bits_are_deep_channels(tmp_path):
    pages = RANDOM.integers(0, 4096, (3, 6, 9)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", pages, photometric="minisblack")
    manifest = open_manifest(tmp_path)
    assert manifest.pixel_range == (0, 4095)
    assert manifest.pixels.read(0).pixels.shape == (6, 9, 3)
