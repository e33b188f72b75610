"""The examples of one tar archive: files that share a name but for its ending."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any, BinaryIO, NamedTuple

from likewise.data.columns.captions import COLUMN_NAMES
from likewise.data.left_out import Skipped
from likewise.data.packing.pack_facts import TAR_MEMBER, PackFacts
from likewise.data.sources.file_listing import SUFFIXES as IMAGE_SUFFIXES
from likewise.data.sources.shard_files import ShardFiles
from likewise.data.sources.tar_members import Listing, Member, list_members, read_at
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


def key_and_ending(name: str) -> tuple[str, str] | None:
    """A file's key and its ending in small letters: ``a/b.seg.PNG`` -> ``a/b``, ``seg.png``.

    None where it has no such parts, or is marked as no example by underscores (``__info__``).
    """
    folder, slash, file = name.removeprefix("./").rpartition("/")
    start, dot, ending = file.partition(".")
    parts = filter(None, (*folder.split("/"), start))
    marked = any(part.startswith("__") and part.endswith("__") for part in parts)
    return (f"{folder}{slash}{start}", ending.lower()) if start and dot and not marked else None


def _read_shard(stream: BinaryIO, name: str, called: str) -> Shard:
    listing = list_members(stream, called)
    grouped, skipped, unread = _grouped(listing, name)
    examples = []
    skipped += [Skipped(f"{name}/{file}", DOTTED) for file in _dotted_images(listing, grouped)]
    for key, members in grouped.items():
        images = [ending for ending in members if _is_image(ending)]
        unread.update(images[1:])
        if not images:
            endings = ", ".join(f".{ending}" for ending in members)
            skipped.append(Skipped(f"{name}/{key}", f"no image next to its {endings}", False))
            continue
        texts = {}
        for ending, member in members.items():
            if ending in (TEXT, RECORD, CLASS):
                texts[ending] = read_at(stream, member.offset, member.size)
        found = _read_texts(texts, f"{name}/{key}", skipped)
        examples.append(Example(key, members[images[0]], *found))
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
    texts_alone = [caption for caption in captions if isinstance(caption, str)]
    return tuple(dict.fromkeys(texts_alone)), label, record


def _captions_of(record: Mapping[str, Any]) -> list[Any]:
    """The captions in a JSON file; none where it is about something else."""
    given = (record[name] for name in COLUMN_NAMES if record.get(name))
    first = next(iter(given), [])
    return first if isinstance(first, list) else [first]
