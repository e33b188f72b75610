from __future__ import annotations

import numpy as np
import pytest
import torch

from likewise.data.open_images import open_images
from likewise.data.sources.open import open_manifest
from likewise.errors import LikewiseError

GRAY = np.random.default_rng(0).integers(0, 256, (6, 8, 8), dtype=np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)


def everything(manifest) -> np.ndarray:
    return open_images(manifest).read(torch.arange(len(manifest))).images.numpy()


@pytest.mark.parametrize(("given", "expected"), [
    (GRAY, GRAY[:, None]), (GRAY[..., None], GRAY[:, None]), (COLOUR, COLOUR.transpose(0, 3, 1, 2)),
    (torch.from_numpy(COLOUR).permute(0, 3, 1, 2), COLOUR.transpose(0, 3, 1, 2)),
    ((GRAY / 255).astype(np.float32), GRAY[:, None]), (GRAY > 99, (GRAY > 99)[:, None] * np.uint8(255)),
    (GRAY.astype(np.uint16) * 257, GRAY[:, None]),
])  # fmt: skip
def test_every_layout_gives_the_same_pixels(given, expected):
    np.testing.assert_array_equal(everything(open_manifest(given)), expected)


def test_sixteen_bits_are_scaled_not_cut():
    values = np.array([[[0, 128, 129, 30000, 65535]]], np.uint16)
    assert everything(open_manifest(values.repeat(5, axis=1))).reshape(5, 5)[0].tolist() == [
        0,
        0,
        1,
        117,
        255,
    ]


def test_labels_beside_images():
    manifest = open_manifest((GRAY, [2, 0, -1, 1, None, 2]))
    assert manifest.labels.tolist() == [2, 0, -1, 1, -1, 2]
    assert manifest.class_names == ("0", "1", "2")
    assert (
        open_manifest(GRAY, labels=np.array([2, 0, -1, 1, -1, 2])).labels.tolist()
        == manifest.labels.tolist()
    )


def test_labels_with_gaps_and_names_are_numbered_in_order():
    assert open_manifest((GRAY, torch.tensor([30, 7, 7, -1, 30, 9]))).class_names == (
        "7",
        "9",
        "30",
    )
    named = open_manifest((GRAY, ["b", "a", "", "b", "a", "c"]))
    assert named.labels.tolist() == [1, 0, -1, 1, 0, 2]


@pytest.mark.parametrize(("data", "value"), [
    ((GRAY, [0, 1]), "2 labels"), ((GRAY, [0, 1, 2, 3, 4, -2]), "-2"), ((GRAY, [0.5] * 6), "0.5"),
    (GRAY.astype(str), "type <U"), (GRAY * np.nan, "no pixel"), (GRAY[0], r"\[8, 8\]"),
    (GRAY[:0], "arrays"), (17, "type int"),
])  # fmt: skip
def test_a_mistake_is_an_error_that_names_the_value(data, value):
    with pytest.raises(LikewiseError, match=value):
        open_manifest(data)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 13])
def test_channels_are_first_in_tensors_and_last_in_arrays(channels):
    array = np.random.default_rng(2).integers(0, 256, (5, 16, 17, channels), dtype=np.uint8)
    tensor = torch.from_numpy(array).permute(0, 3, 1, 2)
    for data in (array, tensor):
        np.testing.assert_array_equal(open_manifest(data).pixels.read(3).pixels, array[3].squeeze())


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 13])
@pytest.mark.parametrize("sides", [(32, 32), (30, 40)])
def test_a_shape_with_channels_on_the_other_axis_is_refused_with_the_remedy(channels, sides):
    with pytest.raises(LikewiseError, match=r"\.transpose\(0, 2, 3, 1\)"):
        open_manifest(np.zeros((5, channels, *sides), np.uint8))
    with pytest.raises(LikewiseError, match=r"\.permute\(0, 3, 1, 2\)"):
        open_manifest(torch.zeros(5, *sides, channels))


def test_array_files(tmp_path):
    labels = np.arange(6) % 2
    np.save(tmp_path / "a.npy", COLOUR)
    np.savez(tmp_path / "b.npz", x=GRAY, y=labels)
    np.savez(tmp_path / "c.npz", train_images=GRAY[:4], train_labels=labels[:4, None], test_images=GRAY[4:],
             test_labels=labels[4:, None])  # fmt: skip
    torch.save((torch.from_numpy(GRAY), torch.from_numpy(labels)), tmp_path / "d.pt")
    assert len(open_manifest(tmp_path / "a.npy")) == 6
    for name in ("b.npz", "d.pt"):
        manifest = open_manifest(str(tmp_path / name))
        np.testing.assert_array_equal(everything(manifest), GRAY[:, None])
        assert manifest.labels.tolist() == labels.tolist()
    split = open_manifest(tmp_path / "c.npz")
    assert split.splits.tolist() == ["train"] * 4 + ["test"] * 2
    np.testing.assert_array_equal(everything(split.split("test")), GRAY[4:, None])
    assert len(set(split.ids)) == 6
    np.savez(tmp_path / "e.npz", pixels=GRAY)
    with pytest.raises(LikewiseError, match="pixels"):
        open_manifest(tmp_path / "e.npz")


@pytest.mark.parametrize(
    "image", [torch.zeros(3, 8, 9), np.zeros((8, 9, 3), np.uint8), torch.zeros(4, 8, 9)]
)
def test_one_image_in_colour_is_not_taken_for_grey_ones(image):
    with pytest.raises(LikewiseError, match=r"images\[None\]"):
        open_manifest(image)
    assert len(open_manifest(image[None])) == 1
