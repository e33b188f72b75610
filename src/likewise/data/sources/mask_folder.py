"""Masks in a folder of PNG files that is laid out as that of their images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from likewise.counts import amount
from likewise.data.columns.masks import Masks
from likewise.data.file_names import named_file
from likewise.data.sources.file_listing import find_files, is_example
from likewise.errors import LikewiseError


def mask_folder(folder: Path, ids: Sequence[str]) -> Masks:
    """The PNG below a folder that has each image's relative path, ``photos/a/x.jpg`` and ``masks/a/x.png``.

    Raises:
        LikewiseError: there is no folder, no image has a mask in it, or a mask is a file of another format.
    """
    if not folder.is_dir():
        raise LikewiseError(f"There is no folder {folder}. --masks takes a folder of PNG files.")
    wanted = [named_file(folder / Path(name).with_suffix(".png")) for name in ids]
    cells = [path if path.is_file() else None for path in wanted]
    if not any(cells):
        raise LikewiseError(
            f"None of {amount(len(ids), 'image')} has a mask in {folder}: for {ids[0]} there would have to be "
            f"{wanted[0]}. Masks are PNG files with the relative paths of their images."
        )
    _refuse_other_formats(
        folder, [path for path, cell in zip(wanted, cells, strict=True) if cell is None]
    )
    return Masks(cells)


def _refuse_other_formats(folder: Path, absent: Sequence[Path]) -> None:
    """Refuse a folder that has a picture under the name of a mask that is absent, with another ending than .png."""
    without_ending = {path.with_suffix("") for path in absent}
    if not without_ending:
        return
    found = (folder / path for path in find_files(folder))
    others = [path for path in found if is_example(path) and path.with_suffix("") in without_ending]
    if others:
        raise LikewiseError(
            f"{folder} has {amount(len(others), 'mask')} in another format than PNG, for instance {others[0]}. Save "
            f"them as PNG, which keeps the values, or give a folder without them."
        )
