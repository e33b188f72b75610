"""Masks from Parquet, a folder or a built-in data set; and what does not fit is named before anything is trained."""

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from likewise.data.checks.mask_check import look_at_masks
from likewise.data.columns.masks import Masks
from likewise.data.sources.mask_folder import mask_folder
from likewise.data.sources.named_sets import named_set
from likewise.data.sources.open import open_manifest
from likewise.data.synthetic.scenes import paste_scenes
from likewise.errors import LikewiseError
from likewise.runs.prepare import prepare
from likewise.runs.settings import TrainSettings
from likewise.runs.starting_run import data_summary


def picture(seed, size=(8, 6), mode="RGB", kind="PNG"):
    shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)).save(
        stream, kind
    )
    return stream.getvalue()


def mask_of(values, mode="L", kind="PNG"):
    stream, image = io.BytesIO(), Image.fromarray(np.asarray(values, np.uint8))
    if mode == "P":
        image.putpalette([(37 * i) % 256 for i in range(768)])
    (image.convert(mode) if mode == "RGB" else image).save(stream, kind)
    return stream.getvalue()


def values_of(row):
    values = np.full((6, 8), row % 3)
    values[0] = 11
    return values


def write_parquet(path, masks, count=10):
    def column(contents):
        return [{"bytes": content, "path": "x.png"} if content else None for content in contents]

    table = pa.table({"mask": column(masks), "image": column([picture(i) for i in range(count)])})
    info = {"info": {"features": {"image": {"_type": "Image"}, "mask": {"_type": "Image"}}}}
    pq.write_table(
        table.replace_schema_metadata({"huggingface": json.dumps(info)}), path, row_group_size=4
    )
    return str(path)


def test_a_parquet_column_of_masks_is_read_beside_its_images(tmp_path):
    masks = [mask_of(values_of(i), "P" if i % 2 else "L") for i in range(10)]
    masks[3] = None
    manifest = open_manifest(write_parquet(tmp_path / "train.parquet", masks))
    assert len(manifest) == 10 and manifest.masks is not None
    assert manifest.masks.known().tolist() == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    kept = manifest.take([9, 4]).masks
    assert kept is not None and kept.read(0).tolist() == values_of(9).tolist()
    assert Masks(kept.cells, ignore_index=11).read(1)[0].tolist() == [-1] * 8
    assert kept.size(0) == (8, 6)


def test_the_void_value_comes_from_the_settings(tmp_path):
    train = write_parquet(tmp_path / "train.parquet", [mask_of(values_of(i)) for i in range(10)])
    test = write_parquet(
        tmp_path / "test.parquet", [mask_of(values_of(i)) for i in range(4)], count=4
    )
    prepared = prepare(train, TrainSettings(test_data=test, ignore_index=11), "simclr")
    assert prepared.masks is not None and list(prepared.masks.classes) == [0, 1, 2]
    assert str(prepared.masks).startswith(
        "10 of 10 train, 4 of 4 test images have one: 3 classes (0 to 2); 11 is no class"
    )
    assert data_summary(prepared)["masks"]["ignore_index"] == 11
    prepared = prepare(train, TrainSettings(test_data=test), "simclr")
    assert prepared.masks is not None and list(prepared.masks.classes) == [0, 1, 2, 11]
    without = prepare(train, TrainSettings(test_data=test, masks="none"), "simclr")
    assert without.masks is None and without.manifest.masks is None
    assert not any("mask" in warning for warning in data_summary(without)["warnings"])


def test_masks_that_number_objects_are_background_and_one_class(tmp_path):
    """Penn-Fudan's k is the k-th person; 11 is ignored, above 0 like any object, and stays ignored."""
    data = write_parquet(tmp_path / "scenes.parquet", [mask_of(values_of(i)) for i in range(10)])
    prepared = prepare(data, TrainSettings(ignore_index=11, mask_classes="binary"), "simclr")
    masks = prepared.manifest.masks
    assert prepared.masks is not None and prepared.masks.classes == {0: "background", 1: "object"}
    assert masks is not None and {int(masks.read(row)[1, 0]) for row in range(10)} == {0, 1}
    assert all((masks.read(row)[0] == -1).all() for row in range(10))
    many = np.array([[0, 700]], np.int32)
    assert Masks([many], classes="binary").read(0).tolist() == [[0, 1]]
    with pytest.raises(LikewiseError, match=r" 700.*--mask-classes binary"):
        Masks([many]).read(0)


def test_without_a_test_set_a_part_is_held_out(tmp_path):
    train = write_parquet(tmp_path / "scenes.parquet", [mask_of(values_of(i)) for i in range(10)])
    prepared = prepare(train, TrainSettings(), "simclr")
    assert prepared.masks is not None and prepared.masks.with_mask == {
        "train": (8, 8),
        "test": (2, 2),
    }


def folder_of(tmp_path, masks):
    for name in masks:
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).with_suffix(".jpg").write_bytes(
            picture(len(name), kind="JPEG")
        )
    for name, content in masks.items():
        if content is not None:
            path = (tmp_path / "masks" / name).with_suffix(".png")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return str(tmp_path / "photos"), str(tmp_path / "masks")


def test_a_folder_of_masks_is_matched_by_relative_path(tmp_path):
    names = [f"{split}/{i}" for split in ("train", "test") for i in range(8)]
    photos, masks = folder_of(
        tmp_path, {n: mask_of(values_of(i)) if i != 2 else None for i, n in enumerate(names)}
    )
    prepared = prepare(photos, TrainSettings(masks=masks, ignore_index=11), "simclr")
    assert prepared.masks is not None and prepared.masks.with_mask == {
        "train": (7, 8),
        "test": (8, 8),
    }
    found = prepared.splits["train"].manifest
    assert found.masks is not None
    place = list(found.ids).index("train/4.jpg")
    assert found.masks.read(place)[3, 3] == 4 % 3


@pytest.mark.parametrize(
    ("masks", "said"),
    [
        (
            {f"train/{i}": mask_of(np.ones((6, 9))) for i in range(8)},
            "9 x 6 pixels, its image 8 x 6",
        ),
        (
            {f"train/{i}": mask_of(np.ones((6, 8))) for i in range(8)},
            "show only class 1.*--ignore-index",
        ),
        ({f"train/{i}": mask_of(values_of(i), "RGB") for i in range(8)}, "has colours"),
        ({f"train/{i}": b"no image" for i in range(8)}, "cannot be read as a mask"),
    ],
)
def test_what_does_not_fit_is_named_before_training(tmp_path, masks, said):
    masks |= {name.replace("train", "test"): content for name, content in masks.items()}
    photos, folder = folder_of(tmp_path, masks)
    with pytest.raises(LikewiseError, match=said + r"(.|\n)*--masks none"):
        prepare(photos, TrainSettings(masks=folder), "simclr")


def test_masks_that_are_missing_are_named(tmp_path):
    photos, _ = folder_of(tmp_path, {f"train/{i}": None for i in range(8)})
    (tmp_path / "empty").mkdir()
    with pytest.raises(LikewiseError, match=r" 8 .*empty.*train/0\.png"):
        prepare(photos, TrainSettings(masks=str(tmp_path / "empty")), "simclr")
    with pytest.raises(LikewiseError, match=r"nowhere.*--masks"):
        mask_folder(tmp_path / "nowhere", ["a.jpg"])


def test_a_jpeg_is_no_mask_and_values_are_classes(tmp_path):
    path = tmp_path / "x.png"
    path.write_bytes(mask_of(np.zeros((4, 4)), kind="JPEG"))
    with pytest.raises(LikewiseError, match=r"x\.png.*JPEG"):
        Masks([path]).read(0)
    Image.fromarray(np.full((4, 4), 3000, np.uint16)).save(path)
    with pytest.raises(LikewiseError, match="3000"):
        Masks([path]).read(0)


def test_masks_without_test_masks_are_said_and_not_scored(tmp_path):
    train = write_parquet(tmp_path / "train.parquet", [mask_of(values_of(i)) for i in range(10)])
    test = write_parquet(tmp_path / "test.parquet", [None] * 4, count=4)
    prepared = prepare(train, TrainSettings(test_data=test), "simclr")
    assert prepared.masks is None
    assert any("segmentation" in warning for warning in data_summary(prepared)["warnings"])


def test_scenes_show_what_their_masks_say():
    items = np.zeros((3, 28, 28), np.uint8)
    items[:, 4:24, 8:20] = np.array([100, 150, 200])[:, None, None]
    scenes = paste_scenes(items, np.array([0, 4, 9]), 20, seed=5)
    for value, number in ((100, 1), (150, 5), (200, 10)):
        assert set(scenes.images[scenes.masks == number].tolist()) <= {value}
    assert set(np.unique(scenes.masks).tolist()) == {0, 1, 5, 10}
    assert 2 <= scenes.objects.max() <= 3 and ((scenes.objects == 0) == (scenes.masks == 0)).all()
    again = paste_scenes(items, np.array([0, 4, 9]), 20, seed=5)
    assert all(map(np.array_equal, scenes, again))


def test_the_named_set_is_whole():
    manifest = named_set("fashion-scenes")
    found = look_at_masks(manifest)
    assert (
        found is not None
        and next(iter(found.classes.values())) == "background"
        and len(found.classes) == 11
    )
    assert found.with_mask == {"train": (4000, 4000), "test": (500, 500)}
