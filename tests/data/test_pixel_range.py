"""Pixels of more than 8 bits: one scale for a set, found or given, the same in training and embedding."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import likewise as lw
from likewise.data.checks.doctor import examine
from likewise.data.decode_file import decode
from likewise.data.open_images import open_images
from likewise.data.pixel_range import with_pixel_range
from likewise.data.pixel_source import Headers
from likewise.data.sources.open import open_for_encoder, open_manifest
from likewise.errors import LikewiseError

tifffile = pytest.importorskip("tifffile")


def scene(number: int, high: float, kind: type, low: float = 0, side: int = 20) -> np.ndarray:
    """Smooth values that reach both ends in the first image, and half way up in the others."""
    soft = Image.fromarray(np.random.default_rng(number).random((5, 5), np.float32)).resize(
        (side, side)
    )
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
def test_whole_numbers_have_the_range_of_their_bits(
    tmp_path, ending, low, high, kind, black, white
):
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
    assert "NaN in 1 image" in " ".join(manifest.notes) and manifest.pixel_range == pytest.approx(
        (0, 50)
    )
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
    assert manifest.pixel_range == (0, 4095) and manifest.pixels.headers.modes.tolist() == [
        "RGB;16"
    ]
    images = open_images(manifest)
    expected = np.rint(values.transpose(2, 0, 1) * (255 / 4095))
    np.testing.assert_array_equal(images.read(torch.tensor([0])).images[0], expected)


def test_a_very_large_picture_is_reduced_to_what_it_will_be(tmp_path, monkeypatch):
    soft = Image.fromarray(scene(0, 255, np.uint8)).resize((400, 240)).convert("RGB")
    soft.save(tmp_path / "a.png")
    whole = open_images(open_manifest(tmp_path), size=20).read(torch.tensor([0]))
    monkeypatch.setattr("likewise.data.large_images.LARGE", 1000)
    monkeypatch.setattr("likewise.data.decode_file.LARGE", 1000)
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


def test_the_doctor_names_what_is_wrong_with_values_and_compares_nothing_that_it_cannot_see(
    tmp_path,
):
    healthy = write(tmp_path / "healthy", [scene(number, 4095, np.uint16) for number in range(12)])
    assert found(healthy) == {}
    crushed = write(tmp_path / "crushed", [scene(number, 16, np.uint8) for number in range(12)])
    assert set(found(crushed)) == {"narrow range"}
    mixed = [scene(number, 4095, np.uint16) for number in range(6)]
    mixed += [scene(number, 65535, np.uint16) for number in range(6, 12)] + [
        scene(0, 65535, np.uint16)
    ]
    assert found(write(tmp_path / "mixed", mixed))["mixed ranges"] == 6
    flat = [scene(number, 255, np.uint8) for number in range(6)] + [
        np.full((20, 20), 9, np.uint8)
    ] * 2
    assert found(write(tmp_path / "flat", flat)) == {"constant image": 2}
    units = write(
        tmp_path / "units", [scene(number, 2000, np.int16, -1000) for number in range(6)], "tif"
    )
    assert found(units) == {"pixels in units": 1}


@pytest.fixture(scope="module")
def eight_bit(tmp_path_factory):
    """Classes bright and dark, and a run on their 8-bit images: the encoder has no range."""
    values = np.stack([scene(number, 255, np.uint8) // (1 + number % 2) for number in range(32)])
    out = str(tmp_path_factory.mktemp("run") / "run")
    run = lw.train(
        (values, np.arange(32) % 2), method="simclr", encoder="conv4", batch_size=16, steps=2, num_evals=0, out=out,
        loggers=(),
    )  # fmt: skip
    assert lw.encoders.load_encoder(run.folder.path)[1].pixel_range is None
    return run, values


def calls(run):
    yield lambda data, **options: run.embed(data, **options)
    yield lambda data, **options: run.predict(data, **options)
    yield lambda data, **options: run.evaluate((data, np.arange(len(data)) % 2), **options)
    yield lambda data, **options: lw.evaluate(run, data, measures=["label_free"], **options)


@pytest.mark.parametrize("kind", [np.float32, np.uint16])
def test_an_encoder_of_8_bit_images_never_takes_the_range_of_new_images(eight_bit, kind):
    run, values = eight_bit
    for call in calls(run):
        with pytest.raises(LikewiseError, match=r"--pixel-range LOW HIGH.*pixel_range="):
            call(values.clip(50, 120).astype(kind) * (1 if kind is np.float32 else 16))
    expected = run.embed(values.clip(50, 120)).vectors
    torch.testing.assert_close(run.embed(values.clip(50, 120) / np.float32(255)).vectors, expected)
    torch.testing.assert_close(run.embed(values.clip(50, 120).astype(np.int64)).vectors, expected)
    given = values.clip(50, 120).astype(np.float32)
    torch.testing.assert_close(run.embed(given, pixel_range=(0, 255)).vectors, expected)
    alike = [run.predict(values.clip(50, 120)), run.predict(given, pixel_range=(0, 255))]
    assert alike[0].to_pandas().equals(alike[1].to_pandas())


def test_a_file_is_searched_for_by_its_encoders_range_or_a_given_one(eight_bit, tmp_path):
    run, values = eight_bit
    tifffile.imwrite(tmp_path / "query.tif", values[5].astype(np.float32).clip(0, 100))
    tifffile.imwrite(tmp_path / "unit.tif", values[5].astype(np.float32) / 255)
    gallery = run.embed(values)
    with pytest.raises(LikewiseError, match="--pixel-range LOW HIGH"):
        run.search(tmp_path / "query.tif", gallery)
    assert run.search(tmp_path / "unit.tif", gallery, count=1)[0].id == "5"
    given = run.search(tmp_path / "query.tif", gallery, count=32, pixel_range=(0, 255))
    assert len(given) == 32


def test_the_range_of_an_encoder_is_taken_unless_another_is_given():
    scans = np.stack([scene(number, 1000, np.uint16) for number in range(3)])
    assert open_for_encoder(scans, (0, 4095)).pixel_range == (0, 4095)
    assert open_for_encoder(scans, (0, 4095), (0, 1023)).pixel_range == (0, 1023)
    with pytest.raises(LikewiseError, match="0 to 1023"):
        open_for_encoder(open_manifest(scans), (0, 4095))
    with pytest.raises(LikewiseError, match="of another scale"):
        open_for_encoder(scans / np.float32(1000), (0, 4095))
    with pytest.raises(LikewiseError, match="of another scale"):
        open_for_encoder(scans, (0, 1))


def beyond():
    return pytest.raises(LikewiseError, match=r"0 to 60000.*0 to 4095.*--pixel-range 0 60000")


@pytest.fixture(scope="module")
def twelve_bits(tmp_path_factory):
    """A run that found the range of 12 bits, and one to which it was given."""
    root = tmp_path_factory.mktemp("twelve")
    values = np.stack([scene(number, 4095, np.uint16) // (1 + number % 2) for number in range(32)])
    settings = {"encoder": "conv4", "batch_size": 16, "steps": 2, "num_evals": 0, "loggers": ()}
    data = (values, np.arange(32) % 2)
    found = lw.train(data, method="simclr", out=root / "found", **settings)
    given = lw.train(data, method="simclr", out=root / "given", pixel_range=(0, 4095), **settings)
    return found, given


def test_values_beyond_the_range_of_a_run_are_refused_with_both_ranges(twelve_bits, tmp_path):
    run, with_window = twelve_bits
    deep = np.stack([scene(number, 60_000, np.uint16) for number in range(8)])
    for call in calls(run):
        with beyond():
            call(deep)
    query = write(tmp_path, deep[:1]) / "00.png"
    with beyond():
        run.search(query, run.embed(deep // 15))
    clipped = run.embed(deep, pixel_range=(0, 4095)).vectors
    torch.testing.assert_close(run.embed(deep.clip(0, 4095)).vectors, clipped)
    assert not torch.allclose(run.embed(deep, pixel_range=(0, 60_000)).vectors, clipped)
    expected = with_window.embed(deep.clip(0, 4095)).vectors
    torch.testing.assert_close(with_window.embed(deep).vectors, expected)


def test_8_bit_images_are_refused_by_an_encoder_of_other_values_until_that_is_said(twelve_bits):
    for run in twelve_bits:
        eight = np.stack([scene(number, 255, np.uint8) for number in range(8)])
        for call in calls(run):
            with pytest.raises(LikewiseError, match=r"8-bit.*4095.*--pixel-range 0 255"):
                call(eight)
        with pytest.raises(LikewiseError, match=r"--pixel-range 0 255"):
            run.embed(eight, pixel_range=(0, 4095))
        taken = run.embed(eight, pixel_range=(0, 255)).vectors
        wide = np.rint(eight * (4095 / 255)).astype(np.uint16)
        torch.testing.assert_close(run.embed(wide, pixel_range=(0, 4095)).vectors, taken)


def test_values_that_cover_little_of_an_encoders_range_are_refused_until_that_is_said(twelve_bits):
    run, with_window = twelve_bits
    dim = np.stack([scene(number, 200, np.uint16) for number in range(8)])
    for call in calls(run):
        with pytest.raises(LikewiseError, match=r"0 to 200.*0 to 4095.*--pixel-range 0 200"):
            call(dim)
    stretched = run.embed(dim, pixel_range=(0, 200)).vectors
    assert not torch.allclose(run.embed(dim, pixel_range=(0, 4095)).vectors, stretched)
    assert len(with_window.embed(dim).vectors) == 8
    assert len(run.embed(dim + 1800, pixel_range=(0, 4095)).vectors) == 8


@pytest.mark.parametrize("natural", [(0, 1), (0, 255), (0, 65535), None])
def test_8_bit_images_are_taken_where_black_and_white_are_those_of_the_type(natural):
    eight = np.stack([scene(number, 255, np.uint8) for number in range(3)])
    assert open_for_encoder(eight, natural).pixel_range is None
    assert open_for_encoder(eight, natural, (0, 255)).pixel_range is None


@pytest.mark.parametrize("deep", [{"a.png": 1000}, {"a.tif": 1.0, "b.png": 65535}, {"a.tif": 20.0}])
def test_mixed_kinds_of_pixels_are_refused_with_their_files(tmp_path, deep):
    write(tmp_path, [scene(number, 255, np.uint8) for number in range(12)])
    for name, high in deep.items():
        write(
            tmp_path / "deep",
            [scene(0, high, np.uint16 if isinstance(high, int) else np.float32)],
            name[2:],
        )
    with pytest.raises(LikewiseError, match="--pixel-range LOW HIGH") as raised:
        open_manifest(tmp_path)
    names = [path.name for path in (tmp_path / "deep").iterdir()]
    assert all(f"deep/{name}" in str(raised.value) for name in names) and "00.png" in str(
        raised.value
    )
    named = {finding.name: finding.groups for finding in lw.doctor(str(tmp_path)).found}[
        "mixed kinds of pixels"
    ]
    assert {group[0].split(" ")[0] for group in named} == {f"deep/{name}" for name in names}
    if len(deep) == 1:
        assert open_manifest(tmp_path, pixel_range=(0, 300)).pixel_range == (0, 300)


@pytest.mark.parametrize(
    ("high", "kind", "ending"), [(65535, np.uint16, "png"), (1, np.float32, "tif")]
)
def test_a_deep_file_among_8_bit_ones_has_the_full_range_of_its_type(tmp_path, high, kind, ending):
    shown = write(tmp_path, [scene(0, 255, np.uint8)])
    write(shown / "deep", [scene(0, high, kind)], ending)
    images = open_images(open_manifest(shown)).read(torch.arange(2)).images.int()
    assert (images[0] - images[1]).abs().max() <= 1


def test_an_image_outside_the_range_that_a_sample_had_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr("likewise.data.pixel_kinds.SAMPLE", 2)
    write(tmp_path, [scene(0, high, np.float32) for high in (1, 40, 1)], "tif")
    manifest = open_manifest(tmp_path)
    images = open_images(manifest, memory_limit=0)
    images.readable(torch.arange(3))
    assert manifest.pixel_range == (0, 1) and set(images.unreadable) == {"01.tif"}
    assert "--pixel-range" in images.unreadable["01.tif"]


class Items:
    """A map-style data set of images alone."""

    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def __getitem__(self, row):
        return self.images[row]


def _as_frame(images):
    return pytest.importorskip("pandas").DataFrame({"image": list(images)})


def _as_lists(images):
    return pytest.importorskip("pyarrow").table({"image": images.tolist()})


@pytest.mark.parametrize("source", [_as_frame, _as_lists, lambda images: Items(list(images))])
def test_arrays_in_tables_and_data_sets_have_one_range_too(source):
    values = np.random.default_rng(0).integers(0, 4096, (6, 8, 8)).astype(np.uint16)
    values[0] //= 32  # a dim image, which fits into 8 bits
    found = open_manifest(source(values))
    assert found.pixel_range == (0, 4095)
    np.testing.assert_array_equal(found.pixels.read(0).pixels, np.rint(values[0] * (255 / 4095)))
    given = open_manifest(source(values), pixel_range=(0, 2000))
    np.testing.assert_array_equal(
        given.pixels.read(1).pixels, np.rint(values[1].clip(0, 2000) * (255 / 2000))
    )


def test_a_range_for_8_bit_images_is_refused_where_it_was_typed(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
    for use in (
        lambda: lw.doctor(images, pixel_range=(0, 100)),
        lambda: lw.train(
            (images, np.arange(40) % 2), pixel_range=(0, 100), out=tmp_path / "run", steps=1
        ),
    ):
        with pytest.raises(LikewiseError, match="--pixel-range"):
            use()


def test_a_range_reaches_images_whose_headers_were_not_read():
    values = np.random.default_rng(0).integers(0, 4096, (3, 8, 8)).astype(np.uint16)
    manifest = open_manifest(_as_frame(values), pixel_range=(0, 100))
    pixels = manifest.pixels.source
    unread = replace(pixels, headers=Headers(pixels.headers.sizes, np.array(["", "", ""])))
    opened = with_pixel_range(replace(manifest, pixels=unread, pixel_range=None), (0, 2000))
    np.testing.assert_array_equal(
        opened.pixels.read(1).pixels, np.rint(values[1].clip(0, 2000) * (255 / 2000))
    )
