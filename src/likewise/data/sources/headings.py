"""By which headings columns are known, and whether the first row of a table is its heading."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePosixPath

from likewise.data.columns.column_names import ColumnNames
from likewise.data.file_names import with_slashes
from likewise.data.sources.file_listing import SUFFIXES
from likewise.data.sources.text_table import BY_NAME, COMMENT, Layout
from likewise.data.video.video_decoding import SUFFIXES as VIDEO_SUFFIXES

PATH_NAMES = frozenset(
    "image_path path image img file filename file_name filepath file_path filenames image_file image_filename "
    "image_file_name image_name imagename image_id imageid imagepath img_path imgpath img_name img_file id uri url "
    "video video_path frame picture photo".split()
)

LABEL_NAMES = frozenset(
    "label labels class classes class_name classname class_id class_label category categories category_name "
    "category_id target targets y tag tags".split()
)

CAPTION_NAMES = frozenset(
    "caption captions text texts sentence sentences title description prompt".split()
)

SPLIT_COLUMN_NAMES = frozenset("split subset partition set".split())

GROUP_NAMES = frozenset("group groups".split())

INDEX_NAMES = frozenset(("", "unnamed:_0", "index"))
"""What the column of row numbers is called that pandas writes."""

KNOWN_HEADINGS = (
    PATH_NAMES | LABEL_NAMES | CAPTION_NAMES | SPLIT_COLUMN_NAMES | GROUP_NAMES | INDEX_NAMES
)

IsImage = Callable[[str], bool]
"""Whether a cell names an image that is there."""


def has_image_ending(cell: str) -> bool:
    """Whether a text ends as the name of an image or a video does."""
    return PurePosixPath(with_slashes(cell)).suffix.lower() in SUFFIXES | VIDEO_SUFFIXES


def plain_name(heading: str) -> str:
    """A heading in lower case, with ``_`` between its words, and without the ``#`` of a remark."""
    return "_".join(
        heading.strip()
        .removeprefix(COMMENT)
        .lower()
        .replace("-", " ")
        .replace(".", " ")
        .replace("_", " ")
        .split()
    )


def is_number(cell: str) -> bool:
    """Whether a text is a number."""
    try:
        float(cell.replace(",", "."))
    except ValueError:
        return False
    return True


def has_heading(layout: Layout, given: ColumnNames, is_image: IsImage) -> bool:
    """Whether the first row names the columns.

    Args:
        layout: the first rows.
        given: columns that were named.
        is_image: whether a cell names an image that is there.
    """
    if layout.separator == BY_NAME:
        return True
    first, rows = layout.sample[0], layout.sample[1:]
    named = (given.path, given.label, given.caption, given.group)
    if any(name in first and not name.isdecimal() for name in named if name is not None):
        return True
    if any(map(has_image_ending, first)):
        return False
    plain = [plain_name(cell) for cell in first]
    is_unique = len(set(plain)) == len(plain)
    if is_unique and set(plain) <= KNOWN_HEADINGS:
        return True
    columns = list(zip(*layout.sample, strict=True))  # each begins with the cell of the first row
    repeated = any(cell and cell in below for cell, *below in columns)
    numeric = any(is_number(cell) and all(map(is_number, below)) for cell, *below in columns)
    is_row = repeated or (numeric and bool(rows)) or any(map(is_image, first))
    return not is_row or (not repeated and bool(set(plain) & PATH_NAMES))
