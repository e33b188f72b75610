from __future__ import annotations

import gzip
import io
import json
import pickle
import tarfile

import numpy as np
import pytest
import torch

from data.captioned import captioned_parquet, png
from data.pictures import picture, save
from data.videos import levels, number_of, write_video
from likewise.data.columns.captions import CAPTIONS
from likewise.data.open_images import open_images
from likewise.data.sources import shards, webdataset
from likewise.data.sources.open import open_manifest
from likewise.data.sources.tar_examples import key_and_ending
from likewise.errors import LikewiseError


def write_tar(path, files, kind=tarfile.PAX_FORMAT):
    """An archive of (name, content) in the order given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=kind) as archive:
        for name, content in files:
            entry = tarfile.TarInfo(name)
            content = content.encode() if isinstance(content, str) else content
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def examples(count, first=0):
    """Images 000.png, ... with a caption and a class beside each."""
    numbers = range(first, first + count)
    return [
        member
        for i in numbers
        for member in (
            (f"{i:03}.png", png(i)),
            (f"{i:03}.txt", f"picture {i}"),
            (f"{i:03}.cls", f"{i % 3}\n"),
        )
    ]


def texts(manifest):
    return list(manifest.columns[CAPTIONS].texts)


def assert_shows(manifest, row, number):
    """The pixels of a row are those of `picture(number)`."""
    shown = open_images(manifest).read(torch.tensor([row])).images[0].permute(1, 2, 0)
    np.testing.assert_array_equal(shown, np.asarray(picture(number)))


def test_pixels_captions_and_classes_come_out(tmp_path):
    manifest = open_manifest(write_tar(tmp_path / "a.tar", examples(5)))
    assert list(manifest.ids) == [f"a.tar/{i:03}" for i in range(5)]
    assert texts(manifest) == [(f"picture {i}",) for i in range(5)]
    assert manifest.labels.tolist() == [0, 1, 2, 0, 1]
    assert manifest.class_names == ("0", "1", "2")
    assert not manifest.skipped and not manifest.notes
    assert_shows(manifest, 3, 3)
    assert_shows(manifest.take([4, 2]), 1, 2)


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_kind_of_archive_is_read(tmp_path, kind):
    long = "folder/" + 90 * "n" + "/" + 40 * "m"
    manifest = open_manifest(
        write_tar(tmp_path / "a.tar", [(f"{long}.png", png(1)), (f"{long}.txt", "x")], kind)
    )
    assert list(manifest.ids) == [f"a.tar/{long}"]
    assert_shows(manifest, 0, 1)


@pytest.mark.parametrize(("name", "parts"), [
    ("a.jpg", ("a", "jpg")), ("./a.jpg", ("a", "jpg")), ("x.y/a.JPG", ("x.y/a", "jpg")),
    ("x/a.seg.png", ("x/a", "seg.png")), ("a", None), ("x.y/a", None), (".hidden.jpg", None), ("x/.jpg", None),
    ("__info__.json", None), ("__meta__/a.jpg", None), ("_info.json", ("_info", "json")),
])  # fmt: skip
def test_the_key_ends_at_the_first_dot_of_the_name(name, parts):
    assert key_and_ending(name) == parts


def test_a_folder_of_shards_is_split_by_name(tmp_path):
    write_tar(tmp_path / "set" / "cc-train-00000.tar", examples(2))
    write_tar(tmp_path / "set" / "cc-train-00001.tar", examples(2, first=2))
    write_tar(tmp_path / "set" / "cc-validation-00000.tar", examples(1, first=4))
    manifest = open_manifest(tmp_path / "set")
    assert manifest.splits.tolist() == ["train"] * 4 + ["val"]
    assert manifest.ids[2] == "cc-train-00001.tar/002"
    assert_shows(manifest, 4, 4)
    assert len(open_manifest(f"{tmp_path}/set/cc-train-*.tar")) == 4
    both = [tmp_path / "set" / f"cc-train-0000{i}.tar" for i in (1, 0)]
    assert [name.rpartition("/")[2] for name in open_manifest(both).ids] == [
        "002",
        "003",
        "000",
        "001",
    ]


def test_captions_are_texts_or_in_json_one_or_several(tmp_path):
    files = [("a.png", png(0)), ("a.json", json.dumps({"caption": ["one", "two"], "width": 3}))]
    files += [("b.json", json.dumps({"caption": "same"})), ("b.txt", " same\n"), ("b.png", png(1))]
    files += [
        ("c.png", png(2)),
        ("c.json", json.dumps({"url": "x"})),
        ("d.png", png(3)),
        ("d.json", "[1, 2]"),
    ]
    files += [("e.png", png(4)), ("e.json", json.dumps({"text": "another name", "captions": None}))]
    manifest = open_manifest(write_tar(tmp_path / "a.tar", files))
    assert texts(manifest) == [("one", "two"), ("same",), (), (), ("another name",)]
    assert not manifest.skipped


def test_labels_in_json_are_not_read_and_that_is_told(tmp_path):
    files = [("a.png", png(0)), ("a.json", '{"label": 3}'), ("b.png", png(1)), ("b.json", "{}")]
    manifest = open_manifest(write_tar(tmp_path / "a.tar", files))
    assert not manifest.labelled() and any("'label', which 1 " in note for note in manifest.notes)
    manifest = open_manifest(write_tar(tmp_path / "b.tar", [*files, ("a.cls", "2")]))
    assert manifest.labelled() == 1 and not manifest.notes


def test_classes_may_be_names_and_may_be_missing(tmp_path):
    files = [
        ("a.png", png(0)),
        ("a.cls", "owl"),
        ("b.png", png(1)),
        ("c.png", png(2)),
        ("c.cls", "cat"),
    ]
    manifest = open_manifest(write_tar(tmp_path / "a.tar", files))
    assert manifest.class_names == ("cat", "owl")
    assert manifest.labels.tolist() == [1, -1, 0]
    assert not manifest.columns


def test_members_of_an_example_may_lie_apart(tmp_path):
    files = [
        *(m for m in examples(3) if m[0].endswith("png")),
        *(m for m in examples(3) if m[0].endswith("txt")),
    ]
    assert texts(open_manifest(write_tar(tmp_path / "a.tar", files))) == [
        (f"picture {i}",) for i in range(3)
    ]


def test_what_cannot_be_used_is_skipped_and_counted(tmp_path):
    files = [
        *examples(1),
        ("alone.txt", "no image"),
        ("bad.png", b"nonsense"),
        ("empty.jpg", b""),
        ("half.png", png(5)[:60]),
        ("fine.png", png(6)),
        ("fine.txt", b"\xff\xfe\xff"),
        ("fine.json", "{"),
        ("fine.png", png(7)),
        ("fine.npy", b"1"),
        ("fine.seg.png", png(8)),
        ("fine.jpg", png(8)),
        ("README", "about"),
        ("__info__.json", "{}"),
    ]
    manifest = open_manifest(write_tar(tmp_path / "a.tar", files))
    assert list(manifest.ids) == ["a.tar/000", "a.tar/fine"]
    reasons = {skipped.id: skipped.reason for skipped in manifest.skipped}
    assert set(reasons) == {
        "a.tar/alone", "a.tar/bad", "a.tar/empty", "a.tar/half", "a.tar/fine.txt", "a.tar/fine.json", "a.tar/fine.png",
    }  # fmt: skip
    assert ".txt" in reasons["a.tar/alone"]
    assert reasons["a.tar/empty"] == "zero bytes"
    assert reasons["a.tar/fine.png"]
    (note,) = manifest.notes
    assert "2 without" in note
    assert "1 .npy" in note and "1 .seg.png" in note and "1 .jpg" in note
    assert_shows(manifest, 1, 6)


def test_an_image_with_a_dot_in_its_name_is_left_out_by_name(tmp_path):
    names = ("1.png", "1.seg.png", "22.05.png")
    files = [(name, png(number)) for number, name in enumerate(names)]
    write_tar(tmp_path / "a.tar", [*files, ("22.05.cls", "3")])
    manifest = open_manifest(tmp_path / "a.tar")
    assert manifest.ids == ["a.tar/1"]
    assert [entry.id for entry in manifest.skipped if entry.unread] == ["a.tar/22.05.png"]


@pytest.mark.parametrize(("names", "is_told"), [
    (["cat/1.png", "dog/2.png"], True), (["cat/1.png", "cat/2.png"], False), (["1.png", "2.png"], False),
])  # fmt: skip
def test_folders_in_an_archive_that_could_be_classes_are_told(tmp_path, names, is_told):
    write_tar(tmp_path / "a.tar", [(name, png(number)) for number, name in enumerate(names)])
    manifest = open_manifest(tmp_path / "a.tar")
    assert not manifest.class_names
    assert any("cat, dog" in note for note in manifest.notes) == is_told


def test_links_are_told(tmp_path):
    path = write_tar(tmp_path / "a.tar", examples(1))
    with tarfile.open(path, "a") as archive:
        entry = tarfile.TarInfo("b.png")
        entry.type, entry.linkname = tarfile.LNKTYPE, "000.png"
        archive.addfile(entry)
    (skipped,) = open_manifest(path).skipped
    assert skipped.id == "a.tar/b.png" and "link" in skipped.reason


@pytest.mark.parametrize(
    "cut", ["in the data", "in a header", "before the end mark", "zeros", "garbage"]
)
def test_a_damaged_shard_gives_what_lies_before_the_damage(tmp_path, cut):
    path = write_tar(tmp_path / "a.tar", examples(4))
    content = path.read_bytes()
    with tarfile.open(path) as archive:
        entries = archive.getmembers()
    image, text = entries[9], entries[10]  # of the fourth example
    path.write_bytes({
        "in the data": content[: image.offset_data + 20],
        "in a header": content[: image.offset + 100],
        "before the end mark": content[: text.offset],
        "zeros": content[: image.offset] + bytes(2 * 2**20),
        "garbage": content[: image.offset] + b"x" * 512 + content[image.offset + 512 :],
    }[cut])  # fmt: skip
    manifest = open_manifest(path)
    assert list(manifest.ids) == [
        f"a.tar/{i:03}" for i in range(4 if cut == "before the end mark" else 3)
    ]
    assert any("a.tar" in note for note in manifest.notes)
    assert [s.id for s in manifest.skipped] == (["a.tar/003.png"] if cut == "in the data" else [])


def test_what_is_no_archive_of_images_is_refused(tmp_path):
    (tmp_path / "a.tar").write_bytes(b"no tar" * 200)
    with pytest.raises(LikewiseError, match=r"a\.tar"):
        open_manifest(tmp_path / "a.tar")
    (tmp_path / "b.tar").write_bytes(
        gzip.compress(write_tar(tmp_path / "x.tar", examples(1)).read_bytes())
    )
    with pytest.raises(LikewiseError, match="gunzip"):
        open_manifest(tmp_path / "b.tar")
    write_tar(tmp_path / "c.tar", [("img.001.png", png(0)), ("a.npy", b"1")])
    with pytest.raises(LikewiseError, match=r"c\.tar.*1 \.001\.png"):
        open_manifest(tmp_path / "c.tar")
    write_tar(tmp_path / "d.tar", [])
    with pytest.raises(LikewiseError, match=r"d\.tar"):
        open_manifest(tmp_path / "d.tar")
    write_tar(tmp_path / "e.tar", [("a.png", b"bad"), ("b.png", b"bad")])
    with pytest.raises(LikewiseError, match=r"e\.tar.* 2 "):
        open_manifest(tmp_path / "e.tar")
    with pytest.raises(LikewiseError, match=r"allowed:.*\.tar"):
        open_manifest([tmp_path / "a.tar", save(tmp_path / "a.png")])


def test_a_folder_of_shards_of_two_formats_is_refused(tmp_path):
    write_tar(tmp_path / "set" / "a.tar", examples(1))
    captioned_parquet(tmp_path / "set" / "a.parquet", ["x"])
    with pytest.raises(LikewiseError, match=r"/\*\.tar"):
        open_manifest(tmp_path / "set")


def test_videos_are_read_and_not_mixed_with_images(tmp_path):
    file = write_video(tmp_path / "v.mp4", levels(9))
    video = file.read_bytes()
    manifest = open_manifest(write_tar(tmp_path / "a.tar", [("a.mp4", video), ("a.cls", "1")]))
    middle = open_manifest(file).pixels.read(0).pixels
    assert 3 <= number_of(middle) <= 5
    np.testing.assert_array_equal(manifest.pixels.read(0).pixels, middle)
    assert any("videos" in warning for warning in manifest.warnings())
    with pytest.raises(LikewiseError, match=r"b\.tar.* 1 .*b\.png.* 1 .*a\.mp4"):
        open_manifest(write_tar(tmp_path / "b.tar", [("a.mp4", video), ("b.png", png(0))]))


def test_of_a_large_set_the_first_images_of_each_shard_are_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "LOOK_LIMIT", 0)
    monkeypatch.setattr(webdataset, "FIRST", 2)
    files = [write_tar(tmp_path / f"{n}.tar", examples(4, first=4 * n)) for n in range(2)]
    manifest = open_manifest(files)
    assert (manifest.pixels.headers.sizes[:, 0] > 0).tolist() == 2 * [True, True, False, False]
    assert shards.LARGE in manifest.notes
    assert_shows(manifest, 7, 7)


def test_a_source_can_be_sent_to_another_process_and_told_by_its_version(tmp_path):
    pixels = open_manifest(write_tar(tmp_path / "a.tar", examples(3))).pixels
    assert pickle.loads(pickle.dumps(pixels)).read(2).pixels.tobytes() == picture(2).tobytes()
    encoded = pixels.encoded(1)
    assert encoded.content == png(1)
    write_tar(tmp_path / "a.tar", examples(9))
    assert pixels.encoded(1).version != encoded.version
