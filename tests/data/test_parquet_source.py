from __future__ import annotations

import io
import json
import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from data.pictures import picture
from likewise.data.open_images import open_images
from likewise.data.sources.open import open_manifest
from likewise.data.sources.shards import split_of
from likewise.errors import LikewiseError


def png(number: int) -> bytes:
    out = io.BytesIO()
    picture(number).save(out, "PNG")
    return out.getvalue()


def write(path, contents, labels=None, names=None, group=2, image="image"):
    """A file as Hugging Face writes it."""
    columns = {image: [None if c is None else {"bytes": c, "path": None} for c in contents]}
    features = {image: {"_type": "Image"}}
    if labels is not None:
        columns["label"] = labels
        features["label"] = (
            {"names": names, "_type": "ClassLabel"}
            if names
            else {"dtype": "int64", "_type": "Value"}
        )
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    table = pa.table(
        {k: pa.array(v, kind) if k == image else pa.array(v) for k, v in columns.items()}
    )
    table = table.replace_schema_metadata(
        {"huggingface": json.dumps({"info": {"features": features}})}
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=group)
    return path


def test_rows_names_and_pixels_come_out(tmp_path):
    file = write(
        tmp_path / "train.parquet", [png(i) for i in range(5)], [1, 0, None, 1, -1], ["cat", "dog"]
    )
    manifest = open_manifest(file)
    assert manifest.class_names == ("cat", "dog")
    assert manifest.labels.tolist() == [1, 0, -1, 1, -1]
    assert list(manifest.ids) == [f"train.parquet/{i}" for i in range(5)]
    pixels = open_images(manifest).read(torch.tensor([4, 1]))
    for row, number in enumerate([4, 1]):
        np.testing.assert_array_equal(
            pixels.images[row].permute(1, 2, 0), np.asarray(picture(number))
        )


def test_a_folder_of_files_is_split_by_name(tmp_path):
    write(tmp_path / "data" / "train-00000-of-00002.parquet", [png(0), png(1)], [0, 1], ["a", "b"])
    write(tmp_path / "data" / "train-00001-of-00002.parquet", [png(2)], [0], ["a", "b"])
    write(tmp_path / "data" / "validation-00000-of-00001.parquet", [png(3)], [1], ["a", "b"])
    manifest = open_manifest(tmp_path)
    assert manifest.splits.tolist() == ["train", "train", "train", "val"]
    assert len(set(manifest.ids)) == 4
    pattern = open_manifest(f"{tmp_path}/data/train-*.parquet")
    assert len(pattern) == 3


@pytest.mark.parametrize(("name", "split"), [
    ("test-00000-of-00001", "test"), ("cifar10-jpeg75-test", "test"), ("a.validation", "val"), ("unlabeled", "train"),
    ("latest", "train"), ("photos", "train"),
])  # fmt: skip
def test_the_split_is_a_word_of_the_name(name, split):
    assert split_of(f"{name}.parquet") == split


def test_bad_rows_are_skipped_and_the_others_keep_their_ids(tmp_path):
    file = write(
        tmp_path / "a.parquet",
        [png(0), b"", b"nonsense", None, png(4), png(5)[:60]],
        [0, 1, 2, 3, 4, 5],
    )
    manifest = open_manifest(file)
    assert list(manifest.ids) == ["a.parquet/0", "a.parquet/4"]
    assert {s.id: s.reason for s in manifest.skipped}["a.parquet/1"] == "zero bytes"
    assert len(manifest.skipped) == 4
    pixels = open_images(manifest).read(torch.tensor([1]))
    np.testing.assert_array_equal(pixels.images[0].permute(1, 2, 0), np.asarray(picture(4)))


def test_a_source_can_be_sent_to_another_process(tmp_path):
    manifest = open_manifest(write(tmp_path / "a.parquet", [png(i) for i in range(3)]))
    copy = pickle.loads(pickle.dumps(manifest.pixels))
    assert copy.read(2).pixels.tobytes() == picture(2).tobytes()


def test_other_columns_are_told(tmp_path):
    pq.write_table(pa.table({"text": ["a"], "n": [1]}), tmp_path / "a.parquet")
    with pytest.raises(LikewiseError, match=r"a\.parquet.*text, n"):
        open_manifest(tmp_path / "a.parquet")
    write(tmp_path / "b.parquet", [png(0)], [0], ["x"])
    write(tmp_path / "c.parquet", [png(0)], [0], ["y", "z"])
    with pytest.raises(LikewiseError, match=r"c\.parquet.*b\.parquet"):
        open_manifest([tmp_path / "b.parquet", tmp_path / "c.parquet"])
    (tmp_path / "d.parquet").write_bytes(b"no parquet")
    with pytest.raises(LikewiseError, match=r"d\.parquet"):
        open_manifest(tmp_path / "d.parquet")


def test_test_data_is_matched_by_class_name(tmp_path):
    train = write(tmp_path / "x.parquet", [png(0), png(1)], [0, 1], ["cat", "dog"])
    test = write(tmp_path / "y.parquet", [png(2), png(3), png(4)], [0, 1, 2], ["dog", "cat", "owl"])
    manifest = open_manifest(train, test_data=test)
    assert manifest.class_names == ("cat", "dog", "owl")
    assert manifest.split("test").labels.tolist() == [1, 0, 2]
    assert any("owl" in warning for warning in manifest.warnings())
    pixels = open_images(manifest.split("test")).read(torch.tensor([0]))
    np.testing.assert_array_equal(pixels.images[0].permute(1, 2, 0), np.asarray(picture(2)))
