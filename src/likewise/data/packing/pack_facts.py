"""What a shard says about the whole set, so that each can be read without the others."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from likewise.data.columns.captions import CAPTIONS
from likewise.data.columns.column import Column
from likewise.data.columns.groups import GROUP, Groups
from likewise.data.columns.targets import TARGETS, TargetColumn, TargetTask, targets_in
from likewise.data.manifest import Manifest
from likewise.errors import LikewiseError

FORMAT = 1
"""Of shards that ``likewise pack`` writes; raised when their content changes."""

TAR_MEMBER = "__likewise__/pack.json"
"""The file in an archive that holds the facts; WebDataset's readers pass over names like ``__this__``."""

PARQUET_KEY = b"likewise.pack"
"""The key in a Parquet file's metadata that holds the facts."""

MASK = "mask"
"""name of the column of masks"""

COLUMNS = (CAPTIONS, GROUP, TARGETS, MASK)
"""What shards hold besides images and classes; archives hold no masks."""

ID = "id"
"""name of an example's stable id, in the JSON files of archives and as a column of Parquet files"""


class PackFacts(NamedTuple):
    """What holds for all examples of a set."""

    class_names: tuple[str, ...]
    """name of each class number"""
    columns: tuple[str, ...] = ()
    """what at least one example has besides image and class"""
    task: TargetTask | None = None
    """what the targets are; None: there are none"""
    target_names: tuple[str, ...] = ()
    """of the T classes or numbers that targets hold"""

    @classmethod
    def of(cls, manifest: Manifest) -> PackFacts:
        """The facts of a set."""
        columns = {name for name, column in manifest.columns.items() if column.present().any()}
        if manifest.masks is not None:
            columns.add(MASK)
        targets = targets_in(manifest.columns)
        task, names = (targets.task, targets.names) if targets is not None else (None, ())
        return cls(manifest.class_names, tuple(sorted(columns)), task, names)

    def as_json(self) -> bytes:
        """As a shard holds them."""
        return json.dumps({"format": FORMAT, **self._asdict()}, sort_keys=True).encode()

    @classmethod
    def of_json(cls, content: bytes, file: str) -> PackFacts:
        """From a shard.

        Raises:
            LikewiseError: another version of likewise wrote the file, or it is damaged.
        """
        try:
            found = json.loads(content)
            version = found.pop("format")
            names, columns, target_names = (
                tuple(found[n]) for n in ("class_names", "columns", "target_names")
            )
            facts = cls(names, columns, found["task"], target_names)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise LikewiseError(
                f"{file} is damaged: what it says about its set cannot be read ({error})."
            ) from error
        if version != FORMAT:
            raise LikewiseError(
                f"{file} is a shard of format {version}; this version reads {FORMAT}. Pack it anew."
            )
        return facts

    def read_columns(
        self, targets: Sequence[Sequence[float] | None], groups: Sequence[str | None]
    ) -> dict[str, Column]:
        """The groups and targets of N examples, those of them that the set has.

        Args:
            targets: T numbers of each example; None where nothing is known.
            groups: the group of each example; None where none is known.
        """
        columns = dict[str, Column]()
        if GROUP in self.columns and groups:
            columns[GROUP] = Groups.of(groups)
        if self.task is not None:
            values = np.full((len(targets), len(self.target_names)), np.nan, np.float32)
            for row, numbers in enumerate(targets):
                if numbers is not None:
                    values[row] = numbers
            columns[TARGETS] = TargetColumn(self.task, self.target_names, values)
        return columns


def common_facts(found: Sequence[PackFacts | None], files: Sequence[str]) -> PackFacts | None:
    """The facts that all shards of a set agree on; None where no shard has any.

    Raises:
        LikewiseError: the shards are of different sets.
    """
    for facts, file in zip(found, files, strict=True):
        if facts != found[0]:
            raise LikewiseError(
                f"{file} and {files[0]} are shards of different sets. Give those of one set."
            )
    return found[0]


def require_held(facts: PackFacts, held: Sequence[str], source: str) -> None:
    """Refuse a set that has more than shards can hold, so that nothing is lost.

    Raises:
        LikewiseError: it has a column that is not among the ``held`` ones.
    """
    lost = sorted(set(facts.columns) - set(held))
    if lost:
        advice = " Parquet files hold masks: --to parquet." if MASK in lost else ""
        raise LikewiseError(
            f"{source} has {', '.join(lost)} besides its images, which these shards do not hold. They hold: "
            f"{', '.join(held)}.{advice}"
        )
