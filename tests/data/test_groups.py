from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from data.pictures import photo_folder
from likewise.data.columns.column_names import ColumnNames
from likewise.data.columns.groups import GROUP, Groups
from likewise.data.manifest import Manifest
from likewise.data.pixel_source import ArrayPixels
from likewise.data.sources.concat import concat
from likewise.data.sources.open import open_manifest
from likewise.errors import LikewiseError


def manifest_of(labels, groups, splits=None) -> Manifest:
    count = len(labels)
    return Manifest(
        "made",
        ArrayPixels(np.zeros((count, 4, 4), np.uint8)),
        torch.tensor(labels),
        np.array(splits or ["train"] * count),
        [f"i{i}" for i in range(count)],
        tuple("abcdefgh"[: max(labels) + 1]),
        columns={GROUP: Groups.of(groups)},
    )


def groups_of(manifest: Manifest, split: str) -> set[str]:
    assert manifest.groups is not None
    return set(manifest.groups.names[manifest.splits == split].tolist())


@pytest.mark.parametrize("seed", range(5))
def test_no_group_is_torn_and_every_class_gives_about_its_share(seed):
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(60), rng.integers(1, 12, 60))
    labels = rng.integers(0, 3, 60)[groups]  # a film shows one class
    parts = (
        manifest_of(labels.tolist(), groups.tolist()).hold_out(0.2, seed).hold_out(0.1, seed, "val")
    )
    assert sum(len(groups_of(parts, split)) for split in ("train", "val", "test")) == 60
    held = len(groups_of(parts, "test"))
    assert parts.notes[0].startswith("test ") and f" {held} of 60" in parts.notes[0]
    assert (
        parts.notes[1].startswith("val ")
        and f" {len(groups_of(parts, 'val'))} of {60 - held}" in parts.notes[1]
    )
    share = np.bincount(labels[parts.splits == "test"], minlength=3) / np.bincount(labels)
    assert np.abs(share - 0.2).max() < 0.06


def test_groups_of_many_classes_are_shared_out_too():
    labels, groups = [0, 1, 2, 3] * 50, [f"speaker {row // 20}" for row in range(200)]
    held = manifest_of(labels, groups).hold_out(0.2, 0).split("test")
    assert torch.bincount(held.labels).tolist() == [10] * 4


def test_the_choice_depends_on_names_and_not_on_order():
    manifest = manifest_of([0, 1] * 50, [row // 5 for row in range(100)])
    mixed = manifest.take(np.random.default_rng(0).permutation(100))
    assert groups_of(manifest.hold_out(0.3, 1), "test") == groups_of(mixed.hold_out(0.3, 1), "test")
    assert groups_of(manifest.hold_out(0.3, 1), "test") != groups_of(
        manifest.hold_out(0.3, 2), "test"
    )


def test_unlabelled_examples_go_with_their_group():
    held = manifest_of(
        [0, -1, 0, -1, 0, -1, 0, -1], ["a", "a", "b", "b", "c", "c", "d", "d"]
    ).hold_out(0.25, 0)
    assert (held.splits == "test").sum() == 2 and not groups_of(held, "test") & groups_of(
        held, "train"
    )


def test_examples_without_a_group_stay_together():
    held = manifest_of([0] * 12, [None, " ", float("nan"), None, *"aabbccdd"]).hold_out(0.2, 0)
    assert len(set(held.splits[:4].tolist())) == 1


@pytest.mark.parametrize(("groups", "tested"), [(["one"] * 6, 0), (["one"] * 5 + ["two"], 1)])
def test_something_is_always_left_to_train_on(groups, tested):
    assert (manifest_of([0] * 6, groups).hold_out(0.9, 0).splits == "test").sum() in {
        tested,
        6 - 1 if tested else 0,
    }


def test_groups_in_train_and_test_are_a_warning():
    splits = ["train", "train", "test", "test"]
    warnings = manifest_of([0, 1, 0, 1], list("abac"), splits).warnings()
    assert [warning.partition(":")[0] for warning in warnings if "group" in warning] == ["a"]
    unknown = manifest_of([0, 1, 0, 1], ["", "b", "", "c"], splits).warnings()
    assert not [warning for warning in unknown if "group" in warning]


def test_sources_with_and_without_groups_are_joined():
    first, second = manifest_of([0, 1], ["a", "b"]), replace(manifest_of([0], ["x"]), columns={})
    both = concat([first, second], "both")
    assert both.groups is not None and both.groups.names.tolist() == ["a", "b", ""]


def parquet_of(path, folder, **columns):
    images = [
        {"bytes": (folder / f"x/{name}.png").read_bytes(), "path": f"{name}.png"} for name in "abcd"
    ]
    pq.write_table(pa.table({"image": images, **columns}), path)
    return path


@pytest.fixture
def photos(tmp_path):
    return photo_folder(tmp_path / "photos", *(f"x/{name}.png" for name in "abcd"))


def test_a_column_of_parquet_files_says_what_belongs_together(tmp_path, photos):
    path = parquet_of(
        tmp_path / "films.parquet", photos, film=[7, 7, 8, None], group=["u", "u", "v", "v"]
    )
    usual, named = open_manifest(path), open_manifest(path, columns=ColumnNames(group="film"))
    assert usual.groups is not None and usual.groups.names.tolist() == ["u", "u", "v", "v"]
    assert named.groups is not None and named.groups.names.tolist() == ["7", "7", "8", ""]
    assert (
        open_manifest(parquet_of(tmp_path / "none.parquet", photos, film=[1, 2, 3, 4])).groups
        is None
    )
    with pytest.raises(LikewiseError, match=r"--group-column fil: .*'film'"):
        open_manifest(path, columns=ColumnNames(group="fil"))


@pytest.mark.parametrize("data", ["fashion-mnist-mini", np.zeros((4, 8, 8), np.uint8)])
def test_a_source_without_columns_refuses_the_name_of_one(data):
    with pytest.raises(LikewiseError, match="--group-column film"):
        open_manifest(data, columns=ColumnNames(group="film"))


def test_a_csv_of_labels_may_have_groups(tmp_path, photos):
    file = tmp_path / "labels.csv"
    file.write_text("image_path,label,group\nx/a.png,0,u\nx/b.png,0,\nx/c.png,1,u\n")
    manifest = open_manifest(photos, labels=file)
    assert manifest.groups is not None and manifest.groups.names.tolist() == ["u", "", "u", ""]
    file.write_text("image_path,label,group\nx/a.png,0,u\nx/a.png,0,v\n")
    with pytest.raises(LikewiseError, match=r"labels\.csv.*x/a\.png.*'0' u.*'0' v"):
        open_manifest(photos, labels=file)
