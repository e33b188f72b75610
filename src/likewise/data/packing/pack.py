"""Writes a set of images as shards, and reads them back to see that they hold the same set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from likewise.data.columns.column_names import ColumnNames, MissingLabels
from likewise.data.columns.targets import Task
from likewise.data.left_out import MAX_BAD, require_all_read
from likewise.data.manifest import SPLITS, Manifest
from likewise.data.packing.pack_facts import PackFacts, require_held
from likewise.data.packing.pack_journal import MANIFEST, identity_of, open_journal
from likewise.data.packing.packer import SHARD_SIZE, Packer, PackSettings
from likewise.data.packing.read_back import require_same, require_whole
from likewise.data.packing.shard_writers import HELD, SUFFIX, ShardFormat
from likewise.data.sources.open import open_manifest
from likewise.data.sources.shard_index import INDEX_FORMAT
from likewise.errors import LikewiseError
from likewise.field_types import SEED, checked_arguments


class PackedSet(NamedTuple):
    """What was written."""

    folder: Path
    shards: int
    images: int
    left_out: dict[str, str]
    """ids of files that cannot be read, each with the reason"""


@checked_arguments(shuffle=SEED)
def pack(
    data: Any,
    out: str | Path,
    to: ShardFormat = "wds",
    shard_size: int = SHARD_SIZE,
    labels: Any = None,
    captions: str | Path | None = None,
    test_data: Any = None,
    task: Task = "classification",
    label_column: str | None = None,
    group_column: str | None = None,
    path_column: str | None = None,
    caption_column: str | None = None,
    missing_labels: MissingLabels = "unlabelled",
    shuffle: int | None = None,
    max_bad: float = MAX_BAD,
    strict: bool = False,
) -> PackedSet:
    """Write a set of image files as shards: tar archives (WebDataset) or Parquet files.

    The files' bytes are taken as they are. Ids, classes, splits, captions, groups and targets go with them:
    ``likewise.train(out)`` sees the same examples, and with a label budget the same labels, as with ``data``.
    Every shard is read back before it counts as finished; an interrupted call goes on where it was stopped. The same
    set gives the same files, byte for byte. ``manifest.json`` lists the shards with their
    SHA-256, and next to each shard lies its index, by which training from a URL begins without reading the shard.

    Args:
        data: a folder, or any source of encoded images that `likewise.train` takes; not arrays.
        out: folder for the shards; one that holds something else is refused.
        to: ``wds`` or ``parquet``.
        shard_size: megabytes (10^6 bytes) of image files in a shard.
        labels: a CSV of image_path,label; None: as the source has them.
        captions: a CSV of image_path,caption.
        test_data: a second source with the test images.
        task: what labels are: one class, several (``multilabel``), or numbers (``regression``).
        label_column: the column of a CSV or of Parquet files that holds the labels.
        group_column: the column of a CSV or of Parquet files that says which rows belong together.
        path_column: the column of a CSV that holds the paths of the images.
        caption_column: the column of a CSV that holds the captions.
        missing_labels: what NaN, NA, N/A, None and null mean as a label: ``unlabelled``, or a ``class`` of that name.
        shuffle: seed of the order of the examples in the shards; None: as in the source, so that training on the
            shards is training on the source bit for bit. Shards that are streamed in order should be shuffled.
        max_bad: share of the files, 0 to 1, that may be unreadable and are left out.
        strict: end with an error, once all is written, if a file was left out.

    Raises:
        LikewiseError: there is nothing to pack, it has something that shards do not hold, or ``out`` is not empty.
        FilesLeftOut: more files cannot be read than ``max_bad`` allows, or any with ``strict``.
    """
    columns = ColumnNames(
        label_column, group_column, task, path_column, caption_column, missing_labels
    )
    settings = checked(PackSettings(to, shard_size, shuffle, max_bad))
    manifest = open_manifest(data, labels, test_data, captions, columns, allow_mixed=True)
    return pack_manifest(manifest, Path(out), settings, strict)


def checked(settings: PackSettings) -> PackSettings:
    """The settings, if they can be used.

    Raises:
        LikewiseError: one of them is out of range.
    """
    if settings.to not in SUFFIX:
        raise LikewiseError(f"--to {settings.to} was given; allowed: {', '.join(SUFFIX)}.")
    if settings.shard_size < 1:
        raise LikewiseError(
            f"--shard-size {settings.shard_size} was given; give 1 megabyte or more, for instance 256."
        )
    if not 0 <= settings.max_bad <= 1:
        raise LikewiseError(
            f"--max-bad {settings.max_bad:g} was given; it is a share of the files, 0 to 1."
        )
    return settings


def pack_manifest(
    manifest: Manifest, out: Path, settings: PackSettings, strict: bool = False
) -> PackedSet:
    """Write the examples of a manifest as shards; see `pack`."""
    facts = PackFacts.of(manifest)
    require_held(facts, HELD[settings.to], manifest.source)
    identity = identity_of(manifest, facts, (*settings[:-1], INDEX_FORMAT))
    done = _finished(out, identity)
    if done is None:
        with open_journal(out, identity) as journal:
            packer = Packer(manifest, facts, settings, journal)
            for split in _splits(manifest):
                packer.pack_split(split)
            require_same(
                manifest, {name for shard in journal.shards for name in shard.left_out}, out
            )
            journal.write_manifest(facts, identity)
        done = _finished(out, identity)
        assert done is not None
    packed = done._replace(left_out={**manifest.left_out, **done.left_out})
    if strict:
        require_all_read(packed.left_out)
    return packed


def _finished(out: Path, identity: str) -> PackedSet | None:
    """What a folder holds if it is packed already; None if it is not.

    Raises:
        LikewiseError: it holds the shards of something else.
    """
    file = out / MANIFEST
    if not file.exists():
        return None
    content = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or content.get("identity") != identity:
        raise LikewiseError(
            f"{out} holds shards of other images, or of other options. Choose another --out."
        )
    for shard in content["shards"]:
        require_whole(out, shard["name"], shard["sha256"], shard["index_sha256"])
    return PackedSet(out, len(content["shards"]), content["images"], content["left_out"])


def _splits(manifest: Manifest) -> list[str]:
    found = set(manifest.splits.tolist())
    return [name for name in SPLITS if name in found]
