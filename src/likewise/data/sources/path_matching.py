"""Which image a path in a CSV means, however the path was written."""

from __future__ import annotations

import os
import posixpath
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from likewise.data.file_names import named_file, with_slashes
from likewise.data.sources.file_listing import SUFFIXES
from likewise.data.video.video_decoding import SUFFIXES as VIDEO_SUFFIXES

ENDINGS = SUFFIXES | VIDEO_SUFFIXES

ENOUGH = 0.5
"""Share of the paths that mean an image as they are written, above which the ends of the others are not compared."""


@dataclass
class Matches:
    """What was found for a set of paths."""

    positions: dict[str, int] = field(default_factory=dict)
    """the image of each path that means one"""
    ambiguous: dict[str, list[str]] = field(default_factory=dict)
    """paths that could mean several images, with these"""
    by_end: int = 0
    """paths of which only the end is that of the image, or the other way round"""
    by_spelling: int = 0
    """paths without the ending of the file, or in another case of letters"""

    def note(self) -> str:
        """How paths were matched where they are not written as the images' names; "" else."""
        parts = []
        if self.by_spelling:
            parts.append(f"{self.by_spelling:,} without their endings or in another case")
        if self.by_end:
            parts.append(f"{self.by_end:,} by the ends of their paths")
        return f" (matched {', '.join(parts)})" if parts else ""


class ImagePaths:
    r"""Images by their ids, to be found by paths.

    A path is an id, or relative to the file that holds it, or absolute. If it is none of these, case, Unicode
    composition and a missing ending are overlooked. And where fewer than half of a file's paths were found in that way,
    a path and an id are the same of which one ends in the other (``C:\set\x\a.png`` and ``x/a.png``), if there is
    only one such image.

    Args:
        ids: names of the images.
        file: the file that holds the paths.
        folder: where ids begin, if they are files.
    """

    def __init__(self, ids: Sequence[str], file: Path, folder: Path | None) -> None:
        self.ids, self.file, self.folder = ids, file, folder
        self._at = {name: position for position, name in enumerate(ids)}
        self._starts = dict[str, str | None]()

    def has(self, path: str) -> bool:
        """Whether a path means one of the images by any rule."""
        return self._exact(path) is not None or bool(self._candidates(path))

    def is_name(self, path: str) -> bool:
        """Whether a path is exactly the name of an image, from the images' folder or the file's."""
        return self._exact(path) is not None

    def match(self, paths: Iterable[str]) -> Matches:
        """The image that each path means."""
        found, left = Matches(), list[str]()
        for path in dict.fromkeys(paths):
            position = self._exact(path)
            if position is None:
                left.append(path)
            else:
                found.positions[path] = position
        known = [path for path in left if _stem(path) in self._by_name] if left else []
        unlike = len(left) - len(known)
        left = self._match_spelling(known, found)
        if unlike + len(left) > len(found.positions) * (1 - ENOUGH) / ENOUGH:
            self._match_ends(left, found)
        return found

    def _exact(self, path: str) -> int | None:
        if path in self._at:
            return self._at[path]
        plain = _plain(path)
        if plain in self._at:
            return self._at[plain]
        relative = self._in_folder(plain)
        return None if relative is None else self._at.get(relative)

    def _in_folder(self, plain: str) -> str | None:
        """A path from the CSV's folder, or an absolute one, as it is called from the images' folder."""
        if self.folder is None:
            return None
        start, _, name = plain.rpartition("/")
        if plain.startswith("/"):
            start = start or "/"
        if start not in self._starts:
            self._starts[start] = self._start_in(self.folder, os.path.expanduser(start))
        relative = self._starts[start]
        if relative is None:
            return None
        return name if relative == "." else f"{relative}/{name}"

    def _start_in(self, folder: Path, start: str) -> str | None:
        """How a folder that the CSV names is called from the images' folder; None where it lies elsewhere."""
        here = os.path.abspath(self.file.parent / start)
        for resolve in (os.path.abspath, os.path.realpath):  # one of the two may be a link
            relative = os.path.relpath(resolve(here), resolve(folder)).replace("\\", "/")
            if not relative.startswith(".."):
                return relative
        return None

    @cached_property
    def _by_name(self) -> dict[str, list[int]]:
        """Positions by file name, without its ending and in lower case."""
        found = defaultdict[str, list[int]](list)
        for position, name in enumerate(self.ids):
            found[_stem(name)].append(position)
        return found

    def _candidates(self, path: str) -> list[tuple[int, int]]:
        """Images of which the end agrees with a path, or the other way round, as (parts that agree, position)."""
        positions = self._by_name.get(_stem(path), ())
        if not positions:
            return []
        plain = _plain(path)
        parts, found = _parts(plain), list[tuple[int, int]]()
        for position in positions:
            others = _parts(self.ids[position])
            shared = min(len(parts), len(others))
            if _same_ending(plain, self.ids[position]) and parts[-shared:-1] == others[-shared:-1]:
                found.append((shared, position))
        return found

    def _as_written(self, positions: Sequence[int], path: str) -> list[int]:
        """Those of several images whose names end as a path does in the case of letters too; all if none does."""
        name = _plain(path).rpartition("/")[2]
        alike = [
            position for position in positions if self.ids[position].rpartition("/")[2] == name
        ]
        return alike or list(positions)

    def _match_spelling(self, paths: Sequence[str], found: Matches) -> list[str]:
        """Match whole paths but for case and ending; what is left."""
        left = list[str]()
        for path in paths:
            written = _plain(path)
            spellings = {written, self._in_folder(written) or written}
            same = {
                position
                for spelling in spellings
                for shared, position in self._candidates(spelling)
                if shared == len(_parts(spelling)) == len(_parts(self.ids[position]))
            }
            same = self._as_written(sorted(same), path)
            if len(same) == 1:
                found.positions[path] = same[0]
                found.by_spelling += 1
            elif same:
                found.ambiguous[path] = [self.ids[position] for position in same]
            else:
                left.append(path)
        return left

    def _match_ends(self, paths: Sequence[str], found: Matches) -> None:
        """Match by the longest end that agrees, if it is that of one image, and of no other path."""
        taken, wanted = set(found.positions.values()), defaultdict[int, list[str]](list)
        for path in paths:
            candidates = self._candidates(path)
            longest = max((shared for shared, _ in candidates), default=0)
            best = [position for shared, position in candidates if shared == longest]
            best = self._as_written(best, path)
            if len(best) == 1 and not self._is_another_file(path):
                wanted[best[0]].append(path)
            elif len(best) > 1:
                found.ambiguous[path] = [self.ids[position] for position in best]
        for position, rivals in wanted.items():
            if len(rivals) == 1 and position not in taken:
                found.positions[rivals[0]] = position
                found.by_end += 1
            else:
                found.ambiguous |= {path: [self.ids[position]] for path in rivals}

    def _is_another_file(self, path: str) -> bool:
        """Whether a path is that of a file, which then is none of the images."""
        return named_file(self.file.parent / with_slashes(path)).is_file()


def _plain(path: str) -> str:
    """A path with ``/`` between its parts, and without ``.`` and ``..`` where they can be left out."""
    path = with_slashes(path) if "\\" in path else path
    is_plain = "/." not in path and "//" not in path and not path.startswith(".")
    return path if is_plain else posixpath.normpath(path)


def _folded(text: str) -> str:
    if text.isascii() and text.islower():  # most are, and that is seen at once
        return text
    return unicodedata.normalize("NFC", text).casefold()


def _parts(path: str) -> list[str]:
    return [_folded(part) for part in path.split("/") if part not in ("", ".")]


def _stem(path: str) -> str:
    name = _plain(path).rpartition("/")[2]
    return _folded(name.removesuffix(_ending(name)))


def _ending(path: str) -> str:
    """The ending of an image's or a video's name; "" where a name has none, as in ``x.v2``."""
    start, dot, ending = path.rpartition(".")
    return dot + ending if start and f".{ending.lower()}" in ENDINGS else ""


def _same_ending(path: str, name: str) -> bool:
    """Whether two names have the same ending, or the first has none."""
    ending = _ending(path)
    return not ending or ending.lower() == _ending(name).lower()
