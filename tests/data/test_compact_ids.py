"""What is known of very many images takes a few bytes for each."""

from __future__ import annotations

import gc
import pickle
import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.pictures import photo_folder
from data.test_webdataset import write_tar
from likewise.data.compact_ids import RowIds, StoredIds, take_ids
from likewise.data.sharded_pixels import read_in_order
from likewise.data.sources import shards
from likewise.data.sources.header_scan import Header
from likewise.data.sources.open import open_manifest

TEXTS = ["a/0.png", "", "größer.png", "cat/\udcff.png"]
WRITTEN = ["a/0.png", "", "größer.png", "cat/\\xff.png"]


@pytest.mark.parametrize(
    ("ids", "wanted"),
    [
        (StoredIds(TEXTS), WRITTEN),
        (
            RowIds(["a.parquet", "b"], np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])),
            ["a.parquet/0", "a.parquet/1", "b/0", "b/1"],
        ),
    ],
)
def test_texts_are_those_that_were_given(ids, wanted):
    assert list(ids) == wanted and ids[-1] == wanted[-1] and ids[1:3] == wanted[1:3]
    assert list(pickle.loads(pickle.dumps(ids))) == wanted
    assert list(take_ids(ids, np.array([3, 0]))) == [wanted[3], wanted[0]]
    assert list(take_ids(wanted, np.array([3, 0]))) == [wanted[3], wanted[0]]
    with pytest.raises(IndexError):
        ids[4]


def table(folder, count):
    """A Parquet file of so many images, of which the first is all."""
    folder.mkdir()
    (content,) = (path.read_bytes() for path in photo_folder(folder / "one", "0.png").iterdir())
    cells = [{"bytes": content, "path": None}] * count
    file = folder / "train.parquet"
    labels = [number % 3 for number in range(count)]
    pq.write_table(pa.table({"image": cells, "label": labels}), file, row_group_size=500)
    return file


def archive(folder, count):
    """An archive of so many files, whose headers are not looked at."""
    return write_tar(folder / "train.tar", [(f"{number:06}.png", b"?") for number in range(count)])


@pytest.mark.parametrize(("make", "most"), [(table, 80), (archive, 135)])
def test_a_manifest_of_shards_holds_a_few_bytes_an_image(tmp_path, monkeypatch, make, most):
    # One process, so that all memory is counted.
    monkeypatch.setattr(shards, "read_header", lambda content: Header(8, 8, "RGB"))
    monkeypatch.setattr("likewise.data.parallel_map.ROWS_WORTH_PROCESSES", 10**9)
    held = []
    for count in (499, 500, 2500):
        file = make(tmp_path / str(count), count)
        tracemalloc.start()
        manifest = open_manifest(file)
        gc.collect()
        held.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
        assert len(manifest) == count and manifest.ids[-1].endswith(f"{count - 1}")
    assert (held[2] - held[1]) / 2000 < most, held


def test_rows_that_are_read_in_order_are_not_kept(tmp_path, monkeypatch):
    manifest = open_manifest(table(tmp_path / "set", 2000))
    groups = manifest.pixels.groups
    assert len(groups._cache) == 4
    monkeypatch.setattr("likewise.data.sources.parquet_pixels.IN_ORDER_BYTES", 1)
    read_in_order(manifest.pixels)
    for row in range(0, 2000, 250):
        manifest.pixels.read(row)
        assert len(groups._cache) == 1
