"""What was found in the data, for the first screen, ``data.json`` and the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from likewise.counts import amount
from likewise.data.batch import UNLABELLED
from likewise.data.checks.leakage import leak_warnings
from likewise.data.checks.mask_check import MasksFound
from likewise.data.classes import class_counts
from likewise.data.columns.targets import targets_in
from likewise.data.left_out import some_files
from likewise.data.manifest import Manifest
from likewise.data.splits import Split
from likewise.encoders import EncoderSettings
from likewise.methods import Method
from likewise.methods.user_views import view_notes


def summarise_data(
    manifest: Manifest,
    splits: Mapping[str, Split],
    visible_labels: Tensor,
    method: Method,
    encoder: EncoderSettings,
    used: int,
    masks: MasksFound | None = None,
) -> dict[str, Any]:
    """Counts, classes, skipped files, notes and warnings as JSON content.

    Args:
        manifest: all examples.
        splits: the opened parts.
        visible_labels: int64 [N] labels of the training split that training may see, -1 elsewhere.
        method: what learns.
        encoder: what it sees.
        used: training images that the method is given.
        masks: the classes of the masks, where training and test images have masks.
    """
    found = manifest.summary()
    visible = visible_labels != UNLABELLED
    flipped = visible & (visible_labels != splits["train"].labels)
    unread = _unread(splits)
    notes = [
        *found["notes"],
        *_left_out(method, used, len(visible_labels)),
        *view_notes(method, encoder.channels),
    ]
    warnings = [
        *found["warnings"],
        *_unread_warnings(unread),
        *_mask_warnings(manifest, masks, encoder),
        *leak_warnings(splits),
    ]
    return {
        "source": found["source"],
        "splits": {name: len(split.manifest) for name, split in splits.items()},
        "classes": _classes(manifest, visible_labels),
        "labelled": found["labelled"],
        "unlabelled": found["unlabelled"],
        "targets": _targets(manifest),
        "visible_labels": int(visible.sum()),
        "noisy_labels": int(flipped.sum()),
        "image_size": encoder.image_size,
        "channels": encoder.channels,
        "clips": _clips(splits["train"], encoder),
        "sizes": found["sizes"],
        "masks": masks._asdict() if masks else None,
        "columns": found["columns"],
        "skipped": found["skipped"],
        "unread": unread,
        "notes": notes,
        "warnings": warnings,
    }


def _targets(manifest: Manifest) -> dict[str, Any] | None:
    """Several classes an image, or numbers."""
    column = targets_in(manifest.columns)
    if column is None:
        return None
    return {
        "task": column.task,
        "names": list(column.names),
        "known": int(column.present().sum()),
    }


def _unread(splits: Mapping[str, Split]) -> dict[str, str]:
    """Ids of the images that could not be decoded so far, each with the reason."""
    unread: dict[str, str] = {}
    for split in splits.values():
        unread |= split.train_images.unreadable | split.images.unreadable
    return unread


def _unread_warnings(unread: Mapping[str, str]) -> list[str]:
    if not unread:
        return []
    return [
        f"{amount(len(unread), 'image')} cannot be decoded: in training others stand in for them, and they are not "
        f"scored. {some_files(unread)}"
    ]


def _classes(manifest: Manifest, visible_labels: Tensor) -> list[dict[str, Any]]:
    """Each class with its images and its visible labels."""
    counts = class_counts(manifest.labels)
    visible = class_counts(visible_labels)
    classes = []
    for label, name in enumerate(manifest.class_names):
        entry = {
            "name": name,
            "count": counts.get(label, 0),
            "visible_labels": visible.get(label, 0),
        }
        classes.append(entry)
    return classes


def _clips(train: Split, encoder: EncoderSettings) -> dict[str, Any] | None:
    """How much of videos is stored and how much the encoder sees, where the run learns from clips."""
    if train.clips is None:
        return None
    return {"stored": train.clips.frames, "seen": encoder.frames, "frame_rate": encoder.frame_rate}


def _left_out(method: Method, used: int, images: int) -> list[str]:
    """A note where images were left out because they have no label."""
    if used == images:
        return []
    return [
        f"{method.card.title} learns from the {used:,} labelled of {amount(images, 'training image')} alone"
    ]


def _mask_warnings(
    manifest: Manifest, masks: MasksFound | None, encoder: EncoderSettings
) -> list[str]:
    if masks is not None and encoder.frames > 1:
        return [
            "masks are of single frames and the encoder sees several, so segmentation is not scored."
        ]
    if manifest.masks is None or masks is not None:
        return []
    return ["there are masks, but not both in train and in test, so segmentation cannot be scored."]
