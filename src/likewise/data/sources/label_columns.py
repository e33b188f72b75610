"""Which column of a CSV holds the images' paths, and which labels, captions, splits and groups.

Names and contents decide together. Where two columns could be meant, the file is asked about, never guessed at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from likewise.data.columns.column_names import ColumnNames
from likewise.data.file_names import with_slashes
from likewise.data.sources.arrangement import SPLIT_NAMES
from likewise.data.sources.delimited_text import BY_NAME, COMMENT, SEPARATORS, Layout, TextTable
from likewise.data.sources.file_listing import SUFFIXES
from likewise.data.video.video_decoding import SUFFIXES as VIDEO_SUFFIXES
from likewise.errors import LikewiseError, did_you_mean

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
INDICATORS = frozenset(("0", "1", "0.0", "1.0"))
"""Cells of a column that says whether an image is of one class."""
INDEX_NAMES = frozenset(("", "unnamed:_0", "index"))
"""What the column of row numbers is called that pandas writes."""

Needed = Literal["label", "caption", "any"]
"""What a file is read for; "any": it is the data themselves, and has what it has."""

IsImage = Callable[[str], bool]
"""Whether a cell names an image that is there."""


@dataclass(frozen=True)
class LabelColumns:
    """What was taken for what: columns by number from 0, None where there is no such column."""

    layout: Layout
    has_heading: bool
    names: list[str]
    """of all columns; numbers from 1 where there is no heading"""
    path: int
    label: int | None
    caption: int | None
    split: int | None
    group: int | None

    def describe(self) -> str:
        """What was taken for what, for the first screen."""
        roles = {
            "labels": self.label,
            "captions": self.caption,
            "splits": self.split,
            "groups": self.group,
        }
        taken = [
            f"{what} from {self._named(column)}"
            for what, column in roles.items()
            if column is not None
        ]
        return ", ".join(
            [
                f"image paths from {self._named(self.path)}",
                *taken,
                self.layout.division,
                "with a heading" if self.has_heading else "no heading",
            ]
        )

    def _named(self, column: int) -> str:
        return repr(self.names[column]) if self.has_heading else f"column {column + 1}"


def label_columns(
    text: TextTable, given: ColumnNames, is_image: IsImage, needed: Needed
) -> LabelColumns:
    """Decide what each column holds.

    Args:
        text: the file.
        given: columns that were named.
        is_image: whether a cell names an image that is there.
        needed: what the file is read for.

    Raises:
        LikewiseError: a column that was named is not there, or several could be meant.
    """
    return _Chooser(text.file, _layout(text, given, is_image), given, is_image).choose(needed)


def has_image_ending(cell: str) -> bool:
    """Whether a text ends as the name of an image or a video does."""
    return PurePosixPath(with_slashes(cell)).suffix.lower() in SUFFIXES | VIDEO_SUFFIXES


def _layout(text: TextTable, given: ColumnNames, is_image: IsImage) -> Layout:
    """The layout in which one column names images."""
    choosers = [_Chooser(text.file, layout, given, is_image) for layout in text.layouts]
    with_images = [chooser for chooser in choosers if chooser.image_columns()]
    apart = [
        chooser
        for chooser in with_images
        if not any(chooser.is_divided_by(other) for other in with_images)
    ]
    headed = [chooser for chooser in apart if chooser.is_named()]
    if len(headed) == 1:
        return headed[0].layout
    if len(apart) > 1:
        raise LikewiseError(
            f"{text.file}: columns could be divided by {' or by '.join(c.separator_name for c in apart)}. Its first "
            f"line: {text.layouts[-1].sample[0][0]!r}. Save the file with commas alone, and quotation marks around "
            f"cells that hold one."
        )
    if apart:
        return apart[0].layout
    named = [chooser for chooser in choosers if chooser.is_named()]
    return (named or choosers)[0].layout


class _Chooser:
    """Chooses among the columns of one layout."""

    def __init__(self, file: Path, layout: Layout, given: ColumnNames, is_image: IsImage) -> None:
        self.file, self.layout, self.given, self.is_image = file, layout, given, is_image
        self.has_heading = self._has_heading()
        first = layout.sample[0]
        self.names = list(first) if self.has_heading else [str(i + 1) for i in range(layout.width)]
        self.plain = (
            [plain_name(name) for name in self.names] if self.has_heading else [""] * layout.width
        )
        self.rows = layout.sample[int(self.has_heading) :]

    @property
    def separator_name(self) -> str:
        """The separator in words."""
        return SEPARATORS.get(self.layout.separator, self.layout.separator)

    def choose(self, needed: Needed) -> LabelColumns:
        """What each column holds."""
        path = self._path()
        group = self._one_of("group", GROUP_NAMES, self.given.group, {path})
        split = self._split({path, group})
        caption = self._caption(needed, {path, group, split})
        label = self._label(needed, {path, group, split, caption}, caption)
        if needed == "label" and label is None:
            label, caption = caption, None
        return LabelColumns(
            self.layout, self.has_heading, self.names, path, label, caption, split, group
        )

    def image_columns(self) -> list[int]:
        """Columns in which most cells end as images do; else those whose cells name images without their endings."""
        columns = range(self.layout.width)
        with_ending = [column for column in columns if self._share(column, has_image_ending) >= 0.5]
        if len(with_ending) == 1:
            return with_ending
        found = [
            column for column in with_ending or columns if self._share(column, self.is_image) >= 0.5
        ]
        return found or with_ending

    def is_named(self) -> bool:
        """Whether a column is called as paths usually are, or as was given."""
        return any(name in PATH_NAMES for name in self.plain) or self.given.path in self.names

    def is_divided_by(self, other: _Chooser) -> bool:
        """Whether the images of this layout hold another one's separator, so that this one divides too little."""
        column = self.image_columns()[0]
        separator = other.layout.separator
        return (
            other is not self
            and bool(separator)
            and all(separator in row[column] for row in self.rows)
        )

    def _has_heading(self) -> bool:
        if self.layout.separator == BY_NAME:
            return True
        first, rows = self.layout.sample[0], self.layout.sample[1:]
        named = {self.given.path, self.given.label, self.given.caption, self.given.group} - {None}
        plain = [plain_name(cell) for cell in first]
        if any(name in first and not name.isdecimal() for name in named if name is not None):
            return True
        if any(has_image_ending(cell) for cell in first):
            return False
        usual = (
            PATH_NAMES
            | LABEL_NAMES
            | CAPTION_NAMES
            | SPLIT_COLUMN_NAMES
            | GROUP_NAMES
            | INDEX_NAMES
        )
        if set(plain) <= usual and len(set(plain)) == len(plain):
            return True
        repeated = any(cell and any(row[i] == cell for row in rows) for i, cell in enumerate(first))
        numeric = any(
            is_number(cell) and all(is_number(row[i]) for row in rows)
            for i, cell in enumerate(first)
        )
        is_row = repeated or (numeric and bool(rows)) or any(map(self.is_image, first))
        return not is_row or (not repeated and bool(set(plain) & (PATH_NAMES - {""})))

    def _share(self, column: int, test: Callable[[str], bool]) -> float:
        cells = [row[column] for row in self.rows if row[column]]
        return sum(map(test, cells)) / len(cells) if cells else 0.0

    def _path(self) -> int:
        if self.given.path is not None:
            return self._by_name("path", self.given.path)
        named = [column for column, name in enumerate(self.plain) if name in PATH_NAMES]
        with_images = self.image_columns()
        both = [column for column in named if column in with_images]
        candidates = both or with_images or named
        if len(candidates) == 1:
            return candidates[0]
        raise self._ask("path", "the paths of the images", candidates)

    def _label(self, needed: Needed, taken: set[int | None], caption: int | None) -> int | None:
        found = self._one_of("label", LABEL_NAMES, self.given.label, taken)
        if found is not None or needed == "caption" or caption is not None:
            return found
        rest = [
            column for column in self._rest(taken) if self.plain[column] not in CAPTION_NAMES
        ] or self._rest(taken)
        if len(rest) == 1:
            return rest[0]
        if rest or needed == "label":
            raise self._ask("label", "the labels", rest)
        return None

    def _caption(self, needed: Needed, taken: set[int | None]) -> int | None:
        if self.given.caption is None and needed == "label":
            return None
        found = self._one_of("caption", CAPTION_NAMES, self.given.caption, taken)
        if found is not None or needed == "any":
            return found
        rest = [column for column in self._rest(taken) if self.plain[column] not in LABEL_NAMES]
        if len(rest) != 1:
            raise self._ask("caption", "the captions", rest)
        return rest[0]

    def _split(self, taken: set[int | None]) -> int | None:
        if "split" in self.plain:
            return self.plain.index("split")
        for column in self._rest(taken):
            is_named = not self.has_heading or self.plain[column] in SPLIT_COLUMN_NAMES
            if is_named and len(self._rest(taken)) > 1 and self._share(column, _is_split) == 1:
                return column
        return None

    def _rest(self, taken: set[int | None]) -> list[int]:
        """Columns that hold something and have no role yet."""
        named = self._given_elsewhere()
        return [
            column
            for column in range(self.layout.width)
            if column not in taken | named
            and not (self.has_heading and self.plain[column] in INDEX_NAMES)
            and any(row[column] for row in self.rows)
        ]

    def _given_elsewhere(self) -> set[int]:
        given = [("label", self.given.label), ("caption", self.given.caption)]
        return {self._by_name(what, name) for what, name in given if name is not None}

    def _one_of(
        self, what: str, usual: frozenset[str], given: str | None, taken: set[int | None]
    ) -> int | None:
        if given is not None:
            return self._by_name(what, given)
        found = [
            c
            for c, name in enumerate(self.plain)
            if name in usual and c not in taken | self._given_elsewhere()
        ]
        if len(found) > 1:
            raise self._ask(what, f"the {what}s", found)
        return found[0] if found else None

    def _by_name(self, what: str, name: str) -> int:
        """A column by its heading, in any case of letters, or by its number from 1."""
        exact = [column for column, known in enumerate(self.names) if known == name]
        plain = [
            column for column, known in enumerate(self.plain) if known and known == plain_name(name)
        ]
        found = exact or plain
        if len(found) == 1:
            return found[0]
        if name.isdecimal() and 1 <= int(name) <= self.layout.width and not found:
            return int(name) - 1
        why = (
            "more than one column is called so; give its number from 1"
            if found
            else "there is no such column"
        )
        raise LikewiseError(
            f"{self.file}: --{what}-column {name} was given, but {why}. {did_you_mean(name, self.names)}"
        )

    def _ask(self, what: str, meaning: str, candidates: Sequence[int]) -> LikewiseError:
        could = " or ".join(repr(self.names[column]) for column in candidates)
        why = f"It could be {could}." if candidates else "No column looks like it."
        example = self.names[candidates[0]] if candidates else "NAME"
        if self.names.count(example) > 1:
            example = str(candidates[0] + 1)  # by its number from 1
        numbered = (
            ""
            if self.has_heading
            else " The file has no heading, so columns go by their numbers from 1."
        )
        row = (
            ", ".join(
                f"{name}={cell!r}" for name, cell in zip(self.names, self.rows[0], strict=True)
            )
            if self.rows
            else ""
        )
        return LikewiseError(
            f"{self.file}: which column holds {meaning}? {why}{numbered} Columns: {', '.join(self.names)} "
            f"({self.layout.division}); first row: {row or 'none'}. Name it: --{what}-column {example}, in "
            f"Python {what}_column={example!r}; or call it {USUAL_NAMES[what]} in the file."
            f"{self._indicator_hint(candidates) if what == 'label' else ''}"
        )

    def _indicator_hint(self, candidates: Sequence[int]) -> str:
        """What to do where several columns of 0 and 1 are one class each; empty of others."""
        cells = [[row[column] for column in candidates] for row in self.rows]
        flat = {cell for row in cells for cell in row}
        if len(candidates) < 2 or not flat or not flat <= INDICATORS:
            return ""
        return (
            f" {', '.join(repr(self.names[column]) for column in candidates[:3])} look like one column a class: write "
            f"one column instead, with the name of the class; or with the names of all, cat|dog, for --task multilabel."
        )


USUAL_NAMES = {"path": "image_path", "label": "label", "caption": "caption"}


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


def _is_split(cell: str) -> bool:
    return cell.lower() in SPLIT_NAMES
