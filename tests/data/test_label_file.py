from __future__ import annotations

import os
import subprocess
import sys

import pytest

from data.pictures import photo_folder
from likewise.data.sources.open import open_manifest
from likewise.errors import LikewiseError


@pytest.fixture
def photos(tmp_path):
    return photo_folder(tmp_path / "photos", "x/a.png", "x/b.png", "x/c.png", "x/d.png")


def write(tmp_path, *lines: str, heading: str = "image_path,label"):
    file = tmp_path / "labels.csv"
    file.write_text("\n".join([heading, *lines]) + "\n")
    return file


def test_any_mix_of_labelled_and_not(tmp_path, photos):
    manifest = open_manifest(
        photos, labels=write(tmp_path, "x/a.png,dog", "x/b.png,", "x/c.png,cat")
    )
    assert manifest.class_names == ("cat", "dog")
    assert manifest.labels.tolist() == [1, -1, 0, -1]


def test_paths_may_begin_at_the_file_or_be_absolute(tmp_path, photos):
    file = write(tmp_path, "photos/x/a.png,1", f"{photos}/x/b.png,2", "./x/c.png,10", "x\\d.png,-1")
    manifest = open_manifest(str(photos), labels=str(file))
    assert manifest.class_names == ("1", "2", "10")
    assert manifest.labels.tolist() == [0, 1, 2, -1]


def test_whole_numbers_below_minus_one_are_no_labels(tmp_path, photos):
    file = write(tmp_path, "x/a.png,-2", "x/b.png,-1", "x/c.png,0", "x/d.png,1")
    with pytest.raises(LikewiseError, match=r"-2 .*--task regression"):
        open_manifest(photos, labels=file)
    named = write(tmp_path, "x/a.png,-2", "x/b.png,-1", "x/c.png,cold", "x/d.png,warm")
    assert open_manifest(photos, labels=named).class_names == ("-2", "cold", "warm")


def test_a_split_column_moves_examples(tmp_path, photos):
    file = write(
        tmp_path,
        "x/a.png,0,train",
        "x/b.png,0,Valid",
        "x/c.png,0,test",
        heading="image_path,label,split",
    )
    assert open_manifest(photos, labels=file).splits.tolist() == ["train", "val", "test", "train"]


def test_the_csv_alone_lists_its_images(tmp_path, photos):
    manifest = open_manifest(write(tmp_path, "photos/x/b.png,0", "photos/x/a.png,1"))
    assert list(manifest.ids) == ["photos/x/a.png", "photos/x/b.png"]
    assert manifest.labels.tolist() == [1, 0]


def test_rows_of_no_image_are_named_and_the_others_count(tmp_path, photos):
    file = write(tmp_path, "x/a.png,0", *(f"no{i}.png,1" for i in range(7)))
    manifest = open_manifest(photos, labels=file)
    assert manifest.labels.tolist() == [0, -1, -1, -1]
    note = next(note for note in manifest.notes if "no0.png" in note)
    assert "7" in note
    assert "no4.png" in note


def test_a_file_without_any_row_of_an_image_is_refused(tmp_path, photos):
    with pytest.raises(
        LikewiseError, match=r"labels\.csv.*no0\.png, no1\.png, no2\.png, \.\.\..*x/a\.png"
    ):
        open_manifest(photos, labels=write(tmp_path, *(f"no{i}.png,0" for i in range(5))))


def test_images_without_a_row_are_named(tmp_path, photos):
    notes = open_manifest(photos, labels=write(tmp_path, "x/a.png,0", "x/b.png,0")).notes
    assert any("x/c.png, x/d.png" in note for note in notes)


def test_a_label_of_a_skipped_file_is_no_error(tmp_path, photos):
    (photos / "x/e.png").touch()
    manifest = open_manifest(photos, labels=write(tmp_path, "x/a.png,cat", "x/e.png,ghost"))
    assert manifest.class_names == ("cat",)


def test_lines_that_disagree_are_refused_and_repeats_are_not(tmp_path, photos):
    assert (
        open_manifest(photos, labels=write(tmp_path, "x/a.png,0", "photos/x/a.png,0")).labelled()
        == 1
    )
    with pytest.raises(LikewiseError, match=r"line 2 \(label '0'\) and in line 5 \(label '1'\)"):
        open_manifest(
            photos, labels=write(tmp_path, "x/a.png,0", "", '"x/b.png","2"', "photos/x/a.png,1")
        )


@pytest.mark.parametrize(("content", "said"), [
    ("", "is empty"), ("image_path,label\n", "no line"), ("image_path,label\n,3\n", "line 2"),
    ("image_path,label,split\nx/a.png,3,holdout\n", "holdout"),
])  # fmt: skip
def test_other_mistakes_are_one_message(tmp_path, photos, content, said):
    (tmp_path / "labels.csv").write_text(content)
    with pytest.raises(LikewiseError, match=said):
        open_manifest(photos, labels=tmp_path / "labels.csv")
    with pytest.raises(LikewiseError, match=r"none\.csv"):
        open_manifest(photos, labels=tmp_path / "none.csv")


def test_a_comma_without_quotation_marks_is_named_with_its_line(tmp_path, photos):
    file = write(tmp_path, "x/a.png,cat", "x/b.png,cat, black", "x/c.png,dog", "x/d.png,cat, black")
    with pytest.raises(LikewiseError, match="line 3: 3 columns"):
        open_manifest(photos, labels=file)


def test_short_lines_are_unlabelled(tmp_path, photos):
    file = write(tmp_path, "x/a.png,cat", "x/b.png", "x/c.png,dog", "x/d.png")
    assert open_manifest(photos, labels=file).labels.tolist() == [0, -1, 1, -1]


def test_labels_that_look_like_several_classes_are_told(tmp_path, photos):
    file = write(tmp_path, "x/a.png,cat|dog", "x/b.png,cat", "x/c.png,dog")
    manifest = open_manifest(photos, labels=file)
    assert manifest.class_names == ("cat", "cat|dog", "dog")
    assert any("--task multilabel" in note for note in manifest.notes)


@pytest.mark.parametrize("mark", [",", ";"])
def test_labels_with_commas_of_which_a_part_is_a_class_too_are_told(tmp_path, photos, mark):
    file = write(tmp_path, f'x/a.png,"cat{mark} dog"', "x/b.png,cat", "x/c.png,bird")
    notes = open_manifest(photos, labels=file).notes
    assert any("cat|dog" in note and "--task multilabel" in note for note in notes)


def test_a_comma_in_the_name_of_one_class_is_not_told(tmp_path, photos):
    file = write(tmp_path, 'x/a.png,"Oslo, Norway"', "x/b.png,cat", 'x/c.png,"Oslo, Norway"')
    notes = open_manifest(photos, labels=file).notes
    assert not any("--task" in note for note in notes)


def test_numbers_that_are_written_in_two_ways_are_told(tmp_path, photos):
    file = write(tmp_path, "x/a.png,01", "x/b.png,1", "x/c.png,2.0", "x/d.png,3")
    assert [
        warning
        for warning in open_manifest(photos, labels=file).warnings()
        if warning.startswith("01, 1:")
    ]


@pytest.mark.parametrize("hash_seed", ["1", "3"])  # in which sets have other orders
def test_classes_of_one_value_have_the_same_order_in_every_process(hash_seed):
    code = (
        "from likewise.data.sources.label_file import class_names_of; "
        "from likewise.data.columns.targets import multilabel_targets; "
        "print(class_names_of(['3', '01', '1', '001'])); "
        "print(multilabel_targets(['3', '01|1', '001'], 'x').names)"
    )
    said = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert said.stdout.split("\n")[:2] == ["('001', '01', '1', '3')"] * 2


def test_a_zero_byte_does_not_make_a_file_utf_16(tmp_path, photos):
    file = write(tmp_path, "x/a.png,c\0at", "x/b.png,dog")
    with pytest.raises(LikewiseError, match="zero bytes"):
        open_manifest(photos, labels=file)


def test_names_that_differ_in_case_alone_are_told_apart(tmp_path):
    photos = photo_folder(tmp_path / "photos", "x/IMG.png", "x/img.png", "x/b.png")
    file = write(
        tmp_path, "far/away/x/IMG.png,dog", "far/away/x/img.png,cat", "far/away/x/b.png,cat"
    )
    manifest = open_manifest(photos, labels=file)
    names = [manifest.class_names[number] for number in manifest.labels.tolist()]
    assert dict(zip(manifest.ids, names, strict=True)) == {
        "x/IMG.png": "dog", "x/img.png": "cat", "x/b.png": "cat",
    }  # fmt: skip
