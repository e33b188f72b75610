"""Which column of a CSV holds the images' paths, and which labels, captions, splits and groups.

Names and contents decide together. Where two columns could be meant, the file is asked about, never guessed at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from likewise.data.columns.column_names import ColumnNames
from likewise.data.sources.arrangement import SPLIT_NAMES
from likewise.data.sources.headings import (
    CAPTION_NAMES,
    GROUP_NAMES,
    INDEX_NAMES,
    LABEL_NAMES,
    PATH_NAMES,
    SPLIT_COLUMN_NAMES,
    IsImage,
    has_heading,
    has_image_ending,
    plain_name,
)
from likewise.data.sources.text_table import Layout, TextTable
from likewise.errors import LikewiseError, did_you_mean

INDICATORS = frozenset(("0", "1", "0.0", "1.0"))
"""Cells of a column that says whether an image is of one class."""

Needed = Literal["label", "caption", "any"]
"""What a file is read for; "any": it is the data themselves, and has what it has."""


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
        parts = [f"image paths from {self._named(self.path)}"]
        for what, column in roles.items():
            if column is not None:
                parts.append(f"{what} from {self._named(column)}")
        heading = "with a heading" if self.has_heading else "no heading"
        return ", ".join([*parts, self.layout.division, heading])

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


def _layout(text: TextTable, given: ColumnNames, is_image: IsImage) -> Layout:
    """The layout in which one column names images."""
    choosers = [_Chooser(text.file, layout, given, is_image) for layout in text.layouts]
    with_images = [chooser for chooser in choosers if chooser.image_columns()]
    apart = [chooser for chooser in with_images if not chooser.is_divided_by_any(with_images)]
    headed = [chooser for chooser in apart if chooser.is_named()]
    if len(headed) == 1:
        return headed[0].layout
    if len(apart) > 1:
        separators = " or by ".join(chooser.layout.separator_name for chooser in apart)
        raise LikewiseError(
            f"{text.file}: columns could be divided by {separators}. Its first line: "
            f"{text.layouts[-1].sample[0][0]!r}. Save the file with commas alone, and quotation marks around cells "
            f"that hold one."
        )
    if apart:
        return apart[0].layout
    named = [chooser for chooser in choosers if chooser.is_named()]
    return (named or choosers)[0].layout


class _Chooser:
    """Chooses among the columns of one layout."""

    def __init__(self, file: Path, layout: Layout, given: ColumnNames, is_image: IsImage) -> None:
        self.file, self.layout, self.given, self.is_image = file, layout, given, is_image
        self.has_heading = has_heading(layout, given, is_image)
        self.names = [str(number) for number in range(1, layout.width + 1)]
        self.plain = [""] * layout.width
        if self.has_heading:
            self.names = list(layout.sample[0])
            self.plain = [plain_name(name) for name in self.names]
        self.rows = layout.sample[int(self.has_heading) :]

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

    def is_divided_by_any(self, others: Sequence[_Chooser]) -> bool:
        """Whether the images of this layout hold another one's separator, so that this one divides too little."""
        column = self.image_columns()[0]
        for other in others:
            separator = other.layout.separator
            divides = separator and all(separator in row[column] for row in self.rows)
            if divides and other is not self:
                return True
        return False

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
        rest = self._rest(taken)
        rest = [column for column in rest if self.plain[column] not in CAPTION_NAMES] or rest
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
        rest = self._rest(taken)
        if len(rest) < 2:
            return None
        for column in rest:
            is_named = not self.has_heading or self.plain[column] in SPLIT_COLUMN_NAMES
            if is_named and self._share(column, _is_split) == 1:
                return column
        return None

    def _rest(self, taken: set[int | None]) -> list[int]:
        """Columns that hold something and have no role yet."""
        taken = taken | self._given_elsewhere()
        if self.has_heading:
            taken |= {column for column, name in enumerate(self.plain) if name in INDEX_NAMES}
        filled = {column for row in self.rows for column, cell in enumerate(row) if cell}
        return sorted(filled - taken)

    def _given_elsewhere(self) -> set[int]:
        given = [("label", self.given.label), ("caption", self.given.caption)]
        return {self._by_name(what, name) for what, name in given if name is not None}

    def _one_of(
        self, what: str, usual: frozenset[str], given: str | None, taken: set[int | None]
    ) -> int | None:
        if given is not None:
            return self._by_name(what, given)
        taken = taken | self._given_elsewhere()
        named = [column for column, name in enumerate(self.plain) if name in usual]
        found = [column for column in named if column not in taken]
        if len(found) > 1:
            raise self._ask(what, f"the {what}s", found)
        return found[0] if found else None

    def _by_name(self, what: str, name: str) -> int:
        """A column by its heading, in any case of letters, or by its number from 1."""
        plain = plain_name(name)
        found = [column for column, known in enumerate(self.names) if known == name]
        if not found and plain:
            found = [column for column, known in enumerate(self.plain) if known == plain]
        if len(found) == 1:
            return found[0]
        if name.isdecimal() and 1 <= int(name) <= self.layout.width and not found:
            return int(name) - 1
        why = "there is no such column"
        if found:
            why = "more than one column is called so; give its number from 1"
        raise LikewiseError(
            f"{self.file}: --{what}-column {name} was given, but {why}. {did_you_mean(name, self.names)}"
        )

    def _ask(self, what: str, meaning: str, candidates: Sequence[int]) -> LikewiseError:
        could = " or ".join(repr(self.names[column]) for column in candidates)
        why = f"It could be {could}." if candidates else "No column looks like it."
        example = self.names[candidates[0]] if candidates else "NAME"
        if self.names.count(example) > 1:
            example = str(candidates[0] + 1)  # by its number from 1
        if not self.has_heading:
            why += " The file has no heading, so columns go by their numbers from 1."
        hint = self._indicator_hint(candidates) if what == "label" else ""
        return LikewiseError(
            f"{self.file}: which column holds {meaning}? {why} Columns: {', '.join(self.names)} "
            f"({self.layout.division}); first row: {self._first_row()}. Name it: --{what}-column {example}, in "
            f"Python {what}_column={example!r}; or call it {USUAL_NAMES[what]} in the file.{hint}"
        )

    def _first_row(self) -> str:
        if not self.rows:
            return "none"
        cells = zip(self.names, self.rows[0], strict=True)
        return ", ".join(f"{name}={cell!r}" for name, cell in cells)

    def _indicator_hint(self, candidates: Sequence[int]) -> str:
        """What to do where several columns of 0 and 1 are one class each; empty of others."""
        cells = {row[column] for row in self.rows for column in candidates}
        if len(candidates) < 2 or not cells or not cells <= INDICATORS:
            return ""
        names = ", ".join(repr(self.names[column]) for column in candidates[:3])
        return (
            f" {names} look like one column a class: write one column instead, with the name of the class; or with "
            f"the names of all, cat|dog, for --task multilabel."
        )


USUAL_NAMES = {"path": "image_path", "label": "label", "caption": "caption"}


def _is_split(cell: str) -> bool:
    return cell.lower() in SPLIT_NAMES
