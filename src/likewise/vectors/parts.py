"""Vectors of one set in several Parquet files, so that many processes write them and a kill loses one file at most.

The set is cut into parts of as many examples each, whatever the number of processes. Process r of N writes the parts
r, r + N, r + 2 N, ... A part has its file when it is finished, never before.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import torch

from likewise.counts import amount
from likewise.errors import LikewiseError
from likewise.vectors.vectors import VectorFile, Vectors, is_vector_file

PART = "likewise.part"
"""Key of a Parquet file's metadata: which part of which set it is."""

PART_SIZE = 50_000
"""Examples in a part unless another number is given."""


class Part(NamedTuple):
    """Which part of a set a file holds."""

    number: int
    """from 0"""
    parts: int
    """of the set"""
    of: str
    """SHA-256 over all that the vectors depend on: ids, encoder, size of the parts, range of pixels"""

    def name(self, rank: int) -> str:
        """The file's name, with the rank of the process that wrote it."""
        return f"part-{rank:05d}-{self.number:05d}.parquet"

    def as_metadata(self) -> dict[str, str]:
        """As a file says it."""
        return {PART: json.dumps(self._asdict())}


def part_rows(number: int, size: int, count: int) -> range:
    """Positions of the examples of a part, in a set of ``count``."""
    return range(number * size, min((number + 1) * size, count))


def read_part(file: Path) -> Part:
    """Which part a file says that it holds.

    Raises:
        LikewiseError: it is none.
    """
    try:
        return Part(**json.loads(VectorFile(file).metadata[PART]))
    except (KeyError, TypeError, ValueError) as error:
        raise LikewiseError(
            f"{file} is no part of a set of vectors; it was not written by likewise embed."
        ) from error


def finished_parts(folder: Path) -> dict[int, Path]:
    """The file of each part that a folder holds, by number.

    Raises:
        LikewiseError: a Parquet file in it is no part, or belongs to another set or encoder than the others.
    """
    found = dict[int, Path]()
    first: Part | None = None
    for file in sorted(folder.glob("*.parquet")):
        if file.name.startswith("."):
            continue
        part = read_part(file)
        first = first or part
        if part.of != first.of:
            raise LikewiseError(
                f"{folder} holds parts of different sets or of different encoders: {file.name} does not belong to "
                f"{next(iter(found.values())).name}. Give each its own folder."
            )
        found.setdefault(part.number, file)
    return found


def require_own_parts(folder: Path, of: str) -> dict[int, Path]:
    """The finished parts in a folder, which must be of the set ``of``.

    Raises:
        LikewiseError: they are of another set, or were made in another way.
    """
    found = finished_parts(folder)
    for file in found.values():
        if read_part(file).of != of:
            raise LikewiseError(
                f"{folder} holds vectors of other images, of another encoder or of another --part-size. Choose another "
                f"--out, or replace them with --overwrite."
            )
    return found


def read_vectors(path: Path) -> Vectors:
    """Read a file of vectors, or a folder with all parts of a set, in the order of the set.

    Raises:
        LikewiseError: there is no such file, it is of another format, or a part is missing.
    """
    return _joined([VectorFile(file).read() for file in files_of(path)])


def has_vectors(data: object) -> bool:
    """Whether what was given is the path of a file of vectors, or of a folder of parts."""
    if not isinstance(data, (str, Path)):
        return False
    path = Path(data)
    files = path.glob("part-*.parquet") if path.is_dir() else [path]
    file = next(iter(files), path)
    return file.suffix == ".parquet" and file.is_file() and is_vector_file(file)


def files_of(path: Path) -> list[Path]:
    """A file of vectors, or those of all parts of a set.

    Raises:
        LikewiseError: there is no such file, or a part is missing.
    """
    if path.is_dir():
        return whole_set(path)
    if not path.is_file():
        raise LikewiseError(
            f"There is no file {path}. Make it with: likewise embed RUN IMAGES --out {path}"
        )
    return [path]


def whole_set(folder: Path) -> list[Path]:
    """The files of all parts of a set, in order.

    Raises:
        LikewiseError: a part is missing, or there is none.
    """
    found = finished_parts(folder)
    if not found:
        raise LikewiseError(
            f"{folder} holds no vectors. Make them with: likewise embed RUN IMAGES --out {folder}/"
        )
    parts = read_part(next(iter(found.values()))).parts
    missing = sorted(set(range(parts)) - set(found))
    if missing:
        few = ", ".join(map(str, missing[:5]))
        if len(missing) > 5:
            few += ", ..."
        raise LikewiseError(
            f"{folder} lacks {len(missing):,} of {amount(parts, 'part')} (number {few}): its images are not all "
            f"embedded. The command that wrote it goes on with them when it is given again."
        )
    return [found[number] for number in range(parts)]


def _joined(parts: Sequence[Vectors]) -> Vectors:
    """Vectors one after another."""
    # A part of which nothing could be read has no width.
    filled = [part for part in parts if part.ids] or parts[:1]
    shared = [part.shared for part in filled if part.shared is not None]
    skipped: dict[str, str] = {}
    for part in parts:
        skipped |= part.skipped
    return Vectors(
        list(chain.from_iterable(part.ids for part in parts)),
        list(chain.from_iterable(part.labels for part in parts)),
        torch.cat([part.vectors for part in filled]),
        torch.cat(shared) if shared else None,
        parts[0].encoder,
        skipped,
    )
