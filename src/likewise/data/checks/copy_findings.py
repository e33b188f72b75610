"""Copies as findings: which of them spoil the scores, which the labels, and which only repeat an image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from likewise.data.batch import UNLABELLED
from likewise.data.checks.finding import Finding
from likewise.data.checks.image_look import Look
from likewise.data.checks.near_duplicates import COPY_KINDS, CopyGroup, CopyKind, near_duplicates
from likewise.data.checks.picture_descriptors import SIDE
from likewise.data.manifest import Manifest

COPY_NAMES: dict[CopyKind, str] = {
    "same": "near copy",
    "cropped": "cropped copy",
    "turned": "turned copy",
    "mirrored": "mirrored copy",
}
COPY_MEANINGS: dict[CopyKind, str] = {
    "same": "almost the same picture more than once: counted as different images, pushed apart",
    "cropped": "a part of a picture next to the picture: counted as different images, pushed apart",
    "turned": "a picture turned by quarters next to the picture: counted as different images, pushed apart",
    "mirrored": "a picture and its mirror image: counted as different images, pushed apart",
}


def copy_findings(manifest: Manifest, looks: Sequence[Look | str]) -> Iterator[Finding]:
    """Copies that span splits, copies with different labels, exact copies, then each other kind.

    A group of copies is listed under the first two and again under its kind, where groups that span splits come first.

    Args:
        manifest: the examples.
        looks: what decoding each of them found, or why it cannot be decoded.
    """
    groups = [_Copies(manifest, looks, group) for group in _copy_groups(looks)]
    yield _finding(
        "leak",
        [group for group in groups if group.is_leak],
        "the same picture in training and in validation or test: the scores are too good",
        "Delete the copy from the training split.",
    )
    yield _finding(
        "copies at odds",
        [group for group in groups if group.is_at_odds],
        "the same picture with different labels: at least one label is wrong",
        "Look at each group and keep one label.",
    )
    worst_first = sorted(groups, key=lambda group: (not group.is_leak, not group.is_at_odds))
    yield _finding(
        "exact copy",
        [group for group in worst_first if group.is_exact],
        "the same pixels more than once: counted as different images, pushed apart",
        "Keep one file of each group.",
    )
    for kind in reversed(COPY_KINDS):
        of_kind = [group for group in worst_first if not group.is_exact and group.kinds[0] == kind]
        yield _finding(
            COPY_NAMES[kind], of_kind, COPY_MEANINGS[kind], "Keep the best file of each group."
        )


class _Copies:
    """A group of copies, and what is known about its images."""

    def __init__(self, manifest: Manifest, looks: Sequence[Look | str], group: CopyGroup) -> None:
        self.kinds = group.kinds
        self.ids = tuple(manifest.ids[row] for row in group.rows)
        self.splits = sorted(set(manifest.splits[group.rows].tolist()))
        labels = set(manifest.labels[group.rows].tolist()) - {UNLABELLED}
        self.is_leak = len(self.splits) > 1
        self.is_at_odds = len(labels) > 1
        digests = {look.digest for row in group.rows if isinstance(look := looks[row], Look)}
        self.is_exact = len(digests) == 1

    @property
    def detail(self) -> str:
        """What was done to the copies, and which splits they are in."""
        done = "exact" if self.is_exact else ", ".join(self.kinds)
        return f"{done}; {', '.join(self.splits)}"


def _copy_groups(looks: Sequence[Look | str]) -> list[CopyGroup]:
    """Groups of rows that show the same picture."""
    rows = []
    thumbnails = [np.zeros((0, SIDE, SIDE), np.uint8)]
    for row, look in enumerate(looks):
        if isinstance(look, Look) and look.is_visible:
            rows.append(row)
            thumbnails.append(look.thumbnail[None])
    groups = []
    for group in near_duplicates(np.concatenate(thumbnails)):
        groups.append(CopyGroup([rows[position] for position in group.rows], group.kinds))
    return groups


def _finding(name: str, groups: Sequence[_Copies], meaning: str, remedy: str) -> Finding:
    return Finding(
        name,
        groups=tuple(group.ids for group in groups),
        meaning=meaning,
        remedy=remedy,
        details=tuple(group.detail for group in groups),
    )
