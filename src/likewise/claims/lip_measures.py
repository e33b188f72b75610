"""What a claim about lip reading measures: predicted sound on test clips, and words read after a few labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from likewise.claims.measures import TrainedArm
from likewise.data.batch import Pixels
from likewise.data.label_budget import LabelBudget
from likewise.data.video.clip_columns import SOUND
from likewise.data.video.clip_frames import open_whole_clips
from likewise.evaluation.features import eval_mode
from likewise.evaluation.metrics.fine_tune import FineTune
from likewise.evaluation.own_classifier import measure_classifier
from likewise.evaluation.run_scores import baselines
from likewise.methods.cross_entropy import CrossEntropy
from likewise.methods.lira import LiRA, error_shares
from likewise.training.launch import launch
from likewise.views.audio.frame_targets import AudioFrameTargets
from likewise.views.centre_view import CentreView
from likewise.views.motion.temporal_windows import frames_from
from likewise.views.policies import lips
from likewise.views.view import View


@dataclass(frozen=True)
class SoundPrediction:
    """Prediction of the sound of the test clips' centre windows: ``share_of_mean_error`` and ``r2_score``."""

    def __call__(self, trained: TrainedArm) -> Mapping[str, float]:
        """Over all frames of the clips that have sound."""
        prepared, column = trained.prepared, trained.test.manifest.columns[SOUND]
        method, reader, rows = prepared.method, prepared.transforms[SOUND], []
        assert isinstance(method, LiRA) and isinstance(reader, AudioFrameTargets)
        targets = dataclasses.replace(reader, shuffled=False).of(column)
        clips = open_whole_clips(trained.test.manifest, prepared.encoder.channels)
        with eval_mode(trained.nets), torch.no_grad():
            have_sound = torch.from_numpy(column.present()).nonzero().flatten()
            for index in have_sound.split(64):
                pixels = clips.read(index)
                view = _centre_window(pixels, prepared.encoder.frames, trained.view)
                rows.append(
                    method.predict(trained.nets, view, pixels.valid_frames, targets.read(index))
                )
        frames = {}
        for name in rows[0]:
            frames[name] = torch.cat([row[name] for row in rows])
        return {name: float(value) for name, value in error_shares(frames).items()}


def _centre_window(pixels: Pixels, frames: int, view: CentreView) -> View:
    """The window of whole clips that evaluation uses, with its first frame."""
    assert pixels.valid_frames is not None
    start = (pixels.valid_frames - frames).clamp(min=0) // 2
    window = pixels._replace(images=frames_from(pixels.images, start, frames))
    return view(window)._replace(start=start)


@dataclass(frozen=True)
class WordAccuracy:
    """Accuracy on test clips after fine-tuning with a few labels of each word: ``fine_tuned_top1``."""

    labels: int = 10
    """labelled clips of each word"""
    from_scratch: bool = False
    """whether to measure an untrained encoder too, ``from_scratch_top1``"""
    rule: FineTune = field(default_factory=lambda: FineTune(batch_size=32, views=lips()))
    """length of fine-tuning, and its views"""

    def __call__(self, trained: TrainedArm) -> Mapping[str, float]:
        """Accuracies; both starts see the same labels in the same order."""
        prepared, seed = trained.prepared, trained.prepared.settings.seed
        train, test = prepared.train, trained.test
        visible = LabelBudget(per_class=self.labels, seed=seed).apply(
            train.labels, train.manifest.ids
        )
        starts = {"fine_tuned_top1": trained.nets.encoder}
        if self.from_scratch:
            starts["from_scratch_top1"] = baselines(prepared.encoder, seed)["untrained"]
        fabric, found = launch(prepared.settings.device, devices=1)[0], {}
        for name, start in starts.items():
            nets = self.rule.fit(fabric, start, train.images, visible, train.manifest.classes)
            outcome = measure_classifier(
                name, CrossEntropy(), nets, test.images, test.labels, trained.view, {}
            )
            found[name] = outcome.score.value
        return found
