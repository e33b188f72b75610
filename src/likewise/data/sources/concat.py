"""Several manifests as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from likewise.data.batch import UNLABELLED
from likewise.data.columns.column import concat_columns
from likewise.data.columns.masks import concat_masks
from likewise.data.manifest import Manifest
from likewise.data.pixel_source import ConcatPixels


def concat(parts: Sequence[Manifest], source: str) -> Manifest:
    """The examples of all parts in order, their classes matched by name.

    Ids that two parts share get the split in front, ``test/17``.
    """
    if len(parts) == 1:
        return replace(parts[0], source=source)
    # The first part's numbers stay what they are; classes that only later parts have come behind.
    names = tuple(dict.fromkeys(name for part in parts for name in part.class_names))
    clash = len({name for part in parts for name in part.ids}) < sum(len(part) for part in parts)
    return Manifest(
        source=source,
        pixels=ConcatPixels([part.pixels for part in parts]),
        labels=torch.cat([_renumbered(part, names) for part in parts]),
        splits=np.concatenate([part.splits for part in parts]),
        ids=[
            f"{s}/{i}" if clash else i
            for part in parts
            for s, i in zip(part.splits, part.ids, strict=True)
        ],
        class_names=names,
        skipped=tuple(skipped for part in parts for skipped in part.skipped),
        notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
        masks=concat_masks([(len(part), part.masks) for part in parts]),
        columns=concat_columns([part.columns for part in parts], [len(part) for part in parts]),
    )


def with_test_data(manifest: Manifest, test: Manifest) -> Manifest:
    """A manifest with the test split of another: its rows called test, or where it has none all of its rows."""
    rows = test.split("test") if (test.splits == "test").any() else test
    as_test = replace(rows, splits=np.full(len(rows), "test"), skipped=test.skipped)
    rest = manifest.take(np.flatnonzero(manifest.splits != "test"))
    return concat([replace(rest, skipped=manifest.skipped), as_test], manifest.source)


def as_split(manifest: Manifest, split: str) -> Manifest:
    """All of a manifest's examples as one split."""
    if split == "unlabelled":
        split = "train"
        manifest = replace(manifest, labels=torch.full_like(manifest.labels, UNLABELLED))
    return replace(manifest, splits=np.full(len(manifest), split))


def _renumbered(part: Manifest, names: tuple[str, ...]) -> torch.Tensor:
    number = torch.tensor([*(names.index(name) for name in part.class_names), UNLABELLED])
    return number[part.labels]  # -1 reads the last entry
