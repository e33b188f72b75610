"""Which examples belong together: pictures of one scene, clips of one film, words of one speaker.

Examples of one group resemble each other for reasons that have nothing to do with their class. So a score is honest
only where none of the test's groups was trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from likewise.data.columns.column import Column, num_rows
from likewise.data.stable_order import stable_score
from likewise.errors import LikewiseError, did_you_mean

if TYPE_CHECKING:
    from likewise.data.columns.parquet_reader import (
        ParquetReader,  # slow to import, and every manifest imports this module
    )

GROUP = "group"
"""the name of this column, in `Manifest.columns`, in Parquet files and in CSVs of labels"""

UNKNOWN = ""
"""the group of examples whose group is not known; they are treated as one group"""


@dataclass(frozen=True, eq=False)
class Groups:
    """The group of each example, by name."""

    names: np.ndarray
    """str [N], `UNKNOWN` where none is known"""

    def __len__(self) -> int:
        return len(self.names)

    def present(self) -> np.ndarray:
        """Bool [N]: which examples have one."""
        return self.names != UNKNOWN

    def take(self, index: np.ndarray) -> Groups:
        """The groups of some rows."""
        return Groups(self.names[index])

    @classmethod
    def concat(cls, parts: Sequence[Column | int]) -> Groups:
        """Several columns; a number means that many examples without a group."""
        listed = []
        for part in parts:
            names = part.names if isinstance(part, Groups) else np.full(num_rows(part), UNKNOWN)
            listed.append(names)
        return cls(np.concatenate(listed).astype(str))

    @classmethod
    def of(cls, values: Sequence[object]) -> Groups:
        """From numbers or names as a file has them; None, NaN and blanks are no group."""
        return cls(np.array([_name_of(value) for value in values]))

    def leaking_between_splits(self, splits: np.ndarray) -> list[str]:
        """Known groups with examples in "train" and in another split, sorted; ``splits`` is str [N]."""
        known = self.present()
        train = splits == "train"
        in_train = self.names[known & train].tolist()
        elsewhere = self.names[known & ~train].tolist()
        return sorted(set(in_train) & set(elsewhere))

    def chosen(self, kinds: np.ndarray, fraction: float, key: str) -> np.ndarray:
        """Whole groups that make up about a share of every class.

        The groups are looked at in an order that depends on the key and their names alone; each is taken if that
        brings the counts of the classes nearer to the share, by squared difference. At least one is taken and at
        least one is left, unless there is only one, which is left.

        Args:
            kinds: int64 [N], the class of each example.
            fraction: how much is wanted of each.
            key: of the order.

        Returns:
            bool [N]: whose group was chosen.
        """
        names, group = np.unique(self.names, return_inverse=True)
        ends = np.cumsum(np.bincount(group))
        members = np.split(np.argsort(group, kind="stable"), ends[:-1])  # rows of each group
        order = sorted(range(len(names)), key=lambda row: stable_score(key, str(names[row])))
        _, kind = np.unique(kinds, return_inverse=True)
        missing = fraction * np.bincount(kind)

        def change(row: int) -> float:
            """Of the squared difference, if the group were taken."""
            classes, counts = np.unique(kind[members[row]], return_counts=True)
            return float((counts * (counts - 2 * missing[classes])).sum())

        chosen = list[int]()
        for row in order:
            if change(row) < 0 and len(chosen) < len(order) - 1:
                np.subtract.at(missing, kind[members[row]], 1)
                chosen.append(row)
        if not chosen and len(order) > 1:
            chosen = [min(order, key=change)]
        return np.isin(group, chosen)


def _name_of(value: object) -> str:
    is_missing = value is None or value != value  # NaN differs from itself
    return UNKNOWN if is_missing else str(value).strip()


def groups_in(readers: Sequence[ParquetReader], name: str | None) -> dict[str, Column]:
    """A column of Parquet files as groups: the one named, else ``group``; nothing where no file has that.

    Raises:
        LikewiseError: a file lacks the column that was named.
    """
    wanted = name or GROUP
    has = [wanted in reader.schema_arrow.names for reader in readers]
    if name is not None and not all(has):
        lacking = readers[has.index(False)].schema_arrow.names
        raise LikewiseError(
            f"--group-column {name}: there is no such column. {did_you_mean(name, lacking)}"
        )
    if not any(has):
        return {}
    found = list[object]()
    for reader, there in zip(readers, has, strict=True):
        rows = reader.metadata.num_rows
        found += reader.values(wanted) if there else [None] * rows
    return {GROUP: Groups.of(found)}
