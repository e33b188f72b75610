"""Scores of a finished run, on the data that it was trained on or on others."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from likewise.data.batch import UNLABELLED
from likewise.data.checks.mask_check import look_at_masks
from likewise.data.data_settings import DataSettings
from likewise.data.encoder_range import require_encoder_range
from likewise.data.splits import Split
from likewise.data.splitter import DataSplitter
from likewise.encoders import Encoder, EncoderSettings
from likewise.errors import DataNotFound, LikewiseError
from likewise.evaluation.evaluation import EvaluationSettings
from likewise.evaluation.metrics.calibration import Calibration
from likewise.evaluation.metrics.knn import Knn
from likewise.evaluation.multimodal_scores import multimodal_scores
from likewise.evaluation.own_classifier import OWN, OwnClassifier
from likewise.evaluation.run_scores import (
    TrainedNetwork,
    fine_tune_scores,
    score_corrupted,
    score_encoder,
)
from likewise.evaluation.statistics.scores import Measurement, Score, concat_by_encoder
from likewise.evaluation.write_scores import write_scores
from likewise.json_files import read_json, reading
from likewise.methods import Method
from likewise.report.pictures.write import write_pictures
from likewise.run_folder import IN_MEMORY, RunFolder
from likewise.runs.data_name import name_of
from likewise.runs.settings import stored_settings
from likewise.runs.trained import load_trained, method_of
from likewise.training.launch import choose_device, launch


class Extras(NamedTuple):
    """What is measured besides the usual scores."""

    fine_tune: bool
    """the whole network, and the baselines, fine-tuned on the visible labels"""
    corruptions: bool
    """the accuracy on corrupted test images"""
    full_bank: bool
    """neighbours and probes learn from the images that ``imbalance`` left out too"""
    neighbours: int
    """nearest neighbours that vote"""


class EvaluationData(NamedTuple):
    """Data that a run is scored on."""

    splits: dict[str, Split]
    visible_labels: Tensor
    """int64 [N]: training labels that training saw, -1 elsewhere"""
    seen: Tensor | None
    """bool [N]: which training images training saw; None: all"""
    left_out: dict[str, str]
    """files that are no examples, each with the reason"""


@dataclass(frozen=True)
class RunEvaluation:
    """A run that is scored again."""

    folder: RunFolder
    encoder: Encoder
    """in eval mode"""
    settings: EncoderSettings
    """of the encoder"""
    module: nn.Module | None
    """a user's encoder, which cannot be built from its name; None: it can"""

    def evaluate(
        self, data: Any, of_data: DataSettings, extras: Extras
    ) -> tuple[RunFolder, dict[str, str]]:
        """Measure and write ``scores.json`` and the pictures of what was scored.

        Args:
            data: other data; None: those that the run was trained on.
            of_data: how other data are read.
            extras: what else is measured.

        Returns:
            the folder of the scores, and the files that are in no score, each with the reason.

        Raises:
            LikewiseError: data that are not there any more or do not fit the encoder.
        """
        seed, is_own = self.trained_with.seed, data is None
        trained = TrainedNetwork(self.encoder, self.settings, seed, choose_device("auto"))
        try:
            opened = self.open(data, of_data, extras.full_bank)
        except DataNotFound:
            if not is_own:
                raise
            raise DataNotFound(
                f"The run {self.folder.path} was trained on {self.own_data()}, which is not in {Path.cwd()} any more. "
                f"Put it back there, give the command from the folder where it is, or score other data: --data FOLDER."
            ) from None
        measures = EvaluationSettings(knn=Knn(extras.neighbours))
        labels = opened.visible_labels
        scored = score_encoder(trained, opened.splits, measures, labels, opened.seen)
        multimodal = multimodal_scores(self.folder, scored, opened.splits["train"], seed)
        # Other data may have other classes than the run's own classifier.
        further = [{"trained": stored_classifier_scores(self.folder)}] if is_own else []
        further.append(multimodal.measurements)
        corrupted = None
        if extras.corruptions:
            corrupted = score_corrupted(scored, self.own_classifier() if is_own else None)
        if extras.fine_tune:
            splits = opened.splits | ({} if scored.test is None else {"test": scored.test})
            fabric, _ = launch(devices=1)
            further.append(fine_tune_scores(trained, splits, labels, fabric))
        target = self.folder if is_own else folder_of_other_data(self.folder, data)
        skipped = opened.left_out | scored.evaluation.unread
        measured = concat_by_encoder(further)
        write_scores(target, scored, measured, corrupted, skipped, multimodal.differences)
        write_pictures(target, scored, multimodal.retrieved)
        return target, skipped

    @property
    def trained_with(self) -> DataSettings:
        """How the run's own data are read."""
        return replace(
            stored_settings(self.folder).data_settings, pixel_range=self.settings.pixel_range
        )

    def open(self, data: Any, of_data: DataSettings, full_bank: bool) -> EvaluationData:
        """Open the run's own data, or others.

        Raises:
            LikewiseError: they are gone, were in memory, or do not fit the encoder.
        """
        own, given = self.settings, of_data.pixel_range
        if data is None:
            if given is not None and given != own.pixel_range:
                raise LikewiseError(
                    f"--pixel-range {given[0]:g} {given[1]:g} was given, but the run's own data are scored as it was "
                    f"trained on them. Leave --pixel-range out, or give other data with --data."
                )
            wanted, source, known = self.trained_with, self.own_data(), own.pixel_range
        else:
            seed, pixel_range = self.trained_with.seed, given or own.pixel_range
            wanted = replace(of_data, seed=seed, region=own.region, pixel_range=pixel_range)
            source, known = data, given or own.given_range
        splitter = DataSplitter(wanted, own.clip_sampling, own.image_size)
        if not full_bank:
            return self.as_trained(splitter, source, known)
        if wanted.imbalance == "none":
            why = "this run left none out" if data is None else "other data were given"
            raise LikewiseError(
                f"--full-bank brings back the training images that --imbalance left out, but {why}. Leave it out."
            )
        return self.with_left_out(splitter, source, known)

    def own_data(self) -> str:
        """The source of the data that the run was trained on.

        Raises:
            LikewiseError: they were in memory.
        """
        source = str(read_json(self.folder.config)["data"])
        if IN_MEMORY in source:
            raise LikewiseError(
                f"The data of the run {self.folder.path} were in memory ({source}). Give them: run.evaluate(data)."
            )
        return source

    def as_trained(
        self, splitter: DataSplitter, source: Any, known: tuple[float, float] | None
    ) -> EvaluationData:
        """The splits of training; ``known`` is the range of pixels, where values beyond it are to be clipped."""
        manifest = splitter.list_examples(source)
        require_encoder_range(manifest, self.settings.pixel_range, known)
        look_at_masks(manifest)
        splits = splitter.open(manifest, self.settings.channels)
        visible_labels = splitter.visible_labels(splits["train"].manifest)
        return EvaluationData(splits, visible_labels, None, manifest.left_out)

    def with_left_out(
        self, splitter: DataSplitter, source: Any, known: tuple[float, float] | None
    ) -> EvaluationData:
        """The splits of training, with the training images that ``imbalance`` left out."""
        manifest, seen = splitter.list_before_imbalance(source)
        require_encoder_range(manifest, self.settings.pixel_range, known)
        splits = splitter.open(manifest, self.settings.channels)
        seen_rows = seen.nonzero().flatten()
        visible_labels = torch.full((len(seen),), UNLABELLED)
        visible_labels[seen] = splitter.visible_labels(splits["train"].manifest.take(seen_rows))
        return EvaluationData(splits, visible_labels, seen, manifest.left_out)

    def own_classifier(self) -> OwnClassifier | None:
        """The classifier that the method trained, if it has one.

        Raises:
            LikewiseError: it has one, but the checkpoint that holds it is gone.
        """
        if type(method_of(self.folder)).classifier is Method.classifier:
            return None
        trained = load_trained(self.folder.path, self.module)
        return OwnClassifier(trained.method, trained.nets)


def stored_classifier_scores(folder: RunFolder) -> list[Measurement]:
    """The scores of the method's own classifier at the end of training, which stay as they are."""
    measured: list[Measurement] = []
    if not folder.scores.exists():
        return measured
    with reading(folder.scores):
        content = read_json(folder.scores)
        calibrations = content.get("calibration", {}).get("trained", {})
        for entry in content.get("trained", []):
            if entry["name"] in OWN:
                found = calibrations.get(entry["name"])
                calibration = Calibration.from_json(found) if found is not None else None
                score = Score.from_json(entry)
                measured.append(Measurement(score, torch.empty(0), calibration=calibration))
    return measured


def trained_scores(folder: RunFolder) -> dict[str, float]:
    """The trained encoder's scores by name."""
    with reading(folder.scores):
        return {score["name"]: score["value"] for score in read_json(folder.scores)["trained"]}


def folder_of_other_data(folder: RunFolder, data: Any) -> RunFolder:
    """A folder under ``evaluations`` for scores on data that the run was not trained on."""
    stem = Path(name_of(data)).stem
    name = "".join(c if c.isalnum() else "-" for c in stem) or "data"
    other = RunFolder(folder.path / "evaluations" / name)
    other.path.mkdir(parents=True, exist_ok=True)
    return other
