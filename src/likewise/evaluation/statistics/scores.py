"""What every evaluation reads and gives: features in, a score with its protocol and interval out."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any, NamedTuple

from torch import Tensor

from likewise.data.batch import UNLABELLED
from likewise.errors import LikewiseError
from likewise.evaluation.metrics.calibration import Calibration


class Features(NamedTuple):
    """One row per image, from a frozen encoder; on the CPU, where ``extract`` leaves them."""

    vectors: Tensor
    """float32 [N, D]"""
    labels: Tensor
    """int64 [N] in 0..C-1, UNLABELLED where there is none"""

    def labelled(self) -> Features:
        """The rows that carry a label."""
        kept = self.labels != UNLABELLED
        if bool(kept.all()):
            return self  # a copy of a large bank would double it
        return Features(self.vectors[kept], self.labels[kept])


@dataclass(frozen=True)
class Score:
    """One number about an encoder, with everything needed to ask for it again."""

    name: str
    """what was measured: knn20_top1, linear_top1, few10_top1, ..."""
    value: float
    """share of the test images that were right, in [0, 1]"""
    low: float
    """lower end of the 95 % interval"""
    high: float
    """upper end of the 95 % interval"""
    count: int
    """test images that the share was taken over"""
    protocol: dict[str, Any] = field(default_factory=dict)
    """settings as used: k, temperature, strength chosen, validation size, seeds, how the interval was made"""

    def to_json(self) -> dict[str, Any]:
        """A dictionary of plain JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Score:
        """The score that ``to_json`` wrote; keys of a later version are passed over."""
        return cls(**{known.name: content[known.name] for known in fields(cls) if known.name in content})

    def __str__(self) -> str:
        return f"{self.name} {self.value:.3f} ({self.low:.3f} to {self.high:.3f}, {self.count:,} images)"


class ScoreDifference(NamedTuple):
    """How much better the first encoder scores than another one, on the same test images."""

    name: str
    """which score"""
    over: str
    """the other encoder"""
    value: float
    """the first encoder's score minus the other's, above 0 where the first is better"""
    low: float
    """lower end of the 95 % interval of the difference"""
    high: float
    """upper end"""


class Hits(NamedTuple):
    """Which queries were answered rightly, of a score that is no accuracy of classes."""

    right: Tensor
    """bool [M]"""
    owner: Tensor
    """int64 [M], the image that each is about, 0 to N - 1"""


class Measurement(NamedTuple):
    """A score and the answers that it counts."""

    score: Score
    predictions: Tensor
    """int64 [N], a class for every test image, unlabelled ones included"""
    classes: Tensor | None = None
    """int64 [C], the classes that the score is a mean over; None: it is a mean over images"""
    calibration: Calibration | None = None
    """how far the answers' probabilities can be trusted, where they have any"""
    hits: Hits | None = None
    """of what was found rather than classified; then there are no predictions"""


def require_usable(vectors: Tensor, whose: str) -> None:
    """Refuse features from which nothing can be learned.

    Raises:
        LikewiseError: no rows, or NaN or infinite values (a diverged run makes those).
    """
    if vectors.ndim != 2 or not len(vectors):
        raise LikewiseError(
            f"The {whose} features have shape {list(vectors.shape)}; one row an image is needed, [N, D]."
        )
    # The extremes carry NaN and infinity on, in a quarter of the time of asking each value.
    bad = int((~(vectors.amin(dim=1).isfinite() & vectors.amax(dim=1).isfinite())).sum()) if vectors.shape[1] else 0
    if bad:
        raise LikewiseError(
            f"{bad:,} of {len(vectors):,} {whose} features are NaN or infinite, so no score can be given: the encoder "
            f"has diverged. Train again with a lower --lr or with --precision 32-true, or evaluate an earlier run."
        )


def require_labelled(features: Features, whose: str) -> Features:
    """The labelled rows of usable features.

    Raises:
        LikewiseError: labels and vectors differ in number, no row has a label, or the vectors are unusable.
    """
    if len(features.labels) != len(features.vectors):
        raise LikewiseError(f"{len(features.vectors):,} {whose} features came with {len(features.labels):,} labels.")
    require_usable(features.vectors, whose)
    rows = features.labelled()
    if not len(rows.labels):
        raise LikewiseError(
            f"None of the {len(features.labels):,} {whose} images has a label, so accuracy cannot be measured. "
            f"Give labels with --labels labels.csv; without any, only the label-free measures can be had."
        )
    return rows
