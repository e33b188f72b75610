from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from data.pictures import photo_folder, picture
from likewise.data.columns.captions import CAPTIONS
from likewise.data.columns.column_names import ColumnNames
from likewise.data.open_images import open_images
from likewise.data.sources.open import open_manifest
from likewise.errors import EnvironmentIOError, LikewiseError

NAMES = [f"{i}.png" for i in range(4)]


@pytest.fixture
def paths(tmp_path):
    return [str(photo_folder(tmp_path, *NAMES) / name) for name in NAMES]


def expect_pictures(manifest):
    images = open_images(manifest).read(torch.arange(4)).images.permute(0, 2, 3, 1)
    np.testing.assert_array_equal(images, [np.asarray(picture(i)) for i in range(4)])


def content(path):
    with open(path, "rb") as file:
        return file.read()


FORMS = {
    "paths": lambda path, i: path,
    "bytes": lambda path, i: content(path),
    "bytes and path": lambda path, i: {"bytes": content(path), "path": None},
    "path alone": lambda path, i: {"bytes": None, "path": path},
    "pictures": lambda path, i: picture(i),
    "arrays": lambda path, i: np.asarray(picture(i)),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_data_frame_may_have_its_images_in_any_form(paths, form):
    cells = [FORMS[form](path, i) for i, path in enumerate(paths)]
    manifest = open_manifest(pd.DataFrame({"image": cells, "label": ["b", "a", None, "b"]}))
    expect_pictures(manifest)
    assert manifest.labels.tolist() == [1, 0, -1, 1] and manifest.class_names == ("a", "b")


def lists(path, i):
    return np.asarray(picture(i)).tolist()


@pytest.mark.parametrize("form", ["paths", "bytes", "bytes and path", "lists"])
def test_an_arrow_table_too(paths, form):
    cells = [(lists if form == "lists" else FORMS[form])(path, i) for i, path in enumerate(paths)]
    manifest = open_manifest(pa.table({"image": cells, "label": [3, 5, -1, 3]}))
    expect_pictures(manifest)
    assert manifest.labels.tolist() == [0, 1, -1, 0] and manifest.class_names == ("3", "5")


def test_splits_groups_captions_and_ids_of_a_table(paths):
    frame = pd.DataFrame(
        {
            "image_path": paths,
            "class": [1, 0, 1, 0],
            "split": ["train", "validation", "test", "unlabeled"],
            "group": ["u", "u", "v", None],
            "caption": ["a", "", None, "b"],
        }
    )
    manifest = open_manifest(frame)
    assert manifest.splits.tolist() == ["train", "val", "test", "train"]
    assert manifest.labels.tolist() == [1, 0, 1, -1]
    assert manifest.groups is not None and manifest.groups.names.tolist() == ["u", "u", "v", ""]
    assert manifest.columns[CAPTIONS].present().tolist() == [True, False, False, True]
    assert list(manifest.ids) == paths


def test_columns_can_be_named(paths):
    frame = pd.DataFrame(
        {"image": paths, "label": [0, 0, 0, 0], "breed": list("abab"), "owner": list("uuvv")}
    )
    manifest = open_manifest(frame, columns=ColumnNames(label="breed", group="owner"))
    assert manifest.class_names == ("a", "b")
    assert manifest.groups is not None and manifest.groups.names.tolist() == list("uuvv")
    with pytest.raises(LikewiseError, match="breeed"):
        open_manifest(frame, columns=ColumnNames(label="breeed"))
    moved = frame.rename(columns={"image": "where"})
    named = open_manifest(moved, columns=ColumnNames(path="where", label="breed"))
    assert list(named.ids) == paths and named.labels.tolist() == manifest.labels.tolist()
    with pytest.raises(LikewiseError, match="wher'"):
        open_manifest(moved, columns=ColumnNames(path="wher"))
    with pytest.raises(LikewiseError, match="path_column"):
        open_manifest(moved)


def test_a_missing_image_is_skipped(paths):
    manifest = open_manifest(
        pd.DataFrame({"image": [paths[0], None, "no/such.png"], "label": [0, 1, 1]})
    )
    assert len(manifest) == 1 and [skipped.id for skipped in manifest.skipped] == [
        "1",
        "no/such.png",
    ]


def test_a_path_that_stands_in_two_rows_costs_no_image_its_name(paths):
    manifest = open_manifest(
        pd.DataFrame({"image": [None, *paths[:2], paths[0]], "label": [0, 0, 1, 0]})
    )
    assert manifest.ids == [paths[0], paths[1], f"{paths[0]} (row 3)"]
    assert any("1 row with an image of another row" in note for note in manifest.notes)


@pytest.mark.parametrize(("frame", "value"), [
    (pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}), "a, b"), (pd.DataFrame({"image": []}), "no image"),
    (pd.DataFrame({"image": [picture(0)], "split": ["fold 3"]}), "fold 3"),
    (pd.DataFrame({"image": [17]}), "int"), (pd.DataFrame({"image": [picture(0)], "label": [0.5]}), "0.5"),
    (pd.DataFrame({"image": [np.zeros((3, 8, 8), np.uint8)]}), "transpose"),
])  # fmt: skip
def test_what_does_not_fit_is_an_error_that_names_it(frame, value):
    with pytest.raises(LikewiseError, match=value):
        open_manifest(frame)


datasets = pytest.importorskip("datasets")


@pytest.fixture
def hugging_face(paths):
    features = datasets.Features(
        {"photo": datasets.Image(), "kind": datasets.ClassLabel(names=["cat", "dog"])}
    )
    return datasets.Dataset.from_dict({"photo": paths, "kind": [1, 0, 0, 1]}, features=features)


def test_features_of_a_hugging_face_data_set_say_what_its_columns_are(hugging_face):
    for dataset in (hugging_face, hugging_face.with_format("torch")):
        manifest = open_manifest(dataset)
        expect_pictures(manifest)
        assert manifest.class_names == ("cat", "dog") and manifest.labels.tolist() == [1, 0, 0, 1]
    assert open_manifest(hugging_face.select([3, 1])).labels.tolist() == [1, 0]


def test_a_data_set_with_a_transform_of_its_own_is_read_through_it(hugging_face):
    def invert(batch):
        return {
            "image": [255 - np.asarray(image) for image in batch["photo"]],
            "label": batch["kind"],
        }

    manifest = open_manifest(hugging_face.with_transform(invert))
    np.testing.assert_array_equal(manifest.pixels.read(2).pixels, 255 - np.asarray(picture(2)))
    assert manifest.class_names == ("cat", "dog")
    assert manifest.labels.tolist() == [1, 0, 0, 1]


def test_arrays_of_any_number_of_channels(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 13), dtype=np.uint8)
    features = datasets.Features({"image": datasets.Array3D((8, 8, 13), "uint8")})
    manifest = open_manifest(datasets.Dataset.from_dict({"image": list(values)}, features=features))
    np.testing.assert_array_equal(manifest.pixels.read(1).pixels, values[1])


def test_a_dict_of_splits_and_one_that_was_saved_to_disk(hugging_face, tmp_path):
    both = datasets.DatasetDict(train=hugging_face, validation=hugging_face.select([0]))
    both.save_to_disk(str(tmp_path / "saved"))
    for data in (both, f"hf:{tmp_path / 'saved'}"):
        manifest = open_manifest(data)
        assert manifest.splits.tolist() == ["train"] * 4 + ["val"]
        assert manifest.class_names == ("cat", "dog")


def test_a_name_is_loaded_by_the_library(hugging_face, monkeypatch):
    asked = []

    def load(name, configuration):
        asked.append((name, configuration))
        return datasets.DatasetDict(train=hugging_face)

    monkeypatch.setattr(datasets, "load_dataset", load)
    assert (
        len(open_manifest("hf:owner/name")) == len(open_manifest("datasets:owner/name:small")) == 4
    )
    assert asked == [("owner/name", None), ("owner/name", "small")]


def test_a_name_that_cannot_be_loaded_says_what_to_type(monkeypatch):
    def load(name, configuration):
        raise ConnectionError("no network")

    monkeypatch.setattr(datasets, "load_dataset", load)
    with pytest.raises(EnvironmentIOError, match=r"owner/name.*save_to_disk.*hf:name"):
        open_manifest("hf:owner/name")


def test_without_the_library_a_name_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(LikewiseError, match=r"likewise\[datasets\]"):
        open_manifest("hf:owner/name")


@pytest.mark.parametrize("kind", ["frame", "parquet"])
def test_a_column_of_labels_that_is_not_called_so_is_told(tmp_path, paths, kind):
    images = [{"bytes": content(path), "path": None} for path in paths]
    table = pa.table({"image": images, "breed": [0, 1, 0, 1], "url": ["a"] * 4})
    if kind == "parquet":
        pq.write_table(table, tmp_path / "train.parquet")
    data = str(tmp_path / "train.parquet") if kind == "parquet" else table.to_pandas()
    manifest = open_manifest(data)
    assert any("breed, url" in note and "--label-column" in note for note in manifest.notes)
    chosen = open_manifest(data, columns=ColumnNames(label="breed"))
    assert chosen.labels.tolist() == [0, 1, 0, 1] and not any(
        "--label-column" in note for note in chosen.notes
    )


def test_a_second_column_of_labels_is_told(paths):
    frame = pd.DataFrame({"image": paths, "label": [0, 1, 0, 1], "target": [1, 1, 0, 0]})
    manifest = open_manifest(frame)
    assert manifest.labels.tolist() == [0, 1, 0, 1]
    assert any("'target'" in note for note in manifest.notes)
