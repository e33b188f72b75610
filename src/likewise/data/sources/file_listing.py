"""The files below a folder: which are examples, and what cannot be looked into."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from likewise.data.left_out import Skipped
from likewise.data.video.video_decoding import SUFFIXES as VIDEO_SUFFIXES
from likewise.errors import LikewiseError

SUFFIXES = frozenset(
    ".dcm .dicom .jpg .jpeg .jpe .jfif .png .bmp .gif .webp .tif .tiff .ppm .pgm .pbm .pnm .jp2 .j2k .tga .avif .heic "
    ".heif .hif".split()
)
"""endings of image files, in any case of letters"""

LEFT_BY_SYSTEMS = frozenset(
    ("__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "@eadir", "$recycle.bin", "lost+found",
     "system volume information", "__pycache__")
)  # fmt: skip
"""Files and folders that systems leave in folders, in lower case; they are passed over like hidden ones."""


def is_example(path: Path) -> bool:
    """Whether a file is an image or a video by its ending."""
    return path.suffix.lower() in SUFFIXES | VIDEO_SUFFIXES


def find_files(folder: Path, trouble: list[Skipped] | None = None) -> Iterator[Path]:
    """Files below a folder that are not hidden, relative to it. Linked folders are followed, each folder once.

    Args:
        folder: where to begin.
        trouble: gets the folders that cannot be read, or are links to others, each with the reason.

    Raises:
        LikewiseError: there is no such folder.
    """
    if not folder.is_dir():
        raise LikewiseError(f"{folder} is not a folder. Give a folder of images.")
    trouble = [] if trouble is None else trouble

    def note(error: OSError) -> None:
        trouble.append(
            Skipped(
                _within(folder, error.filename), f"a folder that cannot be read: {error.strerror}"
            )
        )

    seen = dict[Path, str]()
    for here, folders, files in os.walk(folder, followlinks=True, onerror=note):
        real = Path(here).resolve()
        if real in seen:
            folders.clear()
            trouble.append(
                Skipped(_within(folder, here), f"a link to {seen[real]}, which is read once", False)
            )
            continue
        seen[real] = _within(folder, here)
        folders[:] = sorted(name for name in folders if is_visible(name))
        for name in files:
            if is_visible(name):
                yield Path(here, name).relative_to(folder)


def is_visible(name: str) -> bool:
    """Whether a file or a folder is neither hidden nor left by a system."""
    return not name.startswith(".") and name.lower() not in LEFT_BY_SYSTEMS


def _within(folder: Path, path: str) -> str:
    return Path(path).relative_to(folder).as_posix()
