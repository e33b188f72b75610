"""What the fuzzer has found, each as the smallest damage that shows it; and a few of its cases."""

from __future__ import annotations

import gzip
import io
import struct

import pyarrow.parquet as pq
import pytest

from fuzz.reading import WrongPixels, check, read
from fuzz.run import make_case, read_case, read_whole
from fuzz.seeds import all_seeds, write
from likewise.data.sources.idx import read_idx
from likewise.data.sources.open import open_manifest
from likewise.errors import LikewiseError


@pytest.fixture(scope="module")
def seeds():
    return {seed.name: seed for seed in all_seeds()}


@pytest.mark.parametrize("column", ["label", "captions.list.element"])
def test_a_damaged_column_of_labels_or_captions_is_named_with_its_file(seeds, tmp_path, column):
    seed = seeds["Parquet files"]
    damaged = bytearray(seed.files["train-1.parquet"])
    group = pq.ParquetFile(io.BytesIO(damaged)).metadata.row_group(0)
    found = next(
        group.column(i)
        for i in range(group.num_columns)
        if group.column(i).path_in_schema == column
    )
    start = found.dictionary_page_offset or found.data_page_offset
    damaged[start : start + 24] = b"\xff" * 24
    write(seed, {**seed.files, "train-1.parquet": bytes(damaged)}, tmp_path)
    with pytest.raises(LikewiseError, match=rf"train-1\.parquet.*{column.partition('.')[0]}"):
        open_manifest(str(tmp_path))


def test_a_damaged_column_of_images_costs_its_rows_alone(seeds, tmp_path):
    seed = seeds["Parquet files"]
    damaged = bytearray(seed.files["train-1.parquet"])
    group = pq.ParquetFile(io.BytesIO(damaged)).metadata.row_group(1)
    start = group.column(0).data_page_offset
    damaged[start : start + 24] = b"\xff" * 24
    write(seed, {**seed.files, "train-1.parquet": bytes(damaged)}, tmp_path)
    skipped = [entry.id for entry in open_manifest(str(tmp_path)).skipped]
    assert skipped == [f"train-1.parquet/{row}" for row in (3, 4, 5)]


def test_a_video_whose_codec_is_not_known_is_named(seeds, tmp_path):
    seed = seeds["folder of videos"]
    damaged = seed.files["dog/1.mp4"].replace(b"mp4v", b"????")
    # The object type.
    damaged = damaged.replace(b"\x04\x80\x80\x80\x41\x20", b"\x04\x80\x80\x80\x41\xff")
    write(seed, {**seed.files, "dog/1.mp4": damaged}, tmp_path)
    assert [entry.id for entry in open_manifest(str(tmp_path)).skipped] == ["dog/1.mp4"]


def test_a_tiff_that_promises_more_than_memory_holds_is_named(seeds, tmp_path):
    seed = seeds["folder of TIFF of bands"]
    damaged = bytearray(seed.files["dog/1.tif"])
    width = damaged.index(struct.pack("<HHI", 256, 4, 1))  # the tag of the width, of type LONG
    damaged[width + 8 : width + 12] = struct.pack("<I", 2**31 - 1)
    write(seed, {**seed.files, "dog/1.tif": bytes(damaged)}, tmp_path)
    whole = read_whole([seed])[seed.name]
    found = read(tmp_path, seed.opened, None, None)
    check(found, whole, "dog/1.tif")
    assert set(found.named) == {"dog/1.tif"}


def test_a_damaged_stream_in_a_gzip_file_is_refused_by_name(tmp_path):
    content = bytearray(gzip.compress(bytes(100), mtime=0))
    content[10:14] = b"\x00\x01\x02\x03"
    (tmp_path / "x.gz").write_bytes(content)
    with pytest.raises(LikewiseError, match=r"x\.gz"):
        read_idx(tmp_path / "x.gz")


def test_the_fuzzer_would_see_another_pictures_pixels(seeds, tmp_path):
    seed = seeds["folder of PNG"]
    whole = read_whole([seed])[seed.name]
    write(seed, {**seed.files, "cat/0.png": seed.files["dog/1.png"]}, tmp_path)
    found = read(tmp_path, seed.opened, None, None)
    with pytest.raises(WrongPixels, match=r"cat/0\.png"):
        check(found, whole, "cat/0.png")
    lost = found._replace(pixels={name: found.pixels[name] for name in ("dog/1.png", "cat/2.png")})
    with pytest.raises(WrongPixels, match=r"dog/3\.png"):
        check(lost, whole, "cat/0.png")


@pytest.mark.parametrize(
    ("first", "count"), [(0, 26), pytest.param(1000, 1500, marks=pytest.mark.slow)]
)
def test_damaged_inputs_are_read_named_or_refused(seeds, first, count):
    listed, readings = list(seeds.values()), read_whole(list(seeds.values()))
    outcomes = set()
    for number in range(first, first + count):
        case = make_case(number, listed)
        outcomes.add(read_case(case, readings[case.seed.name]))
    assert {"named", "refused"} <= outcomes <= {"read", "named", "refused"}
