"""Labels and paths in JSON, JSON lines and Parquet files are read as those of a CSV."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import likewise as lw
from data.pictures import photo_folder
from likewise.data.columns.captions import CAPTIONS
from likewise.data.columns.column_names import ColumnNames
from likewise.data.sources.open import open_manifest
from likewise.errors import LikewiseError

PATHS = ["x/a.png", "x/b.png", "x/c.png", "x/d.png"]
LABELS = ["dog", None, "cat", "dog"]


@pytest.fixture
def photos(tmp_path):
    return photo_folder(tmp_path / "photos", *PATHS)


def as_lines(file, columns):
    rows = zip(*columns.values(), strict=True)
    lines = [json.dumps(dict(zip(columns, row, strict=True))) for row in rows]
    file.with_suffix(".jsonl").write_text("\n\n".join(lines))
    return file.with_suffix(".jsonl")


def as_list(file, columns):
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    file.with_suffix(".json").write_text(json.dumps(rows), encoding="utf-8-sig")
    return file.with_suffix(".json")


def as_parquet(file, columns):
    pq.write_table(pa.table(columns), file.with_suffix(".parquet"))
    return file.with_suffix(".parquet")


FORMS = pytest.mark.parametrize("written", [as_lines, as_list, as_parquet])


@FORMS
def test_labels_of_a_folder_of_images(photos, tmp_path, written):
    file = written(tmp_path / "labels", {"path": PATHS, "label": LABELS})
    manifest = open_manifest(photos, labels=str(file))
    assert manifest.class_names == ("cat", "dog") and manifest.labels.tolist() == [1, -1, 0, 1]


@FORMS
def test_the_file_alone_lists_its_images_by_columns_of_any_name(photos, written):
    columns = {
        "who": ["n", "m", "n", "m"], "where": PATHS, "what": [3, 4, 3, None], "split": ["train", "test"] * 2
    }  # fmt: skip
    file = written(photos / "list", columns)
    manifest = open_manifest(file, columns=ColumnNames(path="where", label="what", group="who"))
    assert list(manifest.ids) == PATHS and manifest.class_names == ("3", "4")
    assert manifest.labels.tolist() == [0, 1, 0, -1]
    assert manifest.splits.tolist() == ["train", "test"] * 2
    assert manifest.groups is not None and manifest.groups.names.tolist() == columns["who"]
    with pytest.raises(LikewiseError, match=r"--label-column"):
        open_manifest(file)


@FORMS
def test_lists_are_several_classes_and_a_record_more_is_a_caption_more(photos, tmp_path, written):
    file = written(tmp_path / "labels", {"path": PATHS, "tags": [["a", "b"], ["b"], [], None]})
    targets = open_manifest(photos, file, columns=ColumnNames(task="multilabel")).columns["targets"]
    assert targets.present().tolist() == [True, True, False, False]
    file = written(tmp_path / "more", {"path": PATHS[:1] * 2, "caption": ["a dog", "a brown dog"]})
    captions = open_manifest(photos, captions=file).columns[CAPTIONS]
    assert captions.present().tolist() == [True, False, False, False]
    file = written(tmp_path / "lists", {"path": PATHS[:1], "caption": [["a dog", "a brown dog"]]})
    with pytest.raises(LikewiseError, match="a dog"):
        open_manifest(photos, captions=file)


def test_an_object_of_labels_by_path(photos, tmp_path):
    (tmp_path / "labels.json").write_text(json.dumps(dict(zip(PATHS, LABELS, strict=True))))
    assert open_manifest(photos, tmp_path / "labels.json").labels.tolist() == [1, -1, 0, 1]


def test_parquet_files_of_paths_are_one_set_with_splits_by_their_names(photos):
    as_parquet(photos / "train-0", {"image": PATHS[:2], "label": ["cat", "dog"]})
    as_parquet(photos / "test-0", {"image": PATHS[2:], "label": ["dog", "owl"]})
    manifest = open_manifest(f"{photos}/*.parquet")
    found = zip(manifest.ids, manifest.splits, manifest.labels.tolist(), strict=True)
    assert sorted((name, split, manifest.class_names[label]) for name, split, label in found) == [
        ("x/a.png", "train", "cat"), ("x/b.png", "train", "dog"),
        ("x/c.png", "test", "dog"), ("x/d.png", "test", "owl"),
    ]  # fmt: skip


def test_classes_that_a_schema_names_have_those_names(photos):
    features = {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
    table = pa.table({"file_name": PATHS, "label": [1, None, 0, 1]})
    said = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(table.replace_schema_metadata(said), photos / "list.parquet")
    manifest = open_manifest(photos / "list.parquet")
    assert manifest.class_names == ("cat", "dog") and manifest.labels.tolist() == [1, -1, 0, 1]


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        ("labels.xlsx", b"PK\x03\x04 a sheet", "CSV"),
        ("labels.xls", b"\xd0\xcf\x11\xe0 a sheet", "CSV"),
        ("labels.json", b"[1, 2]", "record 1"),
        ("labels.json", b'{"images": [], "categories": {}}', "list of objects"),
        ("labels.json", b"{", "JSON"),
        ("labels.jsonl", b'{"path": "x/a.png", "label": 1}\n{"path": ', "line 2"),
        ("labels.jsonl", b"\xff\xfe\xff", "cannot be read"),
        ("labels.jsonl", b"", "no record"),
        ("labels.parquet", b"PAR1", "Parquet"),
        ("gone.jsonl", None, "gone.jsonl"),
    ],
)
def test_what_is_no_table_is_told_with_what_is_one(photos, tmp_path, name, content, named):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(LikewiseError, match=f"{name}.*{named}|{named}.*{name}"):
        open_manifest(photos, labels=str(tmp_path / name))
    with pytest.raises(LikewiseError, match=name):
        lw.prepare(str(photos), labels=str(tmp_path / name))
