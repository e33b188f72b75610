"""Labels in a CSV file of ``image_path,label`` and, where wanted, ``split`` and ``group``."""

from __future__ import annotations

import csv
import os
import posixpath
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from likewise.data.batch import UNLABELLED
from likewise.data.columns.groups import GROUP, UNKNOWN, Groups
from likewise.data.columns.targets import Task
from likewise.data.file_names import named_file, with_slashes
from likewise.data.manifest import Manifest, Skipped
from likewise.data.pixel_source import FilePixels
from likewise.data.sources.folder import SPLIT_NAMES, describe
from likewise.data.sources.header_scan import scan_files
from likewise.data.sources.read_labels import Labels, read_labels
from likewise.errors import LikewiseError, did_you_mean

PATH, LABEL, SPLIT = "image_path", "label", "split"
COLUMNS = PATH, LABEL, SPLIT, GROUP


class Row(NamedTuple):
    """One line: a path as it is written, and label, split and group, each "" where there is none."""

    path: str
    label: str
    split: str
    group: str


def is_label_file(name: str | Path) -> bool:
    """Whether a name is that of a file of labels (a CSV), rather than of a split file."""
    return Path(name).suffix.lower() in (".csv", ".tsv")


def with_label_file(manifest: Manifest, file: Path, folder: Path | None, task: Task = "classification") -> Manifest:
    """The same examples with the labels (and splits, where the file has them) of a CSV.

    Examples that the file does not name are unlabelled: once a file gives the labels, folder names do not.

    Args:
        manifest: the examples.
        file: columns image_path,label[,split][,group]; a blank label or -1 means unlabelled. Paths are ids of the
            manifest, or relative to ``folder`` or to the CSV's own folder, or absolute.
        folder: where the manifest's ids begin, if they are files.
        task: what the labels are: one class, several with ``|`` between them, or numbers.

    Raises:
        LikewiseError: a wrong column, paths of no image, or two lines that disagree.
    """
    rows = read_label_file(file, task)
    known = {name: i for i, name in enumerate(manifest.ids)}
    skipped = {entry.id for entry in manifest.skipped}
    ids = {row.path: id_of(row.path, known.keys() | skipped, file, folder) for row in rows}
    unknown = [path for path, image_id in ids.items() if image_id is None]
    if unknown:
        raise LikewiseError(
            f"{file} names {len(unknown)} images that are not in {manifest.source}: {', '.join(unknown[:3])}"
            f"{', ...' if len(unknown) > 3 else ''}. Paths begin at the data folder or at the CSV's own folder; "
            f"an image there is called {manifest.ids[0]}."
        )
    by_id = _one_row_each(rows, {path: image_id or "" for path, image_id in ids.items()}, file)
    cells = [""] * len(manifest)
    splits = manifest.splits.astype(object)
    groups = np.full(len(manifest), UNKNOWN, dtype=object)
    for image_id, row in by_id.items():
        if image_id in known:
            cells[known[image_id]] = row.label
            splits[known[image_id]] = row.split or splits[known[image_id]]
            groups[known[image_id]] = row.group
    notes = (*manifest.notes, f"labels come from {file} alone") if manifest.classes else manifest.notes
    labels = _labels_of(cells, str(file), task)
    columns = {**manifest.columns, **labels.columns}
    if groups.any():
        columns[GROUP] = Groups(groups.astype(str))
    return replace(
        manifest,
        labels=labels.numbers,
        splits=splits.astype(str),
        class_names=labels.class_names,
        notes=notes,
        columns=columns,
    )


def _labels_of(cells: Sequence[str], source: str, task: Task) -> Labels:
    """The labels in the cells of a file, blank where there is none."""
    if task != "classification":
        return read_labels(list(cells), source, task=task)
    names = class_names_of(cells)
    number = {name: i for i, name in enumerate(names)} | {"": UNLABELLED}
    return Labels(torch.tensor([number[cell] for cell in cells], dtype=torch.int64), names, {})


def open_label_file(file: Path, task: Task = "classification") -> Manifest:
    """The images that a CSV names, and those alone.

    Raises:
        LikewiseError: as ``with_label_file`` does, or a file that it names is not there.
    """
    paths = sorted({row.path for row in read_label_file(file, task)})
    return with_label_file(named_images(file, paths), file, None, task)


def named_images(file: Path, paths: list[str]) -> Manifest:
    """The images at some paths of a CSV, unlabelled.

    Raises:
        LikewiseError: a file is not there, or none of them can be used.
    """
    missing = [path for path in paths if not named_file(file.parent / path).is_file()]
    if missing:
        raise LikewiseError(
            f"{file} names {len(missing)} files that are not there: {', '.join(missing[:3])}"
            f"{', ...' if len(missing) > 3 else ''}. Paths begin at the CSV's own folder ({file.parent}); "
            f"if they begin elsewhere, give that folder as the data and the CSV as the labels."
        )
    scan = scan_files([named_file(file.parent / path) for path in paths])
    skipped = tuple(Skipped(paths[i], reason) for i, reason in scan.refused.items())
    if not len(scan.usable):
        raise LikewiseError(f"{file}: none of the {len(paths)} files can be used. {describe(list(skipped))}")
    usable = [paths[i] for i in scan.usable]
    return Manifest(
        source=str(file),
        pixels=FilePixels([named_file(file.parent / path) for path in usable], scan.headers),
        labels=torch.full((len(usable),), UNLABELLED),
        splits=np.full(len(usable), "train"),
        ids=usable,
        skipped=skipped,
    )


def read_label_file(file: Path, task: Task = "classification") -> list[Row]:
    """The lines of a CSV (or TSV), checked.

    Raises:
        LikewiseError: it is not there, not text, without lines, or its columns are called otherwise.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines, delimiter="\t" if file.suffix.lower() == ".tsv" else ",")
            found = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = found
            _check_columns(found, file)
            rows = [_row(line, file, reader.line_num, task) for line in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LikewiseError(f"The label file {file} cannot be read: {error}.") from error
    if not rows:
        raise LikewiseError(f"The label file {file} has no line below its heading.")
    return rows


def class_names_of(labels: Sequence[str]) -> tuple[str, ...]:
    """Class names in order: whole numbers by value, else by letter; the blank is no class."""
    names = {label for label in labels if label}
    return tuple(sorted(names, key=int if all(name.isdecimal() for name in names) else str))


def _check_columns(found: list[str], file: Path) -> None:
    for wanted in (PATH, LABEL):
        if wanted not in found:
            raise LikewiseError(
                f"{file} has no column {wanted!r}. {did_you_mean(wanted, found).replace('Known:', 'Columns found:')} "
                f"The first line must be {PATH},{LABEL} (and {SPLIT} or {GROUP}, if you like)."
                if found
                else f"{file} is empty. Its first line must be {PATH},{LABEL}."
            )


def _row(line: dict[str, str | None], file: Path, number: int, task: Task) -> Row:
    path, label, split, group = ((line.get(name) or "").strip() for name in COLUMNS)
    if not path:
        raise LikewiseError(f"{file}, line {number}: no {PATH}. Every line names an image; its label may be blank.")
    if split and split.lower() not in SPLIT_NAMES:
        raise LikewiseError(f"{file}, line {number}: the split {split!r} is none of train, val, test.")
    is_minus_one = label == str(UNLABELLED) and task != "regression"  # where it may be a number like any other
    unlabelled = is_minus_one or split.lower() in ("unlabeled", "unlabelled")
    named = SPLIT_NAMES.get(split.lower(), "")
    return Row(with_slashes(path), "" if unlabelled else label, "train" if named == "unlabelled" else named, group)


def id_of(path: str, ids: set[str], file: Path, folder: Path | None) -> str | None:
    """The id that a path of a CSV means; None where it means none."""
    plain = posixpath.normpath(path)
    if plain in ids:
        return plain
    if folder is None:
        return None
    relative = os.path.relpath(os.path.abspath(file.parent / path), os.path.abspath(folder)).replace("\\", "/")
    return relative if relative in ids else None


def _describe_row(row: Row) -> str:
    return " ".join(part for part in (f"{LABEL} {row.label or 'blank'!r}", row.split, row.group) if part)


def _one_row_each(rows: list[Row], ids: dict[str, str], file: Path) -> dict[str, Row]:
    """One row for each image.

    Raises:
        LikewiseError: two rows for one image differ.
    """
    by_id = dict[str, Row]()
    for row in rows:
        earlier = by_id.setdefault(ids[row.path], row)
        if earlier[1:] != row[1:]:
            raise LikewiseError(
                f"{file} gives {row.path} twice: {_describe_row(earlier)} and {_describe_row(row)}. Keep one of the "
                f"lines."
            )
    return by_id
