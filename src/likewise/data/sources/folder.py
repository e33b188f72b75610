"""A folder of images, or of videos, of which the sub-folders may be splits and classes."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from likewise.data.batch import UNLABELLED
from likewise.data.manifest import Manifest, Skipped
from likewise.data.pixel_source import FilePixels
from likewise.data.sources.header_scan import scan_files
from likewise.data.sources.other_files import images_not_read, other_files_note
from likewise.data.video.video_decoding import SUFFIXES as VIDEO_SUFFIXES
from likewise.data.video.video_decoding import is_video
from likewise.errors import LikewiseError

SUFFIXES = frozenset(
    ".dcm .dicom .jpg .jpeg .jpe .jfif .png .bmp .gif .webp .tif .tiff .ppm .pgm .pbm .pnm .jp2 .tga .avif".split()
)
"""endings of image files, in any case of letters"""

CLASS_SHARE = 0.9
"""Share of the images that must lie exactly one folder deep for folders to be classes."""

SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
    **dict.fromkeys(("unlabeled", "unlabelled"), "unlabelled"),
}
"""What a folder or file may be called, and the split that it then is. "unlabelled" is training without labels."""


def open_folder(folder: Path) -> Manifest:
    """The images below a folder, or the videos.

    ``class/*`` gives labels where nearly every image is exactly one folder deep; ``train|val|test/class/*`` the same
    in each split, and ``unlabeled/`` more training images. The few images at another depth then have no label, and any
    other arrangement is unlabelled; a note says so with names. Hidden files and folders are passed over, linked folders
    followed once, classes numbered in sorted order.

    Raises:
        LikewiseError: there is no folder, nothing in it, images and videos both, or only some folders are splits.
    """
    files = sorted(find_files(folder))
    paths = [path for path in files if is_example(path)]
    others = [path for path in files if not is_example(path)]
    if not paths:
        raise LikewiseError(_nothing_found(folder, others))
    _refuse_both_kinds(folder, paths)
    ids, skipped = [path.as_posix() for path in paths], images_not_read(folder, others)
    foreign = {entry.id for entry in skipped}
    splits = _splits(folder, paths, skipped)
    outside = {entry.id for entry in skipped}
    paths = [path for path in paths if path.as_posix() not in outside]
    scan = scan_files([folder / path for path in paths])
    skipped += [Skipped(paths[i].as_posix(), reason) for i, reason in scan.refused.items()]
    if not len(scan.usable):
        raise LikewiseError(f"{folder}: none of its {len(ids)} image files can be used. {describe(skipped)}")
    usable = [paths[i] for i in scan.usable]
    classes, notes = _classes(usable, splits)
    names = tuple(sorted(set(classes.values())))
    number = {name: i for i, name in enumerate(names)}
    return Manifest(
        source=str(folder),
        pixels=FilePixels([folder / path for path in usable], scan.headers),
        labels=torch.tensor([number[classes[p]] if p in classes else UNLABELLED for p in usable], dtype=torch.int64),
        splits=np.array([_as_training(SPLIT_NAMES[p.parts[0].lower()]) if splits else "train" for p in usable]),
        ids=[path.as_posix() for path in usable],
        class_names=names,
        skipped=tuple(skipped),
        notes=(
            *notes,
            *_empty_folders(folder, usable, names),
            *other_files_note(path for path in others if path.as_posix() not in foreign),
        ),
    )


def is_example(path: Path) -> bool:
    """Whether a file is an image or a video by its ending."""
    return path.suffix.lower() in SUFFIXES | VIDEO_SUFFIXES


def find_files(folder: Path) -> Iterator[Path]:
    """Files below a folder that are not hidden, relative to it.

    Raises:
        LikewiseError: there is no such folder.
    """
    if not folder.is_dir():
        raise LikewiseError(f"{folder} is not a folder. Give a folder of images.")
    seen = set[Path]()
    for here, folders, files in os.walk(folder, followlinks=True):
        real = Path(here).resolve()
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            if not name.startswith("."):
                yield Path(here, name).relative_to(folder)


def describe(skipped: list[Skipped], limit: int = 3) -> str:
    """The first skipped files and their reasons, for a message."""
    some = "; ".join(f"{entry.id}: {entry.reason}" for entry in skipped[:limit])
    return f"The first: {some}." if len(skipped) > limit else f"{some}."


def _refuse_both_kinds(folder: Path, paths: list[Path]) -> None:
    videos = [path for path in paths if is_video(path)]
    if 0 < len(videos) < len(paths):
        image = next(path for path in paths if not is_video(path))
        raise LikewiseError(
            f"{folder} holds {len(paths) - len(videos)} images ({image}, ...) and {len(videos)} videos ({videos[0]}, "
            f"...). Give a folder of one kind."
        )


def _as_training(split: str) -> str:
    return "train" if split == "unlabelled" else split


def _splits(folder: Path, paths: list[Path], skipped: list[Skipped]) -> bool:
    """Whether the top folders are splits; images next to such folders are skipped."""
    tops = {path.parts[0] for path in paths if len(path.parts) > 1}
    named = {top for top in tops if top.lower() in SPLIT_NAMES}
    if not named:
        return False
    if named != tops:
        kinds = {SPLIT_NAMES[top.lower()] for top in named}
        if not {"train", "test"} <= kinds and not {"train", "val"} <= kinds:
            return False  # one class that happens to be called "train" or "test"
        raise LikewiseError(
            f"{folder}: the folders {', '.join(sorted(named))} are splits, but {', '.join(sorted(tops - named)[:3])} "
            f"is none. Splits are called train, val, test and unlabeled; rename or move the others."
        )
    outside = [path for path in paths if len(path.parts) == 1]
    skipped += [Skipped(path.as_posix(), "outside the split folders") for path in outside]
    return True


def _classes(paths: list[Path], splits: bool) -> tuple[dict[Path, str], list[str]]:
    """The class of each image that has one, and a note on the parts that have none."""
    parts = defaultdict[str, list[Path]](list)
    for path in paths:
        parts[path.parts[0] if splits else ""].append(path)
    classes, notes = dict[Path, str](), list[str]()
    for part, members in parts.items():
        if SPLIT_NAMES.get(part.lower()) == "unlabelled":
            continue
        labelled = [path for path in members if len(path.parts) - 1 - splits == 1]
        if len(labelled) >= CLASS_SHARE * len(members):
            classes |= {path: path.parts[int(splits)] for path in labelled}
        else:
            labelled = []
        notes += _depth_note(part, members, labelled, int(splits))
    return classes, notes


def _depth_note(part: str, members: list[Path], labelled: list[Path], splits: int) -> list[str]:
    """Images without a label because of their depth in the folder; none of a part that is flat, or has all labels."""
    depths = sorted({len(path.parts) - 1 - splits for path in members})
    where = part or "folder"
    if depths in ([0], [1]):
        return []
    if not labelled:
        found = ", ".join(map(str, depths))
        examples = ", ".join(next(p.as_posix() for p in members if len(p.parts) - 1 - splits == d) for d in depths[:3])
        return [
            f"{where}: taken as unlabelled, since the images lie at different depths or not one folder deep (depths "
            f"found: {found}; for instance {examples}). For classes put each image in class/."
        ]
    odd = sorted(set(members) - set(labelled))
    named = ", ".join(path.as_posix() for path in odd[:5])
    rest = f" and {len(odd) - 5:,} more" if len(odd) > 5 else ""
    return [
        f"{where}: {len(odd):,} images lie at another depth than class/ and have no label: {named}{rest}. Move each "
        f"into the folder of its class."
    ]


def _empty_folders(folder: Path, usable: list[Path], names: tuple[str, ...]) -> list[str]:
    """A note on class folders without a usable image, which become no class."""
    if not names:
        return []
    parents = {path.parent.parent for path in usable if path.parent.name in names}
    siblings = {entry.name for p in parents for entry in os.scandir(folder / p) if entry.is_dir()}
    empty = sorted(name for name in siblings - set(names) if not name.startswith("."))
    return [f"no usable image in {', '.join(empty[:5])}: left out of the classes"] if empty else []


def _nothing_found(folder: Path, others: list[Path]) -> str:
    if not others:
        return f"{folder} is empty. Give a folder that holds images ({', '.join(sorted(SUFFIXES))})."
    foreign = images_not_read(folder, others)
    if foreign:
        return f"{folder} holds no image that is read. {describe(foreign)}"
    endings = sorted({path.suffix.lower() for path in others})
    return (
        f"{folder} holds no image: its files end in {', '.join(endings[:5]) or 'nothing'}. "
        f"Endings read here: {', '.join(sorted(SUFFIXES))}; of videos {', '.join(sorted(VIDEO_SUFFIXES))}."
    )
