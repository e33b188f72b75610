"""The data of a run: opened, divided into splits, and with the labels hidden that training may not see."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from likewise.data.checks.mask_check import MasksFound, look_at_masks
from likewise.data.columns.required_columns import require_columns
from likewise.data.data_settings import DataSettings
from likewise.data.images import default_size
from likewise.data.manifest import Manifest
from likewise.data.splits import Split, open_split_manifest, open_splits, visible_labels
from likewise.data.video.clip_reading import clip_size
from likewise.methods import Method
from likewise.runs.inputs import Inputs


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


def open_data(data: Any, settings: DataSettings, inputs: Inputs, method: Method | None) -> RunData:
    """Open a source for a run.

    Args:
        data: a folder, file, array, table or data set.
        settings: labels, splits, masks, captions.
        inputs: what the encoder sees.
        method: whose modalities the examples must have; None where the labels are to choose it.
    """
    settings = replace(settings, region=inputs.region)
    found = open_split_manifest(data, settings, inputs.sampling, inputs.image_size)
    manifest = require_columns(found, method.required_modalities, method.title) if method else found
    size = inputs.image_size or (clip_size(manifest) if inputs.sampling else default_size(manifest))
    masks = look_at_masks(manifest)
    splits = open_splits(manifest, size, sampling=inputs.sampling)
    return RunData(manifest, splits, visible_labels(settings, splits["train"].manifest), size, masks)
