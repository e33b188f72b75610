from __future__ import annotations

import os

import numpy as np
import pytest
import torch

from data.pictures import cut_short, photo_folder, picture, save
from likewise.data.checks.doctor import examine
from likewise.data.open_images import open_images
from likewise.data.sources.open import open_manifest
from likewise.errors import LikewiseError


def labels_by_id(manifest) -> dict[str, str | None]:
    names = (*manifest.class_names, None)
    return {
        i: names[label] for i, label in zip(manifest.ids, manifest.labels.tolist(), strict=True)
    }


def test_class_folders_give_labels_in_sorted_order(tmp_path):
    manifest = open_manifest(photo_folder(tmp_path, "zebra/1.png", "ant/2.PNG", "ant/1.JPG"))
    assert manifest.class_names == ("ant", "zebra")
    assert labels_by_id(manifest) == {
        "ant/1.JPG": "ant",
        "ant/2.PNG": "ant",
        "zebra/1.png": "zebra",
    }
    assert set(manifest.splits) == {"train"}


def test_a_flat_folder_is_unlabelled(tmp_path):
    manifest = open_manifest(photo_folder(tmp_path, "b.png", "a.png"))
    assert list(manifest.ids) == ["a.png", "b.png"]
    assert manifest.labels.tolist() == [-1, -1]
    assert manifest.notes == ()


@pytest.mark.parametrize(
    "names", [("a/b/1.png", "a/c/2.png"), ("a/1.png", "2.png"), ("a/1.png", "b/c/2.png")]
)
def test_any_other_nesting_is_unlabelled_and_says_so(tmp_path, names):
    manifest = open_manifest(photo_folder(tmp_path, *names))
    assert manifest.labels.tolist() == [-1, -1]
    assert names[0] in manifest.notes[0]


def test_a_few_images_at_another_depth_are_named_and_take_no_label_from_the_rest(tmp_path):
    names = [f"{kind}/{number}.png" for kind in "ab" for number in range(2)]
    manifest = open_manifest(photo_folder(tmp_path, *names, "a/deep/x.png", "loose.png"))
    assert labels_by_id(manifest) == {name: name[0] for name in names} | {
        "a/deep/x.png": None,
        "loose.png": None,
    }
    (note,) = manifest.notes
    assert "a/deep/x.png" in note and "loose.png" in note
    assert note in examine(manifest).notes


def test_images_under_endings_that_are_not_read_are_named(tmp_path):
    photo_folder(tmp_path, "a/1.png", "a/2.png")
    (tmp_path / "a" / "holiday.NEF").write_bytes(b"MM")
    (tmp_path / "a" / "3.jpg_large").write_bytes((save(tmp_path / "x.jpg")).read_bytes())
    (tmp_path / "x.jpg").rename(tmp_path / "a" / "noending")
    for name in ("a/1.txt", "a/2.txt", "a/Thumbs.db"):
        (tmp_path / name).write_text("x")
    manifest = open_manifest(tmp_path)
    assert {entry.id for entry in manifest.skipped} == {
        "a/holiday.NEF",
        "a/3.jpg_large",
        "a/noending",
    }
    assert (
        "a/1.txt" in manifest.notes[0]
        and "2 .txt" in manifest.notes[0]
        and ".db" not in " ".join(manifest.notes)
    )
    assert [
        finding.count for finding in examine(manifest).found if finding.name == "passed over"
    ] == [3]
    assert examine(manifest).images == 2
    with pytest.raises(LikewiseError, match="holiday"):
        (tmp_path / "only").mkdir()
        (tmp_path / "a" / "holiday.NEF").rename(tmp_path / "only" / "holiday.NEF")
        open_manifest(tmp_path / "only")


def test_class_names_that_differ_by_case_and_names_of_missing_values_are_told(tmp_path):
    manifest = open_manifest(
        photo_folder(tmp_path, "tench/1.png", "TENCH/2.png", "NaN/3.png", "cat/4.png")
    )
    output = " ".join(manifest.warnings())
    assert "TENCH, tench" in output and "NaN" in output
    found = {finding.name: finding.groups for finding in examine(manifest).found}
    assert found["class names nearly the same"] == (("TENCH", "tench"),) and found[
        "class called missing"
    ] == (("NaN",),)


def test_split_folders_share_their_classes(tmp_path):
    names = (
        "train/cat/1.png",
        "train/dog/2.png",
        "valid/dog/3.png",
        "Test/cat/4.png",
        "unlabeled/x/5.png",
    )
    manifest = open_manifest(photo_folder(tmp_path, *names))
    assert labels_by_id(manifest) == {
        "train/cat/1.png": "cat",
        "train/dog/2.png": "dog",
        "valid/dog/3.png": "dog",
        "Test/cat/4.png": "cat",
        "unlabeled/x/5.png": None,
    }
    splits = dict(zip(manifest.ids, manifest.splits.tolist(), strict=True))
    assert splits == dict(zip(names, ["train", "train", "val", "test", "train"], strict=True))


@pytest.mark.parametrize("name", ["unlabeled", "Unlabelled"])
@pytest.mark.parametrize("part", ["", "train/"])
def test_a_folder_of_unlabelled_images_beside_classes_is_no_class(tmp_path, name, part):
    labelled = [f"{part}{kind}/1.png" for kind in ("cat", "dog")]
    bare = [f"{part}{name}/{number}.png" for number in range(5)]
    tests = ["test/cat/1.png", "test/dog/1.png"] if part else []
    manifest = open_manifest(photo_folder(tmp_path, *labelled, *bare, *tests))
    assert manifest.class_names == ("cat", "dog")
    labels = labels_by_id(manifest)
    assert [labels[path] for path in labelled] == ["cat", "dog"]
    assert {labels[path] for path in bare} == {None}
    (note,) = manifest.notes
    assert name in note and "5 images" in note


def test_unlabelled_images_in_deeper_folders_leave_classes_as_they_are(tmp_path):
    names = ["cat/1.png", "dog/1.png", *(f"unlabeled/{day}/1.png" for day in range(4))]
    manifest = open_manifest(photo_folder(tmp_path, *names))
    assert manifest.labels.tolist() == [0, 1, -1, -1, -1, -1]


def test_a_flat_test_split_beside_labelled_training_is_unlabelled(tmp_path):
    manifest = open_manifest(photo_folder(tmp_path, "train/cat/1.png", "test/2.png"))
    assert labels_by_id(manifest) == {"train/cat/1.png": "cat", "test/2.png": None}


def test_a_class_that_is_called_train_is_a_class(tmp_path):
    manifest = open_manifest(photo_folder(tmp_path, "train/1.png", "bus/2.png"))
    assert manifest.class_names == ("bus", "train")


def test_a_third_folder_beside_splits_is_refused(tmp_path):
    with pytest.raises(LikewiseError, match="extra"):
        open_manifest(photo_folder(tmp_path, "train/a/1.png", "test/a/2.png", "extra/a/3.png"))


def test_an_image_beside_split_folders_is_told(tmp_path):
    manifest = open_manifest(photo_folder(tmp_path, "train/a/1.png", "test/a/2.png", "logo.png"))
    assert [entry.id for entry in manifest.skipped] == ["logo.png"]
    assert len(manifest) == 2


def test_hidden_folders_are_no_class(tmp_path):
    manifest = open_manifest(
        photo_folder(tmp_path, "a/1.png", ".ipynb_checkpoints/1.png", "a/.2.png")
    )
    assert list(manifest.ids) == ["a/1.png"]
    assert ".ipynb_checkpoints" in manifest.notes[0]


def test_hidden_folders_without_images_and_files_of_systems_are_not_told(tmp_path):
    folder = photo_folder(tmp_path, "a/1.png", "b/1.png", "__MACOSX/1.png")
    (folder / ".git").mkdir()
    (folder / ".git" / "HEAD").write_text("x")
    assert open_manifest(folder).notes == ()


def test_one_image_of_other_channels_is_found_however_small_the_set(tmp_path):
    photo_folder(tmp_path, "a/1.png", "a/2.png", "b/1.png")
    pages = [picture(number, 12, 12) for number in range(3)]
    pages[0].save(tmp_path / "b" / "2.tif", save_all=True, append_images=pages[1:])
    found = {each.name: each.groups for each in examine(open_manifest(tmp_path)).found}
    assert found["other channels"] == (("b/2.tif (9 channels)",),)


def test_numbers_that_are_taken_as_classes_are_found(tmp_path):
    photo_folder(tmp_path, "1.png", "2.png", "3.png")
    (tmp_path / "labels.csv").write_text("path,label\n1.png,0.25\n2.png,1.75\n3.png,2\n")
    found = examine(open_manifest(tmp_path, tmp_path / "labels.csv")).found
    told = {each.name: each for each in found}["number as a class"]
    assert told.groups == (("0.25",), ("1.75",)) and "--task regression" in told.remedy


def test_linked_folders_are_followed_once(tmp_path):
    photo_folder(tmp_path / "elsewhere", "1.png")
    photo_folder(tmp_path / "photos", "a/0.png")
    os.symlink(tmp_path / "elsewhere", tmp_path / "photos" / "b")
    os.symlink(tmp_path / "photos", tmp_path / "photos" / "a" / "loop")
    assert list(open_manifest(tmp_path / "photos").ids) == ["a/0.png", "b/1.png"]


def test_a_link_to_a_folder_that_is_read_already_is_told(tmp_path):
    photo_folder(tmp_path, "a/0.png")
    os.symlink(tmp_path / "a", tmp_path / "b")
    manifest = open_manifest(tmp_path)
    assert list(manifest.ids) == ["a/0.png"]
    assert [entry.id for entry in manifest.skipped] == ["b"]


def test_a_folder_that_cannot_be_read_is_told(tmp_path, monkeypatch):
    photo_folder(tmp_path, "a/0.png", "b/0.png")
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("/b"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert [entry.id for entry in open_manifest(tmp_path).skipped] == ["b"]


def test_what_systems_leave_is_passed_over_without_a_word(tmp_path):
    photo_folder(tmp_path, "a/0.png", "__MACOSX/a/._0.png", "__MACOSX/a/0.png", "@eaDir/0.png")
    for name in ("a/Thumbs.db", "a/desktop.ini", "a/.DS_Store"):
        (tmp_path / name).write_text("x")
    manifest = open_manifest(tmp_path)
    assert (list(manifest.ids), manifest.skipped, manifest.notes) == (["a/0.png"], (), ())


def test_pipes_and_broken_links_are_no_images(tmp_path):
    photo_folder(tmp_path, "a/0.png")
    os.mkfifo(tmp_path / "a" / "pipe.png")
    os.mkfifo(tmp_path / "a" / "pipe")
    os.symlink("/nowhere.png", tmp_path / "a" / "gone.png")
    os.symlink("/dev/zero", tmp_path / "a" / "endless.jpg")
    assert {entry.id for entry in open_manifest(tmp_path).skipped} == {
        "a/pipe.png",
        "a/gone.png",
        "a/endless.jpg",
    }


@pytest.mark.parametrize("names", [
    {"set/train/cat/1.png": "train", "set/train/dog/2.png": "train", "set/test/cat/3.png": "test"},
    {"cat/train/1.png": "train", "cat/test/2.png": "test", "dog/train/3.png": "train"},
])  # fmt: skip
def test_nested_splits(tmp_path, names):
    manifest = open_manifest(photo_folder(tmp_path, *names))
    assert dict(zip(manifest.ids, manifest.splits.tolist(), strict=True)) == names
    assert manifest.class_names == ("cat", "dog")


def test_classes_below_one_folder_are_told_by_its_name(tmp_path):
    manifest = open_manifest(photo_folder(tmp_path, "set/cat/1.png", "set/dog/2.png"))
    assert manifest.class_names == ()
    assert "give the folder set in it" in manifest.notes[0]


def test_a_table_beside_images_is_named(tmp_path):
    photo_folder(tmp_path, "a/0.png")
    (tmp_path / "meta.csv").write_text("file,label\n0.png,dog\n")
    assert any(f"--labels {tmp_path}/meta.csv" in note for note in open_manifest(tmp_path).notes)


def test_names_of_any_letters(tmp_path):
    names = [
        'a b/it\'s "1".png',
        "a b/line\nbreak.png",
        "a b/🐈.png",
        "a b/[red]x[/].png",
        "a b/{0}%s.png",
    ]
    assert sorted(open_manifest(photo_folder(tmp_path, *names)).ids) == sorted(names)


def test_heic_is_read_or_named(tmp_path, monkeypatch):
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    photo_folder(tmp_path, "a/0.png")
    soft = picture().resize((64, 48))
    soft.save(tmp_path / "a" / "1.heic", quality=95)
    manifest = open_manifest(tmp_path)
    assert list(manifest.ids) == ["a/0.png", "a/1.heic"]
    difference = manifest.pixels.read(1).pixels.astype(int) - np.asarray(soft).astype(int)
    assert np.abs(difference).mean() < 10

    def missing():
        raise ImportError("HEIC needs pillow-heif")

    monkeypatch.setattr("likewise.data.decoding.enable_heif", missing)
    assert [entry.reason for entry in open_manifest(tmp_path).skipped] == ["HEIC needs pillow-heif"]


def test_bad_files_are_skipped_with_their_reasons(tmp_path):
    photo_folder(tmp_path, "a/good.png", "b/good.png")
    (tmp_path / "a" / "empty.jpg").touch()
    (tmp_path / "a" / "text.jpg").write_text("not an image at all")
    cut_short(save(tmp_path / "a" / "half.jpg", width=64, height=64))
    cut_short(save(tmp_path / "a" / "half.png", width=64, height=64))
    manifest = open_manifest(tmp_path)
    assert list(manifest.ids) == ["a/good.png", "b/good.png"]
    reasons = {entry.id: entry.reason for entry in manifest.skipped}
    assert reasons["a/empty.jpg"] == "zero bytes"
    assert reasons["a/text.jpg"]
    assert set(reasons) == {"a/empty.jpg", "a/text.jpg", "a/half.jpg", "a/half.png"}
    assert any("4 files" in warning for warning in manifest.warnings())


def test_an_empty_class_folder_is_no_class_and_is_told(tmp_path):
    photo_folder(tmp_path, "a/1.png")
    (tmp_path / "b").mkdir()
    manifest = open_manifest(tmp_path)
    assert manifest.class_names == ("a",)
    assert "b" in manifest.notes[0]


def test_nothing_usable_is_one_message(tmp_path):
    with pytest.raises(LikewiseError, match=r"/none, .*fashion-mnist"):
        open_manifest(tmp_path / "none")
    with pytest.raises(LikewiseError, match=r"\.jpeg"):
        open_manifest(tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(LikewiseError, match=r"\.txt"):
        open_manifest(tmp_path)
    (tmp_path / "a.jpg").touch()
    with pytest.raises(LikewiseError, match=r"a\.jpg: "):
        open_manifest(tmp_path)


def test_a_class_of_one_image_is_allowed_and_warned_of(tmp_path):
    manifest = open_manifest(photo_folder(tmp_path, "a/1.png", "a/2.png", "lonely/3.png"))
    assert any("lonely" in warning for warning in manifest.warnings())
    assert not any("a:" in warning for warning in manifest.warnings())


def test_a_misspelt_set_is_put_right():
    with pytest.raises(LikewiseError, match=r"fashon-mnist-mini.*'fashion-mnist-mini'"):
        open_manifest("fashon-mnist-mini")


def test_a_few_videos_among_images_are_left_out_and_named_and_many_are_refused(tmp_path):
    folder = photo_folder(tmp_path, *(f"a/{i}.png" for i in range(9)))
    (folder / "a" / "live.mov").write_bytes(b"never opened")
    manifest = open_manifest(folder)
    assert len(manifest) == 9 and [entry.id for entry in manifest.skipped] == ["a/live.mov"]
    (folder / "a" / "second.mov").write_bytes(b"never opened")
    with pytest.raises(LikewiseError, match=r"a/live\.mov"):
        open_manifest(folder)


def test_the_folder_of_a_run_is_no_folder_of_images(tmp_path):
    (tmp_path / "encoder.safetensors").write_bytes(b"x")
    with pytest.raises(LikewiseError, match="of a run"):
        open_manifest(tmp_path)


def test_images_of_several_frames_are_named_and_the_first_is_read(tmp_path):
    frames = [picture(number, 12, 12) for number in range(3)]
    for name in ("a.gif", "b.webp", "c.png", "d.tif"):
        others = [*frames[1:-1], picture(9, 20, 12)] if name == "d.tif" else frames[1:]
        lossless = {"lossless": True} if name == "b.webp" else {}
        frames[0].save(tmp_path / name, save_all=True, append_images=others, **lossless)
    frames[0].save(tmp_path / "e.webp", lossless=True)
    manifest = open_manifest(tmp_path)
    told = next(warning for warning in manifest.warnings() if "frames" in warning)
    assert "a.gif, b.webp, c.png and 1 more" in told and "e.webp" not in told
    assert manifest.pixel_range is None
    pixels = open_images(manifest).read(torch.tensor([1, 4])).images
    assert torch.equal(pixels[0], pixels[1])
    odd = {finding.name for finding in examine(manifest).found}
    assert "several frames" in odd


@pytest.mark.parametrize(
    ("test", "is_told"), [(("test/1.png", "test/2.png"), True), (("test/a/1.png",), False)]
)
def test_a_test_split_without_labels_is_told_before_training(tmp_path, test, is_told):
    photo_folder(
        tmp_path, "train/a/1.png", "train/a/2.png", "train/b/1.png", "train/b/2.png", *test
    )
    warnings = open_manifest(tmp_path).warnings()
    assert any("accuracy will not be measured" in warning for warning in warnings) == is_told
