"""A run as its folder records it; what is absent is named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from likewise.errors import DamagedFile
from likewise.evaluation.statistics.scores import Score, ScoreDifference
from likewise.field_types import record_of
from likewise.json_files import read_object, reading
from likewise.methods import METHODS
from likewise.report.pictures.gallery import Gallery, read_gallery
from likewise.report.pictures.illustration import Illustration
from likewise.report.pictures.illustration_section import read_illustration
from likewise.run_folder import RunFolder

ENCODERS = {"trained": "trained", "start": "pretrained start", "untrained": "untrained"}
"""Whose scores a run holds, in the order that a reader compares them."""

Entries = list[dict[str, Any]]
ENVIRONMENT = {"likewise": str, "machine": str, "step": int, "images": int, "seconds": float}
DATA = {
    "source": str,
    "splits": dict[str, int],
    "classes": Entries,
    "labelled": int,
    "unlabelled": int,
    "targets": dict[str, Any] | None,
    "visible_labels": int | None,
    "noisy_labels": int,
    "image_size": int,
    "channels": int,
    "clips": dict[str, Any] | None,
    "sizes": dict[str, Any] | None,
    "masks": dict[str, Any] | None,
    "columns": dict[str, int],
    "skipped": Entries,
    "unread": dict[str, Any],
    "notes": list[str],
    "warnings": list[str],
}
SCORES = {
    **dict.fromkeys((*ENCODERS, "differences"), Entries | None),
    "label_free": dict[str, dict[str, Any]] | None,
    "calibration": dict[str, dict[str, dict[str, Any]]] | None,
    "iou": dict[str, dict[str, Any]] | None,
    "corruptions": dict[str, Any] | None,
    "notes": list[str] | None,
    "unread": dict[str, str],
}
"""Types of the entries of a run's files that a page shows."""


@dataclass(frozen=True)
class RunRecord:
    """Everything that a page about one run may say."""

    folder: RunFolder
    config: dict[str, Any]
    environment: dict[str, Any]
    data: dict[str, Any]
    metrics: list[dict[str, Any]]
    """logged lines in order"""
    scores: dict[str, list[Score]]
    """by encoder: trained, start, untrained"""
    differences: list[ScoreDifference]
    """of the trained encoder over each of the others, on the same test images"""
    more_scores: dict[str, Any]
    """what scores.json holds besides: label-free measures, notes"""
    gallery: Gallery | None
    illustration: Illustration | None
    """the method's own pictures, if it has some"""
    missing: tuple[str, ...]
    """a sentence for each part that the page cannot show"""

    @classmethod
    def read(cls, folder: RunFolder) -> RunRecord:
        """Read a run's folder.

        Raises:
            LikewiseError: the folder is not a run, or its config.json cannot be read.
        """
        config = read_object(folder.require().config)
        missing: list[str] = []
        unknown = "the machine and the versions are unknown"
        environment = _or_missing(folder.environment, ENVIRONMENT, unknown, missing)
        data = _or_missing(folder.data, DATA, "what was found in the data is unknown", missing)
        scores = _or_missing(folder.scores, SCORES, "there are no final scores", missing)
        metrics = _metrics(folder, missing)
        gallery = read_gallery(folder.gallery, missing)
        illustration = read_illustration(folder, missing)
        by_encoder = {}
        with reading(folder.scores):
            for who in ENCODERS:
                by_encoder[who] = [Score.from_json(each) for each in scores.pop(who, None) or []]
            found = scores.pop("differences", None) or []
            differences = [record_of(ScoreDifference, each) for each in found]
        missing += [str(note) for note in scores.get("notes") or []]
        return cls(
            folder, config, environment, data, metrics, by_encoder, differences, scores, gallery,
            illustration, tuple(missing),
        )  # fmt: skip

    @property
    def method(self) -> str:
        """The method's name as its authors write it."""
        method = self.config.get("method") or {}
        if isinstance(method, dict):
            method = method.get("name", "an unknown method")
        name = str(method)
        return METHODS[name].card.title if name in METHODS else name

    @property
    def name(self) -> str:
        """The run's name: that of its folder."""
        return self.folder.path.resolve().name

    @property
    def example(self) -> str:
        """What an example is called: an image, or a clip where the encoder sees several frames at a time."""
        clips = self.data.get("clips") or {}
        return "clip" if clips.get("seen", 1) > 1 else "image"

    @property
    def finished(self) -> bool:
        """Whether the encoder was written."""
        return self.folder.weights.exists()

    @property
    def visible_labels(self) -> int | None:
        """How many labels training saw; None where data.json does not say."""
        return self.data.get("visible_labels")

    def score(self, who: str, name: str) -> Score | None:
        """One encoder's score by name."""
        return next((score for score in self.scores.get(who, []) if score.name == name), None)

    def difference(self, over: str, name: str) -> ScoreDifference | None:
        """The trained encoder's score minus that of another."""
        for difference in self.differences:
            if (difference.over, difference.name) == (over, name):
                return difference
        return None

    def curve(self, key: str) -> list[dict[str, Any]]:
        """The logged lines that hold a number under the key."""
        return [line for line in self.metrics if isinstance(line.get(key), (int, float))]

    def total(self, key: str) -> float | None:
        """The last logged value of something that only grows: step, images, seconds."""
        lines = self.curve(key)
        return lines[-1][key] if lines else None


def _or_missing(
    path: Path,
    types: Mapping[str, Any],
    consequence: str,
    missing: list[str],
) -> dict[str, Any]:
    """A file's content; nothing, and a sentence in ``missing``, where it is absent or damaged."""
    if not path.exists():
        missing.append(f"{path.name} is absent, so {consequence}.")
        return {}
    try:
        return read_object(path, optional=types)
    except DamagedFile as error:
        missing.append(f"{path.name} cannot be read ({error.reason}), so {consequence}.")
        return {}


def _metrics(folder: RunFolder, missing: list[str]) -> list[dict[str, Any]]:
    """The logged lines of steps."""
    lines = list(folder.metric_lines())
    if not lines:
        missing.append(f"{folder.metrics.name} is absent or empty, so there are no curves.")
    return lines
