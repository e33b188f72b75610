"""The examples that can be scored: those whose images can be decoded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from likewise.counts import amount
from likewise.data.left_out import some_files
from likewise.data.splits import Split
from likewise.evaluation.features import EvalView, extract_readable


@dataclass(frozen=True)
class ReadableSplits:
    """Splits without the images that could not be decoded, and an encoder's features of the others."""

    splits: dict[str, Split]
    positions: dict[str, Tensor]
    """int64 [M] by split: the positions of its examples in the split that was given"""
    features: dict[str, Tensor]
    """float32 [M, D] by split"""
    unread: dict[str, str]
    """ids of the images that could not be decoded, each with the reason"""


def read_splits(
    encoder: nn.Module,
    splits: Mapping[str, Split],
    names: Iterable[str],
    view: EvalView,
    batch_size: int = 512,
    device: torch.device | str | None = None,
) -> ReadableSplits:
    """Take an encoder's features of some splits, and leave out what cannot be decoded.

    Every image is decoded once for it, so no other pass over the data is needed to know which images can be scored.
    Splits that are not named stay as they are.

    Raises:
        LikewiseError: no image of a split can be decoded.
    """
    read = dict(splits)
    positions = dict[str, Tensor]()
    features = dict[str, Tensor]()
    for name in names:
        split = splits[name]
        everything = torch.arange(len(split.manifest))
        found = extract_readable(encoder, split.images, everything, view, batch_size, device)
        positions[name] = found.positions
        features[name] = found.vectors
        if len(found.positions) < len(everything):
            read[name] = split.take(found.positions)
    unread: dict[str, str] = {}
    for split in splits.values():  # validation images too, as far as they have been looked at
        unread |= split.images.unreadable
    return ReadableSplits(read, positions, features, unread)


def unread_note(unread: Mapping[str, str]) -> tuple[str, ...]:
    """A note for scores that were taken without some images; none where all were read."""
    if not unread:
        return ()
    return (
        f"{amount(len(unread), 'image')} could not be read and were not scored. {some_files(unread)}",
    )
