"""Files in a folder whose endings are not read: images in another format are named, others counted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from likewise.data.manifest import Skipped

IMAGE_FORMATS = {
    **dict.fromkeys((".heic", ".heif"), "HEIC"),
    **dict.fromkeys((".cr2", ".cr3", ".nef", ".arw", ".dng", ".raf", ".orf", ".rw2"), "camera raw"),
    **dict.fromkeys((".psd", ".xcf"), "a layered picture"),
    **dict.fromkeys((".svg", ".eps"), "a drawing of lines"),
    **dict.fromkeys((".exr", ".hdr"), "a high dynamic range picture"),
    **dict.fromkeys((".nii", ".mha", ".nrrd"), "a medical volume"),
    **dict.fromkeys((".jxl", ".jxr"), "a new JPEG format"),
}
"""Endings of images that are not read, and what they are."""

SIGNATURES = {
    b"\xff\xd8\xff": "a JPEG",
    b"\x89PNG\r\n": "a PNG",
    b"GIF8": "a GIF",
    b"BM": "a BMP",
    b"II*\0": "a TIFF",
    b"MM\0*": "a TIFF",
}
"""How image files begin that are read under their usual ending."""


def images_not_read(folder: Path, others: Iterable[Path]) -> list[Skipped]:
    """Those of some files that are images all the same: in a format that is not read, or under an unknown ending.

    Args:
        folder: where they are.
        others: paths relative to it, whose endings are not read.
    """
    found = []
    for path in others:
        kind = IMAGE_FORMATS.get(path.suffix.lower())
        if kind is not None:
            found.append(Skipped(path.as_posix(), f"{kind}, which is not read: save it as JPEG or PNG"))
        elif (known := _signature(folder / path)) is not None:
            ending = f"the ending {path.suffix}" if path.suffix else "no ending"
            found.append(Skipped(path.as_posix(), f"{known} with {ending}, which is not read: rename it"))
    return found


def other_files_note(others: Iterable[Path]) -> list[str]:
    """A note on files that are no images: how many of each ending, and one of them."""
    by_ending = defaultdict[str, list[Path]](list)
    for path in others:
        by_ending[path.suffix.lower() or "without an ending"].append(path)
    if not by_ending:
        return []
    largest = sorted(by_ending.items(), key=lambda entry: -len(entry[1]))[:5]
    counts = [f"{len(paths):,} {ending} ({min(paths).as_posix()})" for ending, paths in largest]
    return [f"files that are no images are passed over: {', '.join(counts)}"]


def _signature(file: Path) -> str | None:
    """What a file is by its first bytes; None where that is no image or it cannot be opened."""
    try:
        with file.open("rb") as stream:
            start = stream.read(16)
    except OSError:
        return None
    return next((kind for signature, kind in SIGNATURES.items() if start.startswith(signature)), None)
