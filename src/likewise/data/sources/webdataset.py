"""Images in tar archives as WebDataset has them: files that share a name but for its ending are one example.

The convention is that of https://github.com/webdataset/webdataset and, for captions and class numbers,
https://huggingface.co/docs/hub/datasets-webdataset.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from likewise.counts import amount
from likewise.data.columns.captions import CAPTIONS, COLUMN_NAMES, Captions
from likewise.data.columns.column import Column
from likewise.data.columns.column_names import MissingLabels
from likewise.data.columns.groups import GROUP
from likewise.data.columns.targets import TARGETS
from likewise.data.compact_ids import StoredIds
from likewise.data.left_out import Skipped
from likewise.data.manifest import Manifest
from likewise.data.packing.pack_facts import ID, TAR_MEMBER, PackFacts, common_facts
from likewise.data.pixel_source import Headers
from likewise.data.sources.file_listing import SUFFIXES as IMAGE_SUFFIXES
from likewise.data.sources.read_labels import read_labels
from likewise.data.sources.shard_files import LocalShards, ShardFiles
from likewise.data.sources.shards import FIRST, LARGE, is_large, scan_headers, shard_names, split_of
from likewise.data.sources.tar_members import Listing, Member, TarPixels, list_members, read_at
from likewise.data.sources.usual_label_column import LABEL_COLUMNS
from likewise.data.video.video_decoding import SUFFIXES as VIDEO_SUFFIXES
from likewise.errors import LikewiseError

DOTTED = "a dot stands in its name before its ending, and an example's name ends at the first dot"
"""Why an image such as 22.05.jpg is no example."""

TEXT, RECORD, CLASS = "txt", "json", "cls"
"""Endings of files next to an image: a caption; an object with a caption or several; a class, by number or name."""


class Example(NamedTuple):
    """One image or video, and its captions and class."""

    key: str
    """its name up to the first dot"""
    member: Member
    captions: tuple[Any, ...]
    label: int | str | None
    record: Mapping[str, Any]
    """what its JSON file says"""


class Shard(NamedTuple):
    """What one archive holds."""

    examples: list[Example]
    skipped: list[Skipped]
    unread: Counter[str]
    """how many files of each other ending it has"""
    damage: str
    facts: PackFacts | None
    """what it says about its set, where `likewise.data.packing.pack.pack` wrote it"""


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
    whole = replace(whole, notes=(*whole.notes, LARGE)) if large else whole
    return scan_headers(whole, _rows_to_scan(shard_of, large), pixels.content)


def open_shard(files: ShardFiles, number: int, name: str) -> Shard:
    """What one archive holds.

    Args:
        files: the archives.
        number: which of them.
        name: what ids begin with.

    Raises:
        LikewiseError: it cannot be read, or is no tar archive.
    """
    try:
        with files.open(number) as stream:
            return _read_shard(stream, name, files.name(number))
    except OSError as error:
        raise LikewiseError(f"{files.name(number)} cannot be read: {error}.") from error


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
    captions = Captions.of([example.captions for _, example in found])
    locations = np.array(
        [(number, *example.member[1:]) for number, example in found], dtype=np.int64
    )
    members = StoredIds(example.member.name for _, example in found)
    headers = Headers.unread(len(found))
    shard_of = locations[:, 0]
    records = [example.record for _, example in found]
    manifest = Manifest(
        source=source,
        pixels=TarPixels(files, locations, members, headers),
        labels=labels.numbers,
        splits=np.array([split_of(name) for name in names])[shard_of],
        ids=_ids((f"{names[number]}/{example.key}" for number, example in found), records, facts),
        class_names=labels.class_names,
        skipped=tuple(chain.from_iterable(shard.skipped for shard in shards)),
        notes=(
            *_notes(names, shards, unread),
            *_label_notes(listed, records, [example.key for _, example in found]),
            *labels.notes,
        ),
        columns={
            **({CAPTIONS: captions} if captions.present().any() else {}),
            **_columns(records, facts),
        },
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


def key_and_ending(name: str) -> tuple[str, str] | None:
    """A file's key and its ending in small letters: ``a/b.seg.PNG`` -> ``a/b``, ``seg.png``.

    None where it has no such parts, or is marked as no example by underscores (``__info__``).
    """
    folder, slash, file = name.removeprefix("./").rpartition("/")
    start, dot, ending = file.partition(".")
    marked = any(
        part.startswith("__") and part.endswith("__")
        for part in (*folder.split("/"), start)
        if part
    )
    return (f"{folder}{slash}{start}", ending.lower()) if start and dot and not marked else None


def _read_shard(stream: BinaryIO, name: str, called: str) -> Shard:
    listing = list_members(stream, called)
    grouped, skipped, unread = _grouped(listing, name)
    examples = []
    skipped += [Skipped(f"{name}/{file}", DOTTED) for file in _dotted_images(listing, grouped)]
    for key, members in grouped.items():
        found_image = next(
            (member for ending, member in members.items() if _is_image(ending)), None
        )
        if found_image is None:
            skipped.append(
                Skipped(
                    f"{name}/{key}",
                    f"no image next to its {', '.join('.' + e for e in members)}",
                    False,
                )
            )
            continue
        unread.update(
            ending
            for ending, member in members.items()
            if _is_image(ending) and member is not found_image
        )
        texts = {}
        for ending, member in members.items():
            if ending in (TEXT, RECORD, CLASS):
                texts[ending] = read_at(stream, member.offset, member.size)
        examples.append(Example(key, found_image, *_read_texts(texts, f"{name}/{key}", skipped)))
    return Shard(examples, skipped, unread, listing.damage, _facts(stream, called, listing))


def _facts(stream: BinaryIO, called: str, listing: Listing) -> PackFacts | None:
    """What an archive says about its set, in its first file; None where that is an example."""
    first = listing.members[0] if listing.members else None
    if first is None or first.name != TAR_MEMBER:
        return None
    return PackFacts.of_json(read_at(stream, first.offset, first.size), called)


def _grouped(
    listing: Listing, name: str
) -> tuple[dict[str, dict[str, Member]], list[Skipped], Counter[str]]:
    """By key and ending what is read here; what is not whole; and how many files of other endings there are."""
    skipped = [
        Skipped(f"{name}/{member}", "a link, or not all there") for member in listing.left_out
    ]
    grouped, unread = dict[str, dict[str, Member]](), Counter[str]()
    for member in listing.members:
        key, ending = key_and_ending(member.name) or ("", "")
        if member.name == TAR_MEMBER:
            continue
        if not (_is_image(ending) or ending in (TEXT, RECORD, CLASS)):
            unread[ending] += 1
        elif ending in grouped.setdefault(key, {}):
            skipped.append(
                Skipped(f"{name}/{member.name}", "there is another of that name before it", False)
            )
        else:
            grouped[key][ending] = member
    return grouped, skipped, unread


def _dotted_images(listing: Listing, grouped: Mapping[str, Mapping[str, Member]]) -> list[str]:
    """Images with a dot in their names, where they do not belong to another: a.seg.png is one of the files of a.jpg."""
    dotted = []
    for member in listing.members:
        key, ending = key_and_ending(member.name) or ("", "")
        is_dotted = not _is_image(ending) and _is_image(ending.rpartition(".")[2])
        if is_dotted and not any(map(_is_image, grouped.get(key, ()))):
            dotted.append(member.name)
    return dotted


def _is_image(ending: str) -> bool:
    return f".{ending}" in IMAGE_SUFFIXES or f".{ending}" in VIDEO_SUFFIXES


def _read_texts(
    texts: Mapping[str, bytes], name: str, skipped: list[Skipped]
) -> tuple[tuple[Any, ...], Any, Mapping[str, Any]]:
    """Captions, each once, the label, and the record. What cannot be read is skipped, with its reason."""
    captions, label, record = list[Any](), None, dict[str, Any]()
    for ending, content in texts.items():
        try:
            text = content.decode("utf-8-sig").strip()
            if ending == CLASS:
                label = int(text) if text.removeprefix("-").isdecimal() else text
            elif ending == TEXT:
                captions.append(text)
            else:
                found = json.loads(text)
                record = found if isinstance(found, dict) else {}
                captions += _captions_of(record)
        except ValueError as error:  # of which the decoding errors of UTF-8 and of JSON are kinds
            skipped.append(Skipped(f"{name}.{ending}", f"cannot be read: {error}"))
    return (
        tuple(dict.fromkeys(caption for caption in captions if isinstance(caption, str))),
        label,
        record,
    )


def _captions_of(record: Mapping[str, Any]) -> list[Any]:
    """The captions in a JSON file; none where it is about something else."""
    given = (record[name] for name in COLUMN_NAMES if record.get(name))
    first = next(iter(given), [])
    return first if isinstance(first, list) else [first]


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
