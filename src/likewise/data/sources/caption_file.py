"""Captions in a CSV file of ``image_path,caption``: a line for each caption, so that an image may have several."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

from likewise.data.columns.captions import CAPTIONS, Captions
from likewise.data.file_names import with_slashes
from likewise.data.manifest import Manifest
from likewise.data.sources.label_file import LABEL, PATH, SPLIT, id_of, named_images, with_label_file
from likewise.errors import LikewiseError

CAPTION = "caption"


def is_caption_file(file: Path) -> bool:
    """Whether a CSV's heading names a column of captions."""
    return CAPTION in _heading(file)


def open_caption_file(file: Path) -> Manifest:
    """The images that a CSV names, with its captions, and its labels and splits where it has a column ``label``.

    Raises:
        LikewiseError: it cannot be read, or an image is not there.
    """
    manifest = named_images(file, sorted({path for path, _ in _lines(file)}))
    if LABEL in _heading(file):
        manifest = with_label_file(manifest, file, None)
    elif SPLIT in _heading(file):
        raise LikewiseError(f"{file} has a column {SPLIT} but none called {LABEL}. Add one; it may be blank.")
    return with_caption_file(manifest, file, None)


def with_caption_file(manifest: Manifest, file: Path, folder: Path | None) -> Manifest:
    """The same examples with the captions of a CSV; images that it does not name have none.

    Args:
        manifest: the examples.
        file: columns image_path,caption; paths as in a file of labels.
        folder: where the manifest's ids begin, if they are files.

    Raises:
        LikewiseError: it cannot be read, has no such columns, or names no image of the manifest.
    """
    known, skipped = {name: i for i, name in enumerate(manifest.ids)}, {entry.id for entry in manifest.skipped}
    texts: list[list[str]] = [[] for _ in manifest.ids]
    unknown: dict[str, None] = {}
    for path, caption in _lines(file):
        image_id = id_of(path, known.keys() | skipped, file, folder)
        if image_id in known:
            texts[known[image_id]].append(caption)
        elif image_id is None:
            unknown[path] = None
    if unknown:
        raise LikewiseError(
            f"{file} names {len(unknown)} images that are not in {manifest.source}: {', '.join(list(unknown)[:3])}"
            f"{', ...' if len(unknown) > 3 else ''}. Paths begin at the data folder or at the CSV's own folder; "
            f"an image there is called {manifest.ids[0]}."
        )
    return dataclasses.replace(manifest, columns={**manifest.columns, CAPTIONS: Captions.of(texts)})


def _heading(file: Path) -> list[str]:
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            return [name.strip() for name in next(csv.reader(lines, delimiter=_delimiter(file)), [])]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LikewiseError(f"{file} cannot be read as a CSV: {error}.") from error


def _lines(file: Path) -> list[tuple[str, str]]:
    """Path and caption of each line; a blank caption counts as none."""
    found = _heading(file)
    if PATH not in found or CAPTION not in found:
        raise LikewiseError(
            f"{file} has the columns {', '.join(found) or 'none'}; a file of captions begins with {PATH},{CAPTION}."
        )
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines, fieldnames=found, delimiter=_delimiter(file))
            next(reader, None)
            listed = [(with_slashes((row[PATH] or "").strip()), row[CAPTION] or "") for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LikewiseError(f"{file} cannot be read as a CSV: {error}.") from error
    pathless = [number for number, (path, _) in enumerate(listed, start=1) if not path]
    if pathless or not listed:
        problem = f"names no {PATH} in its row {pathless[0]}" if pathless else "has no line below its heading"
        raise LikewiseError(f"{file} {problem}. Every line is {PATH},{CAPTION}.")
    return listed


def _delimiter(file: Path) -> str:
    return "\t" if file.suffix.lower() == ".tsv" else ","
