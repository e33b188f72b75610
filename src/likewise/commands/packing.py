"""A set of image files as a few large ones: pack."""

from __future__ import annotations

from dataclasses import dataclass

from likewise.commands.words import DataArgument, parse, say_skipped
from likewise.counts import amount
from likewise.data.columns.column_names import MissingLabels
from likewise.data.columns.targets import Task
from likewise.data.left_out import MAX_BAD
from likewise.data.packing.pack import pack as pack_data
from likewise.data.packing.packer import SHARD_SIZE
from likewise.data.packing.shard_writers import ShardFormat


@dataclass(frozen=True)
class Pack:
    """Image files to a few large files, shards, which train reads in their place with the same ids and labels.

    The same command goes on with packing that was stopped. Bytes of images stay as they are.
    """

    data: DataArgument
    """folder of images, or any source of image files"""
    out: str
    """folder for the shards and their manifest.json; it must be empty or unfinished"""
    to: ShardFormat = "wds"
    """wds: tar archives as WebDataset has them; parquet: Parquet files as Hugging Face has them"""
    shard_size: int = SHARD_SIZE
    """megabytes (10^6 bytes) of image files in a shard"""
    labels: str | None = None
    """paths and labels as CSV, JSON lines or Parquet; default: as the source has them"""
    captions: str | None = None
    """a CSV of image_path,caption; default: as the source has them"""
    test_data: str | None = None
    """a second data source with the test images"""
    task: Task = "classification"
    """what labels are: one class an image, any number of classes, or numbers"""
    path_column: str | None = None
    """column of a CSV that holds the paths of the images"""
    label_column: str | None = None
    """column of a CSV or of Parquet files that holds the labels"""
    caption_column: str | None = None
    """column of a CSV that holds the captions"""
    group_column: str | None = None
    """column of a CSV or of Parquet files that says which rows belong together"""
    missing_labels: MissingLabels = "unlabelled"
    """what NaN, NA, N/A, None and null mean as a label: unlabelled, or a class of that name"""
    shuffle: int | None = None
    """seed of the order of the images in the shards, for shards that are streamed; default: the order of DATA"""
    max_bad: float = MAX_BAD
    """share of the files, 0 to 1, that may be unreadable and are left out; packing stops above it"""
    strict: bool = False
    """end with code 1 where files could not be read; the others are packed all the same"""


def pack(words: list[str]) -> None:
    """``likewise pack FOLDER --to wds --out SHARDS``."""
    given = dict(vars(parse(Pack, words, "likewise pack")))
    strict = given.pop("strict")
    packed = pack_data(**given)
    print(
        f"{amount(packed.images, 'image')} -> {amount(packed.shards, 'shard')} in {packed.folder}, "
        f"read back and compared"
    )
    say_skipped(packed.left_out, "could not be read, so they are in no shard", strict)
