"""Which class every pixel of an image shows."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from PIL import Image

from likewise.data.decode_file import UnreadableImage
from likewise.data.heif import is_heif
from likewise.errors import LikewiseError

VOID = 255
"""The value of pixels that belong to no class, unless another is named: PASCAL VOC's and Cityscapes' convention."""

NOTHING = -1
"""What an ignored pixel reads as."""

MOST_CLASSES = 256
"""Class numbers lie below this; a mask of more values is a photograph or numbers objects instead of classes."""

MaskClasses = Literal["numbers", "binary"]
"""What a mask's values are: class numbers; or numbers of objects, of which all but 0, the background, are one class."""

MODES = ("1", "L", "P", "I", "I;16", "I;16B", "I;16L")
"""Pillow's names for images whose pixel values are numbers, not colours."""


class EncodedMask(Protocol):
    """An encoded mask in a file of its own."""

    def read(self) -> bytes | None:
        """The content of an image file; None where there is none."""
        ...


Cell = Path | np.ndarray | EncodedMask | None
"""One mask: a file, uint8 [H, W], the bytes of a file, or nothing"""


@dataclass(frozen=True, eq=False)
class Masks:
    """The masks of N images, some of which may have none. Values are class numbers from 0."""

    cells: Sequence[Cell]
    ignore_index: int = VOID
    """the value of pixels that belong to no class"""
    class_names: tuple[str, ...] = ()
    """name of each class number, where the data have them"""
    classes: MaskClasses = "numbers"
    """whether values tell classes, or whether 0 is background and whatever else one class"""

    def __len__(self) -> int:
        return len(self.cells)

    def take(self, index: np.ndarray) -> Masks:
        """The masks of some images; nothing is read."""
        return replace(self, cells=[self.cells[i] for i in index])

    def known(self) -> np.ndarray:
        """int64 positions of the images that have a mask."""
        positions = [position for position, cell in enumerate(self.cells) if cell is not None]
        return np.array(positions, dtype=np.int64)

    def name(self, number: int) -> str:
        """A class's name, or its number."""
        if self.classes == "binary":
            return ("background", "object")[number]
        return self.class_names[number] if number < len(self.class_names) else f"class {number}"

    def size(self, position: int) -> tuple[int, int]:
        """Width and height of a mask, from its header alone."""
        cell = self.cells[position]
        if isinstance(cell, np.ndarray):
            return cell.shape[1], cell.shape[0]
        with self._open(position) as image:
            return image.size

    def read(self, position: int) -> np.ndarray:
        """One mask, int16 [H, W]; ignored pixels read as NOTHING.

        Raises:
            LikewiseError: it cannot be decoded, is JPEG or HEIC, has colours, or holds class numbers of 256 and more.
        """
        cell = self.cells[position]
        if isinstance(cell, np.ndarray):
            values = cell
        else:
            with self._open(position) as image:
                values = np.asarray(image)
        values = values.astype(np.int64)
        values[values == self.ignore_index] = NOTHING
        if self.classes == "binary":
            values = values.clip(max=1)
        if values.max(initial=0) >= MOST_CLASSES:
            raise LikewiseError(
                f"{self._where(position)} holds the value {values.max()}; class numbers lie in 0..{MOST_CLASSES - 1}, "
                f"and --ignore-index names the one value of pixels that belong to no class. If values number objects, "
                f"--mask-classes binary takes them all for one class."
            )
        return values.astype(np.int16)

    def _open(self, position: int) -> Image.Image:
        cell = self.cells[position]
        assert not isinstance(cell, np.ndarray) and cell is not None
        try:
            content = cell.read_bytes() if isinstance(cell, Path) else cell.read()
            kind = "HEIC" if is_heif(content or b"") else None
            image = Image.open(io.BytesIO(content or b"")) if kind is None else None
        except (OSError, ValueError, SyntaxError, UnreadableImage) as error:
            raise LikewiseError(
                f"{self._where(position)} cannot be read as a mask: {error}."
            ) from error
        if image is None or image.format == "JPEG":
            raise self._refused(position, f"is a {kind or 'JPEG'}, which changes values")
        if image.mode not in MODES:
            raise self._refused(position, f"has colours (mode {image.mode})")
        return image

    def _refused(self, position: int, why: str) -> LikewiseError:
        return LikewiseError(
            f"{self._where(position)} {why}. A mask is a PNG of one channel whose values are class numbers."
        )

    def _where(self, position: int) -> str:
        cell = self.cells[position]
        return str(cell) if isinstance(cell, Path) else f"The mask of image {position}"


def concat_masks(parts: Sequence[tuple[int, Masks | None]]) -> Masks | None:
    """The masks of several sets concatenated, each with its number of images; None where no set has any."""
    present = [masks for _, masks in parts if masks is not None]
    if not present:
        return None
    cells: list[Cell] = []
    for count, masks in parts:
        cells += masks.cells if masks is not None else [None] * count
    names = max((masks.class_names for masks in present), key=len)
    return Masks(cells, present[0].ignore_index, names)
