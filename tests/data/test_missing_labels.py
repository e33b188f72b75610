"""What other programs write for a missing label is no label, whatever holds the labels."""

from __future__ import annotations

import io
import tarfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch.utils.data import Dataset

from data.pictures import picture
from likewise.data.columns.column_names import ColumnNames
from likewise.data.columns.targets import TARGETS
from likewise.data.sources.open import open_manifest

MISSING = ["NaN", "nan", "None", "null", "N/A", "", "  ", "-1", None]
LABELS = ["dog", *MISSING, "cat"]


def png(number: int) -> bytes:
    out = io.BytesIO()
    picture(number).save(out, "PNG")
    return out.getvalue()


def columns(labels):
    return {"image": [png(number) for number in range(len(labels))], "label": labels}


def parquet(tmp_path, labels):
    pq.write_table(pa.table(columns(labels)), tmp_path / "a.parquet")
    return tmp_path / "a.parquet"


def hugging_face(tmp_path, labels):
    datasets = pytest.importorskip("datasets")
    cells = [{"bytes": content, "path": None} for content in columns(labels)["image"]]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("string")})
    return datasets.Dataset.from_dict({"image": cells, "label": labels}, features=features)


def archive(tmp_path, labels):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for number, label in enumerate(labels):
            files = {f"{number}.png": png(number)}
            if label is not None:
                files[f"{number}.cls"] = label.encode()
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return tmp_path / "a.tar"


class Items(Dataset):
    def __init__(self, labels):
        self.labels = labels

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, row):
        return picture(row), self.labels[row]


SOURCES = {
    "Parquet": parquet,
    "Hugging Face": hugging_face,
    "tar": archive,
    "pandas": lambda tmp_path, labels: pd.DataFrame(columns(labels)),
    "pandas' own strings": lambda tmp_path, labels: pd.DataFrame(
        columns(pd.array(labels, dtype="string"))
    ),
    "categories": lambda tmp_path, labels: pd.DataFrame(columns(pd.Categorical(labels))),
    "pyarrow": lambda tmp_path, labels: pa.table(columns(labels)),
    "torch": lambda tmp_path, labels: Items(labels),
    "arrays": lambda tmp_path, labels: (
        np.zeros((len(labels), 8, 8), np.uint8),
        np.array(labels, dtype=object),
    ),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_texts_for_missing_values_are_no_label_and_told(tmp_path, kind):
    source = SOURCES[kind](tmp_path, LABELS)
    manifest = open_manifest(source)
    assert manifest.class_names == ("cat", "dog") and manifest.labels.tolist() == [
        1,
        *[-1] * len(MISSING),
        0,
    ]
    output = " ".join(manifest.notes)
    assert (
        all(repr(text) in output for text in ("NaN", "nan", "None", "null", "N/A"))
        and "--missing-labels" in output
    )
    kept = open_manifest(source, columns=ColumnNames(missing_labels="class"))
    assert set(kept.class_names) == {"NaN", "nan", "None", "null", "N/A", "cat", "dog"}
    assert (kept.labels >= 0).sum() == 7 and "--missing-labels class" in " ".join(kept.notes)


@pytest.mark.parametrize("labels", [
    [1.0, float("nan"), 0.0, -1.0], pd.array([1, None, 0, -1], dtype="Int64"), [1, None, 0, float("nan")],
])  # fmt: skip
def test_nulls_among_numbers_are_no_label(labels):
    assert open_manifest(pd.DataFrame(columns(labels))).labels.tolist() == [1, -1, 0, -1]


def test_missing_cells_of_other_columns_of_a_data_frame():
    frame = pd.DataFrame(columns([0, 1, 0]))
    frame["split"] = pd.array(["test", None, "train"], dtype="string")
    frame["group"] = pd.array(["u", "u", None], dtype="string")
    manifest = open_manifest(frame)
    assert manifest.splits.tolist() == ["test", "train", "train"]
    assert manifest.groups is not None and manifest.groups.names.tolist() == ["u", "u", ""]


def test_numbers_and_several_classes_may_be_missing_too(tmp_path):
    numbers = open_manifest(
        parquet(tmp_path, ["0.5", "NA", "-1", None]), columns=ColumnNames(task="regression")
    )
    np.testing.assert_array_equal(numbers.columns[TARGETS].values[:, 0], [0.5, np.nan, -1, np.nan])
    several = open_manifest(
        parquet(tmp_path, ["cat|dog", "null", "dog"]), columns=ColumnNames(task="multilabel")
    )
    assert several.columns[TARGETS].names == ("cat", "dog")
    assert several.columns[TARGETS].present().tolist() == [True, False, True]


def test_a_class_that_the_source_declares_is_a_class_whatever_it_is_called():
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["none", "some"])}
    )
    cells = [{"bytes": png(number), "path": None} for number in range(3)]
    dataset = datasets.Dataset.from_dict({"image": cells, "label": [0, 1, None]}, features=features)
    items = Items(["none", "some", "none"])
    items.classes = ["none", "some"]
    for source, labels in ((dataset, [0, 1, -1]), (items, [0, 1, 0])):
        manifest = open_manifest(source)
        assert manifest.class_names == ("none", "some") and manifest.labels.tolist() == labels


def test_the_labels_argument_follows_the_same_rule():
    manifest = open_manifest(np.zeros((3, 8, 8), np.uint8), labels=["cat", "N/A", float("nan")])
    assert manifest.labels.tolist() == [0, -1, -1] and "'N/A'" in " ".join(manifest.notes)
    assert open_manifest(
        np.zeros((2, 8, 8), np.uint8), labels=torch.tensor([3, -1])
    ).labels.tolist() == [0, -1]


@pytest.mark.parametrize("minus", ["-1", " -1", "-1.0"])
def test_rows_with_minus_one_beside_numbers_are_counted_since_it_may_be_a_class(tmp_path, minus):
    names = [f"{number}.png" for number in range(4)]
    for number, name in enumerate(names):
        (tmp_path / name).write_bytes(png(number))
    rows = [f"{name},{label}" for name, label in zip(names, [minus, "1", "2", minus], strict=True)]
    file = tmp_path / "labels.csv"
    file.write_text("\n".join(["image,label", *rows]))
    manifest = open_manifest(tmp_path, labels=file)
    assert manifest.labels.tolist() == [-1, 0, 1, -1]
    assert any("2 rows" in note and "-1" in note for note in manifest.notes)


def test_one_class_beside_minus_one_is_told_that_it_means_no_label():
    images = np.zeros((4, 8, 8), dtype=np.uint8)
    for labels, is_told in (([1, -1, 1, -1], True), ([1, 1, 1, 1], False)):
        told = [each for each in open_manifest((images, labels)).warnings() if "-1" in each]
        assert bool(told) == is_told
