"""The end of a run, by the first rank: weights, the classifier, final scores, pictures and the page."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import torch

from likewise.adaptation.lora import merge_adapted
from likewise.classification import save_classifier
from likewise.classification.of_run import LabelledImages, calibrated_classifier
from likewise.classification.target_predictor import LabelledTargets, fit_predictor, save_predictor
from likewise.data.columns.targets import targets_in
from likewise.data.splits import Split
from likewise.encoders import save_encoder
from likewise.evaluation.evaluate_features import group_numbers
from likewise.evaluation.evaluation import EvaluationSettings
from likewise.evaluation.multimodal_scores import multimodal_scores
from likewise.evaluation.own_classifier import measure_own_classifier
from likewise.evaluation.run_scores import TrainedNetwork, score_encoder
from likewise.evaluation.statistics.scores import Measurement, concat_by_encoder
from likewise.evaluation.write_scores import write_scores
from likewise.json_files import read_json, write_json
from likewise.methods import Nets, Progress
from likewise.report.pages.page import write_report
from likewise.report.pictures.method_pictures import IMAGES
from likewise.report.pictures.write import write_method_pictures, write_pictures
from likewise.run_folder import RunFolder
from likewise.runs.prepared import Prepared
from likewise.training import TrainingState
from likewise.views.centre_view import CentreView

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def finish_run(
    fabric: Fabric,
    prepared: Prepared,
    nets: Nets,
    state: TrainingState,
    run: RunFolder,
    measures: EvaluationSettings,
) -> None:
    """Write what a trained run leaves besides its checkpoints and its log.

    Args:
        fabric: launched.
        prepared: the run.
        nets: trained.
        state: the end of training.
        run: where it is written.
        measures: what is scored.
    """
    merge_adapted(nets)
    save_encoder(nets.encoder, prepared.encoder, run.path)
    prepared.method.save(nets, prepared.transforms, run.path)
    write_classifier(prepared, nets, run, fabric.device)
    write_json(run.environment, {**read_json(run.environment), **dataclasses.asdict(state)})
    score_run(prepared, nets, run, measures, fabric.device)
    draw_method(prepared, nets, state, run, fabric.device)
    write_report(run)


def write_classifier(prepared: Prepared, nets: Nets, run: RunFolder, device: torch.device) -> None:
    """``classifier.*`` where training saw labels of two classes or more, or several classes an image, or numbers."""
    visible = labelled_targets(prepared.train) if prepared.shows_targets else None
    if visible is not None:
        _write_target_predictor(prepared, nets, visible, run, device)
        return
    train, validation = prepared.train, prepared.splits.get("val")
    made = calibrated_classifier(
        prepared.method,
        nets,
        LabelledImages(train.images, prepared.visible_labels, group_numbers(train.manifest)),
        LabelledImages(validation.images, validation.labels) if validation else None,
        prepared.manifest.class_names,
        CentreView(prepared.encoder.image_size),
        prepared.settings.seed,
        device,
    )
    if made is not None:
        save_classifier(made.classifier, prepared.encoder, made.reference, run.path)


def _write_target_predictor(
    prepared: Prepared, nets: Nets, visible: LabelledTargets, run: RunFolder, device: torch.device
) -> None:
    """The classifier of several classes an image, or of numbers; nothing where it cannot be fitted."""
    validation = prepared.splits.get("val")
    held_out = None if validation is None else labelled_targets(validation)
    view = CentreView(prepared.encoder.image_size)
    saw_labels = prepared.method.card.needs != "no labels"
    fitted = fit_predictor(
        nets.encoder, visible, held_out, view, prepared.settings.seed, device, saw_labels
    )
    if fitted is not None:
        save_predictor(fitted, prepared.encoder, run.path)


def labelled_targets(split: Split) -> LabelledTargets | None:
    """The images of a part of the data with their targets, where they have any."""
    column = targets_in(split.manifest.columns)
    return (
        None
        if column is None
        else LabelledTargets(split.images, column, group_numbers(split.manifest))
    )


def score_run(
    prepared: Prepared,
    nets: Nets,
    run: RunFolder,
    measures: EvaluationSettings,
    device: torch.device,
) -> None:
    """``scores.json`` and the pictures of what was scored."""
    trained = TrainedNetwork(nets.encoder, prepared.encoder, prepared.settings.seed, device)
    scored = score_encoder(trained, prepared.splits, measures, prepared.visible_labels)
    multimodal = multimodal_scores(run, scored, prepared.train, trained.seed)
    own, test = list[Measurement](), scored.test
    if test is not None:
        own = measure_own_classifier(prepared.method, nets, test.images, test.labels, trained.view)
    measured = concat_by_encoder([{"trained": own}, multimodal.measurements])
    skipped = prepared.manifest.left_out
    write_scores(run, scored, measured, skipped=skipped, differences=multimodal.differences)
    write_pictures(run, scored, multimodal.retrieved)


def draw_method(
    prepared: Prepared, nets: Nets, state: TrainingState, run: RunFolder, device: torch.device
) -> None:
    """The pictures that a method has of its own, of a few training images as in the last step."""
    few = dataclasses.replace(prepared.settings, batch_size=min(prepared.batch_size, IMAGES))
    loader = dataclasses.replace(prepared, settings=few).loader()
    last_step = Progress(state.step - 1, state.step, few.seed)
    write_method_pictures(run, prepared.method, nets, loader, prepared.train, last_step, device)
