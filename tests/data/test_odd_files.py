"""Files that are no images, or hold no pixels: what is said of each is its own reason, in one line."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tifffile
import torch

from data.pictures import photo_folder, picture
from likewise.data.decode_file import UnreadableImage, reason_of
from likewise.data.open_images import open_images
from likewise.data.sources.open import open_manifest
from likewise.errors import LikewiseError
from likewise.vectors import Vectors


def test_a_reason_is_one_line_even_where_a_decoder_breaks_it():
    assert reason_of(ValueError("box out of bounds\n at 378\n")) == "box out of bounds at 378"


def test_a_link_to_itself_is_named_as_one(tmp_path):
    photo_folder(tmp_path, "a.png")
    os.symlink("round.png", tmp_path / "round.png")
    (skipped,) = open_manifest(tmp_path).skipped
    assert "Errno" not in skipped.reason and "link" in skipped.reason


@pytest.mark.parametrize("memory_limit", [None, 0])
def test_the_reason_does_not_repeat_the_path(tmp_path, memory_limit):
    photo_folder(tmp_path, "x/a.png", "x/b.png")
    content = bytearray((tmp_path / "x" / "b.png").read_bytes())
    middle = len(content) // 2
    content[middle : middle + 60] = bytes(60)
    (tmp_path / "x" / "b.png").write_bytes(content)
    limit = {} if memory_limit is None else {"memory_limit": memory_limit}
    images = open_images(open_manifest(tmp_path), **limit)
    images.readable(torch.arange(2))
    assert list(images.unreadable) == ["x/b.png"]
    assert "b.png" not in images.unreadable["x/b.png"]


def test_an_image_of_which_no_pixel_is_a_number_is_not_read(tmp_path):
    values = np.random.default_rng(0).normal(0, 9, (4, 8, 8)).astype(np.float32)
    values[1], values[2], values[3, :2] = np.nan, -np.inf, np.nan
    for number, each in enumerate(values):
        tifffile.imwrite(tmp_path / f"{number}.tif", each)
    images = open_images(open_manifest(tmp_path))
    assert images.readable(torch.arange(4)).positions.tolist() == [0, 3]
    assert set(images.unreadable) == {"1.tif", "2.tif"}


def test_a_pipe_is_named_as_one(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(LikewiseError, match="pipe"):
        open_manifest(tmp_path / "a.png")


def test_vectors_are_no_images(tmp_path):
    vectors = Vectors(["a.png"], [""], torch.ones(1, 3), None, "hash", {})
    vectors.save(tmp_path / "v.parquet")
    for data in (tmp_path / "v.parquet", tmp_path):
        with pytest.raises(LikewiseError, match=r"vectors.*likewise search.*likewise predict"):
            open_manifest(data)


def test_unreadable_metadata_of_a_readable_image_is_no_warning(tmp_path):
    picture().save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    code = "import sys; from likewise.data.sources.open import open_manifest as o; o(sys.argv[1])"
    read = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert read.stderr == ""


def test_a_reason_without_a_path_stays_as_it_is():
    assert UnreadableImage("more than 8: levels").reason("a.png") == "more than 8: levels"
    assert UnreadableImage("/x/a.png: cut short").reason("a.png") == "cut short"
