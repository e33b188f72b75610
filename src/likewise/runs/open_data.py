"""The data of a run: opened, divided into splits, and with the labels hidden that training may not see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from likewise.data.checks.mask_check import MasksFound, look_at_masks
from likewise.data.columns.required_columns import require_columns
from likewise.data.columns.targets import TARGETS, targets_in
from likewise.data.manifest import Manifest
from likewise.data.splits import Split
from likewise.data.splitter import DataSplitter
from likewise.methods import METHODS, Method


@dataclass(frozen=True)
class RunData:
    """What a run learns from and is scored on."""

    manifest: Manifest
    """all examples, with their splits"""
    splits: dict[str, Split]
    """train always; val and test where there are labels to hold out"""
    visible_labels: Tensor
    """int64 [N] labels of the training split that training may see, -1 elsewhere"""
    image_size: int
    """pixels along a side"""
    masks: MasksFound | None
    """the classes of the masks, where training and test images have masks"""

    @property
    def train(self) -> Split:
        """The training split."""
        return self.splits["train"]


def list_data(data: Any, splitter: DataSplitter, method: Method | None) -> Manifest:
    """The examples of a run, not yet decoded.

    Args:
        data: a folder, file, array, table or data set.
        splitter: decides the splits.
        method: whose modalities the examples must have; None where the labels are to choose it.
    """
    found = splitter.list_examples(data)
    if method is not None:
        return require_columns(found, method.modalities, method.card.title)
    targets = targets_in(found.columns)
    if targets is None or splitter.budget.per_class == 0:
        return found
    if not targets.present()[found.splits == "train"].any():
        return found
    # The targets choose it then.
    return require_columns(found, (TARGETS,), METHODS["y-aware"].card.title)


def open_data(manifest: Manifest, splitter: DataSplitter) -> RunData:
    """Decode the examples of a run, and hide labels."""
    masks = look_at_masks(manifest)
    splits = splitter.open(manifest)
    labels = splitter.visible_labels(splits["train"].manifest)
    return RunData(manifest, splits, labels, splitter.image_size(manifest), masks)
