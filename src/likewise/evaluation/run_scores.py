"""The final scores of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from likewise.data.batch import UNLABELLED
from likewise.data.splits import Split
from likewise.encoders import Encoder, EncoderSettings, build_encoder
from likewise.errors import LikewiseError
from likewise.evaluation.corruptions.corrupted_scores import CorruptedScores, corrupted_scores
from likewise.evaluation.corruptions.robustness import Robustness
from likewise.evaluation.evaluate_features import Examples, evaluate_encoders
from likewise.evaluation.evaluation import Evaluation, EvaluationSettings
from likewise.evaluation.metrics.fine_tune import FineTune
from likewise.evaluation.metrics.segmentation import SceneImages, Segmentation, SegmentationProbe
from likewise.evaluation.own_classifier import OwnClassifier, measure_classifier
from likewise.evaluation.statistics.confidence import clustered_difference
from likewise.evaluation.statistics.design_effect import with_cluster_adjusted_ci
from likewise.evaluation.statistics.scores import Measurement, ScoreDifference
from likewise.methods.cross_entropy import CrossEntropy
from likewise.randomness import seed_networks
from likewise.run_folder import RunFolder, write_json
from likewise.views.policies import CentreView


@dataclass(frozen=True)
class Scored:
    """What an evaluation gave, and on which images."""

    evaluation: Evaluation
    scored_on: Split
    """the split whose vectors the evaluation holds"""
    encoders: dict[str, Encoder]
    """what was scored, by name"""
    segmentation: Segmentation | None
    """where training and test images have masks"""
    image_size: int
    """side of the square that they see"""
    device: torch.device
    """where they compute"""


def baselines(settings: EncoderSettings, seed: int) -> dict[str, Encoder]:
    """What a trained encoder has to beat: the same network untrained, and the pretrained start if it had one."""
    seed_networks(seed, "weights")
    compared = {"untrained": build_encoder(settings, fetch=False)}
    if settings.pretrained:
        compared["start"] = build_encoder(settings)
    return compared


def score_encoder(
    encoder: Encoder,
    settings: EncoderSettings,
    splits: Mapping[str, Split],
    seed: int,
    device: torch.device,
    measures: EvaluationSettings | None = None,
    shown: Tensor | None = None,
    seen: Tensor | None = None,
) -> Scored:
    """Scores of an encoder beside its baselines: learned from the training split's labels, taken on the test split.

    All known labels serve the usual protocols; ``linear_on_budget_top1`` is a probe on those that training was shown
    (``shown``, int64 [N]), and the few-label scores ask how few would do. Where the training split holds images that
    training did not see (``seen``, bool [N]), neighbours and probes learn from those too; which classes are rare is
    told by the others.
    """
    view = CentreView(settings.image_size)
    encoders = {"trained": encoder, **baselines(settings, seed)}
    test = splits.get("test")
    evaluation = evaluate_encoders(
        encoders,
        _examples(splits["train"], shown, seen),
        _examples(test) if test else None,
        view,
        measures,
        device,
    )
    segmentation = _segmentation(encoders, splits, settings, seed, device)
    return Scored(evaluation, test or splits["train"], encoders, segmentation, settings.image_size, device)


def score_corrupted(
    scored: Scored,
    size: int,
    test: Split | None,
    device: torch.device,
    classifier: OwnClassifier | None = None,
    asked: Robustness | None = None,
) -> CorruptedScores:
    """The encoders' linear probes, and the method's own classifier, on corrupted test images.

    Args:
        scored: encoders with the probes that were fitted on clean features.
        size: pixels along a side that the encoders see.
        test: the test images.
        device: where to compute.
        classifier: the method's own, if it has one.
        asked: which corruptions; None: all, of 2,000 images at most.

    Raises:
        LikewiseError: there are no labelled test images, or no labels to fit a probe with.
    """
    if test is None or not scored.evaluation.probes:
        why = scored.evaluation.notes[0] if scored.evaluation.notes else "There are no labelled test images."
        raise LikewiseError(f"Accuracy on corrupted images cannot be measured. {why} Leave --corruptions out.")
    view, own = CentreView(size), {"trained": classifier} if classifier else {}
    return corrupted_scores(scored.encoders, scored.evaluation.probes, _examples(test), view, device, own, asked)


def _segmentation(
    encoders: Mapping[str, Encoder],
    splits: Mapping[str, Split],
    settings: EncoderSettings,
    seed: int,
    device: torch.device,
) -> Segmentation | None:
    """The scores of a linear classifier of pixels, where training and test images have masks, which are of stills.

    An encoder that gives pooled features alone has none.
    """
    if settings.frames > 1 or not all(encoder.has_map for encoder in encoders.values()):
        return None
    parts = [
        SceneImages(splits[name].images, masks)
        for name in ("train", "test")
        if name in splits and (masks := splits[name].manifest.masks) is not None and len(masks.known())
    ]
    if len(parts) < 2:
        return None
    train, test = parts
    return SegmentationProbe(seed=seed).evaluate(encoders, train, test, settings.image_size, device)


def fine_tune_scores(
    encoder: Encoder,
    settings: EncoderSettings,
    splits: Mapping[str, Split],
    shown: Tensor,
    seed: int,
    fabric: Fabric,
    rule: FineTune | None = None,
) -> dict[str, list[Measurement]]:
    """Accuracy after the whole network was trained further on the labels shown, for the encoder and its baselines.

    Raises:
        LikewiseError: there are no labelled test images, or fewer than two classes among the labels shown.
    """
    test, train = splits.get("test"), splits["train"]
    classes = len(shown[shown != UNLABELLED].unique())
    if test is None or classes < 2:
        raise LikewiseError("Fine-tuning needs labelled test images, and labels of at least two classes to learn from.")
    rule = replace(rule or FineTune(), seed=seed)
    view, method, found = CentreView(settings.image_size), CrossEntropy(), {}
    for who, start in {"trained": encoder, **baselines(settings, seed)}.items():
        nets = rule.fit(fabric, start, train.images, shown, train.manifest.classes)
        protocol = {**rule.protocol(), "labels": int((shown != UNLABELLED).sum())}
        outcome = measure_classifier("fine_tune_top1", method, nets, test.images, test.labels, view, protocol)
        found[who] = [outcome]
    return found


def write_scores(
    run: RunFolder,
    scored: Scored,
    extra: Mapping[str, Sequence[Measurement]],
    corrupted: CorruptedScores | None = None,
) -> None:
    """Write ``scores.json``; ``extra`` outcomes join those of their encoder."""
    content = scored.evaluation.to_json()
    if scored.segmentation is not None:
        for who, scores in scored.segmentation.scores.items():
            content[who] += [score.to_json() for score in scores]
        content["gains"] += [gain._asdict() for gain in scored.segmentation.gains]
        content["iou"] = scored.segmentation.per_class
    test = _examples(scored.scored_on)
    for who, outcomes in extra.items():
        outcomes = [with_cluster_adjusted_ci(outcome, test.labels, test.groups) for outcome in outcomes]
        content[who] += [outcome.score.to_json() for outcome in outcomes]
        found = {outcome.score.name: outcome.calibration.to_json() for outcome in outcomes if outcome.calibration}
        content["calibration"].setdefault(who, {}).update(found)
    content["gains"] += [gain._asdict() for gain in _gains_of_hits(extra)]
    if corrupted is not None:
        for who, scores in corrupted.scores().items():
            content[who] += [score.to_json() for score in scores]
        content["gains"] += [gain._asdict() for gain in corrupted.gains()]
        content["corruptions"] = corrupted.to_json()
    write_json(run.scores, content)


def _gains_of_hits(outcomes: Mapping[str, Sequence[Measurement]]) -> Iterator[ScoreDifference]:
    """By how much the trained encoder finds more than the others, by the same queries."""
    ours = {outcome.score.name: outcome.hits for outcome in outcomes.get("trained", ())}
    for who, theirs in outcomes.items():
        for outcome in theirs:
            mine, its = ours.get(outcome.score.name), outcome.hits
            if who != "trained" and mine is not None and its is not None and len(mine.right) == len(its.right):
                yield ScoreDifference(outcome.score.name, who, *clustered_difference(mine.right, its.right, mine.owner))


def _examples(split: Split, shown: Tensor | None = None, seen: Tensor | None = None) -> Examples:
    """The split for an evaluation; labels shown count for themselves only where they are not all that are known."""
    fewer = None if shown is None or torch.equal(shown, split.labels) else shown
    known, everyone = split.manifest.groups, torch.arange(len(split.manifest))
    groups = torch.from_numpy(np.unique(known.names, return_inverse=True)[1]) if known is not None else None
    return Examples(
        labels=split.labels,
        ids=split.manifest.ids,
        visible_labels=fewer,
        seen_in_training=seen,
        groups=groups,
        images=split.images,
        index=everyone,
    )
