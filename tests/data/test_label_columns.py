"""CSVs as people have them: what is taken for what, and what is asked about instead of being guessed at."""

from __future__ import annotations

import codecs

import pytest

from data.pictures import photo_folder
from likewise.data.columns.captions import CAPTIONS
from likewise.data.columns.column_names import ColumnNames
from likewise.data.columns.targets import TARGETS
from likewise.data.sources.label_file import is_label_file
from likewise.data.sources.open import open_manifest
from likewise.errors import LikewiseError


@pytest.fixture
def photos(tmp_path):
    return photo_folder(tmp_path / "photos", "x/a.png", "x/b.png", "y/c.png")


def write(tmp_path, text, name="labels.csv", encoding="utf-8"):
    file = tmp_path / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return file


def labels_of(manifest):
    """The class of each labelled image, by its name."""
    numbers = zip(manifest.ids, manifest.labels.tolist(), strict=True)
    return {name: manifest.class_names[number] for name, number in numbers if number >= 0}


EXPECTED = {"x/a.png": "dog", "y/c.png": "Käse"}
TABLE = "{0}{1}{2}\nx/a.png{1}dog\ny/c.png{1}Käse\n"


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("names", [
    ("filename", "class"), ("path", "target"), ("Image_Path", "Label"), ("image", "label"), ("file name", "Category"),
])  # fmt: skip
def test_usual_headings_and_separators(tmp_path, photos, names, separator):
    file = write(tmp_path, TABLE.format(names[0], separator, names[1]))
    assert labels_of(open_manifest(photos, labels=file)) == EXPECTED


@pytest.mark.parametrize("name", ["labels.tsv", "labels.txt"])
def test_other_endings(tmp_path, photos, name):
    file = write(tmp_path, TABLE.format("filename", "\t", "class"), name)
    assert is_label_file(file)
    assert labels_of(open_manifest(photos, labels=file)) == EXPECTED


@pytest.mark.parametrize(("text", "is_labels"), [
    ("x/a.png dog\nx/b.png cat\n", True), ("filename,label\na,1\n", True), ("a\t1\nb\t2\n", True),
    ("x/a.png\nx/b.png\n", False), ("x/a.png,x/b.png\n", False), ("1,4,7\n", False), ("", False),
])  # fmt: skip
def test_a_text_file_of_ids_alone_is_a_split_file(tmp_path, text, is_labels):
    assert is_label_file(write(tmp_path, text, "split.txt")) == is_labels


@pytest.mark.parametrize(
    "encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252", "latin-1"]
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_encodings_and_line_ends(tmp_path, photos, encoding, line_end):
    text = TABLE.format("filename", ";", "class").replace("\n", line_end)
    file = write(tmp_path, text, encoding=encoding)
    assert labels_of(open_manifest(photos, labels=file)) == EXPECTED


def test_big_endian_utf_16_with_its_mark(tmp_path, photos):
    text = TABLE.format("filename", ",", "class").encode("utf-16-be")
    assert (
        labels_of(open_manifest(photos, labels=write(tmp_path, codecs.BOM_UTF16_BE + text)))
        == EXPECTED
    )


def test_the_first_screen_says_what_was_taken(tmp_path, photos):
    file = write(tmp_path, TABLE.format("filename", ";", "class"), encoding="cp1252")
    note = next(note for note in open_manifest(photos, labels=file).notes if "filename" in note)
    for told in ("'class'", "semicolon", "Windows-1252", "2 of 2"):
        assert told in note


@pytest.mark.parametrize(("text", "expected"), [
    ("x/a.png,dog\ny/c.png,cat\n", {"x/a.png": "dog", "y/c.png": "cat"}),
    ("dog;x/a.png\ncat;y/c.png\n", {"x/a.png": "dog", "y/c.png": "cat"}),
    ("a,1\nc,0\n", {"x/a.png": "1", "y/c.png": "0"}),
    ("x/a.png,train,dog\ny/c.png,test,cat\n", {"x/a.png": "dog", "y/c.png": "cat"}),
    (",filename,species\n0,x/a.png,dog\n1,y/c.png,cat\n", {"x/a.png": "dog", "y/c.png": "cat"}),
    ("id,filename,label\n0,x/a.png,dog\n1,y/c.png,cat\n", {"x/a.png": "dog", "y/c.png": "cat"}),
    ("sep=;\nfilename;label\nx/a.png;dog\n", {"x/a.png": "dog"}),
    ("filename,label,\nx/a.png,dog,\n\n , ,\ny/c.png,cat,\n", {"x/a.png": "dog", "y/c.png": "cat"}),
    ('filename, label\n"x/a.png", "dog, brown"\n', {"x/a.png": "dog, brown"}),
    ('filename,label\nx/a.png,"a ""good"" dog"\n', {"x/a.png": 'a "good" dog'}),
])  # fmt: skip
def test_what_each_column_holds_is_found(tmp_path, photos, text, expected):
    assert labels_of(open_manifest(photos, labels=write(tmp_path, text))) == expected


def test_windows_absolute_and_moved_paths(tmp_path, photos):
    rows = "C:\\data\\photos\\x\\a.png,dog", "/elsewhere/photos/x/b.png,cat", "C.PNG,dog"
    file = write(tmp_path, "path,label\n" + "\n".join(rows) + "\n")
    assert labels_of(open_manifest(photos, labels=file)) == {
        "x/a.png": "dog",
        "x/b.png": "cat",
        "y/c.png": "dog",
    }


def test_a_file_name_of_two_images_is_refused(tmp_path):
    photos = photo_folder(tmp_path / "photos", "x/a.png", "y/a.png")
    with pytest.raises(LikewiseError, match=r"a\.png could be x/a\.png or y/a\.png"):
        open_manifest(photos, labels=write(tmp_path, "path,label\na.png,dog\n"))


def test_two_paths_that_end_as_one_image_are_refused(tmp_path):
    photos = photo_folder(tmp_path / "photos", "a.png", "b.png")
    with pytest.raises(LikewiseError, match=r"train/a\.png and /test/a\.png"):
        open_manifest(
            photos, labels=write(tmp_path, "path,label\n/train/a.png,dog\n/test/a.png,cat\n")
        )


def test_a_file_outside_the_data_is_none_of_them(tmp_path):
    photos = photo_folder(tmp_path / "train", "a.png", "b.png")
    photo_folder(tmp_path / "test", "a.png", "b.png")
    file = write(tmp_path, "path,label\ntest/a.png,dog\ntrain/b.png,cat\ntest/b.png,cat\n")
    assert labels_of(open_manifest(photos, labels=file)) == {"b.png": "cat"}


@pytest.mark.parametrize(("text", "option"), [
    ("filename,label,class\nx/a.png,3,dog\n", "--label-column"),
    ("filename,species,sex\nx/a.png,dog,f\n", "--label-column"),
    ("x/a.png,3,dog\ny/c.png,4,cat\n", "--label-column"),
    ("before,after,label\nx/a.png,x/b.png,dog\n", "--path-column"),
    ("name,label\nq,dog\nr,cat\n", "--path-column"),
])  # fmt: skip
def test_what_is_not_clear_is_asked_about(tmp_path, photos, text, option):
    with pytest.raises(LikewiseError, match=option) as asked:
        open_manifest(photos, labels=write(tmp_path, text))
    assert option.strip("-").replace("-", "_") + "=" in str(asked.value)
    assert text.splitlines()[-1].split(",")[-1] in str(asked.value) or "first row" in str(
        asked.value
    )


@pytest.mark.parametrize(("text", "columns", "expected"), [
    ("filename,label,class\nx/a.png,3,dog\n", ColumnNames(label="class"), {"x/a.png": "dog"}),
    ("x/a.png,3,dog\ny/c.png,4,cat\n", ColumnNames(label="3"), {"x/a.png": "dog", "y/c.png": "cat"}),
    ("before,after,label\nx/a.png,x/b.png,dog\n", ColumnNames(path="After"), {"x/b.png": "dog"}),
    ("k,label\nx/a.png,dog\n", ColumnNames("label", path="k"), {"x/a.png": "dog"}),
])  # fmt: skip
def test_columns_may_be_named_or_numbered(tmp_path, photos, text, columns, expected):
    assert (
        labels_of(open_manifest(photos, labels=write(tmp_path, text), columns=columns)) == expected
    )


@pytest.mark.parametrize(("columns", "option"), [
    (ColumnNames(label="klass"), "--label-column klass"), (ColumnNames(path="3"), "--path-column 3"),
])  # fmt: skip
def test_a_named_column_that_is_not_there_is_refused(tmp_path, photos, columns, option):
    with pytest.raises(LikewiseError, match=option):
        open_manifest(photos, labels=write(tmp_path, "file,label\nx/a.png,dog\n"), columns=columns)
    with pytest.raises(LikewiseError, match=option):
        open_manifest(photos, columns=columns)


@pytest.mark.parametrize(("text", "told"), [
    ("filename,label\nx/a.png,dog, brown\ny/c.png,cat\nx/b.png,cat\n", "line 2"),
    ('filename,label\nx/b.png,cat\nx/a.png,"dog\ny/c.png,cat\n', "line 3"),
    ('filename,label\nx/a.png,"dog\nx/b.png,cat\ny/c.png,cat"\n', "line 2"),
    ("filename,label\nx/a.png,dog\n,cat\n", "line 3"),
    (b"filename,label\nx/a.png,K\xe4se\nx/b.png,K\xc3\xa4se\n", "line 2"),
    (b"PK\x03\x04\x00\x00", "Excel"),
    (b"\x00\x01\x02\x03" * 20, "no text"),
    ("", "is empty"),
])  # fmt: skip
def test_a_damaged_file_is_refused_with_its_line(tmp_path, photos, text, told):
    with pytest.raises(LikewiseError, match=told):
        open_manifest(photos, labels=write(tmp_path, text))


def test_missing_values_are_no_label_unless_they_are_a_class(tmp_path, photos):
    file = write(tmp_path, "filename,label\nx/a.png,NaN\nx/b.png,None\ny/c.png,dog\n")
    manifest = open_manifest(photos, labels=file)
    assert labels_of(manifest) == {"y/c.png": "dog"}
    assert any("'NaN'" in note and "--missing-labels" in note for note in manifest.notes)
    named = open_manifest(photos, labels=file, columns=ColumnNames(missing_labels="class"))
    assert named.class_names == ("NaN", "None", "dog")


def test_blanks_around_labels_are_told_and_case_is_a_warning(tmp_path, photos):
    manifest = open_manifest(
        photos, labels=write(tmp_path, 'f,label\nx/a.png,tench\nx/b.png,"tench "\ny/c.png,TENCH\n')
    )
    assert manifest.class_names == ("TENCH", "tench")
    assert any("'tench'" in note for note in manifest.notes)
    assert any("TENCH" in warning and "tench" in warning for warning in manifest.warnings())


@pytest.mark.parametrize(("labels", "expected"), [
    (["1.0", "2.0", "", "-1.0"], ("1", "2")), (["10.00", "9", "", "2.0"], ("2", "9", "10")),
    (["1.5", "2.0", "", ""], ("1.5", "2.0")), (["v1.0", "2.0", "", ""], ("2.0", "v1.0")),
])  # fmt: skip
def test_whole_numbers_with_a_decimal_point_are_whole_numbers(tmp_path, labels, expected):
    images = photo_folder(tmp_path / "images", *(f"{number}.png" for number in range(4)))
    rows = "".join(f"{number}.png,{label}\n" for number, label in enumerate(labels))
    manifest = open_manifest(images, labels=write(tmp_path, "image,label\n" + rows))
    assert manifest.class_names == expected
    assert manifest.labels[2] == -1
    is_whole = "2.0" not in expected
    assert any(" is read as " in note for note in manifest.notes) == is_whole


def test_one_column_a_class_is_told_with_what_to_write(tmp_path, photos):
    text = "image,healthy,rust,scab\nx/a.png,1,0,0\nx/b.png,0,1,0\nx/c.png,0,0,1\n"
    with pytest.raises(LikewiseError, match=r"--label-column.*'healthy', 'rust', 'scab'.*cat\|dog"):
        open_manifest(photos, labels=write(tmp_path, text))


@pytest.mark.parametrize("what", ["labels", "captions"])
def test_a_table_beside_the_images_is_not_asked_about_once_it_is_given(photos, what):
    file = photos / "list.csv"
    file.write_text(
        "image,label\nx/a.png,cat\n" if what == "labels" else "image,caption\nx/a.png,a cat\n"
    )
    assert any("--labels" in note for note in open_manifest(photos).notes)
    assert not any("--labels" in note for note in open_manifest(photos, **{what: file}).notes)


def test_decimal_commas(tmp_path, photos):
    file = write(tmp_path, "x/a.png;0,5\nx/b.png;1,25\n")
    columns = open_manifest(photos, labels=file, columns=ColumnNames(task="regression")).columns
    assert columns[TARGETS].values[:2, 0].tolist() == [0.5, 1.25]


def test_captions_and_labels_in_one_file(tmp_path, photos):
    text = "file_name;text;label\nphotos/x/a.png;a dog;dog\nphotos/x/a.png;a hound;dog\nphotos/y/c.png;;cat\n"
    manifest = open_manifest(write(tmp_path, text))
    assert labels_of(manifest) == {"photos/x/a.png": "dog", "photos/y/c.png": "cat"}
    assert list(manifest.columns[CAPTIONS].texts) == [("a dog", "a hound"), ()]


def test_files_that_are_not_there_are_skipped_and_named(tmp_path, photos):
    manifest = open_manifest(
        write(tmp_path, "file,label\nphotos/x/a.png,dog\nphotos/x/no.png,cat\n")
    )
    assert labels_of(manifest) == {"photos/x/a.png": "dog"}
    assert [entry.id for entry in manifest.skipped] == ["photos/x/no.png"]
    with pytest.raises(LikewiseError, match=r"none of them is there: no\.png"):
        open_manifest(write(tmp_path, "file,label\nno.png,dog\n"))


def test_names_without_endings_and_a_list_of_images_alone(tmp_path, photos):
    assert labels_of(open_manifest(write(tmp_path, "id,label\na,1\nc,0\n"))) == {
        "photos/x/a.png": "1", "photos/y/c.png": "0",
    }  # fmt: skip
    assert list(open_manifest(write(tmp_path, "photos/x/a.png\nphotos/y/c.png\n")).ids) == [
        "photos/x/a.png", "photos/y/c.png",
    ]  # fmt: skip


ROWS = "x/a.png,dog\ny/c.png,Käse\n"


@pytest.mark.parametrize("text", [
    "# from the zoo\n# on Monday, in the rain\npath,label\n" + ROWS, "#x\n\n# y\n\nImage_Path,Label\n" + ROWS,
    "# from the zoo, in the rain\n" + ROWS, "# filename,breed\n" + ROWS, "#path,label\n" + ROWS,
    "sep=;\n# from the zoo; mostly\npath;label\n" + ROWS.replace(",", ";"),
    "# columns: a, b\r\npath,label\r\n" + ROWS.replace("\n", "\r\n"), "# x.\npath\tlabel\n" + ROWS.replace(",", "\t"),
])  # fmt: skip
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_remarks_above_the_table_are_left_out(tmp_path, photos, text, encoding):
    manifest = open_manifest(photos, labels=write(tmp_path, text, encoding=encoding))
    assert labels_of(manifest) == EXPECTED
    assert manifest.class_names == ("Käse", "dog") or manifest.class_names == ("dog", "Käse")


def test_remarks_count_in_the_lines_that_messages_name(tmp_path, photos):
    file = write(tmp_path, "# one\n# two\npath,label\nx/a.png,dog\nx/a.png,cat\n")
    with pytest.raises(LikewiseError, match=r"line 4 .* line 5"):
        open_manifest(photos, labels=file)


def test_a_name_that_begins_with_the_sign_of_remarks_is_a_row(tmp_path):
    photos = photo_folder(tmp_path / "photos", "#1.png", "b.png")
    file = write(tmp_path, "#1.png,dog\nb.png,cat\n")
    assert labels_of(open_manifest(photos, labels=file)) == {"#1.png": "dog", "b.png": "cat"}


def test_a_file_of_remarks_alone_is_refused(tmp_path, photos):
    with pytest.raises(LikewiseError, match="#"):
        open_manifest(photos, labels=write(tmp_path, "# one\n# two\n"))


@pytest.mark.parametrize(("name", "text", "labels"), [
    ("list.txt", "photos/x/a.png\nphotos/y/c.png\n", {}),
    ("train.txt", "photos/x/a.png 3\nphotos/y/c.png 4\n", {"photos/x/a.png": "3", "photos/y/c.png": "4"}),
    ("one.txt", "photos/x/a.png 3\n", {"photos/x/a.png": "3"}),
    ("train.lst", "photos/x/a.png\t3.0\nphotos/y/c.png\t4.0\n", {"photos/x/a.png": "3", "photos/y/c.png": "4"}),
])  # fmt: skip
def test_lists_of_paths_are_data(tmp_path, photos, name, text, labels):
    manifest = open_manifest(write(tmp_path, text, name))
    assert len(manifest) == text.count("\n")
    assert labels_of(manifest) == labels


def test_of_two_columns_of_one_name_the_remedy_can_be_typed(tmp_path, photos):
    file = write(tmp_path, "path,label,label\nx/a.png,dog,1\ny/c.png,cat,2\n")
    with pytest.raises(LikewiseError, match="--label-column 2"):
        open_manifest(photos, labels=file)
    taken = open_manifest(photos, labels=file, columns=ColumnNames(label="2"))
    assert labels_of(taken) == {"x/a.png": "dog", "y/c.png": "cat"}


@pytest.mark.parametrize("page", ["<!DOCTYPE html><p>404</p>", "\n<html>", "<?xml version='1.0'?>"])
def test_a_web_page_in_place_of_a_table_is_named_as_one(tmp_path, photos, page):
    with pytest.raises(LikewiseError, match="web page"):
        open_manifest(photos, labels=write(tmp_path, page))
