"""LiRA: silent lips predict how they sound."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from likewise.data.batch import Batch
from likewise.data.columns.column import Column, ColumnTransform
from likewise.data.video.clip_columns import SOUND, Sound
from likewise.data.video.clip_sampling import ClipSampling
from likewise.data.video.video_decoding import SOUND_RATE
from likewise.encoders import Encoder
from likewise.encoders.lip_networks import LIPS, LipEncoder
from likewise.errors import LikewiseError
from likewise.losses import masked_l1, r2_score
from likewise.methods.card import Card, Preset
from likewise.methods.method import Method, Nets, Outputs, Progress, Step
from likewise.methods.recipe import Recipe
from likewise.views.audio.acoustic_targets import acoustic_target, target_width
from likewise.views.audio.frame_targets import AudioFrameTargets
from likewise.views.motion.temporal_windows import frames_from
from likewise.views.policies import lips
from likewise.views.view import View
from likewise.views.view_policy import ViewPolicy

PRESETS = {
    "small": Preset(
        "hundreds to thousands of short clips of mouths, 32 to 64 px, lip-small",
        "ours: the method's defaults for longer, with fewer bands, for the paper has no run of that size",
        Recipe("adamw", learning_rate=5e-3, weight_decay=1e-2, warm_up=0.1),
        batch_size=64,
        epochs=40,
        settings={"bands": 40},
    ),
    "middle": Preset(
        "hundreds of hours of speech, mouths of 88 to 96 px, lip-resnet18",
        "ours: as the authors' group trains for words (AdamW, 3e-4 for 32 clips, 80 epochs), "
        "https://github.com/mpc001/Lipreading_using_Temporal_Convolutional_Networks; the target is not the paper's",
        Recipe("adamw", learning_rate=8.5e-4, weight_decay=1e-2, warm_up=0.1),
        batch_size=64,
        epochs=80,
    ),
    "imagenet": Preset(
        "thousands of hours of speech, faces of 224 px, lip-resnet18",
        "ours: the middle run on more and larger frames, which the paper does not use",
        Recipe("adamw", learning_rate=8.5e-4, weight_decay=1e-2, warm_up=0.05),
        batch_size=256,
        epochs=20,
        image_size=224,
    ),
}


@dataclass(frozen=True)
class LiRA(Method):
    """Ma et al. 2021, Sec. 2, https://arxiv.org/abs/2106.09171.

    The paper's target are the 256 features of PASE+, whose weights cannot be shipped; here it is a log-mel spectrogram
    unless another is named. Pooling a target's steps to the frame rate and standardising it are reconstructed.
    """

    card = Card(
        title="LiRA",
        paper="Ma, Mira, Petridis, Schuller & Pantic 2021, https://arxiv.org/abs/2106.09171",
        needs="no labels",
        also_needs="videos of mouths with their sound",
        idea="Predicts from silent lips, frame by frame, how they sound.",
        choose_when="faces speak and sound tells what the lips do: for words or sentences from few labels",
        encoder="lip-small",
        recipe=Recipe("adamw", learning_rate=5e-3, weight_decay=1e-2, warm_up=0.1),
        presets=PRESETS,
    )
    clip_sampling = ClipSampling(25, 25.0)

    target: str = "logmel"
    """what is predicted: logmel, mfcc, the file of a network (torch.export), or a name in TARGETS (paper: PASE+)"""
    bands: int = 80
    """of the log-mel spectrogram, which mfcc too is made of"""
    late: float = 0.0
    """seconds by which the sound comes after its picture in the files; it is moved forward by as many"""
    shuffled_sound: bool = False
    """a control: every clip is given another clip's sound"""
    views: ViewPolicy = field(default_factory=lips)
    """random crop of 88 of 96 pixels or more, flip (paper: 88 of 96)"""

    @property
    def modalities(self) -> tuple[str, ...]:
        """Sound."""
        return (SOUND,)

    def column_transforms(self, columns: Mapping[str, Column]) -> Mapping[str, ColumnTransform]:
        """The sound of each stored frame, standardised on the training clips."""
        column = columns[SOUND]
        assert isinstance(column, Sound)
        target, late = acoustic_target(self.target, self.bands), round(self.late * SOUND_RATE)
        return {
            SOUND: AudioFrameTargets(
                target, column.clips.frames.shape[1], late, self.shuffled_sound
            ).fitted_to(column)
        }

    def build(self, encoder: Encoder, classes: int) -> Nets:
        """Encoder with a feature for each frame, and a linear layer to the target."""
        if not isinstance(encoder, LipEncoder):
            raise LikewiseError(
                f"{self.card.title} needs a feature for every frame. Give --encoder {' or --encoder '.join(LIPS)}, or "
                f"leave --encoder out."
            )
        width = target_width(acoustic_target(self.target, self.bands))
        return Nets(encoder=encoder, head=nn.Linear(encoder.width, width))

    def embed(self, nets: Nets, batch: Batch, progress: Progress) -> Outputs:
        """Predictions for a window of frames, and the sound during the same frames."""
        view = self.views(batch.pixels, progress.rng("view", batch))
        return self.predict(nets, view, batch.pixels.valid_frames, batch.modalities[SOUND])

    def predict(self, nets: Nets, view: View, lengths: Tensor | None, sound: Tensor) -> Outputs:
        """Prediction and target of each frame of a view, [B, frames, F]; ``valid`` [B, frames] is 0 after a clip's end.

        Args:
            nets: encoder and head.
            view: of clips.
            lengths: int64 [B], frames before each video ended; None: none ends.
            sound: [B, T, F], targets of all stored frames.
        """
        assert view.start is not None
        from_start = torch.arange(view.pixels.shape[1], device=view.start.device)
        frames = view.start[:, None] + from_start  # [B, frames]
        ends = sound.shape[1] if lengths is None else lengths[:, None].to(frames)
        valid = (frames < ends).to(view.pixels.device)  # [B, frames]
        prediction = nets.head(nets.encoder.frame_features(view.pixels, valid))  # [B, frames, F]
        target = frames_from(sound, view.start, frames.shape[1])  # [B, frames, F]
        return {"prediction": prediction, "target": target, "valid": valid.byte()}

    def compute_loss(self, nets: Nets, outputs: Outputs, progress: Progress) -> Step:
        """The mean absolute error over the frames of all clips."""
        loss = masked_l1(outputs["prediction"], outputs["target"], outputs["valid"])
        return Step(loss, error_shares(outputs))


def error_shares(outputs: Outputs) -> dict[str, Tensor]:
    """The error relative to predicting the training mean, which is 0, and R^2."""
    prediction, target, valid = outputs["prediction"].detach(), outputs["target"], outputs["valid"]
    mean_error = masked_l1(torch.zeros_like(target), target, valid)
    return {
        "share_of_mean_error": masked_l1(prediction, target, valid) / mean_error,
        "r2_score": r2_score(prediction, target, valid),
    }
