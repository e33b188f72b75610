"""Images in tar archives as WebDataset has them: files that share a name but for its ending are one example.

The convention is that of https://github.com/webdataset/webdataset and, for captions and class numbers,
https://huggingface.co/docs/hub/datasets-webdataset.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from likewise.counts import amount
from likewise.data.columns.captions import CAPTIONS, Captions
from likewise.data.columns.column import Column
from likewise.data.columns.column_names import MissingLabels
from likewise.data.columns.groups import GROUP
from likewise.data.columns.targets import TARGETS
from likewise.data.compact_ids import StoredIds
from likewise.data.manifest import Manifest
from likewise.data.packing.pack_facts import ID, PackFacts, common_facts
from likewise.data.pixel_source import Headers
from likewise.data.sources.read_labels import read_labels
from likewise.data.sources.shard_files import LocalShards, ShardFiles
from likewise.data.sources.shards import FIRST, LARGE, is_large, scan_headers, shard_names, split_of
from likewise.data.sources.tar_examples import CLASS, RECORD, Shard, open_shard
from likewise.data.sources.tar_members import TarPixels
from likewise.data.sources.usual_label_column import LABEL_COLUMNS
from likewise.data.video.video_decoding import SUFFIXES as VIDEO_SUFFIXES
from likewise.errors import LikewiseError


def open_webdataset(
    files: Sequence[Path], source: str, missing: MissingLabels = "unlabelled"
) -> Manifest:
    """The images, or the videos, of one or several tar archives, with their captions and classes.

    ``key.jpg`` (or any other ending of an image or video), and next to it ``key.txt``, a caption; ``key.json``, an
    object with ``caption`` (or as a column of Parquet files may be called), one or a list; ``key.cls``, a class. The
    key ends at the first dot behind the last slash. An image needs none of these; what has no image is skipped.

    A split is read off an archive's name, as of Parquet files; an id is ``train-00000.tar/key``, or as the set had it
    that ``likewise pack`` wrote into the archives. Pixels stay in the archives until they are requested.

    Raises:
        LikewiseError: a file is no tar archive, holds no image, or there are images and videos.
    """
    paths, names = LocalShards(files), shard_names(files)
    shards = [open_shard(paths, number, name) for number, name in enumerate(names)]
    whole, shard_of = manifest_of(shards, paths, names, source, missing)
    large = is_large(files)
    pixels = whole.pixels
    assert isinstance(pixels, TarPixels)
    if large:
        whole = replace(whole, notes=(*whole.notes, LARGE))
    return scan_headers(whole, _rows_to_scan(shard_of, large), pixels.content)


def manifest_of(
    shards: Sequence[Shard],
    files: ShardFiles,
    names: Sequence[str],
    source: str,
    missing: MissingLabels = "unlabelled",
) -> tuple[Manifest, np.ndarray]:
    """The examples of all archives, their headers not read yet.

    Args:
        shards: what each holds.
        files: the archives.
        names: what the ids of each begin with; its split is read off it.
        source: what to call them all.
        missing: what NaN, NA, N/A, None and null mean in a file of a class.

    Returns:
        The manifest, and int64 [N], the number of each example's archive.

    Raises:
        LikewiseError: there is no image, or there are images and videos.
    """
    found = [(number, example) for number, shard in enumerate(shards) for example in shard.examples]
    unread = sum((shard.unread for shard in shards), Counter[str]())
    if not found:
        raise LikewiseError(_nothing_found(source, unread))
    _refuse_both_kinds(source, [example.member.name for _, example in found])
    facts = common_facts(
        [shard.facts for shard in shards], [files.name(number) for number in range(len(files))]
    )
    known_names = facts.class_names if facts is not None else ()
    listed = [example.label for _, example in found]
    labels = read_labels(listed, f"{source}, files .{CLASS}", known_names, missing=missing)
    records = [example.record for _, example in found]
    columns = _columns(records, facts)
    captions = Captions.of([example.captions for _, example in found])
    if captions.present().any():
        columns = {CAPTIONS: captions, **columns}
    places = [(number, *example.member[1:]) for number, example in found]
    locations = np.array(places, dtype=np.int64)
    shard_of = locations[:, 0]
    members = StoredIds(example.member.name for _, example in found)
    usual_ids = (f"{names[number]}/{example.key}" for number, example in found)
    label_notes = _label_notes(listed, records, [example.key for _, example in found])
    manifest = Manifest(
        source=source,
        pixels=TarPixels(files, locations, members, Headers.unread(len(found))),
        labels=labels.numbers,
        splits=np.array([split_of(name) for name in names])[shard_of],
        ids=_ids(usual_ids, records, facts),
        class_names=labels.class_names,
        skipped=tuple(chain.from_iterable(shard.skipped for shard in shards)),
        notes=(*_notes(names, shards, unread), *label_notes, *labels.notes),
        columns=columns,
    )
    return manifest, shard_of


def _ids(
    usual: Iterable[str], records: Sequence[Mapping[str, Any]], facts: PackFacts | None
) -> StoredIds:
    """The ids of examples; those of a packed set are in its records."""
    if facts is None:
        return StoredIds(usual)
    return StoredIds(str(record.get(ID, name)) for name, record in zip(usual, records, strict=True))


def _columns(records: Sequence[Mapping[str, Any]], facts: PackFacts | None) -> dict[str, Column]:
    """The groups and targets of a packed set."""
    if facts is None:
        return {}
    return facts.read_columns(
        [record.get(TARGETS) for record in records], [record.get(GROUP) for record in records]
    )


def _rows_to_scan(shard: np.ndarray, large: bool) -> np.ndarray:
    """Positions of the examples whose headers are read before step 0, from the archive of each."""
    if not large:
        return np.arange(len(shard))
    return np.concatenate([np.flatnonzero(shard == number)[:FIRST] for number in np.unique(shard)])


def _notes(names: Sequence[str], shards: Sequence[Shard], unread: Counter[str]) -> Iterator[str]:
    for name, shard in zip(names, shards, strict=True):
        if shard.damage:
            yield f"{name} is damaged ({shard.damage}): what comes before that is used"
    if unread:
        yield f"files that are not read: {_counted(unread)}"


def _label_notes(
    labels: Sequence[Any], records: Sequence[Mapping[str, Any]], keys: Sequence[str]
) -> list[str]:
    """A note where no example has a class, and their JSON or their folders could be it."""
    if any(label is not None for label in labels):
        return []
    named = Counter(name for record in records for name in record if name in LABEL_COLUMNS)
    if named:
        name, count = named.most_common(1)[0]
        return [
            f"nothing is labelled: {name!r}, which {amount(count, 'file')} .{RECORD} have, is not read; a label is a "
            f"file key.{CLASS}"
        ]
    folders = {key.rpartition("/")[0] for key in keys}
    if len(folders) < 2 or "" in folders:
        return []
    return [
        f"nothing is labelled: folders in an archive ({', '.join(sorted(folders)[:3])}) are no classes; a label is a "
        f"file key.{CLASS}, as likewise pack writes it"
    ]


def _counted(endings: Counter[str]) -> str:
    most = [
        f"{count:,} {'.' + ending if ending else 'without an ending'}"
        for ending, count in endings.most_common(5)
    ]
    return ", ".join(most) + (" and others" if len(endings) > 5 else "")


def _refuse_both_kinds(source: str, names: Sequence[str]) -> None:
    videos = [name for name in names if Path(name).suffix.lower() in VIDEO_SUFFIXES]
    if 0 < len(videos) < len(names):
        image = next(name for name in names if Path(name).suffix.lower() not in VIDEO_SUFFIXES)
        raise LikewiseError(
            f"{source} holds {amount(len(names) - len(videos), 'image')} ({image}, ...) and "
            f"{amount(len(videos), 'video')} ({videos[0]}, ...). Give archives of one kind."
        )


def _nothing_found(source: str, unread: Counter[str]) -> str:
    found = f"what it holds: {_counted(unread)}" if unread else "there is no example in it"
    return (
        f"{source} holds no image: {found}. An example is key.jpg (or .png, .webp, .mp4, ...), next to it key.txt, "
        f"key.json or key.cls; the key ends at the first dot."
    )
