"""Which folders of an image's path are its split and its class."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from likewise.counts import amount, first_of
from likewise.errors import LikewiseError

SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
    **dict.fromkeys(("unlabeled", "unlabelled"), "unlabelled"),
}
"""What a folder or file may be called, and the split that it then is. "unlabelled" is training without labels."""

CLASS_SHARE = 0.5
"""Share of the images of which more must lie exactly one folder deep for folders to be classes."""


class Arrangement(NamedTuple):
    """Where in a path its split and its class are."""

    split_at: int | None
    """which folder of a path is the split; None: there are no splits"""
    above: int = 0
    """folders that all paths begin with, which are neither split nor class"""

    def split_folder(self, path: Path) -> str:
        """The folder that is the split; "" where there are none."""
        return "" if self.split_at is None else path.parts[self.split_at]

    def split(self, path: Path) -> str:
        """train, val or test."""
        name = SPLIT_NAMES.get(self.split_folder(path).lower(), "train")
        return "train" if name == "unlabelled" else name

    def folders(self, path: Path) -> tuple[str, ...]:
        """The folders of a path that may be classes."""
        return tuple(
            name
            for at, name in enumerate(path.parts[:-1])
            if at >= self.above and at != self.split_at
        )


def arrange(folder: Path, paths: Sequence[Path]) -> tuple[Arrangement, list[Path]]:
    """How paths are arranged, and those outside the arrangement: beside the split folders.

    ``train/class/*`` and, below folders that all paths share, the same; and ``class/train/*``.

    Args:
        folder: for messages.
        paths: of images, relative to it.

    Raises:
        LikewiseError: only some of the top folders are splits.
    """
    if _top_folders_are_splits(folder, paths):
        return Arrangement(0), [path for path in paths if len(path.parts) == 1]
    above = _shared_folders(paths)
    if above and _are_splits(_names_at(paths, above)):
        return Arrangement(above, above), []
    if all(len(path.parts) == 3 for path in paths) and _are_splits(_names_at(paths, 1)):
        return Arrangement(1), []
    return Arrangement(None), []


def _names_at(paths: Iterable[Path], at: int) -> set[str]:
    """The folders at one place of all paths; "" where one has no folder there."""
    return {path.parts[at] if len(path.parts) > at + 1 else "" for path in paths}


def _are_splits(names: set[str]) -> bool:
    """Whether all are names of splits, training among them and another."""
    kinds = {SPLIT_NAMES.get(name.lower()) for name in names}
    return None not in kinds and "train" in kinds and bool(kinds & {"val", "test"})


def _shared_folders(paths: Sequence[Path]) -> int:
    """How many folders all paths begin with."""
    count = 0
    while len(names := _names_at(paths, count)) == 1 and "" not in names:
        count += 1
    return count


def _top_folders_are_splits(folder: Path, paths: Sequence[Path]) -> bool:
    tops = {path.parts[0] for path in paths if len(path.parts) > 1}
    named = {top for top in tops if top.lower() in SPLIT_NAMES}
    if not named:
        return False
    if named != tops:
        if not _are_splits(named):
            return False  # one class that happens to be called "train" or "test"
        raise LikewiseError(
            f"{folder}: the folders {', '.join(sorted(named))} are splits, but {', '.join(sorted(tops - named)[:3])} "
            f"is none. Splits are called train, val, test and unlabeled; rename or move the others."
        )
    return True


def classes_of(
    paths: Sequence[Path], arrangement: Arrangement
) -> tuple[dict[Path, str], list[str]]:
    """The class of each image that has one, and notes on the parts that have none."""
    parts = defaultdict[str, list[Path]](list)
    for path in paths:
        parts[arrangement.split_folder(path)].append(path)
    classes, notes = dict[Path, str](), list[str]()
    for part, inside in parts.items():
        if is_unlabelled(part):
            continue
        members, remarks = _without_unlabelled(inside, arrangement)
        notes += remarks
        labelled = [path for path in members if len(arrangement.folders(path)) == 1]
        if len(labelled) > CLASS_SHARE * len(members):
            classes |= {path: arrangement.folders(path)[0] for path in labelled}
        else:
            labelled = []
        notes += _depth_note(part, members, labelled, arrangement)
    return classes, notes


def is_unlabelled(folder: str) -> bool:
    """Whether a folder's name says that its images have no label."""
    return SPLIT_NAMES.get(folder.lower()) == "unlabelled"


def _without_unlabelled(
    paths: list[Path], arrangement: Arrangement
) -> tuple[list[Path], list[str]]:
    """The images outside a folder ``unlabeled`` beside the folders of classes, and a note where there is one."""
    tops = {path: next(iter(arrangement.folders(path)), "") for path in paths}
    hidden = [path for path in paths if is_unlabelled(tops[path])]
    if not hidden:
        return paths, []
    note = (
        f"{amount(len(hidden), 'image')} in the folder {tops[hidden[0]]} taken as images without a label. Where it is "
        f"a class, rename the folder."
    )
    return [path for path in paths if not is_unlabelled(tops[path])], [note]


def _depth_note(
    part: str, members: list[Path], labelled: list[Path], arrangement: Arrangement
) -> list[str]:
    """Images without a label because of their depth in the folder; none of a part that is flat, or has all labels."""
    by_depth = defaultdict[int, list[Path]](list)
    for path in members:
        by_depth[len(arrangement.folders(path))].append(path)
    where = part or "folder"
    if list(by_depth) in ([], [0], [1]):
        return []
    if not labelled:
        counts = sorted(by_depth.items())
        found = "; ".join(
            f"{depth} deep: {len(at):,}, for instance {at[0].as_posix()}" for depth, at in counts
        )
        inner, instead = _shared_folders(members), ""
        if inner and not part:
            instead = f", or give the folder {'/'.join(members[0].parts[:inner])} in it"
        return [
            f"{where}: no image has a label, since most do not lie in one folder a class ({found}). For classes put "
            f"each image in class/{instead}."
        ]
    odd = [path.as_posix() for path in sorted(set(members) - set(labelled))]
    return [
        f"{where}: {amount(len(odd), 'image')} at another depth than class/, without a label: {first_of(odd, 5)}. "
        f"Move each into the folder of its class."
    ]
