"""Pixels of more than 8 bits: one scale for a set, found or given, the same in training and embedding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import likewise as lw
from likewise.data.checks.doctor import examine
from likewise.data.images import open_images
from likewise.data.pixel_source import decode
from likewise.data.sources.open import open_manifest
from likewise.errors import LikewiseError

tifffile = pytest.importorskip("tifffile")


def scene(number: int, high: float, kind: type, low: float = 0, side: int = 20) -> np.ndarray:
    """Smooth values that reach both ends in the first image, and half way up in the others."""
    soft = Image.fromarray(np.random.default_rng(number).random((5, 5), np.float32)).resize((side, side))
    values = np.asarray(soft)
    values = (values - values.min()) / (values.max() - values.min())
    return (low + values * (high - low) * (1.0 if number == 0 else 0.5)).astype(kind)


def write(folder, values, ending="png"):
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(values):
        path = folder / f"{number:02}.{ending}"
        tifffile.imwrite(path, image) if ending == "tif" else Image.fromarray(image).save(path)
    return folder


def read(data, **options) -> np.ndarray:
    """uint8 [N, H, W] of the first channel."""
    images = open_images(open_manifest(data, **options))
    return images.read(torch.arange(len(images))).images[:, 0].numpy()


@pytest.mark.parametrize("ending", ["png", "tif", "array"])
@pytest.mark.parametrize(
    ("low", "high", "kind", "black", "white"),
    [(0, 4095, np.uint16, 0, 4095), (0, 65535, np.uint16, 0, 65535), (0, 1000, np.uint16, 0, 1023)],
)
def test_whole_numbers_have_the_range_of_their_bits(tmp_path, ending, low, high, kind, black, white):
    values = np.stack([scene(number, high, kind, low) for number in range(5)])
    data = values if ending == "array" else write(tmp_path, values, ending)
    manifest = open_manifest(data)
    assert manifest.pixel_range == (black, white)
    assert any(f"{white:g}" in note for note in manifest.notes)
    expected = np.rint((values.astype(float) - black) * 255 / (white - black))
    np.testing.assert_array_equal(read(data), expected)
    assert len(np.unique(read(data)[0])) > 100


@pytest.mark.parametrize("ending", ["tif", "array"])
@pytest.mark.parametrize(
    ("low", "high", "kind", "found"),
    [(-1000, 3000, np.int16, (-1000, 3000)), (-5.5, 20, np.float32, (-5.5, 20)), (0, 1, np.float32, (0, 1)),
     (0, 100_000, np.int32, (0, 100_000)), (0, 0.25, np.float32, (0, 1))],
)  # fmt: skip
def test_other_values_have_the_range_that_the_set_has(tmp_path, ending, low, high, kind, found):
    values = np.stack([scene(number, high, kind, low) for number in range(5)])
    data = values if ending == "array" else write(tmp_path, values, ending)
    assert open_manifest(data).pixel_range == pytest.approx(found)
    expected = np.rint((values.astype(float) - found[0]) * 255 / (found[1] - found[0]))
    assert np.abs(read(data) - expected).max() <= 1  # one scale: the dimmer images stay dimmer


def test_a_given_range_is_taken_and_values_outside_are_clipped(tmp_path):
    values = np.stack([scene(number, 4095, np.uint16) for number in range(3)])
    seen = read(write(tmp_path, values), pixel_range=(1000, 2000))
    np.testing.assert_array_equal(seen, np.rint((values.clip(1000, 2000) - 1000.0) * 255 / 1000))
    with pytest.raises(LikewiseError, match="--pixel-range 5 5"):
        open_manifest(tmp_path, pixel_range=(5, 5))


def test_missing_values_are_told_and_no_warning_of_numpy_is_raised(tmp_path, recwarn):
    values = np.stack([scene(number, 50, np.float32) for number in range(4)])
    values[2, :3] = np.nan
    manifest = open_manifest(write(tmp_path, values, "tif"))
    assert "1 images hold NaN" in " ".join(manifest.notes) and manifest.pixel_range == pytest.approx((0, 50))
    assert (read(tmp_path)[2, :3] == 0).all()
    assert not [w for w in recwarn if issubclass(w.category, RuntimeWarning)]


@pytest.mark.parametrize("ending", ["tif", "png"])
def test_colours_of_sixteen_bits_keep_more_than_their_upper_byte(tmp_path, ending):
    values = np.stack([scene(number, 4095, np.uint16) for number in (0, 1, 2)], axis=-1)
    if ending == "tif":
        tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb")
    else:
        pytest.importorskip("cv2").imwrite(str(tmp_path / "a.png"), values[..., ::-1])
    manifest = open_manifest(tmp_path)
    assert manifest.pixel_range == (0, 4095) and manifest.pixels.headers.modes.tolist() == ["RGB;16"]
    images = open_images(manifest)
    expected = np.rint(values.transpose(2, 0, 1) * (255 / 4095))
    np.testing.assert_array_equal(images.read(torch.tensor([0])).images[0], expected)


def test_a_very_large_picture_is_reduced_to_what_it_will_be(tmp_path, monkeypatch):
    soft = Image.fromarray(scene(0, 255, np.uint8)).resize((400, 240)).convert("RGB")
    soft.save(tmp_path / "a.png")
    whole = open_images(open_manifest(tmp_path), size=20).read(torch.tensor([0]))
    monkeypatch.setattr("likewise.data.pixel_source.LARGE", 1000)
    reduced = open_images(open_manifest(tmp_path), size=20).read(torch.tensor([0]))
    torch.testing.assert_close(reduced.aspect, whole.aspect)
    assert (reduced.images.int() - whole.images.int()).abs().max() <= 4
    assert decode(tmp_path / "a.png", "a", 20).pixels.shape == (40, 67, 3)


def test_the_range_is_stored_with_the_encoder_and_used_again(tmp_path):
    data = write(tmp_path / "a", [scene(number, 4095, np.uint16) for number in range(24)])
    settings = {"encoder": "conv4", "batch_size": 8, "steps": 2, "num_evals": 0, "loggers": ()}
    run = lw.train(str(data), method="simclr", out=str(tmp_path / "run"), **settings)
    assert lw.encoders.load_encoder(run.folder.path)[1].pixel_range == (0, 4095)
    assert "4095" in run.folder.log.read_text()
    dim = [scene(number, 1000, np.uint16) for number in range(4)]  # alone these would be of 10 bits
    alone = run.embed(str(write(tmp_path / "b", dim))).vectors
    together = run.embed(np.stack([*dim, scene(0, 4095, np.uint16)])).vectors[:4]
    torch.testing.assert_close(alone, together, atol=1e-4, rtol=1e-4)
    scored = lw.evaluate(run, str(tmp_path / "b"), measures=["label_free"])
    torch.testing.assert_close(scored.vectors, alone, atol=1e-4, rtol=1e-4)


def found(root) -> dict[str, int]:
    return {finding.name: finding.count for finding in examine(open_manifest(root)).found}


def test_the_doctor_names_what_is_wrong_with_values_and_compares_nothing_that_it_cannot_see(tmp_path):
    healthy = write(tmp_path / "healthy", [scene(number, 4095, np.uint16) for number in range(12)])
    assert found(healthy) == {}
    crushed = write(tmp_path / "crushed", [scene(number, 16, np.uint8) for number in range(12)])
    assert set(found(crushed)) == {"narrow range"}
    mixed = [scene(number, 4095, np.uint16) for number in range(6)]
    mixed += [scene(number, 65535, np.uint16) for number in range(6, 12)] + [scene(0, 65535, np.uint16)]
    assert found(write(tmp_path / "mixed", mixed))["mixed ranges"] == 6
    flat = [scene(number, 255, np.uint8) for number in range(6)] + [np.full((20, 20), 9, np.uint8)] * 2
    assert found(write(tmp_path / "flat", flat)) == {"constant image": 2}
    units = write(tmp_path / "units", [scene(number, 2000, np.int16, -1000) for number in range(6)], "tif")
    assert found(units) == {"pixels in units": 1}
