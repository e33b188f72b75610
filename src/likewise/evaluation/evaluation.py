"""What an evaluation measures, and what it found: scores, paired differences, label-free measures, a table."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table
from torch import Tensor

from likewise.evaluation.metrics.calibration import Calibration
from likewise.evaluation.metrics.few_label import FewLabel
from likewise.evaluation.metrics.knn import Knn
from likewise.evaluation.metrics.linear_probe import FittedProbe, LinearProbe
from likewise.evaluation.statistics.scores import Score, ScoreDifference


@dataclass(frozen=True)
class EvaluationSettings:
    """Which measures are taken, and with which settings."""

    knn: Knn | None = field(default_factory=Knn)
    """nearest neighbours; None leaves them out"""
    linear: LinearProbe | None = field(default_factory=LinearProbe)
    """the linear probe on all labels; None leaves it out"""
    few_label: FewLabel | None = field(default_factory=FewLabel)
    """the linear probe on a few labels of each class; None leaves it out"""
    label_free: bool = True
    """whether to take the measures that need no labels"""
    batch_size: int = 512
    """images encoded at a time"""


@dataclass(frozen=True, repr=False)
class Evaluation:
    """Scores of several encoders. The first encoder is the one in question, the others are its baselines."""

    by_encoder: dict[str, list[Score]]
    """by encoder: scores with protocol and interval; empty lists where accuracy could not be measured"""
    differences: list[ScoreDifference]
    """the first encoder against each of the others, score by score"""
    label_free: dict[str, dict[str, float]]
    """by encoder: effective rank, feature_std, uniformity of the test features (training features without a test)"""
    calibration: dict[str, dict[str, Calibration]]
    """by encoder, by the score whose classifier it describes"""
    probes: dict[str, FittedProbe]
    """by encoder: the linear probe on all labels, where there is one"""
    predictions: Tensor | None
    """int64 [N]: classes that the first encoder's linear probe predicts for the test images"""
    vectors: Tensor
    """float32 [N, D]: the first encoder's features of the test images (of the training images without a test)"""
    notes: tuple[str, ...]
    """what could not be measured, and why"""
    unread: dict[str, str] = field(default_factory=dict)
    """ids of the images that could not be decoded, each with the reason; they are in no score"""

    @property
    def scores(self) -> dict[str, float]:
        """The first encoder's scores by name, each a share of the test images from 0 to 1."""
        first = next(iter(self.by_encoder.values()))
        return {score.name: score.value for score in first}

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types, as in a run's ``scores.json``: a list of scores under each encoder's name, and the rest."""
        content: dict[str, Any] = {}
        for name, scores in self.by_encoder.items():
            content[name] = [score.to_json() for score in scores]
        content["differences"] = [difference._asdict() for difference in self.differences]
        content["label_free"] = {
            name: _without_nan(measures) for name, measures in self.label_free.items()
        }
        content["calibration"] = {}
        for name, by_score in self.calibration.items():
            content["calibration"][name] = {
                score: found.to_json() for score, found in by_score.items()
            }
        content["notes"] = list(self.notes)
        content["unread"] = self.unread
        return content

    def table(self) -> Table:
        """Every score with its 95% interval, the baselines' scores, and the paired differences from them."""
        first, *baselines = self.by_encoder
        table = Table("score", first, "95% interval", *_baseline_columns(baselines))
        for row, score in enumerate(self.by_encoder[first]):
            cells = [score.name, f"{score.value:.3f}", f"{score.low:.3f} to {score.high:.3f}"]
            for other in baselines:
                difference = self._difference(score.name, other)
                cells.append(f"{self.by_encoder[other][row].value:.3f}")
                cells.append("" if difference is None else _with_interval(difference))
            table.add_row(*cells)
        for measure in self.label_free.get(first, ()):
            cells = [measure, f"{self.label_free[first][measure]:.3f}", ""]
            for other in baselines:
                cells += [f"{self.label_free[other][measure]:.3f}", ""]
            table.add_row(*cells)
        table.caption = " ".join(self.notes) or None
        return table

    def _difference(self, name: str, over: str) -> ScoreDifference | None:
        """The difference from a baseline in one score."""
        for difference in self.differences:
            if (difference.name, difference.over) == (name, over):
                return difference
        return None

    def __str__(self) -> str:
        """The table as text."""
        console = Console(width=120, color_system=None, force_terminal=False)
        with console.capture() as capture:
            console.print(self.table())
        return capture.get().rstrip()

    __repr__ = __str__


def _with_interval(difference: ScoreDifference) -> str:
    return f"{difference.value:+.3f} ({difference.low:+.3f} to {difference.high:+.3f})"


def _without_nan(measures: dict[str, float]) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else value for name, value in measures.items()}


def _baseline_columns(names: list[str]) -> list[str]:
    columns = []
    for name in names:
        columns += [name, f"difference from {name}"]
    return columns
