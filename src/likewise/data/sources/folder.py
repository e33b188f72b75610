"""A folder of images, or of videos, of which the sub-folders may be splits and classes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from likewise.counts import amount, first_of
from likewise.data.batch import UNLABELLED
from likewise.data.left_out import Skipped
from likewise.data.manifest import Manifest
from likewise.data.pixel_source import FilePixels
from likewise.data.sources.arrangement import arrange, classes_of, is_unlabelled
from likewise.data.sources.file_listing import SUFFIXES, find_files, is_example, is_visible
from likewise.data.sources.header_scan import scan_files
from likewise.data.sources.other_files import images_not_read, other_files_notes
from likewise.data.video.video_decoding import SUFFIXES as VIDEO_SUFFIXES
from likewise.data.video.video_decoding import is_video
from likewise.errors import LikewiseError

STRAY = 0.1
"""Largest share of a folder's files that may be of the other kind, videos among images or images among videos; these
are left out and named. Where there are more, the folder may have been meant either way."""


def open_folder(folder: Path) -> Manifest:
    """The images below a folder, or the videos.

    ``class/*`` gives labels where most images are exactly one folder deep; ``train|val|test/class/*`` and
    ``class/train|val|test/*`` the same in each split, and ``unlabeled/``, beside classes or splits, more training
    images. Images at another depth then have no label, and any other arrangement is unlabelled; a note says so with
    names. Hidden files and folders are passed over, linked folders followed once, classes numbered in sorted order.

    Raises:
        LikewiseError: there is no folder, nothing in it, as many images as videos, or only some folders are splits.
    """
    trouble = list[Skipped]()
    files = sorted(find_files(folder, trouble))
    paths = [path for path in files if is_example(path)]
    others = [path for path in files if not is_example(path)]
    if not paths:
        raise LikewiseError(_nothing_found(folder, others))
    paths, strays = _of_one_kind(folder, paths)
    arrangement, outside = arrange(folder, paths)
    not_read = images_not_read(folder, others)
    skipped = [*trouble, *not_read, *strays]
    for path in outside:
        skipped.append(Skipped(path.as_posix(), "outside the split folders", False))
    left_out = set(outside)
    inside = [path for path in paths if path not in left_out]
    scan = scan_files([folder / path for path in inside])
    skipped += [Skipped(inside[i].as_posix(), reason) for i, reason in scan.refused.items()]
    if not len(scan.usable):
        raise LikewiseError(
            f"{folder}: none of its {amount(len(paths), 'image file')} can be used. {describe(skipped)}"
        )
    usable = [inside[i] for i in scan.usable]
    classes, notes = classes_of(usable, arrangement)
    names = tuple(sorted(set(classes.values())))
    named = {entry.id for entry in not_read}
    other_files = [path for path in others if path.as_posix() not in named]
    notes = [
        *notes,
        *_folders_left_out(folder, usable, names),
        *other_files_notes(folder, other_files),
    ]
    return Manifest(
        source=str(folder),
        pixels=FilePixels([folder / path for path in usable], scan.headers),
        labels=_numbered([classes.get(path) for path in usable], names),
        splits=np.array([arrangement.split(path) for path in usable]),
        ids=[path.as_posix() for path in usable],
        class_names=names,
        skipped=tuple(skipped),
        notes=tuple(notes),
    )


def _numbered(classes: Sequence[str | None], names: Sequence[str]) -> Tensor:
    """The number of each class, int64 [N]; None has none."""
    number: dict[str | None, int] = {name: i for i, name in enumerate(names)}
    return torch.tensor([number.get(name, UNLABELLED) for name in classes], dtype=torch.int64)


def describe(skipped: list[Skipped], limit: int = 3) -> str:
    """The first skipped files and their reasons, for a message."""
    some = "; ".join(f"{entry.id}: {entry.reason}" for entry in skipped[:limit])
    return f"The first: {some}." if len(skipped) > limit else f"{some}."


def _of_one_kind(folder: Path, paths: list[Path]) -> tuple[list[Path], list[Skipped]]:
    """The images without a few videos among them, or the videos without a few images; and those few.

    Raises:
        LikewiseError: the fewer are more than `STRAY` of all.
    """
    videos = [path for path in paths if is_video(path)]
    images = [path for path in paths if not is_video(path)]
    kept, strays = (images, videos) if len(images) >= len(videos) else (videos, images)
    if len(strays) > STRAY * len(paths):
        raise LikewiseError(
            f"{folder} holds images ({len(images):,}, such as {images[0]}) and videos ({len(videos):,}, such as "
            f"{videos[0]}). Give a folder of one kind: move the others elsewhere."
        )
    reason = "a video among images" if strays is videos else "an image among videos"
    return kept, [Skipped(path.as_posix(), reason, False) for path in strays]


def _folders_left_out(folder: Path, usable: list[Path], names: tuple[str, ...]) -> list[str]:
    """Notes on folders beside those of classes that become no class: without a usable image, or hidden."""
    if not names:
        return []
    parents = {path.parent.parent for path in usable if path.parent.name in names}
    siblings = {
        Path(entry.path)
        for p in parents
        for entry in os.scandir(folder / p)
        if entry.is_dir(follow_symlinks=False)
    }
    others = sorted(each for each in siblings if each.name not in names)
    visible = dict.fromkeys(each.name for each in others if is_visible(each.name))
    empty = [name for name in visible if not is_unlabelled(name)]
    hidden = [each.name for each in others if each.name.startswith(".") and _holds_examples(each)]
    notes = []
    if empty:
        notes.append(f"no usable image in {first_of(empty, 5)}: left out of the classes")
    if hidden:
        notes.append(
            f"hidden folders are not read, though images are in {first_of(hidden, 5)}. Rename those that are classes."
        )
    return notes


def _holds_examples(folder: Path) -> bool:
    """Whether images lie right in a folder; not in one that cannot be read."""
    try:
        return any(is_example(Path(name)) for name in os.listdir(folder))
    except OSError:
        return False


def _nothing_found(folder: Path, others: list[Path]) -> str:
    if any(path.name == "encoder.safetensors" for path in others):
        return (
            f"{folder} is the folder of a run, and holds no images. Give the folder of the images."
        )
    if not others:
        return (
            f"{folder} is empty. Give a folder that holds images ({', '.join(sorted(SUFFIXES))})."
        )
    foreign = images_not_read(folder, others)
    if foreign:
        return f"{folder} holds no image that is read. {describe(foreign)}"
    endings = sorted({path.suffix.lower() for path in others})
    return (
        f"{folder} holds no image: its files end in {', '.join(endings[:5]) or 'nothing'}. "
        f"Endings read here: {', '.join(sorted(SUFFIXES))}; of videos {', '.join(sorted(VIDEO_SUFFIXES))}."
    )
