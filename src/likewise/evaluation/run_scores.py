"""The final scores of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from likewise.data.batch import UNLABELLED
from likewise.data.splits import Split
from likewise.encoders import Encoder, EncoderSettings, build_encoder
from likewise.errors import LikewiseError
from likewise.evaluation.corruptions.corrupted_scores import CorruptedScores, corrupted_scores
from likewise.evaluation.evaluate_features import (
    Examples,
    evaluate_encoders,
    group_numbers,
    why_unmeasurable,
)
from likewise.evaluation.evaluation import Evaluation, EvaluationSettings
from likewise.evaluation.metrics.fine_tune import FineTune
from likewise.evaluation.metrics.segmentation import SceneImages, Segmentation, SegmentationProbe
from likewise.evaluation.own_classifier import OwnClassifier, measure_classifier
from likewise.evaluation.readable_splits import read_splits, unread_note
from likewise.evaluation.statistics.scores import Measurement
from likewise.methods.cross_entropy import CrossEntropy
from likewise.randomness import seed_networks
from likewise.views.centre_view import CentreView

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@dataclass(frozen=True)
class Scored:
    """An evaluation, the encoders that it is about, and the split that it was measured on."""

    evaluation: Evaluation
    splits: dict[str, Split]
    """without the images that could not be decoded"""
    encoders: dict[str, Encoder]
    """by name: trained, untrained, start"""
    segmentation: Segmentation | None
    """scores of a pixel classifier, where training and test images have masks"""
    image_size: int
    """pixels along a side of the encoders' input"""
    device: torch.device
    """the encoders' device"""

    @property
    def test(self) -> Split | None:
        """The test images that could be decoded."""
        return self.splits.get("test")

    @property
    def scored_on(self) -> Split:
        """The split whose features the evaluation holds: test, or train without a test split."""
        return self.splits.get("test") or self.splits["train"]


@dataclass(frozen=True)
class TrainedNetwork:
    """An encoder that is scored, and what its baselines and its probes are made with."""

    encoder: Encoder
    settings: EncoderSettings
    """how it is built; baselines are built the same way"""
    seed: int
    """of the untrained baseline and of the pixel classifier"""
    device: torch.device
    """where to compute"""

    @property
    def view(self) -> CentreView:
        """What the encoder is given of an image."""
        return CentreView(self.settings.image_size)

    def with_baselines(self) -> dict[str, Encoder]:
        """The encoder and its baselines by name."""
        return {"trained": self.encoder, **baselines(self.settings, self.seed)}


def baselines(settings: EncoderSettings, seed: int) -> dict[str, Encoder]:
    """The baselines of a trained encoder: the same network untrained, and its pretrained start if it had one."""
    seed_networks(seed, "weights")
    encoders = {"untrained": build_encoder(settings, fetch=False)}
    if settings.pretrained:
        encoders["start"] = build_encoder(settings)
    return encoders


def score_encoder(
    trained: TrainedNetwork,
    splits: Mapping[str, Split],
    measures: EvaluationSettings | None = None,
    visible_labels: Tensor | None = None,
    seen_in_training: Tensor | None = None,
) -> Scored:
    """Scores of an encoder and its baselines: probes are fitted on the training split and measured on the test split.

    Args:
        trained: the encoder.
        splits: train, and test where there is one.
        measures: what is measured; None takes the defaults.
        visible_labels: int64 [N], the training labels that training saw. Probes use all known labels;
            ``linear_on_budget_top1`` uses these.
        seen_in_training: bool [N], which training images training saw, where it did not see them all. Neighbours and
            probes use all of them; which classes are rare depends on those that were seen.
    """
    measures = measures or EvaluationSettings()
    encoders = trained.with_baselines()
    view, device, size = trained.view, trained.device, measures.batch_size
    read = read_splits(trained.encoder, splits, _scored_parts(splits), view, size, device)
    rows = read.positions.get("train")
    train = examples_of(
        read.splits["train"], _at(visible_labels, rows), _at(seen_in_training, rows)
    )
    test = read.splits.get("test")
    held_out = examples_of(test) if test else None
    evaluation = evaluate_encoders(
        encoders, train, held_out, view, measures, device, first_features=read.features
    )
    notes = (*evaluation.notes, *unread_note(read.unread))
    evaluation = replace(evaluation, notes=notes, unread=read.unread)
    segmentation = _segmentation(trained, encoders, read.splits)
    return Scored(
        evaluation, read.splits, encoders, segmentation, trained.settings.image_size, device
    )


def _at(values: Tensor | None, rows: Tensor | None) -> Tensor | None:
    """The values at those rows; all of them where no rows are named."""
    return values if values is None or rows is None else values[rows]


def _scored_parts(splits: Mapping[str, Split]) -> list[str]:
    """The splits whose images are read for scores: train is not, where only the test images can be described."""
    train = splits["train"]
    test = splits.get("test")
    if test is None:
        return ["train"]
    is_measurable = why_unmeasurable(train.labels, test.labels) is None
    return ["test", "train"] if is_measurable or train.manifest.masks is not None else ["test"]


def score_corrupted(scored: Scored, classifier: OwnClassifier | None = None) -> CorruptedScores:
    """The encoders' linear probes, and the method's own classifier, on corrupted test images.

    Args:
        scored: encoders with the probes that were fitted on clean features.
        classifier: the method's own, if it has one.

    Raises:
        LikewiseError: there are no labelled test images, or no labels to fit a probe with.
    """
    if scored.test is None or not scored.evaluation.probes:
        why = (
            scored.evaluation.notes[0]
            if scored.evaluation.notes
            else "There are no labelled test images."
        )
        raise LikewiseError(
            f"Accuracy on corrupted images cannot be measured. {why} Leave --corruptions out."
        )
    return corrupted_scores(
        scored.encoders,
        scored.evaluation.probes,
        examples_of(scored.test),
        CentreView(scored.image_size),
        scored.device,
        {"trained": classifier} if classifier else {},
    )


def _segmentation(
    trained: TrainedNetwork, encoders: Mapping[str, Encoder], splits: Mapping[str, Split]
) -> Segmentation | None:
    """The scores of a linear classifier of pixels, where training and test images have masks, which are of stills.

    An encoder that gives pooled features alone has none.
    """
    settings = trained.settings
    if settings.frames > 1 or not all(encoder.has_map for encoder in encoders.values()):
        return None
    parts = []
    for name in ("train", "test"):
        masks = splits[name].manifest.masks if name in splits else None
        if masks is not None and len(masks.known()):
            parts.append(SceneImages(splits[name].images, masks))
    if len(parts) < 2:
        return None
    train, test = parts
    probe = SegmentationProbe(seed=trained.seed)
    return probe.evaluate(encoders, train, test, settings.image_size, trained.device)


def fine_tune_scores(
    trained: TrainedNetwork,
    splits: Mapping[str, Split],
    visible_labels: Tensor,
    fabric: Fabric,
) -> dict[str, list[Measurement]]:
    """Accuracy after fine-tuning the whole network on the visible labels, for the encoder and its baselines.

    Raises:
        LikewiseError: there are no labelled test images, or fewer than two classes in the visible labels.
    """
    train = splits["train"]
    test = splits.get("test")
    labelled = visible_labels[visible_labels != UNLABELLED]
    if test is None or len(labelled.unique()) < 2:
        raise LikewiseError(
            "Fine-tuning needs labelled test images, and labels of at least two classes to learn from."
        )
    fine_tune = FineTune(seed=trained.seed)
    protocol = {**fine_tune.protocol(), "labels": len(labelled)}
    method = CrossEntropy()
    found = {}
    for who, start in trained.with_baselines().items():
        nets = fine_tune.fit(fabric, start, train.images, visible_labels, train.manifest.classes)
        measurement = measure_classifier(
            "fine_tune_top1", method, nets, test.images, test.labels, trained.view, protocol
        )
        found[who] = [measurement]
    return found


def examples_of(
    split: Split, visible_labels: Tensor | None = None, seen_in_training: Tensor | None = None
) -> Examples:
    """The split for an evaluation; visible labels have a probe of their own only where they are not all known ones."""
    if visible_labels is not None and torch.equal(visible_labels, split.labels):
        visible_labels = None
    return Examples(
        labels=split.labels,
        ids=split.manifest.ids,
        visible_labels=visible_labels,
        seen_in_training=seen_in_training,
        groups=group_numbers(split.manifest),
        images=split.images,
        index=torch.arange(len(split.manifest)),
    )
