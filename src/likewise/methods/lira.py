"""LiRA: silent lips predict how they sound."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import nn

from likewise.data.batch import Batch
from likewise.data.beside import Reader
from likewise.data.clip_columns import SOUND
from likewise.data.manifest import Manifest
from likewise.encoders import Encoder
from likewise.encoders.lip_networks import LIPS, LipEncoder
from likewise.errors import LikewiseError
from likewise.losses import explained, frames_l1
from likewise.methods.clip_time import ClipTime
from likewise.methods.method import Method, Nets, Progress, Rows, Step
from likewise.methods.presets.lira import PRESETS
from likewise.methods.recipe import Recipe
from likewise.views.acoustic_targets import acoustic_target, target_width
from likewise.views.heard_frames import HeardFrames
from likewise.views.moments import frames_from
from likewise.views.policies import ViewPolicy, lips


@dataclass(frozen=True)
class LiRA(Method):
    """Ma et al. 2021, Sec. 2, https://arxiv.org/abs/2106.09171.

    The paper's target are the 256 features of PASE+, whose weights cannot be shipped; here it is a log-mel spectrogram
    unless another is named. Pooling a target's steps to the frame rate and standardising it are reconstructed.
    """

    title = "LiRA"
    paper = "Ma, Mira, Petridis, Schuller & Pantic 2021, https://arxiv.org/abs/2106.09171"
    needs = "no labels"
    senses = (SOUND,)
    also_needs = "videos of mouths with their sound"
    time = ClipTime(25, 25.0)
    idea = "Predicts from silent lips, frame by frame, how they sound."
    choose_when = "faces speak and sound tells what the lips do: for words or sentences from few labels"
    recipe = Recipe("adamw", learning_rate=3e-3, weight_decay=1e-2, warm_up=0.1)
    presets = PRESETS

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

    def readers(self, train: Manifest) -> Mapping[str, Reader]:
        """The sound of each stored frame, standardised on the training clips."""
        target, column = acoustic_target(self.target, self.bands), train.beside[SOUND]
        late = round(self.late * train.pixels.shape.sound_rate)
        return {SOUND: HeardFrames(target, train.pixels.shape.frames, late, self.shuffled_sound).fitted_to(column)}

    def build(self, encoder: Encoder, classes: int) -> Nets:
        """Encoder with a feature for each frame, and a linear layer to the target."""
        if not isinstance(encoder, LipEncoder):
            raise LikewiseError(
                f"{self.title} wants a feature for every frame. Give --encoder {' or '.join(LIPS)}, or leave it out."
            )
        width = target_width(acoustic_target(self.target, self.bands))
        return Nets(encoder=encoder, head=nn.Linear(encoder.width, width))

    def embed(self, nets: Nets, batch: Batch, progress: Progress) -> Rows:
        """A window of frames, what it lets one guess, and what is heard during the same frames."""
        view = self.views(batch.pixels, progress.draws("view", batch))
        assert view.start is not None
        frames = view.pixels.shape[1]
        valid = torch.ones(view.pixels.shape[:2], dtype=torch.bool, device=view.pixels.device)
        if batch.pixels.shown is not None:
            instants = view.start[:, None] + torch.arange(frames, device=view.start.device)
            valid = instants.to(valid.device) < batch.pixels.shown[:, None]
        guess = nets.head(nets.encoder.frame_features(view.pixels, valid))
        heard = frames_from(batch.beside[SOUND], view.start, frames)
        return {"guess": guess, "heard": heard, "valid": valid.to(torch.uint8)}

    def contrast(self, nets: Nets, rows: Rows, progress: Progress) -> Step:
        """The mean absolute error, and how it compares with guessing the training set's mean, which is 0."""
        guess, heard, valid = rows["guess"], rows["heard"], rows["valid"]
        loss = frames_l1(guess, heard, valid)
        of_the_mean = frames_l1(torch.zeros_like(heard), heard, valid)
        metrics = {"share_of_mean_error": loss.detach() / of_the_mean, "explained": explained(guess, heard, valid)}
        return Step(loss, metrics)
