"""One shard on this machine as it is read from a URL: by its index."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from likewise.data.columns.column_names import USUAL_COLUMNS
from likewise.data.columns.parquet_reader import ParquetReader
from likewise.data.manifest import Manifest
from likewise.data.sources import parquet, webdataset
from likewise.data.sources.parquet_pixels import ParquetPixels
from likewise.data.sources.shard_files import LocalShards
from likewise.data.sources.shard_index import ShardIndex, index_of_archive, read_index
from likewise.data.sources.shards import with_headers


def opened_by_index(file: Path, name: str) -> tuple[Manifest | None, ShardIndex]:
    """A shard's examples, None where it has none, and its index.

    Args:
        file: a tar archive or a Parquet file.
        name: what ids begin with.

    Raises:
        LikewiseError: it cannot be read.
    """
    files = LocalShards([file])
    if file.suffix == ".tar":
        # Through its text, as it will come from a file.
        index = read_index(index_of_archive(files, 0, name).as_text(), name)
        if not index.images or index.shard is None:
            return None, index
        whole, _ = webdataset.manifest_of([index.shard], files, [name], name)
    else:
        with files.open(0) as stream:
            reader = ParquetReader(stream, name)
            whole = parquet.manifest_of([reader], files, [name], name, USUAL_COLUMNS)
        assert isinstance(whole.pixels, ParquetPixels)
        index = ShardIndex(parquet.headers_of_rows(whole.pixels, np.arange(len(whole))))
        if not index.images:
            return None, index
    return with_headers(whole, np.arange(len(whole)), index.headers), index
