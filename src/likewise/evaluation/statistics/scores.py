"""Input and output of every evaluation: features, and a score with its protocol and interval."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, NamedTuple

import torch
from torch import Tensor

from likewise.counts import amount
from likewise.data.batch import UNLABELLED
from likewise.errors import LikewiseError
from likewise.evaluation.metrics.calibration import Calibration
from likewise.field_types import record_of

FEW_NUMBERS = 2e6
"""numbers in the rows up to which a probe is fitted on the CPU, since a GPU would mostly wait for its launches; NO GPU
HAS MEASURED IT YET"""


class Features(NamedTuple):
    """Features of N images with their labels."""

    vectors: Tensor
    """float32 [N, D], on the CPU or on the GPU that is to score them"""
    labels: Tensor
    """int64 [N] on the CPU, in 0..C-1, UNLABELLED where there is none"""

    def where_fitted_fastest(self) -> Features:
        """Few rows on the CPU, many where they are."""
        return (
            self._replace(vectors=self.vectors.cpu())
            if self.vectors.numel() <= FEW_NUMBERS
            else self
        )

    def labelled(self) -> Features:
        """The rows that have a label."""
        known = self.labels != UNLABELLED
        if bool(known.all()):
            return self  # no copy, which would double the memory of a large bank
        return Features(self.vectors[known], self.labels[known])


@dataclass(frozen=True)
class Score:
    """One number about an encoder, with its interval and its full protocol."""

    name: str
    """knn20_top1, linear_top1, few10_top1, ..."""
    value: float
    """mostly the share of test images classified correctly, in [0, 1]"""
    low: float
    """lower end of the 95% interval"""
    high: float
    """upper end of the 95% interval"""
    count: int
    """number of test images"""
    protocol: dict[str, Any] = field(default_factory=dict)
    """settings as used: k, temperature, strength, validation size, seeds, kind of interval"""

    def to_json(self) -> dict[str, Any]:
        """A dictionary of plain JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Score:
        """The score that ``to_json`` wrote; keys of a later version are ignored."""
        known = {each.name for each in fields(cls)}
        return record_of(cls, {name: value for name, value in content.items() if name in known})

    def __str__(self) -> str:
        return f"{self.name} {self.value:.3f} ({self.low:.3f} to {self.high:.3f}, {amount(self.count, 'image')})"


class ScoreDifference(NamedTuple):
    """The first encoder's score minus another one's, on the same test images."""

    name: str
    """which score"""
    over: str
    """the other encoder"""
    value: float
    """above 0 where the first is better"""
    low: float
    """lower end of the 95% interval of the difference"""
    high: float
    """upper end"""


class Hits(NamedTuple):
    """Which queries are hits, of a retrieval score."""

    right: Tensor
    """bool [M]"""
    owner: Tensor
    """int64 [M], the image of each query, 0 to N - 1"""


class Measurement(NamedTuple):
    """A score with the predictions that it is computed from."""

    score: Score
    predictions: Tensor
    """int64 [N], the predicted class of every test image, unlabelled ones included; empty for scores without classes"""
    classes: Tensor | None = None
    """int64 [C], the classes of a score that is a mean over classes; None: a mean over images"""
    calibration: Calibration | None = None
    """calibration of the predicted probabilities, where there are any"""
    hits: Hits | None = None
    """hits of a retrieval score, which has no predictions"""


NO_PREDICTIONS = torch.zeros(0)
"""Of a score without classes."""


def require_usable(vectors: Tensor, whose: str) -> None:
    """Refuse features that cannot be scored.

    Raises:
        LikewiseError: no rows, or NaN or infinite values (a diverged run makes those).
    """
    if vectors.ndim != 2 or not len(vectors):
        raise LikewiseError(
            f"The {whose} features have shape {list(vectors.shape)}; one row an image is needed, [N, D]."
        )
    bad = _not_finite(vectors)
    if bad:
        raise LikewiseError(
            f"{bad:,} of {len(vectors):,} {whose} features are NaN or infinite, so no score can be given: the encoder "
            f"has diverged. Train again with a lower --recipe.learning-rate or with --precision 32-true."
        )


def _not_finite(vectors: Tensor) -> int:
    """How many rows of [N, D] hold NaN or infinity."""
    if not vectors.shape[1]:
        return 0
    # Minimum and maximum propagate NaN and infinity, in a quarter of the time of testing each value.
    finite = vectors.amin(dim=1).isfinite() & vectors.amax(dim=1).isfinite()  # [N]
    return int((~finite).sum())


def require_labelled(features: Features, whose: str) -> Features:
    """The labelled rows of usable features.

    Raises:
        LikewiseError: labels and vectors differ in number, no row has a label, or the vectors are unusable.
    """
    if len(features.labels) != len(features.vectors):
        raise LikewiseError(
            f"{len(features.vectors):,} {whose} features came with {amount(len(features.labels), 'label')}."
        )
    require_usable(features.vectors, whose)
    rows = features.labelled()
    if not len(rows.labels):
        raise LikewiseError(
            f"None of the {len(features.labels):,} {whose} images has a label, so accuracy cannot be measured. "
            f"Give labels with --labels labels.csv; without labels only the label-free measures are available."
        )
    return rows


def concat_by_encoder(
    found: Iterable[Mapping[str, Sequence[Measurement]]],
) -> dict[str, list[Measurement]]:
    """Measurements by encoder, in order."""
    together: dict[str, list[Measurement]] = {}
    for by_encoder in found:
        for encoder, measurements in by_encoder.items():
            together.setdefault(encoder, []).extend(measurements)
    return together
