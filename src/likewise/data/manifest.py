"""The list of examples: where their pixels are, label, split, stable id."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from likewise.data.batch import UNLABELLED
from likewise.data.classes import class_counts
from likewise.data.columns.column import Column, take_columns
from likewise.data.columns.groups import GROUP, Groups
from likewise.data.columns.masks import Masks
from likewise.data.columns.targets import targets_in
from likewise.data.compact_ids import CompactIds, take_ids
from likewise.data.file_names import written_name, written_names
from likewise.data.left_out import Skipped
from likewise.data.manifest_warnings import warnings_of
from likewise.data.pixel_source import PixelSource
from likewise.data.stable_order import ranks_within_class
from likewise.errors import LikewiseError
from likewise.field_types import checked_value

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, eq=False)
class Manifest:
    """N examples. A manifest is never changed; every method gives a new one.

    Raises:
        LikewiseError: nothing is in it, or its columns differ in length.
    """

    source: str
    """the source as it was named, for the first screen"""
    pixels: PixelSource
    """where the pixels are"""
    labels: Tensor
    """int64 [N], -1 where there is none"""
    splits: np.ndarray
    """str [N]: "train", "val" or "test" """
    ids: Sequence[str]
    """stable name of each example: relative path, Parquet file and row, archive and key, or array position"""
    class_names: tuple[str, ...] = ()
    """name of each label"""
    skipped: tuple[Skipped, ...] = ()
    """files that were left out, each with its reason"""
    notes: tuple[str, ...] = field(default=())
    """how the source was understood where it could be taken in more than one way"""
    masks: Masks | None = None
    """which class each pixel shows, where the data have that"""
    columns: Mapping[str, Column] = field(default_factory=dict)
    """what the images have besides pixels, by name: ``captions``"""
    pixel_range: tuple[float, float] | None = None
    """values that become black and white; None where all pixels have 8 bits"""
    pixel_values: tuple[float, float] | None = None
    """the least and the greatest value found in images of more than 8 bits; None where none was looked at"""

    def __post_init__(self) -> None:
        self._check_types()
        self._write_names()
        parts = [self.pixels, self.labels, self.splits, self.ids, *self.columns.values()]
        if self.masks is not None:
            parts.append(self.masks)
        lengths = set(map(len, parts))
        if len(lengths) != 1:
            raise LikewiseError(
                f"pixels, labels, splits, ids, masks and columns differ in length: {sorted(lengths)}; give one each."
            )
        if len(self.labels):
            least, greatest = self.labels.aminmax()
            if least < UNLABELLED or greatest >= self.classes:
                raise LikewiseError(
                    f"labels lie outside -1..{self.classes - 1}: they are positions in class_names, or -1 for none."
                )

    def _check_types(self) -> None:
        """What is cheap to check: a list of a million ids is not looked through."""
        kinds = {
            "source": str,
            "pixels": PixelSource,
            "labels": Tensor,
            "splits": np.ndarray,
            "ids": Sequence,
        }
        kinds |= {
            "class_names": Sequence[str],
            "skipped": Sequence[Skipped],
            "notes": Sequence[str],
        }
        kinds |= {"masks": Masks | None}
        kinds |= {"columns": Mapping, "pixel_range": tuple[float, float] | None}
        kinds |= {"pixel_values": tuple[float, float] | None}
        for name, kind in kinds.items():
            checked_value(name, getattr(self, name), kind)
        if self.labels.ndim != 1:
            raise LikewiseError(
                f"labels: a tensor {tuple(self.labels.shape)} was given; give int64 [N]."
            )

    def _write_names(self) -> None:
        """Names of files as they are written, so that any name can be stored and printed."""
        skipped = tuple(
            entry._replace(id=written_name(entry.id), reason=written_name(entry.reason))
            for entry in self.skipped
        )
        as_text = {
            "source": written_name(self.source),
            "ids": self._written_ids(),
            "class_names": tuple(written_names(self.class_names)),
            "skipped": skipped,
            "notes": tuple(written_names(self.notes)),
        }
        for name, value in as_text.items():
            object.__setattr__(self, name, value)  # the class is frozen

    def _written_ids(self) -> Sequence[str]:
        if isinstance(self.ids, CompactIds):
            return self.ids
        try:
            return written_names(self.ids)
        except TypeError as error:
            raise LikewiseError(
                f"ids are texts, one for each image; another type was given ({error})."
            ) from None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def classes(self) -> int:
        """How many classes have a name."""
        return len(self.class_names)

    def take(self, index: Tensor | np.ndarray | Sequence[int]) -> Manifest:
        """The examples at some positions, in that order."""
        rows = np.asarray(index, dtype=np.int64)
        return replace(
            self,
            pixels=self.pixels.take(rows),
            labels=self.labels[torch.from_numpy(rows)],
            splits=self.splits[rows],
            ids=take_ids(self.ids, rows),
            masks=self.masks.take(rows) if self.masks is not None else None,
            columns=take_columns(self.columns, rows),
        )

    def split(self, name: str) -> Manifest:
        """The examples of one split; none if it has none. Only the whole manifest lists what was skipped."""
        return replace(self.take(np.flatnonzero(self.splits == name)), skipped=())

    def with_labels(self, labels: Tensor, class_names: Sequence[str] | None = None) -> Manifest:
        """The same examples with other labels, for instance with some hidden by a budget."""
        names = self.class_names if class_names is None else tuple(class_names)
        return replace(self, labels=labels.to(torch.int64), class_names=names)

    def hold_out(self, fraction: float, seed: int, name: str = "test") -> Manifest:
        """Move a share of every class from "train" to another split.

        Which examples move depends on the seed and on each example's id alone, so neither the order of the files nor
        a new class changes it. Unlabelled examples can score nothing and stay, unless nothing is labelled. At least
        one example of a class moves and at least one stays, unless there is only one, which stays.

        Where the data say which examples belong together, whole groups move instead (`Groups.chosen`), with all that
        is in them, as near to that share of every class as they come.
        """
        if not 0 < fraction < 1:
            raise LikewiseError(
                f"hold_out: the fraction {fraction} must lie between 0 and 1, for instance 0.2."
            )
        candidates = np.flatnonzero(self.splits == "train")
        known = self._is_labelled()[candidates]
        candidates = candidates[known] if known.any() else candidates
        labels = self.labels.numpy()[candidates]
        key = f"hold out {seed}"
        if self.groups is not None:
            return self._hold_out_groups(self.groups, candidates, fraction, key, name)
        rank = ranks_within_class(labels, [self.ids[int(i)] for i in candidates], key)
        _, kind, counts = np.unique(labels, return_inverse=True, return_counts=True)
        share = np.minimum(np.maximum(np.rint(fraction * counts), 1), counts - 1)
        return replace(self, splits=self._moved(candidates[rank < share[kind]], name))

    def _hold_out_groups(
        self,
        groups: Groups,
        candidates: np.ndarray,
        fraction: float,
        key: str,
        name: str,
    ) -> Manifest:
        """Move whole groups, chosen by the labels of some training examples."""
        chosen = groups.take(candidates).chosen(self.labels.numpy()[candidates], fraction, key)
        names = groups.names[candidates]
        moved = np.unique(names[chosen])
        rows = np.flatnonzero((self.splits == "train") & np.isin(groups.names, moved))
        note = f"{name} is made of whole groups, {len(moved)} of {len(np.unique(names))}"
        return replace(self, splits=self._moved(rows, name), notes=(*self.notes, note))

    def _moved(self, rows: np.ndarray, name: str) -> np.ndarray:
        """The splits with some rows in another one."""
        # Names may be longer than those that the array has room for.
        splits = self.splits.astype(object)
        splits[rows] = name
        return splits.astype(str)

    @property
    def left_out(self) -> dict[str, str]:
        """The ids of all files that were left out, each with the reason."""
        return {entry.id: entry.reason for entry in self.skipped}

    @property
    def unread(self) -> dict[str, str]:
        """Those of them that were to be examples and cannot be read."""
        return {entry.id: entry.reason for entry in self.skipped if entry.unread}

    @property
    def groups(self) -> Groups | None:
        """Which examples belong together, where the data say so."""
        column = self.columns.get(GROUP)
        return column if isinstance(column, Groups) else None

    def labelled(self) -> int:
        """How many examples have a label."""
        return int((self.labels != UNLABELLED).sum())

    def _is_labelled(self) -> np.ndarray:
        """Bool [N]: which examples have a label or targets."""
        targets = targets_in(self.columns)
        labelled = self.labels.numpy() != UNLABELLED
        return labelled if targets is None else labelled | targets.present()

    def summary(self) -> dict[str, Any]:
        """What was found, for the first screen and ``data.json``."""
        counts = class_counts(self.labels)
        modes = Counter(mode for mode in self.pixels.headers.modes.tolist() if mode)
        return {
            "source": self.source,
            "images": len(self),
            "splits": {name: self._counts(self.splits == name) for name in _in_order(self.splits)},
            "labelled": self.labelled(),
            "unlabelled": len(self) - self.labelled(),
            "classes": {name: counts.get(label, 0) for label, name in enumerate(self.class_names)},
            "sizes": _sizes(self.pixels.headers.sizes),
            "modes": dict(modes.most_common()),
            "columns": {name: int(column.present().sum()) for name, column in self.columns.items()},
            "skipped": [skipped._asdict() for skipped in self.skipped],
            "notes": list(self.notes),
            "warnings": list(self.warnings()),
        }

    def warnings(self) -> tuple[str, ...]:
        """What should be known before step 0: classes of one image, splits without some class, skipped files."""
        return tuple(warnings_of(self))

    def _counts(self, rows: np.ndarray) -> dict[str, int]:
        labelled = int((self.labels.numpy()[rows] != UNLABELLED).sum())
        return {"images": int(rows.sum()), "labelled": labelled}


def _in_order(splits: np.ndarray) -> list[str]:
    found = set(splits.tolist())
    return [name for name in SPLITS if name in found] + sorted(found.difference(SPLITS))


def _sizes(sizes: np.ndarray) -> dict[str, Any]:
    """The smallest, median and largest width and height, and whether there is only one size."""
    known = sizes[(sizes > 0).all(axis=1)]
    if not len(known):
        return {}
    low = known.min(axis=0)
    median = np.median(known, axis=0)
    high = known.max(axis=0)
    return {
        "smallest": low.astype(int).tolist(),
        "median": median.astype(int).tolist(),
        "largest": high.astype(int).tolist(),
        "same": bool((low == high).all()),
    }
