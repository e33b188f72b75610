from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from data.pictures import picture, save
from likewise.data.decode_file import UnreadableImage, decode
from likewise.data.decoding import plain_jpeg, upright_pixels
from likewise.data.sources.header_scan import read_header
from likewise.data.sources.open import open_manifest


def reopened(image: Image.Image, path, **options) -> Image.Image:
    image.save(path, **options)
    return Image.open(path)


def test_colour_and_gray_come_out_as_they_are(tmp_path):
    for mode in ("RGB", "L"):
        image = picture(mode=mode)
        read = upright_pixels(reopened(image, tmp_path / f"{mode}.png"))
        assert read.mode == mode
        np.testing.assert_array_equal(np.asarray(read), np.asarray(image))


def test_transparent_pixels_lie_on_white(tmp_path):
    image = Image.new("RGBA", (2, 1))
    image.putpixel((0, 0), (10, 20, 30, 255))
    image.putpixel((1, 0), (10, 20, 30, 0))
    read = upright_pixels(reopened(image, tmp_path / "a.png"))
    assert [read.getpixel((x, 0)) for x in (0, 1)] == [(10, 20, 30), (255, 255, 255)]


def test_half_transparent_gray_stays_gray(tmp_path):
    read = upright_pixels(reopened(Image.new("LA", (1, 1), (0, 51)), tmp_path / "a.png"))
    assert (read.mode, read.getpixel((0, 0))) == ("L", 204)  # 0 * 0.2 + 255 * 0.8


def test_palette_with_a_transparent_colour(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([200, 0, 0, 0, 0, 200])
    image.putpixel((1, 0), 1)
    read = upright_pixels(reopened(image, tmp_path / "a.png", transparency=1))
    assert [read.getpixel((x, 0)) for x in (0, 1)] == [(200, 0, 0), (255, 255, 255)]


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_stay_as_they_are_until_the_range_of_the_set_is_known(tmp_path, suffix):
    values = np.array([[0, 257, 30000, 65535]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(decode(tmp_path / f"a.{suffix}", "a").pixels, values)


def test_one_bit_becomes_black_and_white(tmp_path):
    image = Image.new("1", (2, 1))
    image.putpixel((1, 0), 1)
    assert np.asarray(upright_pixels(reopened(image, tmp_path / "a.png"))).tolist() == [[0, 255]]


def test_ink_becomes_light(tmp_path):
    read = upright_pixels(
        reopened(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), tmp_path / "a.jpg", quality=100)
    )
    red, green, blue = read.getpixel((4, 4))
    assert red > 230 and green < 40 and blue < 40


def exif_turn(tag: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = tag
    return exif


@pytest.mark.parametrize(("tag", "undo"), [(3, Image.Transpose.ROTATE_180), (6, Image.Transpose.ROTATE_270),
                                           (8, Image.Transpose.ROTATE_90)])  # fmt: skip
def test_exif_turns_are_applied_and_the_aspect_follows(tmp_path, tag, undo):
    image = Image.linear_gradient("L").resize((40, 20)).convert("RGB")
    path = tmp_path / "a.jpg"
    image.save(path, quality=100, exif=exif_turn(tag))
    read, aspect = decode(path, "a")
    expected = image.transpose(undo)
    assert read.shape == (expected.height, expected.width, 3)
    assert aspect == expected.width / expected.height
    assert np.abs(np.asarray(read, int) - np.asarray(expected, int)).max() < 8
    assert read_header(path)[:2] == expected.size


def test_a_draft_keeps_both_sides_at_least_twice_the_size(tmp_path):
    path = save(tmp_path / "a.jpg", width=640, height=320)
    pixels, aspect = decode(path, "a", size=40)
    assert pixels.shape == (80, 160, 3)
    assert aspect == 2.0


def test_what_cannot_be_decoded_is_named_with_the_reason(tmp_path):
    path = save(tmp_path / "half.jpg", width=64, height=64)
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(UnreadableImage, match=r"half\.jpg.*truncated"):
        decode(path, str(path))
    with pytest.raises(UnreadableImage, match="gone"):
        decode(tmp_path / "none.jpg", "none.jpg")


def test_bytes_behind_the_end_of_a_jpeg_do_no_harm(tmp_path):
    path = save(tmp_path / "a.jpg")
    path.write_bytes(path.read_bytes() + b"camera notes")
    assert read_header(path)[:2] == (8, 8)


def jpeg(mode: str = "RGB", **options: object) -> bytes:
    """A smooth picture of 50 x 37 pixels, as a file."""
    stream = io.BytesIO()
    picture(1, 9, 7).resize((50, 37), Image.Resampling.BICUBIC).convert(mode).save(
        stream, **{"format": "JPEG", **options}
    )
    return stream.getvalue()


def quickly(content: bytes) -> np.ndarray | None:
    with Image.open(io.BytesIO(content)) as image:
        return plain_jpeg(content, image)


PLAIN = {
    "4:2:0": jpeg(subsampling=2),
    "4:2:2": jpeg(subsampling=1),
    "4:4:4": jpeg(subsampling=0, quality=97),
    "progressive": jpeg(progressive=True),
    "gray": jpeg("L"),
    "never turned": jpeg(exif=exif_turn(1)),
    "RGB in the file": jpeg(keep_rgb=True),
    "several pictures": jpeg(format="MPO", save_all=True, append_images=[picture(2, 50, 37)]),
}


@pytest.mark.parametrize("kind", PLAIN)
def test_a_plain_jpeg_is_decoded_without_pillow_to_pillows_pixels(kind):
    found = quickly(PLAIN[kind])
    expected = np.asarray(Image.open(io.BytesIO(PLAIN[kind])))
    assert found is not None and found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).max() <= 2
    np.testing.assert_array_equal(decode(PLAIN[kind], kind).pixels, found)


@pytest.mark.parametrize(
    "content", [jpeg("CMYK"), jpeg(exif=exif_turn(6)), jpeg(format="PNG"), jpeg()[:-40]]
)
def test_anything_else_is_left_to_pillow(content):
    assert quickly(content) is None


@pytest.mark.parametrize("kind", PLAIN)
def test_a_plain_jpeg_that_is_cut_short_is_never_half_an_image(kind):
    whole = PLAIN[kind]
    if kind == "several pictures":  # what is missing may be the other picture
        whole = whole[: len(whole) // 3]
    for length in range(0, len(whole) - 2, 29):
        with pytest.raises(UnreadableImage, match=rf"^{kind}: ."):
            decode(whole[:length], kind)


def test_a_damaged_jpeg_gives_what_pillow_makes_of_it():
    whole = jpeg()
    for place in range(len(whole) // 2, len(whole), 17):
        damaged = whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :]
        try:
            expected = np.asarray(Image.open(io.BytesIO(damaged)))
        except OSError:
            with pytest.raises(UnreadableImage):
                decode(damaged, "damaged")
        else:
            np.testing.assert_array_equal(decode(damaged, "damaged").pixels, expected)


def test_an_image_whose_exif_or_xmp_is_damaged_is_read(tmp_path):
    image = picture(0, 16, 12)
    written = io.BytesIO()
    image.save(written, "JPEG", quality=95)
    jpeg = written.getvalue()

    def with_segment(content: bytes) -> bytes:
        return jpeg[:2] + b"\xff\xe1" + (len(content) + 2).to_bytes(2, "big") + content + jpeg[2:]

    exif = b"Exif\0\0II*\0\xff\xff\xff\xff" + bytes(20)
    xmp = b'http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation="\xa8\xff"/>'
    for name, content in (("exif", exif), ("xmp", xmp)):
        (tmp_path / f"{name}.jpg").write_bytes(with_segment(content))
    (tmp_path / "plain.jpg").write_bytes(jpeg)
    manifest = open_manifest(tmp_path)
    assert not manifest.skipped and (manifest.pixels.headers.sizes == [16, 12]).all()
    found = [manifest.pixels.read(row).pixels for row in range(3)]
    assert (found[0] == found[1]).all() and (found[1] == found[2]).all()
