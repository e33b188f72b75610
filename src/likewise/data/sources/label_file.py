"""Labels, captions, splits and groups from a CSV, as people have them, for images that are there."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from likewise.counts import amount, first_of
from likewise.data.batch import UNLABELLED
from likewise.data.columns.captions import CAPTIONS, Captions
from likewise.data.columns.column_names import USUAL_COLUMNS, ColumnNames
from likewise.data.columns.groups import GROUP, UNKNOWN, Groups
from likewise.data.columns.targets import Task
from likewise.data.manifest import Manifest
from likewise.data.sources.delimited_text import DelimitedText
from likewise.data.sources.headings import LABEL_NAMES, PATH_NAMES, has_image_ending, plain_name
from likewise.data.sources.label_rows import LabelRows, read_label_rows
from likewise.data.sources.named_files import NamedFiles
from likewise.data.sources.other_files import without_table_note
from likewise.data.sources.path_matching import ImagePaths, Matches
from likewise.data.sources.read_labels import Labels, read_labels
from likewise.data.sources.text_table import ENDINGS, RECORDS, SPREADSHEETS
from likewise.errors import LikewiseError

SUFFIXES = (*ENDINGS, *RECORDS, *SPREADSHEETS)
"""endings of files that are always labels; a ``.txt`` is one if it has columns"""

LISTS = (".txt", ".lst", ".list")
"""endings of lists of paths with or without labels, where they are the data: ImageNet's, Caffe's, MXNet's"""

SHOWN = 5
"""paths that a note names"""


def is_label_file(name: str | Path) -> bool:
    """Whether a name is that of a file of labels: a table by its ending, or a text file with a column of paths.

    A text file that only lists ids or row numbers is a split file.
    """
    file = Path(name).expanduser()
    if file.suffix.lower() in SUFFIXES:
        return True
    if file.suffix.lower() not in LISTS or not file.is_file():
        return False
    try:
        layouts = DelimitedText.open(file).layouts[:-1]
    except LikewiseError:
        return False
    return any(layout.separator in "\t;" or _has_one_path(layout.sample) for layout in layouts)


def _has_one_path(sample: Sequence[Sequence[str]]) -> bool:
    """Whether one column names images, by its heading or its cells, and others do not."""
    heading = {plain_name(cell) for cell in sample[0]}
    if heading & PATH_NAMES and heading & LABEL_NAMES:
        return True
    return [has_image_ending(cell) for cell in sample[-1]].count(True) == 1


def with_label_file(
    manifest: Manifest, file: Path, folder: Path | None, columns: ColumnNames = USUAL_COLUMNS
) -> Manifest:
    """The same examples with the labels (and splits and groups, where the file has them) of a CSV.

    Examples that the file does not name are unlabelled: once a file gives the labels, folder names do not. Notes say
    what was taken for what, and which paths name no image.

    Args:
        manifest: the examples.
        file: a row an image. Its columns are found by their names and contents
            (`likewise.data.sources.label_columns`); paths as in `likewise.data.sources.path_matching`. A blank label
            or -1 means unlabelled.
        folder: where the manifest's ids begin, if they are files.
        columns: those that were named, and what labels are: one class, several with ``|`` between them, or numbers.

    Raises:
        LikewiseError: columns that are not clear, no path of an image, or two lines that disagree.
    """
    images = _images(manifest, file, folder)
    rows = read_label_rows(file, columns, images.has, "label", images.is_name)
    matches = _matches(rows, images, manifest)
    manifest = replace(manifest, notes=without_table_note(manifest.notes))
    return _with_rows(manifest, rows, matches, columns)


def with_caption_file(
    manifest: Manifest, file: Path, folder: Path | None, columns: ColumnNames = USUAL_COLUMNS
) -> Manifest:
    """The same examples with the captions of a CSV; images that it does not name have none.

    Args:
        manifest: the examples.
        file: a row for each caption, found and matched as `with_label_file` does.
        folder: where the manifest's ids begin, if they are files.
        columns: those that were named.

    Raises:
        LikewiseError: columns that are not clear, or no path of an image.
    """
    images = _images(manifest, file, folder)
    rows = read_label_rows(file, columns, images.has, "caption", images.is_name)
    matches = _matches(rows, images, manifest)
    captioned = _with_captions(manifest, rows, matches)
    notes = without_table_note(manifest.notes)
    return replace(captioned, notes=(*notes, *_notes(rows, matches, manifest)))


def open_label_file(file: Path, columns: ColumnNames = USUAL_COLUMNS) -> Manifest:
    """The images that a CSV names, and those alone, with the labels, captions, splits and groups that it has.

    Raises:
        LikewiseError: as `with_label_file` does, or none of its files is there.
    """
    files = NamedFiles(file)
    rows = read_label_rows(file, columns, files.has, "any", files.is_name)
    manifest, matches = files.open(rows.paths)
    _refuse_ambiguous(rows, matches, manifest)
    return _with_rows(manifest, rows, matches, columns)


def class_names_of(labels: Sequence[str]) -> tuple[str, ...]:
    """Class names in order: whole numbers by value, else by letter; the blank is no class."""
    # In order of letters first: 01 and 1 have one value, and a set has no order of its own.
    names = sorted({label for label in labels if label})
    return tuple(sorted(names, key=int) if all(name.isdecimal() for name in names) else names)


def _images(manifest: Manifest, file: Path, folder: Path | None) -> ImagePaths:
    """The images that a file may name: those of the manifest, and behind them those that were skipped."""
    return ImagePaths([*manifest.ids, *(entry.id for entry in manifest.skipped)], file, folder)


def _matches(rows: LabelRows, images: ImagePaths, manifest: Manifest) -> Matches:
    matches = images.match(rows.paths)
    _refuse_ambiguous(rows, matches, manifest)
    if not matches.positions:
        some = list(dict.fromkeys(rows.paths))
        raise LikewiseError(
            f"{rows.file}: none of its {amount(len(rows), 'row')} names an image of {manifest.source}. "
            f"Taken: {rows.columns.describe()}; its paths: {', '.join(some[:3])}{', ...' if len(some) > 3 else ''}. An "
            f"image there is called {manifest.ids[0]}. Paths begin at the data folder or at the folder of the file; "
            f"another column: --path-column NAME."
        )
    return matches


def _refuse_ambiguous(rows: LabelRows, matches: Matches, manifest: Manifest) -> None:
    if not matches.ambiguous:
        return
    path, could_be = next(iter(matches.ambiguous.items()))
    rivals = [
        other for other, images in matches.ambiguous.items() if images == could_be and other != path
    ]
    if len(could_be) == 1:
        meaning = f"{' and '.join([path, *rivals[:1]])} end alike, and would both be {could_be[0]}"
    else:
        meaning = f"{path} could be {' or '.join(could_be[:3])}"
    raise LikewiseError(
        f"{rows.file}: {amount(len(matches.ambiguous), 'path')} not clear: {meaning}. Write paths from the folder "
        f"of {manifest.source} on."
    )


def _with_rows(
    manifest: Manifest, rows: LabelRows, matches: Matches, columns: ColumnNames
) -> Manifest:
    """Labels, splits, groups and captions by the rows of each image."""
    first, repeats = _one_row_each(rows, matches)
    notes = _notes(rows, matches, manifest)
    if repeats and rows.captions is None:
        notes.append(
            f"{rows.file}: {amount(repeats, 'row')} left out as a word-for-word repeat of another"
        )
    if rows.captions is not None:
        manifest = _with_captions(manifest, rows, matches)
    own = {position: row for position, row in first.items() if position < len(manifest)}
    if rows.splits is not None:
        manifest = _with_splits(manifest, rows.splits, own)
    if rows.groups is not None and any(rows.groups):
        groups = _spread(rows.groups, own, len(manifest), UNKNOWN)
        column = Groups(np.array(groups, dtype=str))
        manifest = replace(manifest, columns={**manifest.columns, GROUP: column})
    if rows.labels is not None:
        cells = _spread(rows.labels, own, len(manifest), "")
        notes += _label_notes(manifest, rows, own, columns.task)
        manifest = _with_labels(manifest, cells, str(rows.file), columns.task)
    return replace(manifest, notes=(*manifest.notes, *notes))


def _label_notes(manifest: Manifest, rows: LabelRows, own: dict[int, int], task: Task) -> list[str]:
    """What the labels replace, which images have none, and how they are read."""
    notes = []
    if manifest.classes:
        notes.append(f"labels come from {rows.file} alone")
    bare = [manifest.ids[position] for position in range(len(manifest)) if position not in own]
    if bare:
        notes.append(
            f"{rows.file} has no row for {amount(len(bare), 'image')}, which have no label: {first_of(bare, SHOWN)}"
        )
    if task == "classification":
        notes += _several_classes_note(rows)
    return notes


def _with_labels(manifest: Manifest, cells: Sequence[str], source: str, task: Task) -> Manifest:
    labels = _labels_of(cells, source, task)
    columns = {**manifest.columns, **labels.columns}
    labelled = manifest.with_labels(labels.numbers, labels.class_names)
    return replace(labelled, columns=columns)


def _notes(rows: LabelRows, matches: Matches, manifest: Manifest) -> list[str]:
    notes = [rows.describe(matches), *rows.notes]
    known = matches.positions.keys() | {entry.id for entry in manifest.skipped}
    lost = [path for path in dict.fromkeys(rows.paths) if path not in known]
    if lost:
        notes.append(
            f"{rows.file} names {amount(len(lost), 'image')} not in {manifest.source}: {first_of(lost, SHOWN)}"
        )
    return notes


def _several_classes_note(rows: LabelRows) -> list[str]:
    """Notes on labels such as cat|dog, or cat,dog beside cat: one class each unless the task is multilabel."""
    labels = [label for label in rows.labels or () if label]
    notes = []
    for mark, first in (("|", ""), (",", _BAR), (";", _BAR)):
        several = _joined(labels, mark)
        if several:
            notes.append(
                f"{rows.file}: labels with {mark} ({several[0]!r}; {amount(len(several), 'row')}) are taken as one "
                f"class each. Where it stands between several classes of an image: {first}--task multilabel"
            )
    return notes


_BAR = "write | in its place, cat|dog, and "


def _joined(labels: Sequence[str], mark: str) -> list[str]:
    """The labels that a mark joins: a bar wherever it is, another mark where a part is in another label too."""
    marked = [label for label in labels if mark in label]
    if mark == "|" or not marked:
        return marked
    holders = Counter(part.strip() for label in set(labels) for part in set(label.split(mark)))
    return [
        label for label in marked if any(holders[part.strip()] > 1 for part in label.split(mark))
    ]


def _spread(cells: Sequence[str], rows: dict[int, int], count: int, missing: str) -> list[str]:
    """The cell of each image's row, by position."""
    return [cells[rows[position]] if position in rows else missing for position in range(count)]


def _with_splits(manifest: Manifest, splits: Sequence[str], rows: dict[int, int]) -> Manifest:
    chosen = manifest.splits.astype(object)
    for position, row in rows.items():
        chosen[position] = splits[row] or chosen[position]
    return replace(manifest, splits=chosen.astype(str))


def _with_captions(manifest: Manifest, rows: LabelRows, matches: Matches) -> Manifest:
    texts: list[list[str]] = [[] for _ in manifest.ids]
    for path, caption in zip(rows.paths, rows.captions or (), strict=True):
        position = matches.positions.get(path)
        if position is not None and position < len(texts):
            texts[position].append(caption)
    return replace(manifest, columns={**manifest.columns, CAPTIONS: Captions.of(texts)})


def _labels_of(cells: Sequence[str], source: str, task: Task) -> Labels:
    """The labels in the cells of a file, blank where there is none."""
    if task != "classification":
        # What is no label is blank already.
        return read_labels(list(cells), source, task=task, missing="class")
    names = class_names_of(cells)
    _refuse_negative(names, source)
    number = {name: i for i, name in enumerate(names)} | {"": UNLABELLED}
    return Labels(torch.tensor([number[cell] for cell in cells], dtype=torch.int64), names, {})


def _refuse_negative(names: Sequence[str], source: str) -> None:
    """Whole numbers below -1 as labels, next to which -1 would be a class and no missing label."""
    if not names or not all(re.fullmatch(r"-?\d+", name) for name in names):
        return
    least = min(names, key=int)
    if int(least) < UNLABELLED:
        raise LikewiseError(
            f"{source}: {least} is no label. Labels are whole numbers from 0, names, or -1 for none. Where these are "
            f"classes, give them names, for instance minus{least}; where they are values to predict: likewise train "
            f"--task regression."
        )


def _one_row_each(rows: LabelRows, matches: Matches) -> tuple[dict[int, int], int]:
    """The first row of each image, by position, and how many rows repeat one.

    Raises:
        LikewiseError: two rows for one image differ.
    """
    first, repeats = dict[int, int](), 0
    columns = [column for column in (rows.labels, rows.splits, rows.groups) if column is not None]
    for row, path in enumerate(rows.paths):
        position = matches.positions.get(path)
        if position is None:
            continue
        earlier = first.setdefault(position, row)
        if earlier == row:
            continue
        repeats += 1
        if any(column[earlier] != column[row] for column in columns):
            lines = rows.lines([earlier, row])
            raise LikewiseError(
                f"{rows.file} gives {path} twice, in line {lines[0]} ({rows.facts(earlier)}) and in line {lines[1]} "
                f"({rows.facts(row)}). Keep one of the lines. Several classes of one image stand in one line, "
                f"cat|dog: likewise train --task multilabel."
            )
    return first, repeats
