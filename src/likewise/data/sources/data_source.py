"""A source of data with the files that belong to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from likewise.data.columns.column_names import ColumnNames
from likewise.data.manifest import Manifest
from likewise.data.sources.label_file import is_label_file
from likewise.data.sources.open import open_manifest
from likewise.data.sources.shard_cache import ShardCache


class DataSource(NamedTuple):
    """The examples, and what else is to be read for them."""

    data: Any
    """any source"""
    labels: str
    """a CSV of paths and labels; a label budget is none, and the source's own labels are taken"""
    test_data: Any
    """a second source with the test examples; None: those of the source"""
    captions: str | Path | None
    """a CSV of paths and captions; None: the source's own"""
    columns: ColumnNames
    """the columns that were named, and what the labels are"""
    pixel_range: tuple[float, float] | None = None
    """values of deep pixels that become black and white; None: found in the set"""
    cache: ShardCache | None = None
    """where remote files are copied to; None: the usual folder"""

    def open(self) -> Manifest:
        """The examples of all of them."""
        labels = self.labels if is_label_file(self.labels) else None
        named = self.test_data, self.captions, self.columns, self.pixel_range
        return open_manifest(self.data, labels, *named, cache=self.cache)
