"""Shards hold the set that was packed, byte for byte, and packing survives a kill."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import likewise as lw
from data.captioned import captioned_parquet
from data.pictures import cut_short, photo_folder, picture
from likewise.cli import main
from likewise.data.columns.captions import CAPTIONS
from likewise.data.columns.column_names import ColumnNames
from likewise.data.columns.targets import targets_in
from likewise.data.data_settings import DataSettings
from likewise.data.packing import packer
from likewise.data.sources.open import open_manifest
from likewise.data.splitter import DataSplitter
from likewise.errors import FilesLeftOut, LikewiseError

FORMATS = ("wds", "parquet")
NAMES = [
    f"{split}/{name}/{i:02}.png"
    for split in ("train", "test")
    for name in ("cat", "dog")
    for i in range(12)
]


@pytest.fixture
def photos(tmp_path):
    return photo_folder(tmp_path / "photos", *NAMES, "train/cat/a.b.JPG", "unlabeled/x.webp")


@pytest.fixture
def small_shards(monkeypatch):
    """Shards of 1,000 bytes where 1 megabyte is typed: three images or so."""
    monkeypatch.setattr(packer, "MEGABYTE", 1000)


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def bytes_by_id(manifest):
    return {
        name: _content(manifest.pixels.encoded(row).content)
        for row, name in enumerate(manifest.ids)
    }


def _content(encoded):
    return encoded if isinstance(encoded, bytes) else encoded.read_bytes()


@pytest.mark.parametrize("to", FORMATS)
def test_shards_are_the_folder_for_training(photos, tmp_path, small_shards, to):
    lw.pack(photos, tmp_path / "shards", to=to, shard_size=1)
    folder, packed = open_manifest(str(photos)), open_manifest(str(tmp_path / "shards"))
    assert bytes_by_id(packed) == bytes_by_id(folder)
    assert packed.class_names == folder.class_names
    splitter = DataSplitter(DataSettings(labels="3"))
    for split in ("train", "val", "test"):
        one, other = (
            splitter.list_examples(data).split(split)
            for data in (str(photos), str(tmp_path / "shards"))
        )
        assert list(one.ids) == list(other.ids) and len(one)
        assert torch.equal(one.labels, other.labels)
        if split == "train":
            visible = splitter.visible_labels(one)
            assert (
                torch.equal(visible, splitter.visible_labels(other))
                and int((visible >= 0).sum()) == 6
            )


@pytest.mark.parametrize("to", FORMATS)
def test_the_manifest_says_what_the_shards_are(photos, tmp_path, small_shards, to):
    packed = lw.pack(photos, tmp_path / "shards", to=to, shard_size=1)
    said = json.loads((tmp_path / "shards" / "manifest.json").read_text())
    assert (
        (said["images"], len(said["shards"]))
        == (packed.images, packed.shards)
        == (50, packed.shards)
    )
    assert said["class_names"] == ["cat", "dog"] and said["format"] == 1
    assert packed.shards > 5
    for shard in said["shards"]:
        content = (tmp_path / "shards" / shard["name"]).read_bytes()
        assert (shard["bytes"], shard["sha256"]) == (
            len(content),
            hashlib.sha256(content).hexdigest(),
        )
    assert sum(shard["images"] for shard in said["shards"]) == 50
    assert {f.name for f in (tmp_path / "shards").iterdir()} == {
        "manifest.json",
        *(s["name"] for s in said["shards"]),
        *(f"{s['name']}.index.json" for s in said["shards"]),
    }


@pytest.mark.parametrize("to", FORMATS)
def test_the_same_set_gives_the_same_bytes_elsewhere(photos, tmp_path, to):
    lw.pack(photos, tmp_path / "a", to=to)
    photos.rename(tmp_path / "moved")
    for file in (tmp_path / "moved").rglob("*.png"):
        os.utime(file, (1, 1))
    lw.pack(tmp_path / "moved", tmp_path / "b", to=to)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_a_finished_folder_is_left_as_it_is(photos, tmp_path):
    first = lw.pack(photos, tmp_path / "shards")
    written = {file: file.stat().st_mtime_ns for file in (tmp_path / "shards").iterdir()}
    assert lw.pack(photos, tmp_path / "shards") == first
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "shards").iterdir()} == written


@pytest.mark.parametrize("to", FORMATS)
def test_captions_groups_and_targets_come_back(tmp_path, to):
    rows = (
        ["image_path,label,group"] + [f"{i}.png,cat|dog,g{i % 2}" for i in range(4)] + ["4.png,,"]
    )
    photos = photo_folder(tmp_path / "photos", *(f"{i}.png" for i in range(5)))
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    (tmp_path / "texts.csv").write_text(
        "image_path,caption\n0.png,a red cat\n0.png,a cat\n3.png,größer"
    )
    given = {
        "labels": tmp_path / "labels.csv",
        "captions": tmp_path / "texts.csv",
        "task": "multilabel",
    }
    lw.pack(photos, tmp_path / "shards", to=to, **given)
    packed = open_manifest(str(tmp_path / "shards"))
    assert list(packed.columns[CAPTIONS].texts) == [("a red cat", "a cat"), (), (), ("größer",), ()]
    assert packed.groups.names.tolist() == ["g0", "g1", "g0", "g1", ""]
    targets = targets_in(packed.columns)
    assert (targets.task, targets.names) == ("multilabel", ("cat", "dog"))
    np.testing.assert_array_equal(targets.values, [[1, 1]] * 4 + [[np.nan, np.nan]])


def test_numbers_to_predict_come_back_as_they_were(tmp_path):
    photos = photo_folder(tmp_path / "photos", "0.png", "1.png")
    (tmp_path / "ages.csv").write_text("image_path,label\n0.png,0.1\n1.png,-3e-7")
    for to in FORMATS:
        lw.pack(photos, tmp_path / to, to=to, labels=tmp_path / "ages.csv", task="regression")
        found = targets_in(open_manifest(str(tmp_path / to)).columns)
        np.testing.assert_array_equal(found.values, np.float32([[0.1], [-3e-7]]))


def test_shards_can_be_packed_into_other_shards(tmp_path):
    source = captioned_parquet(
        tmp_path / "a.parquet", [["one", "two"], ["three"], []], labels=[1, 0, 1]
    )
    lw.pack(str(source), tmp_path / "tars")
    lw.pack(tmp_path / "tars", tmp_path / "files", to="parquet")
    first, last = open_manifest(str(source)), open_manifest(str(tmp_path / "files"))
    assert bytes_by_id(first) == bytes_by_id(last)
    assert list(first.columns[CAPTIONS].texts) == list(last.columns[CAPTIONS].texts)


def test_masks_need_parquet(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    def png(values):
        path = tmp_path / "x.png"
        Image.fromarray(values).save(path)
        return {"bytes": path.read_bytes(), "path": None}

    masks = [np.full((8, 8), i, np.uint8) for i in range(3)]
    rows = {
        "image": [png(np.asarray(picture(i))) for i in range(3)],
        "mask": [png(mask) for mask in masks],
    }
    pq.write_table(pa.table(rows), tmp_path / "a.parquet")
    with pytest.raises(LikewiseError, match="--to parquet"):
        lw.pack(tmp_path / "a.parquet", tmp_path / "tars")
    lw.pack(tmp_path / "a.parquet", tmp_path / "files", to="parquet")
    packed = open_manifest(str(tmp_path / "files"))
    np.testing.assert_array_equal(packed.masks.read(2), masks[2])


@pytest.mark.parametrize("to", FORMATS)
def test_unreadable_files_are_named_and_left_out(photos, tmp_path, small_shards, to):
    broken = photos / "train/cat/03.png"
    content = bytearray(broken.read_bytes())
    content[60:90] = bytes(30)  # the header and the end are whole, the pixels are not
    broken.write_bytes(content)
    cut_short(photos / "test/dog/02.png")
    with pytest.raises(FilesLeftOut, match=r"2 of 50"):
        lw.pack(photos, tmp_path / "few", to=to, shard_size=1, max_bad=0.02)
    packed = lw.pack(photos, tmp_path / "shards", to=to, shard_size=1, max_bad=0.1)
    assert set(packed.left_out) == {"train/cat/03.png", "test/dog/02.png"}
    assert packed.images == 48 and len(open_manifest(str(tmp_path / "shards"))) == 48
    said = json.loads((tmp_path / "shards" / "manifest.json").read_text())
    assert list(said["left_out"]) == ["train/cat/03.png"]
    with pytest.raises(FilesLeftOut, match=r"train/cat/03\.png"):
        lw.pack(photos, tmp_path / "shards", to=to, shard_size=1, max_bad=0.1, strict=True)


def test_a_file_that_is_no_image_counts_as_unreadable(photos, tmp_path):
    (photos / "train" / "dog" / "99.png").write_bytes(b"")
    with pytest.raises(FilesLeftOut, match=r"dog/99\.png"):
        lw.pack(photos, tmp_path / "shards", max_bad=0.001)


def test_packing_that_was_stopped_goes_on_with_more_allowed(photos, tmp_path, small_shards):
    broken = bytearray((photos / "train/dog/07.png").read_bytes())
    broken[60:90] = bytes(30)
    (photos / "train/dog/07.png").write_bytes(broken)
    with pytest.raises(FilesLeftOut):
        lw.pack(photos, tmp_path / "shards", shard_size=1, max_bad=0)
    assert len(list((tmp_path / "shards").glob("*.tar"))) > 2
    assert lw.pack(photos, tmp_path / "shards", shard_size=1, max_bad=0.5).images == 49


def test_what_is_in_the_way_is_not_overwritten(photos, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    with pytest.raises(LikewiseError, match=r"mine\.txt"):
        lw.pack(photos, tmp_path / "notes")
    lw.pack(photos, tmp_path / "shards")
    with pytest.raises(LikewiseError, match="--out"):
        lw.pack(photos, tmp_path / "shards", shuffle=1)
    for name in ("train-000000.tar.index.json", "train-000000.tar"):
        shard = tmp_path / "shards" / name
        shard.write_bytes(shard.read_bytes()[:-1000])
        with pytest.raises(LikewiseError, match=f"{name} "):
            lw.pack(photos, tmp_path / "shards")


def test_a_shuffled_set_has_the_same_ids_in_another_order(photos, tmp_path):
    lw.pack(photos, tmp_path / "shards", shuffle=3)
    folder, packed = open_manifest(str(photos)), open_manifest(str(tmp_path / "shards"))
    assert list(packed.ids) != list(folder.ids)
    assert bytes_by_id(packed) == bytes_by_id(folder)


@pytest.mark.parametrize(("option", "value"), [("to", "zip"), ("shard_size", 0), ("max_bad", 2)])
def test_settings_out_of_range_are_named(photos, tmp_path, option, value):
    with pytest.raises(LikewiseError, match=option.replace("_", "[-_]")):
        lw.pack(photos, tmp_path / "shards", **{option: value})


def test_arrays_have_no_files_to_pack(tmp_path):
    with pytest.raises(LikewiseError, match="folder"):
        lw.pack(np.zeros((4, 8, 8), np.uint8), tmp_path / "shards")


def test_other_tools_read_the_archives(photos, tmp_path):
    lw.pack(photos, tmp_path / "shards")
    with tarfile.open(tmp_path / "shards" / "train-000000.tar") as archive:
        names = archive.getnames()
    assert names[0].startswith("__")
    assert {"000000000.png", "000000000.cls", "000000000.json"} < set(names)


SLOW = """
import sys, time
from likewise.data.packing import packer
import likewise as lw
packer.MEGABYTE = 1000
read = packer.read_example
def slowly(*given):
    time.sleep(0.02)
    return read(*given)
packer.read_example = slowly
lw.pack(sys.argv[1], sys.argv[2], to=sys.argv[3], shard_size=1)
"""


@pytest.mark.parametrize("to", ["wds", pytest.param("parquet", marks=pytest.mark.slow)])
def test_a_killed_packing_goes_on_to_the_same_bytes(photos, tmp_path, small_shards, to):
    lw.pack(photos, tmp_path / "whole", to=to, shard_size=1)
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, str(photos), str(tmp_path / "killed"), to]
    )
    deadline = time.monotonic() + 60
    while len(list((tmp_path / "killed").glob("t*"))) < 3:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    with pytest.raises(LikewiseError, match="Another process"):
        lw.pack(photos, tmp_path / "killed", to=to, shard_size=1)
    process.send_signal(signal.SIGKILL)
    process.wait(300)
    finished = {f: f.stat().st_mtime_ns for f in (tmp_path / "killed").glob("t*")}
    assert not (tmp_path / "killed" / "manifest.json").exists()
    lw.pack(photos, tmp_path / "killed", to=to, shard_size=1)
    assert {f: f.stat().st_mtime_ns for f in finished} == finished
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_the_command_says_what_it_left_out(tmp_path, capsys):
    photos = photo_folder(tmp_path / "photos", *(f"cat/{i}.png" for i in range(3)))
    (photos / "cat" / "9.png").write_bytes(b"")
    words = [
        "pack",
        str(photos),
        "--out",
        str(tmp_path / "shards"),
        "--to",
        "parquet",
        "--max-bad",
        "0.5",
    ]
    main(words)
    said = capsys.readouterr().out
    assert "cat/9.png" in said and "3 images" in said
    with pytest.raises(SystemExit) as stopped:
        main([*words, "--strict"])
    assert stopped.value.code == 1


@pytest.mark.parametrize("to", FORMATS)
def test_every_option_of_the_command_reaches_the_shards(tmp_path, to, small_shards):
    photos = photo_folder(tmp_path / "photos", *(f"{i}.png" for i in range(8)))
    more = photo_folder(tmp_path / "more", "new/8.png")
    labels, captions = tmp_path / "labels.csv", tmp_path / "captions.csv"
    kinds = ["NA", "cat", "NA", "dog", "cat", "", "dog", "cat"]
    rows = [f"{i}.png,{kind},{i // 2},{i % 3}" for i, kind in enumerate(kinds)]
    labels.write_text("\n".join(["where,what,who,other", *rows]))
    captions.write_text("where,saying,other\n0.png,a first,x\n0.png,a second,y\n3.png,a third,z")
    columns = "--path-column where --label-column what --group-column who --missing-labels class"
    words = ["pack", photos, "--labels", labels, *columns.split(), "--test-data", more, "--to", to]
    main([*map(str, words), "--out", str(tmp_path / "out"), "--shuffle", "3", "--shard-size", "1"])
    found = open_manifest(tmp_path / "out")
    in_shards = list(found.split("train").ids)
    found = found.take(np.argsort(found.ids))
    assert [Path(name).name for name in found.ids] == [f"{i}.png" for i in range(9)]
    assert in_shards != sorted(in_shards) and len(list((tmp_path / "out").glob("*train*"))) > 1
    names = [found.class_names[label] if label >= 0 else "" for label in found.labels.tolist()]
    assert names == [*kinds, "new"] and found.splits.tolist() == ["train"] * 8 + ["test"]
    assert found.groups.names.tolist()[:8] == ["0", "0", "1", "1", "2", "2", "3", "3"]
    columns = "--path-column where --caption-column saying"
    words = ["pack", photos, "--captions", captions, *columns.split(), "--to", to]
    main([*map(str, words), "--out", str(tmp_path / "said")])
    said = open_manifest(tmp_path / "said").columns[CAPTIONS]
    assert [said.texts[i] for i in (0, 3)] == [("a first", "a second"), ("a third",)]


@pytest.mark.parametrize("to", FORMATS)
def test_tasks_of_the_command_reach_the_shards(tmp_path, to):
    photos = photo_folder(tmp_path / "photos", *(f"{i}.png" for i in range(4)))
    for task, cells in (
        ("multilabel", ["a|b", "b", "", "a"]),
        ("regression", ["1", "2.5", "", "-3"]),
    ):
        file = tmp_path / f"{task}.csv"
        file.write_text("path,label\n" + "\n".join(f"{i}.png,{c}" for i, c in enumerate(cells)))
        out = tmp_path / task
        words = ["pack", photos, "--labels", file, "--task", task, "--to", to, "--out", out]
        main(list(map(str, words)))
        found = targets_in(open_manifest(out).columns)
        given = targets_in(open_manifest(photos, file, columns=ColumnNames(task=task)).columns)
        assert found.task == task and found.names == given.names
        torch.testing.assert_close(found.values, given.values, equal_nan=True)
