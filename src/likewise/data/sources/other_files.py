"""Files in a folder whose endings are not read: images in another format are named, others counted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from likewise.counts import amount
from likewise.data.left_out import Skipped
from likewise.data.sources.text_table import ENDINGS

IMAGE_FORMATS = {
    **dict.fromkeys(
        ".cr2 .cr3 .crw .nef .nrw .arw .sr2 .srf .srw .dng .raf .orf .rw2 .pef .x3f .3fr .iiq .raw".split(),
        "camera raw",
    ),
    **dict.fromkeys((".psd", ".psb", ".xcf"), "a layered picture"),
    **dict.fromkeys((".svg", ".eps", ".ai", ".emf", ".wmf"), "a drawing of lines"),
    **dict.fromkeys((".exr", ".hdr"), "a high dynamic range picture"),
    **dict.fromkeys(
        (".nii", ".nii.gz", ".mha", ".mhd", ".nrrd", ".czi", ".nd2", ".svs"), "a medical volume"
    ),
    **dict.fromkeys((".fits", ".fit"), "an astronomical image"),
    **dict.fromkeys((".jxl", ".jxr"), "a new JPEG format"),
    **dict.fromkeys((".ico", ".icns", ".pcx", ".dds", ".sgi"), "an image in a rare format"),
    ".pdf": "a document",
}
"""Endings of images that are not read, and what they are."""

TABLES = (*ENDINGS, ".jsonl", ".ndjson", ".parquet")
"""Endings of tables that may hold the labels of the images beside them."""

SIGNATURES = {
    (0, b"\xff\xd8\xff"): "a JPEG",
    (0, b"\x89PNG\r\n"): "a PNG",
    (0, b"GIF8"): "a GIF",
    (0, b"BM"): "a BMP",
    (0, b"II*\0"): "a TIFF",
    (0, b"MM\0*"): "a TIFF",
    (8, b"WEBP"): "a WebP",
    (4, b"ftypavif"): "an AVIF",
    (4, b"ftypheic"): "an HEIC",
    (128, b"DICM"): "a DICOM",
}
"""What image files hold at which byte, of those that are read under their usual ending."""


IF_LABELS = "if it holds the labels: --labels"
"""Part of the note on a table beside the images."""


def without_table_note(notes: Sequence[str]) -> tuple[str, ...]:
    """The notes on a folder whose labels or captions are given: no table has to be asked about."""
    return tuple(note for note in notes if IF_LABELS not in note)


def images_not_read(folder: Path, others: Iterable[Path]) -> list[Skipped]:
    """Those of some files that are images all the same: in a format that is not read, or under an unknown ending.

    Args:
        folder: where they are.
        others: paths relative to it, whose endings are not read.
    """
    found = []
    for path in others:
        kind = IMAGE_FORMATS.get(path.suffix.lower()) or IMAGE_FORMATS.get(
            "".join(path.suffixes[-2:]).lower()
        )
        if kind is not None:
            found.append(
                Skipped(
                    path.as_posix(), f"{kind}, which is not read: save it as JPEG or PNG", False
                )
            )
        elif (known := _signature(folder / path)) is not None:
            ending = f"the ending {path.suffix}" if path.suffix else "no ending"
            found.append(
                Skipped(
                    path.as_posix(), f"{known} with {ending}, which is not read: rename it", False
                )
            )
    return found


def other_files_notes(folder: Path, others: Sequence[Path]) -> list[str]:
    """Notes on files that are no images: how many of each ending and one of them; and on tables, which may be labels.

    Args:
        folder: where they are.
        others: paths relative to it.
    """
    by_ending = defaultdict[str, list[Path]](list)
    for path in others:
        by_ending[path.suffix.lower() or "without an ending"].append(path)
    if not by_ending:
        return []
    largest = sorted(by_ending.items(), key=lambda entry: -len(entry[1]))
    counts = [f"{len(paths):,} {ending} ({min(paths).as_posix()})" for ending, paths in largest[:5]]
    more = sum(len(paths) for _, paths in largest[5:])
    rest = f" and {amount(more, 'other')}" if more else ""
    notes = [f"files that are no images are passed over: {', '.join(counts)}{rest}"]
    tables = sorted(path for ending in TABLES for path in by_ending.get(ending, ()))
    if tables:
        notes.append(f"{tables[0].as_posix()} is not read; {IF_LABELS} {folder / tables[0]}")
    return notes


def _signature(file: Path) -> str | None:
    """What a file is by its first bytes; None where that is no image or it cannot be opened."""
    try:
        if not file.is_file():
            return None
        with file.open("rb") as stream:
            start = stream.read(132)
    except OSError:
        return None
    return next(
        (kind for (at, signature), kind in SIGNATURES.items() if start[at:].startswith(signature)),
        None,
    )
