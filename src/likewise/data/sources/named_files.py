"""The image files that a CSV names, where it is the data themselves."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from likewise.counts import amount
from likewise.data.batch import UNLABELLED
from likewise.data.file_names import named_file, with_slashes, written_name
from likewise.data.left_out import Skipped
from likewise.data.manifest import Manifest
from likewise.data.pixel_source import FilePixels
from likewise.data.sources.file_listing import find_files, is_example
from likewise.data.sources.folder import describe
from likewise.data.sources.header_scan import scan_files
from likewise.data.sources.path_matching import ImagePaths, Matches
from likewise.errors import LikewiseError

MOST_FILES = 200_000
"""Files below a CSV's folder that are compared with paths that are not there as they are written."""


class NamedFiles:
    """Files by the paths in a CSV, which begin at its folder.

    Args:
        file: the CSV.
    """

    def __init__(self, file: Path) -> None:
        self.file, self.folder = file, file.parent

    def has(self, path: str) -> bool:
        """Whether a path means a file by any rule."""
        return self.is_name(path) or self._below.has(path)

    def is_name(self, path: str) -> bool:
        """Whether there is a file at exactly this path."""
        return os.path.isfile(self._path(path))

    def open(self, paths: Sequence[str]) -> tuple[Manifest, Matches]:
        """The images at some paths, unlabelled, and which of them each path means.

        Raises:
            LikewiseError: none of the files is there, or none can be used.
        """
        distinct = sorted(set(paths))
        there = {path: self._id(path) for path in distinct if self.is_name(path)}
        ids: list[str] = sorted(set(there.values()))
        if len(there) < len(distinct):
            known = set(ids)
            ids += [name for name in self._below.ids if name not in known]
        matches = ImagePaths(ids, self.file, self.folder).match(distinct)
        position = {name: i for i, name in enumerate(ids)}
        matches.positions |= {path: position[name] for path, name in there.items()}
        missing = [path for path in distinct if path not in matches.positions]
        if not matches.positions:
            raise LikewiseError(
                f"{self.file} names {amount(len(missing), 'file')}, and none of them is there: {', '.join(missing[:3])}"
                f"{', ...' if len(missing) > 3 else ''}. Paths begin at the file's own folder ({self.folder}); if they "
                f"begin elsewhere, move the file there, or give that folder as the data and this file with --labels."
            )
        return self._manifest(ids, matches, missing)

    def _manifest(
        self, ids: Sequence[str], matches: Matches, missing: Sequence[str]
    ) -> tuple[Manifest, Matches]:
        used = sorted(set(matches.positions.values()))
        files = [named_file(self.folder / ids[position]) for position in used]
        scan = scan_files(files)
        usable = [used[i] for i in scan.usable]
        refused = [Skipped(ids[used[i]], reason) for i, reason in scan.refused.items()]
        if not usable:
            raise LikewiseError(
                f"{self.file}: none of the {amount(len(used), 'file')} can be used. {describe(refused)}"
            )
        why = f"named in {self.file.name}, but there is no such file"
        skipped = refused + [Skipped(path, why) for path in missing]
        in_order = [*usable, *(used[i] for i in scan.refused)]
        row_of = {position: row for row, position in enumerate(in_order)}
        matches.positions = {path: row_of[position] for path, position in matches.positions.items()}
        manifest = Manifest(
            source=str(self.file),
            pixels=FilePixels([files[i] for i in scan.usable], scan.headers),
            labels=torch.full((len(usable),), UNLABELLED),
            splits=np.full(len(usable), "train"),
            ids=[str(ids[position]) for position in usable],
            skipped=tuple(skipped),
        )
        return manifest, matches

    def _path(self, path: str) -> str:
        """Where a path leads: as it is written, which may hold backslashes, else with ``/`` between its parts."""
        here = os.path.join(self.folder, os.path.expanduser(path))
        if "\\" not in path or os.path.isfile(here):
            return here
        return str(named_file(self.folder / os.path.expanduser(with_slashes(path))))

    def _id(self, path: str) -> str:
        """A path from the CSV's folder on where the file lies in it."""
        plain = posixpath.normpath(self._path(path))
        start = os.path.abspath(self.folder).rstrip("/") + "/"
        if os.path.isabs(path) or path.startswith("~"):
            return written_name(plain.removeprefix(start))
        return written_name(posixpath.relpath(plain, self.folder))

    @cached_property
    def _below(self) -> ImagePaths:
        """Images and videos below the CSV's folder."""
        files = islice(find_files(self.folder), MOST_FILES)
        names = [written_name(file.as_posix()) for file in files if is_example(file)]
        return ImagePaths(names, self.file, self.folder)
