"""How often predictions are right on images whose class the data already tell, by folder or label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa

from likewise.counts import amount
from likewise.data.batch import UNLABELLED
from likewise.data.manifest import Manifest
from likewise.evaluation.statistics.confidence import Interval, wilson


class KnownLabels(NamedTuple):
    """Labels that new images bring."""

    by_path: dict[str, str]
    """the class of each image that has one"""
    learned: Sequence[str]
    """classes that the classifier tells apart"""

    @classmethod
    def of(cls, manifest: Manifest, learned: Sequence[str]) -> KnownLabels:
        """Those of some images."""
        names = manifest.class_names
        pairs = zip(manifest.ids, manifest.labels.tolist(), strict=True)
        return cls({name: names[label] for name, label in pairs if label != UNLABELLED}, learned)

    def accuracy(self, table: pa.Table) -> KnownAccuracy | None:
        """How often a table of predictions is right; None where no image has a label of a class that was learned.

        Args:
            table: columns path and class; the class is "" where an image could not be read, which is not counted.
        """
        paths, predicted = table["path"].to_pylist(), table["class"].to_pylist()
        known = [
            (self.by_path[path], name)
            for path, name in zip(paths, predicted, strict=True)
            if name and path in self.by_path
        ]
        learned = set(self.learned)
        right = [label == name for label, name in known if label in learned]
        if not right:
            return None
        share = wilson(sum(right) / len(right), len(right))
        return KnownAccuracy(share, len(right), len(known) - len(right))


class KnownAccuracy(NamedTuple):
    """Accuracy on the images of known class."""

    share: Interval
    """of those images that are right, 0 to 1, with its 95 % interval (Wilson)"""
    images: int
    """how many were counted"""
    others: int
    """images of classes that the classifier did not learn; they are not counted"""

    def __str__(self) -> str:
        """One sentence without a full stop."""
        value, low, high = (100 * number for number in self.share)
        whose = amount(self.images, "image with a label", "images with a label")
        counted = f"Right on {value:.1f}% of {whose} (95% interval {low:.1f} to {high:.1f})"
        if not self.others:
            return counted
        return f"{counted}; {amount(self.others, 'image')} of classes that it did not learn are not counted"
