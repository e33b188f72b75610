"""Every kind of file is read upright, and its header says the sides that it then has."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from likewise.data import large_images
from likewise.data.decode_file import decode
from likewise.data.decoding import ORIENTATION
from likewise.data.originals import open_originals
from likewise.data.sources.header_scan import read_header
from likewise.data.sources.open import open_manifest

TAGS = range(1, 9)
GRADIENT = np.arange(6 * 10, dtype=np.uint16).reshape(6, 10) * 1000


def save_turned(path, tag: int, image: Image.Image) -> np.ndarray:
    """Write an image whose EXIF says how it is turned; its upright pixels by Pillow."""
    exif = Image.Exif()
    exif[ORIENTATION] = tag
    options = {"tiffinfo": exif} if path.suffix == ".tif" else {"exif": exif}
    image.save(path, **options, **({"lossless": True} if path.suffix == ".webp" else {}))
    # From a stream: Pillow maps a gray TIFF into memory in the wrong shape where it is given a path.
    with Image.open(io.BytesIO(path.read_bytes())) as opened:
        return np.asarray(ImageOps.exif_transpose(opened))


def save_tiff(path, tag: int, pixels: np.ndarray, **options) -> None:
    """Write a TIFF of any bands with a tag of its orientation."""
    tifffile.imwrite(path, pixels, extratags=[(ORIENTATION, "H", 1, tag, True)], **options)


def upright(pixels: np.ndarray, tag: int) -> np.ndarray:
    """By Pillow, one channel after another."""
    exif = Image.Exif()
    exif[ORIENTATION] = tag
    planes = []
    for plane in np.moveaxis(pixels, 2, 0):
        stream = io.BytesIO()
        Image.fromarray(plane).save(stream, "PNG", exif=exif)
        planes.append(np.asarray(ImageOps.exif_transpose(Image.open(stream))))
    return np.stack(planes, axis=2)


def sides(path) -> tuple[int, int]:
    """Height and width by the header."""
    header = read_header(path)
    return header.height, header.width


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("ending", ["png", "webp", "tif"])
def test_header_and_pixels_are_upright(tmp_path, ending, tag):
    image = Image.fromarray(np.stack([GRADIENT, GRADIENT // 2, GRADIENT // 3], 2).astype(np.uint8))
    path = tmp_path / f"a.{ending}"
    expected = save_turned(path, tag, image)
    found = decode(path, "a")
    np.testing.assert_array_equal(found.pixels, expected)
    assert sides(path) == expected.shape[:2]
    assert found.aspect == expected.shape[1] / expected.shape[0]


@pytest.mark.parametrize("tag", [3, 6])
def test_a_large_tiff_is_turned_once(tmp_path, monkeypatch, tag):
    monkeypatch.setattr(large_images, "LARGE", 10)
    monkeypatch.setattr("likewise.data.decode_file.LARGE", 10)
    path = tmp_path / "a.tif"
    expected = save_turned(path, tag, Image.fromarray(GRADIENT.astype(np.uint8)))
    np.testing.assert_array_equal(decode(path, "a").pixels, expected)


@pytest.mark.parametrize("tag", [2, 3, 5, 6])
@pytest.mark.parametrize("bands", [3, 5])
def test_sixteen_bits_and_bands_are_turned_too(tmp_path, bands, tag):
    pixels = np.stack([GRADIENT + band for band in range(bands)], axis=2)
    path = tmp_path / "a.tif"
    photometric = "rgb" if bands == 3 else "minisblack"
    save_tiff(path, tag, pixels, photometric=photometric, planarconfig="contig")
    expected = upright(pixels, tag)
    found = decode(path, "a")
    assert found.pixels.dtype == np.uint16
    np.testing.assert_array_equal(found.pixels, expected)
    assert sides(path) == expected.shape[:2]
    assert found.aspect == expected.shape[1] / expected.shape[0]


def test_planar_colours_keep_their_sixteen_bits(tmp_path):
    pixels = np.stack([GRADIENT, GRADIENT + 1, GRADIENT + 2])
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", planarconfig="separate")
    found = decode(tmp_path / "a.tif", "a").pixels
    np.testing.assert_array_equal(found, np.moveaxis(pixels, 0, 2))


def chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def deep_png(values: np.ndarray, kind: int, before: bytes = b"", behind: bytes = b"") -> bytes:
    """A PNG of 16 bits a value (PNG specification, Sec. 11.2.2); ``kind`` is its colour type."""
    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    body = chunk(b"IHDR", head) + before + chunk(b"IDAT", zlib.compress(rows)) + behind
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


def test_transparent_sixteen_bits_lie_on_white():
    gray = np.array([[[1000, 65535], [1000, 0]]], np.uint16)  # opaque, transparent
    colour = np.array([[[1000, 2000, 3000, 65535], [1000, 2000, 3000, 0]]], np.uint16)
    assert decode(deep_png(gray, kind=4), "a").pixels.tolist() == [[1000, 65535]]
    assert decode(deep_png(colour, kind=6), "a").pixels.tolist() == [
        [[1000, 2000, 3000], [65535] * 3]
    ]
    assert read_header(deep_png(gray, kind=4)).mode == "LA;16"


def test_a_turn_of_sixteen_bit_colours_is_applied():
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    pixels = np.stack([GRADIENT, GRADIENT + 1, GRADIENT + 2], axis=2)
    turn = chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
    found = decode(deep_png(pixels, kind=2, before=turn), "a").pixels
    np.testing.assert_array_equal(found, upright(pixels, 6))


@pytest.mark.parametrize("rows_worth_processes", [1, 2000])
def test_a_turn_that_is_told_behind_the_pixels_does_not_squash_the_image(
    tmp_path, monkeypatch, rows_worth_processes
):
    monkeypatch.setattr("likewise.data.parallel_map.ROWS_WORTH_PROCESSES", rows_worth_processes)
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    turn = chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
    image = Image.fromarray(np.stack([GRADIENT] * 3, 2).astype(np.uint8)).resize((60, 20))
    stream = io.BytesIO()
    image.save(stream, "PNG")
    whole = stream.getvalue()
    end = whole.index(b"IEND") - 4
    (tmp_path / "a.png").write_bytes(whole[:end] + turn + whole[end:])
    originals = open_originals(open_manifest(tmp_path), 16, 3)
    assert originals is not None
    pixels, aspect = originals.source.read(0)
    assert aspect == 20 / 60
    np.testing.assert_array_equal(pixels, np.rot90(np.asarray(image), -1))
