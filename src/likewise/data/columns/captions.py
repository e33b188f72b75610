"""Texts that describe images: any number an image, none included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from likewise.data.columns.column import Column, num_rows
from likewise.data.columns.parquet_reader import ParquetReader
from likewise.errors import LikewiseError
from likewise.randomness import generator

CAPTIONS = "captions"
"""the name of this column, in `Manifest.columns` and `Batch.modalities`"""

COLUMN_NAMES = ("captions", "caption", "text", "texts", "sentences")
"""what the column of a Parquet file, or the field of a JSON file, may be called, the first that is there"""


@dataclass(frozen=True, eq=False)
class Captions:
    """The captions of N images."""

    texts: Sequence[tuple[str, ...]]
    """those of each image; empty where it has none"""

    def __len__(self) -> int:
        return len(self.texts)

    def present(self) -> np.ndarray:
        """Bool [N]: which images have one or more."""
        return np.array([bool(texts) for texts in self.texts], dtype=bool)

    def take(self, index: np.ndarray) -> Captions:
        """The captions of some images."""
        return Captions([self.texts[int(i)] for i in index])

    @classmethod
    def concat(cls, parts: Sequence[Column | int]) -> Captions:
        """Several columns concatenated; a number means that many images without captions."""
        texts: list[tuple[str, ...]] = []
        for part in parts:
            texts += part.texts if isinstance(part, Captions) else [()] * num_rows(part)
        return cls(texts)

    @classmethod
    def of(cls, listed: Sequence[Any]) -> Captions:
        """From what a file holds for each image: a string, several, or None. Blank ones are no captions."""
        return cls([_cleaned(entry) for entry in listed])

    def shuffled(self, rows: np.ndarray, share: float, seed: int) -> Captions:
        """The captions with those of a share of some rows passed on to other images, for a study of noise.

        Args:
            rows: int64 [n], the rows that may be touched; those without captions are not.
            share: how many of them get another image's captions, 0 to 1.
            seed: which ones; a larger share touches the same ones and more.
        """
        rows = rows[self.present()[rows]]
        order = torch.randperm(len(rows), generator=generator(seed, "caption noise")).numpy()
        wrong = rows[order[: round(share * len(rows))]]
        texts = list(self.texts)
        givers = np.roll(wrong, 1)  # each gets those of the one before it
        for row, giver in zip(wrong.tolist(), givers.tolist(), strict=True):
            texts[row] = self.texts[giver]
        return Captions(texts)


def captions_in(readers: Sequence[ParquetReader]) -> dict[str, Column]:
    """The captions of Parquet files: a column of strings or of lists of strings; nothing where no file has one."""
    names = [_caption_column(reader.schema_arrow) for reader in readers]
    if not any(names):
        return {}
    listed: list[Any] = []
    for reader, name in zip(readers, names, strict=True):
        rows = reader.metadata.num_rows
        listed += reader.values(name) if name else [None] * rows
    return {CAPTIONS: Captions.of(listed)}


def lines_of(file: Path) -> list[str]:
    """The lines of a text file that are not blank.

    Raises:
        LikewiseError: it is not there, or not text.
    """
    try:
        content = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LikewiseError(f"The text file {file} cannot be read: {error}.") from error
    lines = (line.strip() for line in content.splitlines())
    return [line for line in lines if line]


def _caption_column(schema: pa.Schema) -> str | None:
    for name in COLUMN_NAMES:
        if name in schema.names and _holds_text(schema.field(name).type):
            return name
    return None


def _holds_text(kind: pa.DataType) -> bool:
    inner = kind.value_type if pa.types.is_list(kind) or pa.types.is_large_list(kind) else kind
    return pa.types.is_string(inner) or pa.types.is_large_string(inner)


def _cleaned(entry: Any) -> tuple[str, ...]:
    """Each caption on one line, blanks inside it single; what is no text or blank is left out."""
    listed = entry if isinstance(entry, list | tuple) else [entry]
    texts = (" ".join(text.split()) for text in listed if isinstance(text, str))
    return tuple(text for text in texts if text)
