"""Sets of tar archives or Parquet files at URLs, read through a cache of whole files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from likewise.data.columns.column_names import USUAL_COLUMNS, ColumnNames
from likewise.data.manifest import Manifest
from likewise.data.sources.remote_tars import open_remote_tars
from likewise.data.sources.shard_cache import ShardCache
from likewise.data.sources.shard_index import SUFFIX as INDEX_SUFFIX
from likewise.data.sources.shard_manifest import with_manifests
from likewise.data.sources.urls import RemoteFile, expand, look_up
from likewise.errors import LikewiseError

SUFFIXES = (".tar", ".parquet")


def open_remote(
    patterns: Sequence[str],
    source: str,
    columns: ColumnNames = USUAL_COLUMNS,
    cache: ShardCache | None = None,
) -> Manifest:
    """The images of tar archives (WebDataset) or Parquet files at URLs.

    What is known of a local set is known of a remote one before step 0: every example's place, label and caption. So
    label budgets, splits, ranks and resumed runs are the same. The files themselves are copied whole, when they are
    needed, to a cache of a limited size.

    Args:
        patterns: URLs, with braces and stars, or of folders.
        source: what to call them all.
        columns: which columns of Parquet files hold what.
        cache: where the copies lie; None: the usual folder.

    Raises:
        LikewiseError: nothing is there, files are missing or of both kinds, or cannot be read.
    """
    urls = [url for pattern in patterns for url in expand(pattern, SUFFIXES)]
    # A star may name what lies next to the shards.
    files = with_manifests(
        look_up([url for url in urls if not url.endswith(INDEX_SUFFIX)]), patterns
    )
    names, cache = _names(files), cache or ShardCache.of()
    kinds = {PurePosixPath(file.name).suffix.lower() for file in files}
    if kinds == {".tar"}:
        columns.refuse(source)
        return open_remote_tars(files, names, source, cache, columns.missing_labels)
    if kinds == {".parquet"}:
        # Pyarrow is slow to import.
        from likewise.data.sources.remote_parquet import open_remote_parquet

        return open_remote_parquet(files, names, source, columns, cache)
    raise LikewiseError(
        f"{source} names files that end in {', '.join(sorted(kinds))}. Give URLs of .tar files or of .parquet files, "
        f"not of both; single images are read from a folder on this machine."
    )


def _names(files: Sequence[RemoteFile]) -> list[str]:
    """Names that differ from each other: without their folders, where that is enough."""
    names = [file.name for file in files]
    return (
        names
        if len(set(names)) == len(names)
        else [urlsplit(file.url).path.lstrip("/") for file in files]
    )
